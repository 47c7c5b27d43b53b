"""The data of a task at its pinned revision: downloaded, verified, and prepared as `run --offline` reads it.

Which files a task needs is known to mteb and `datasets` alone. The task is therefore loaded once, and every file that the
libraries ask for on the way is fetched by `Downloader`, so that it is resumed and verified.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import ConfigError, DatasetUnavailableError, HarnessError
from harness.fetch.download import Downloader
from harness.fetch.failures import TemporaryError, meaning_of
from harness.runners.hub_cache import dataset_folder, prepared_folders
from harness.runners.tasks import TaskUnit, make_task, needs_download

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_data(unit: TaskUnit, downloader: Downloader) -> str:
    """Download and prepare the data of a task; return the revision.

    Raises:
        DatasetUnavailableError: not complete; the same command goes on.
        ConfigError: refused, or no such data set or revision.
    """
    repo, revision = source_of(unit)
    downloader.retrier(lambda: _prepare(unit, downloader, f"data set {repo!r}"))
    if unit.air is not None:
        return revision  # loaded and counted against AIR-Bench's own table
    prepared = prepared_folders(repo, revision)
    if not prepared:
        raise DatasetUnavailableError(
            f"task {unit.name!r}: {repo} was loaded, but not at its revision {revision[:12]}. Remove {dataset_folder(repo)} "
            "and fetch again."
        )
    for folder in prepared:
        # Offline, `datasets` takes the newest prepared folder, whatever its revision.
        os.utime(folder)
    return revision


def source_of(unit: TaskUnit) -> tuple[str, str]:
    """Return repository and revision of a task's data.

    AIR-Bench names no commits: its revision is the version, whose files are those of the hub's main branch.

    Raises:
        ConfigError: the task has no data on the hub, or no fixed revision.
    """
    if unit.air is not None:
        from harness.air_bench.layout import ORGANISATION, text_repository

        return f"{ORGANISATION}/{text_repository(unit.air)}", f"{unit.air.version}, {'+'.join(unit.splits)}"
    if unit.entry is not None and unit.entry.dataset is not None:
        return unit.entry.dataset.path, unit.entry.dataset.revision
    task: Any = make_task(unit)
    dataset: dict[str, Any] = dict(task.metadata.dataset)
    repo, revision = dataset.get("path"), dataset.get("revision")
    if not repo or not revision:
        raise ConfigError(
            f"task {unit.name!r} has no data set with a revision on the hub. Give its data with --data-dir."
        )
    return str(repo), str(revision)


def _prepare(unit: TaskUnit, downloader: Downloader, what: str) -> None:
    failures: list[HarnessError] = []
    try:
        with _files_through(downloader, failures):
            make_task(unit).load_data()
    except Exception as error:
        if failures:
            raise failures[0] from error
        # A loader may have said already that the data cannot be had: what counts is why.
        reason_why = error.__cause__ if isinstance(error, DatasetUnavailableError) else None
        meaning = meaning_of(reason_why or error, what)
        if meaning is not None:
            raise meaning from error
        # The libraries read the beginning of some files past the downloader, unverified: what looks like damage may be a
        # piece that was cut, so that another attempt is worth it.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TemporaryError(f"task {unit.name!r}: {what} cannot be prepared: {reason}") from error
    if failures:  # the libraries made do with an older copy
        raise failures[0]


@contextlib.contextmanager
def _files_through(downloader: Downloader, failures: list[HarnessError]) -> Iterator[None]:
    """Have every file of a data set that a library asks huggingface_hub for fetched by the downloader."""
    from huggingface_hub import HfApi

    original: Callable[..., Any] = HfApi.hf_hub_download

    def fetched(self: Any, repo_id: str, filename: str, **options: Any) -> Any:
        revision = str(options.get("revision") or "")
        if options.get("repo_type") != "dataset" or not _COMMIT.fullmatch(revision) or options.get("subfolder"):
            return original(self, repo_id, filename, **options)
        try:
            return str(downloader.fetch("dataset", repo_id, filename, revision))
        except HarnessError as error:
            # README.md and the like may be missing; the libraries know what to do then.
            if "EntryNotFoundError" in type(error.__cause__).__name__ and error.__cause__ is not None:
                raise error.__cause__ from None
            failures.append(error)
            raise

    HfApi.hf_hub_download = fetched
    try:
        yield
    finally:
        HfApi.hf_hub_download = original


def is_prepared(unit: TaskUnit) -> bool:
    """Whether the data of a task that was fetched are still in the cache of `datasets`."""
    repo, revision = source_of(unit)
    return not needs_download(unit) if unit.air is not None else bool(prepared_folders(repo, revision))
