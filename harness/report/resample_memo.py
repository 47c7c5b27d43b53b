"""Resamples kept between reports: the intervals of fifty models are computed once and read ever after.

An entry belongs to two files of items, by path, size and change times, and to everything that the resampling depends on. It
holds a checksum; what does not match it is computed again. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.resample import RESAMPLES, SEED, PairedCell, Resampled

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger(__name__)

MEMO_VERSION = 1
"""Counts changes of this program that change a resample."""
MAX_ENTRIES = 20_000
"""Of 8 KB each; beyond them the oldest go."""
_COMMIT_EVERY = 64
_LOCK_SECONDS = 2.0


def file_identity(path: str) -> str:
    """Return what says that a file has not changed: path, size, change times and inode."""
    stat = os.stat(path)  # noqa: PTH116 -- asked thousands of times
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def memo_key(base: str, other: str, *names: str) -> bytes:
    """Return the key of a comparison of two files of items.

    Args:
        base: identity of the file without examples.
        other: identity of the file with examples.
        names: metric, task, task type, split and subset.
    """
    import numpy as np

    # numpy may change the stream of its generator with a minor version.
    version = ".".join(np.__version__.split(".")[:2])
    parts = [MEMO_VERSION, RESAMPLES, SEED, version, base, other, *names]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class ResampleMemo:
    """The resamples of one file; without a path, or where it cannot be used, it remembers nothing."""

    def __init__(self, path: Path | None) -> None:
        """Remember the path; the file is opened when it is first asked."""
        self._path = path
        self._opened: sqlite3.Connection | None = None
        self._waiting = 0

    def get(self, key: bytes) -> PairedCell | None:
        """Return a comparison, or None where it is unknown or its checksum is wrong."""
        import sqlite3

        try:
            database = self._database()
            row = (
                database
                and database.execute(
                    "SELECT kind, base, other, differences, checksum FROM resamples WHERE key = ?", (key,)
                ).fetchone()
            )
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return _cell(key, *row) if row else None

    def put(self, key: bytes, cell: PairedCell) -> None:
        """Keep a comparison; a file that cannot be written is no error."""
        import sqlite3

        base, other, differences = cell.outcome.base, cell.outcome.other, cell.outcome.differences
        blob = differences.astype("<f8").tobytes()
        row = (key, cell.resampled, base, other, blob, _checksum(key, cell.resampled, base, other, blob))
        try:
            database = self._database()
            if database is None:
                return
            database.execute("INSERT OR REPLACE INTO resamples VALUES (?, ?, ?, ?, ?, ?)", row)
            self._waiting += 1
            if self._waiting >= _COMMIT_EVERY:
                self.flush()
        except sqlite3.Error as error:
            self._give_up(error)

    def flush(self) -> None:
        """Make what was put last, and drop the oldest entries above the limit."""
        import sqlite3

        if self._opened is None or not self._waiting:
            return
        try:
            self._opened.execute(
                "DELETE FROM resamples WHERE rowid <= (SELECT max(rowid) FROM resamples) - ?", (MAX_ENTRIES,)
            )
            self._opened.commit()
            self._waiting = 0
        except sqlite3.Error as error:
            self._give_up(error)

    def _database(self) -> sqlite3.Connection | None:
        if self._opened is None and self._path is not None:
            import sqlite3

            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
            self._opened = sqlite3.connect(self._path, timeout=_LOCK_SECONDS)
            self._opened.execute("PRAGMA journal_mode = WAL")
            self._opened.execute("PRAGMA synchronous = NORMAL")
            self._opened.execute(
                "CREATE TABLE IF NOT EXISTS resamples (key BLOB PRIMARY KEY, kind TEXT, base REAL, other REAL, "
                "differences BLOB, checksum BLOB)"
            )
        return self._opened

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the file; one that is no database any more is removed, so that the next report makes a new one."""
        import sqlite3

        logger.debug("resamples are not kept: %s", error)
        if self._opened is not None:
            with suppress(sqlite3.Error):
                self._opened.close()
        self._opened = None
        if self._path is not None and not isinstance(error, sqlite3.OperationalError):
            for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
                with suppress(OSError):
                    self._path.with_name(name).unlink(missing_ok=True)
        self._path = None


def _checksum(key: bytes, kind: str, base: float, other: float, blob: bytes) -> bytes:
    return hashlib.sha256(key + kind.encode() + struct.pack("<dd", base, other) + blob).digest()


def _cell(key: bytes, kind: object, base: object, other: object, blob: object, checksum: object) -> PairedCell | None:
    import numpy as np

    if not (isinstance(kind, str) and isinstance(base, float) and isinstance(other, float) and isinstance(blob, bytes)):
        return None
    if checksum != _checksum(key, kind, base, other, blob):
        return None
    return PairedCell(kind, Resampled(base, other, np.frombuffer(blob, dtype="<f8").astype(np.float64)))
