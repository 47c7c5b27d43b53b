"""Everything that was asked for, item by item; one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    EXIT_TEMPORARY,
    EXIT_USAGE,
    HarnessError,
    RunLockedError,
    StorageError,
)
from harness.fetch.data import fetch_data, is_prepared, source_of
from harness.fetch.download import Downloader, gigabytes, hub_cache, repo_folder
from harness.fetch.model import Listing, fetch_model, list_model
from harness.fetch.state import FetchState, ItemState
from harness.runners.tasks import TaskUnit


@dataclass(frozen=True)
class ModelWish:
    """A model of the hub."""

    name: str
    revision: str | None

    @property
    def key(self) -> str:
        """Name in the state file."""
        return f"model {self.name}@{self.revision or 'main'}"


@dataclass
class FetchSummary:
    """What a fetch did."""

    done: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    """Items that an earlier command had fetched."""
    failures: dict[str, HarnessError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0; 75 if trying again may help every failure; 2 if all are refusals; else 3."""
        codes = {error.exit_code for error in self.failures.values()}
        if not codes:
            return EXIT_OK
        return codes.pop() if codes in ({EXIT_TEMPORARY}, {EXIT_USAGE}) else EXIT_INCOMPLETE


@contextlib.contextmanager
def only_fetch(state_file: Path) -> Iterator[None]:
    """Keep a second fetch into the same cache waiting outside.

    Raises:
        RunLockedError: another process fetches.
    """
    state_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state_file.with_suffix(".lock"), timeout=0.5)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunLockedError("another `fetch` is downloading into this cache. Wait for it.") from error
    try:
        yield
    finally:
        lock.release()


def fetch_all(
    models: list[ModelWish],
    units: list[TaskUnit],
    *,
    downloader: Downloader,
    state: FetchState,
    say: Callable[[str], object],
) -> FetchSummary:
    """Fetch models and data.

    Raises:
        StorageError: the disk is full; what was fetched is kept.
    """
    summary = FetchSummary()
    total = len(models) + len(units)
    listings = {wish: _listing(wish, downloader, state, summary) for wish in models}
    check_space(listings)
    for number, wish in enumerate(models, start=1):
        listing = listings[wish]
        if listing is not None:
            _item(
                f"[{number}/{total}]", wish.key, downloader, state, summary, say, _model_work(wish, listing, downloader)
            )
    for number, unit in enumerate(units, start=len(models) + 1):
        title = f"[{number}/{total}]"
        try:
            repo, revision = source_of(unit)
        except HarnessError as error:
            summary.failures[f"data {unit.name}"] = error
            continue
        key = data_key(unit, repo, revision)
        known = state.get(key)
        if known is not None and known.status == "done" and is_prepared(unit):
            summary.there.append(key)
            continue
        _item(title, key, downloader, state, summary, say, lambda unit=unit: fetch_data(unit, downloader))  # type: ignore[misc]
    return summary


def data_key(unit: TaskUnit, repo: str, revision: str) -> str:
    """Return the name of a task's data in the state file."""
    return f"data {unit.name} ({repo}@{revision if unit.air is not None else revision[:12]})"


def _model_work(wish: ModelWish, listing: Listing, downloader: Downloader) -> Callable[[], str]:
    def work() -> str:
        fetch_model(wish.name, wish.revision, listing, downloader)
        return listing.commit

    return work


def _listing(wish: ModelWish, downloader: Downloader, state: FetchState, summary: FetchSummary) -> Listing | None:
    """Return what is to be fetched of a model; None if it is there, or cannot be had."""
    known = state.get(wish.key)
    if known is not None and known.status == "done" and known.commit == wish.revision and _is_there(wish, known):
        summary.there.append(wish.key)
        return None
    try:
        listing = downloader.retrier(lambda: list_model(wish.name, wish.revision, downloader.timeout_seconds))
    except HarnessError as error:
        summary.failures[wish.key] = error
        state.put(wish.key, _failed(error))
        return None
    if known is not None and known.status == "done" and known.commit == listing.commit and _is_there(wish, known):
        summary.there.append(wish.key)
        return None
    return listing


def _is_there(wish: ModelWish, known: ItemState) -> bool:
    """Whether the files of a fetched model are still in the cache, by number and size."""
    folder = repo_folder("model", wish.name) / "snapshots" / known.commit
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files) >= known.files and sum(path.stat().st_size for path in files) >= known.size_bytes


def check_space(listings: dict[ModelWish, Listing | None]) -> None:
    """Refuse to begin what cannot end: the models' files must fit on the disk.

    Raises:
        StorageError: with the sizes.
    """
    needed = sum(bytes_left(wish.name, listing) for wish, listing in listings.items() if listing is not None)
    folder = hub_cache()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{hub_cache()}: {gigabytes(needed)} are to be downloaded, {gigabytes(free)} are free. Free some disk, or set "
            "HF_HOME to another one."
        )


def bytes_left(name: str, listing: Listing) -> int:
    """Return how many bytes of a model are not in the cache yet."""
    folder = repo_folder("model", name) / "snapshots" / listing.commit
    return sum(size for path, size in listing.sizes.items() if not (folder / path).is_file())


def _item(
    title: str,
    key: str,
    downloader: Downloader,
    state: FetchState,
    summary: FetchSummary,
    say: Callable[[str], object],
    work: Callable[[], str],
) -> None:
    files, size, downloaded = downloader.files, downloader.size_bytes, downloader.downloaded_bytes
    try:
        commit = work()
    except StorageError:
        raise  # no later item would fit
    except HarnessError as error:
        summary.failures[key] = error
        state.put(key, _failed(error))
        say(f"{title} {key}: FAILED (reason below)")
        return
    files, size = downloader.files - files, downloader.size_bytes - size
    state.put(key, ItemState("done", commit, files, size))
    summary.done.append(key)
    fresh = downloader.downloaded_bytes - downloaded
    say(f"{title} {key}: {files} files, {gigabytes(size)}, verified ({gigabytes(fresh)} downloaded)")


def _failed(error: HarnessError) -> ItemState:
    from harness.store.provenance import redact

    return ItemState(
        "temporary" if error.exit_code == EXIT_TEMPORARY else "refused",
        message=redact(str(error)),
    )
