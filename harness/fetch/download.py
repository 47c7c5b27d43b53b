"""One file of a hub repository: resumed, verified, then given to huggingface_hub's cache."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from harness.errors import StorageError
from harness.fetch.failures import TemporaryError, meaning_of
from harness.fetch.retry import Retrier
from harness.fetch.verify import content_problem, safetensors_problem

Kind = Literal["model", "dataset"]
PART_SUFFIX = ".fetch-part"
PIECE_BYTES = 256 << 10
"""What is written at once; the most that a cut or a kill loses."""
SPARE_BYTES = 64 << 20
"""Free space that a download leaves: state, locks and small files must still fit."""


def hub_cache() -> Path:
    """Return the folder of huggingface_hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repo_folder(kind: Kind, name: str) -> Path:
    """Return a repository's folder in the cache."""
    return hub_cache() / f"{kind}s--{name.replace('/', '--')}"


@dataclass
class Downloader:
    """Fetches files; counts what it did."""

    retrier: Retrier
    timeout_seconds: float
    progress: Callable[[str, int, int], object] = lambda _name, _done, _total: None
    """Called with file name, bytes there and bytes in total."""
    files: int = 0
    size_bytes: int = 0
    downloaded_bytes: int = 0
    checked: set[str] = field(default_factory=set)
    """Content hashes that were verified in this process."""

    def fetch(self, kind: Kind, repo: str, file: str, commit: str) -> Path:
        """Return the path of a verified file in the cache, downloading it or its rest.

        Args:
            kind: model or data set.
            repo: `org/name`.
            file: path in the repository.
            commit: 40 hex digits.

        Raises:
            DatasetUnavailableError: too many attempts failed; what was downloaded is kept for the next command.
            ConfigError: refused, or not there.
            StorageError: the disk is full.
        """
        what = f"{'model' if kind == 'model' else 'data set'} {repo!r}"
        pointer = repo_folder(kind, repo) / "snapshots" / commit / file
        etag, size = self._known(pointer) or self.retrier(lambda: self._metadata(kind, repo, file, commit, what))
        blob = repo_folder(kind, repo) / "blobs" / etag
        self.retrier(lambda: self._bring(kind, repo, file, commit, blob, size, what))
        self.retrier(lambda: self._point(kind, repo, file, commit, what))
        self.files += 1
        self.size_bytes += blob.stat().st_size if blob.exists() else pointer.stat().st_size
        return pointer

    def _known(self, pointer: Path) -> tuple[str, int | None] | None:
        """Return content hash and size of a file that the cache holds already, without asking the hub."""
        if pointer.is_symlink() and pointer.exists():
            return pointer.resolve().name, None
        return None

    def _metadata(self, kind: Kind, repo: str, file: str, commit: str, what: str) -> tuple[str, int | None]:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        with translated(f"{what}, file {file!r}"):
            url = hf_hub_url(repo, file, repo_type=kind, revision=commit)
            found = get_hf_file_metadata(url, timeout=self.timeout_seconds)
            if not found.etag or "/" in found.etag or found.etag.startswith("."):
                raise TemporaryError(f"{what}, file {file!r}: the hub names no content hash")
            return found.etag, found.size

    def _bring(self, kind: Kind, repo: str, file: str, commit: str, blob: Path, size: int | None, what: str) -> None:
        if not blob.exists():
            self._download(kind, repo, file, commit, blob, size, what)
        if blob.name in self.checked:
            return
        problem = content_problem(blob, size=size, etag=blob.name)
        if problem is None and file.endswith(".safetensors"):
            problem = safetensors_problem(blob)
        if problem is not None:
            blob.unlink()
            raise TemporaryError(f"{what}, file {file!r}: {problem}")
        self.checked.add(blob.name)

    def _download(self, kind: Kind, repo: str, file: str, commit: str, blob: Path, size: int | None, what: str) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        blob.parent.mkdir(parents=True, exist_ok=True)
        part = blob.with_name(blob.name + PART_SUFFIX)
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have > size:
            part.unlink()
            have = 0
        _check_space(blob.parent, (size or 0) - have, file)
        self.progress(file, have, size or 0)
        if size is None or have < size or size == 0:
            report = partial(self.progress, file)
            with (
                part.open("ab") as handle,
                translated(f"{what}, file {file!r}", drop=part),
                watched(part, size or 0, report),
            ):
                try:
                    http_get(
                        hf_hub_url(repo, file, repo_type=kind, revision=commit),
                        handle,
                        resume_size=have,
                        headers={**build_hf_headers(), "Accept-Encoding": "identity"},
                        expected_size=size,
                        _nb_retries=0,  # the policy of this program decides
                    )
                except Exception as error:
                    handle.flush()
                    meaning = meaning_of(error, f"{what}, file {file!r}")
                    if isinstance(meaning, TemporaryError) and part.stat().st_size >= have + PIECE_BYTES:
                        meaning.got_on = True
                        raise meaning from error
                    raise
                finally:
                    handle.flush()
                    self.downloaded_bytes += max(0, part.stat().st_size - have)
        self.progress(file, part.stat().st_size, size or 0)
        problem = content_problem(part, size=size, etag=blob.name)
        if problem is not None:
            part.unlink()
            raise TemporaryError(f"{what}, file {file!r}: {problem}")
        part.replace(blob)

    def _point(self, kind: Kind, repo: str, file: str, commit: str, what: str) -> None:
        """Have huggingface_hub enter the file into its snapshot; the content is there, so that nothing is downloaded."""
        from huggingface_hub import hf_hub_download

        with translated(f"{what}, file {file!r}"):
            hf_hub_download(repo, file, repo_type=kind, revision=commit, etag_timeout=self.timeout_seconds)


@contextlib.contextmanager
def watched(part: Path, total_bytes: int, report: Callable[[int, int], object]) -> Iterator[None]:
    """Report the size of a growing file twice a second while the block runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(OSError):
                report(part.stat().st_size, total_bytes)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def translated(what: str, drop: Path | None = None) -> Iterator[None]:
    """Turn what the hub's libraries raise into a HarnessError or a TemporaryError.

    Args:
        what: the thing asked for.
        drop: partial file that is removed if the hub says that it does not fit, or that it is longer than the whole.
    """
    try:
        yield
    except Exception as error:
        meaning = meaning_of(error, what)
        if meaning is None:
            raise
        status: Any = getattr(getattr(error, "response", None), "status_code", None)
        if drop is not None and status == 416:
            drop.unlink(missing_ok=True)
        raise meaning from error


def _check_space(folder: Path, needed_bytes: int, file: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed_bytes + SPARE_BYTES > free:
        raise StorageError(
            f"{folder}: {file!r} needs {gigabytes(needed_bytes)}, {gigabytes(free)} are free. Free some disk, or set HF_HOME "
            "to another one; the same command goes on."
        )


def gigabytes(size_bytes: float) -> str:
    """Return a size for people."""
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= divisor:
            return f"{size_bytes / divisor:.1f} {unit}"
    return f"{size_bytes:.0f} bytes"
