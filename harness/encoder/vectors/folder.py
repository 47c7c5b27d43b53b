"""The folder of a store: its paths, and its index opened in agreement with its shards."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.encoder.vectors.index import INDEX_ERRORS, DamagedIndexError, Index, is_damage
from harness.encoder.vectors.shard import SUFFIX, DamagedShardError, check_content, read_keys
from harness.errors import StorageError

logger = logging.getLogger(__name__)

_OPEN_SECONDS = 900.0
"""How long an opening waits for another process that rebuilds the index."""
_SHARDS_PER_TRANSACTION = 64


@dataclass(frozen=True)
class Folder:
    """Paths of a store."""

    root: Path

    @property
    def shards(self) -> Path:
        """Where the shards are."""
        return self.root / "shards"

    @property
    def corrupt(self) -> Path:
        """Where damaged files are set aside."""
        return self.root / "corrupt"

    @property
    def index(self) -> Path:
        """The index file."""
        return self.root / "index.sqlite3"

    def shard(self, name: str) -> Path:
        """Return the path of a shard."""
        return self.shards / f"{name}{SUFFIX}"

    def set_aside(self, path: Path) -> None:
        """Move a damaged file out of the way, if it is there."""
        self.corrupt.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.replace(self.corrupt / path.name)


@contextlib.contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Turn what the system or SQLite report into one line for the user."""
    cure = "Free some space or mend the folder, or go on without the store: --no-cache."
    try:
        yield
    except StorageError as error:
        raise StorageError(f"embedding store: {error} {cure}") from error
    except (OSError, *INDEX_ERRORS) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StorageError(f"embedding store {root}: {reason}. What was stored before is intact. {cure}") from error


def open_index(folder: Folder, damaged: Index | None = None) -> Index:
    """Open the index, made or rebuilt where needed, in agreement with the shards that are there.

    Args:
        folder: the store.
        damaged: an index of this process, closed, that was found damaged; it is replaced unless another process has
            done so.
    """
    folder.shards.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder.root / "open.lock", timeout=_OPEN_SECONDS)
        with lock:
            if damaged is not None and damaged.is_current():
                _set_index_aside(folder)
            try:
                return _agreeing(folder)
            except INDEX_ERRORS as error:
                if not is_damage(error):
                    raise
                warn_rebuilt(folder, error)
                _set_index_aside(folder)
                return _agreeing(folder)
    except Timeout as error:
        raise StorageError(f"{folder.root}: another process has been opening it for {_OPEN_SECONDS:.0f} s.") from error


def _set_index_aside(folder: Folder) -> None:
    # The log first: it must never lie beside another index than its own.
    for ending in ("-wal", "-shm"):
        folder.index.with_name(folder.index.name + ending).unlink(missing_ok=True)
    folder.set_aside(folder.index)


def _agreeing(folder: Folder) -> Index:
    index = Index(folder.index)
    try:
        _agree(index, folder)
    except BaseException:
        index.close()
        raise
    return index


def _agree(index: Index, folder: Folder) -> None:
    """Take up shards that the index does not know, drop those that are gone, remove what dead processes left."""
    with index.transaction():
        for leftover in folder.shards.glob(".*"):
            leftover.unlink(missing_ok=True)
        present = {path.name.removesuffix(SUFFIX) for path in folder.shards.glob(f"*{SUFFIX}")}
        known = index.names()
        if missing := known - present:
            # Nobody but the index knows of them: it may be the one that is wrong.
            if complaints := index.complaints():
                raise DamagedIndexError(complaints[0])
            index.drop(missing)
            logger.warning("%s: %d shards are gone; their texts will be encoded again.", folder.root, len(missing))
    unknown = sorted(present - known)
    try:
        for start in range(0, len(unknown), _SHARDS_PER_TRANSACTION):
            with index.transaction():
                for name in unknown[start : start + _SHARDS_PER_TRANSACTION]:
                    # Since it was seen, another process may have added or removed it.
                    if not index.holds(name) and folder.shard(name).exists():
                        _take_up(index, folder, name)
    except (OSError, *INDEX_ERRORS) as error:
        if is_damage(error) or not known:
            raise
        # The disk is full, but what is known can be read.
        logger.warning("%s: some shards are not used, for they cannot be entered in the index: %s.", folder.root, error)


def _take_up(index: Index, folder: Folder, name: str) -> None:
    try:
        header, keys = read_keys(folder.shard(name))
    except DamagedShardError as error:
        folder.set_aside(folder.shard(name))
        warn_set_aside(folder, name, error)
    else:
        index.add(name, header.scope, header.size_bytes, keys, used=False)


def drop_damaged(index: Index, folder: Folder, name: str, reason: DamagedShardError) -> bool:
    """Set a damaged shard aside and forget its keys, unless it was evicted or replaced meanwhile."""
    with index.transaction():
        if not index.holds(name):
            return False
        with contextlib.suppress(DamagedShardError, FileNotFoundError), folder.shard(name).open("rb") as handle:
            check_content(handle, name)
            return False
        folder.set_aside(folder.shard(name))
        index.drop([name])
    warn_set_aside(folder, name, reason)
    return True


def warn_set_aside(folder: Folder, name: str, reason: DamagedShardError) -> None:
    """Tell once that the texts of a shard are lost."""
    logger.warning(
        "%s: %s; set aside in %s, its texts will be encoded again.", folder.shard(name), reason, folder.corrupt
    )


def warn_rebuilt(folder: Folder, reason: Exception) -> None:
    """Tell that the index is made anew, which costs time only."""
    logger.warning("%s: damaged (%s); rebuilt from the shards.", folder.index, reason)


def remove_shards(index: Index, folder: Folder, names: Iterable[str]) -> None:
    """Remove shards: first from the index, then, unless somebody took them up again, their files."""
    listed = list(names)
    with index.transaction():
        index.drop(listed)
    with index.transaction():
        for name in listed:
            if not index.holds(name):
                folder.shard(name).unlink(missing_ok=True)
