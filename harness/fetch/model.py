"""A model at a commit: which files, and whether they are all there."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from harness.encoder.sources import EMBEDDED, MINILM, MINILM_ID, MODEL_FILES, minilm_package_dir
from harness.errors import DatasetUnavailableError
from harness.fetch.download import Downloader, repo_folder, translated
from harness.fetch.verify import missing_model_files


@dataclass(frozen=True)
class Listing:
    """The files of a model repository at one commit that a run reads."""

    commit: str
    sizes: dict[str, int]
    """Bytes by path; 0 where the hub does not say."""


def hub_name(model: str) -> str | None:
    """Return the hub's name of a --model value, or None if it needs no download (embedded, a directory, a package)."""
    if model == EMBEDDED or Path(model).is_dir():
        return None
    if model in (MINILM, MINILM_ID):
        return None if minilm_package_dir() is not None else MINILM_ID
    return model


def list_model(name: str, revision: str | None, timeout_seconds: float) -> Listing:
    """Ask the hub for a model's commit and files.

    Raises:
        TemporaryError: try again.
        ConfigError: refused, or no such model or revision.
    """
    from huggingface_hub import HfApi

    with translated(f"model {name!r}"):
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=timeout_seconds)
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or []}
    chosen = {path: size for path, size in sizes.items() if any(fnmatch(path, pattern) for pattern in MODEL_FILES)}
    if not any(path.endswith(".safetensors") for path in chosen):  # an old repository: the same weights as .bin
        chosen |= {path: size for path, size in sizes.items() if path.endswith(".bin")}
    return Listing(str(info.sha), chosen)


def fetch_model(name: str, revision: str | None, listing: Listing, downloader: Downloader) -> Path:
    """Download, verify and enter into the cache every file of a model; return its folder.

    Raises:
        DatasetUnavailableError: not complete; the same command goes on.
        ConfigError: the repository holds no model that can be loaded.
    """
    for path in sorted(listing.sizes, key=lambda path: (listing.sizes[path], path)):
        downloader.fetch("model", name, path, listing.commit)
    folder = repo_folder("model", name) / "snapshots" / listing.commit
    present = {path for path in listing.sizes if (folder / path).is_file()}
    if missing := missing_model_files(folder, present):
        raise DatasetUnavailableError(
            f"model {name!r} at {listing.commit[:12]}: the hub's repository has no {', '.join(missing[:4])}."
        )
    _enter_revision(name, revision, listing.commit)
    return folder


def _enter_revision(name: str, revision: str | None, commit: str) -> None:
    """Note which commit a branch or tag was, as huggingface_hub does, so that a run without the network finds it."""
    from harness.store.atomic import write_bytes

    reference = revision or "main"
    if reference != commit:
        write_bytes(repo_folder("model", name) / "refs" / reference, commit.encode())
