"""The index: which shard and row hold a key, and when a shard was last used."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

BUSY_SECONDS = 120.0
"""How long a writer waits for the others; each holds the lock for the writing of one shard."""
_KEYS_PER_QUERY = 5000
_NAMES_PER_QUERY = 5000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT_READ = 522  # SQLITE_IOERR_SHORT_READ: the file is cut
# 1: a table is missing; 8: a version in the file's header (a folder without write access fails at its lock before).
_DAMAGE_CODES = (1, 8, 11, 26)  # SQLITE_ERROR, _READONLY, _CORRUPT, _NOTADB

_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
    name TEXT NOT NULL UNIQUE,             -- SHA-256 (hex) of the whole file
    scope TEXT NOT NULL,
    count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    used INTEGER NOT NULL                  -- a counter, because clocks jump; 0 = not since the index was rebuilt
);
CREATE TABLE IF NOT EXISTS keys (key BLOB PRIMARY KEY, shard INTEGER NOT NULL, row INTEGER NOT NULL) WITHOUT ROWID;
"""


INDEX_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a method of the index may raise: Python decodes SQLite's messages, which quote a damaged file."""


class DamagedIndexError(sqlite3.DatabaseError):
    """The index contradicts a shard."""


def is_damage(error: Exception) -> bool:
    """Whether an error means that the index must be rebuilt (and not that the disk is full or another writer works)."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Python's own; a ProgrammingError is a defect of ours
        return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError)
    return code == _SHORT_READ or code & 0xFF in _DAMAGE_CODES


def _name(value: object) -> str:
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return value
    raise DamagedIndexError("a shard name that is no hash")


class Totals(NamedTuple):
    """Sums over the index."""

    shards: int
    texts: int
    size_bytes: int
    scopes: int


class Index:
    """An open index. Every method may raise INDEX_ERRORS; see is_damage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A store has one lock around its methods, so threads may share the connection.
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            # A power cut may undo the last commits but not tear the file; the shards are then taken up again.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA cache_size=-65536")
            self._connection.executescript(_SCHEMA)
            stat = path.stat()
            self.inode = stat.st_ino
            ((page_bytes,),) = self._connection.execute("PRAGMA page_size").fetchall()
            if stat.st_size % page_bytes:
                raise DamagedIndexError("the file is cut")  # SQLite would take the rest of the page for zeros
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def is_current(self) -> bool:
        """Whether the path still leads to this index: another process may have replaced it."""
        try:
            return self.path.stat().st_ino == self.inode
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock of all processes; everything inside is kept, or nothing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # nothing had begun, or SQLite has rolled back already
                self._connection.execute("ROLLBACK")
            raise

    def find(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, str, int]]:
        """Yield key, shard name and row of those keys that are known."""
        ordered = sorted(keys)  # neighbours share pages
        checked: set[str] = set()
        for start in range(0, len(ordered), _KEYS_PER_QUERY):
            part = ordered[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(
                "SELECT key, name, row FROM keys JOIN shards ON shards.id = keys.shard "  # noqa: S608 -- only marks
                f"WHERE key IN ({marks})",
                part,
            ).fetchall()
            for key, name, row in rows:
                if name not in checked:
                    checked.add(_name(name))
                if not isinstance(row, int):  # SQLite checks neither pages nor types when it reads
                    raise DamagedIndexError(f"a row number of type {type(row).__name__}")
                yield key, name, row

    def names(self) -> set[str]:
        """Return the names of all shards."""
        return {_name(name) for (name,) in self._connection.execute("SELECT name FROM shards")}

    def holds(self, name: str) -> bool:
        """Whether a shard is in the index."""
        return self._connection.execute("SELECT 1 FROM shards WHERE name = ?", (name,)).fetchone() is not None

    def add(self, name: str, scope: str, size_bytes: int, keys: Sequence[bytes], *, used: bool) -> None:
        """Add a shard and its keys; a key that another shard holds as well is then found in this one."""
        self._connection.execute(
            "INSERT OR IGNORE INTO shards (name, scope, count, size_bytes, used) VALUES (?, ?, ?, ?, ?)",
            (name, scope, len(keys), size_bytes, self._next_use() if used else 0),
        )
        ((number,),) = self._connection.execute("SELECT id FROM shards WHERE name = ?", (name,)).fetchall()
        rows = ((key, number, row) for row, key in enumerate(keys))
        self._connection.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", rows)

    def drop(self, names: Iterable[str]) -> None:
        """Remove shards and their keys."""
        listed = list(names)
        for start in range(0, len(listed), _NAMES_PER_QUERY):
            part = listed[start : start + _NAMES_PER_QUERY]
            chosen = f"SELECT id FROM shards WHERE name IN ({','.join('?' * len(part))})"  # noqa: S608 -- only marks
            self._connection.execute(f"DELETE FROM keys WHERE shard IN ({chosen})", part)  # noqa: S608
            self._connection.execute(f"DELETE FROM shards WHERE id IN ({chosen})", part)  # noqa: S608

    def touch(self, names: Iterable[str]) -> None:
        """Note that shards were used now."""
        now = self._next_use()
        self._connection.executemany("UPDATE shards SET used = ? WHERE name = ?", ((now, name) for name in names))

    def _next_use(self) -> int:
        value: int = self._connection.execute("SELECT COALESCE(MAX(used), 0) + 1 FROM shards").fetchone()[0]
        return value

    def oldest(self) -> list[tuple[str, int]]:
        """Return name and size of all shards, least recently used first."""
        rows = self._connection.execute("SELECT name, CAST(size_bytes AS INTEGER) FROM shards ORDER BY used, id")
        return [(_name(name), size or 0) for name, size in rows]

    def size_bytes(self) -> int:
        """Return the size of all shards."""
        value: int = self._connection.execute("SELECT COALESCE(SUM(size_bytes), 0) FROM shards").fetchone()[0]
        return value

    def totals(self) -> Totals:
        """Return counts and sizes."""
        row = self._connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0), COUNT(DISTINCT scope) FROM shards"
        ).fetchone()
        texts: int = self._connection.execute("SELECT COUNT(*) FROM keys").fetchone()[0]
        return Totals(shards=row[0], texts=texts, size_bytes=row[1], scopes=row[2])

    def complaints(self) -> list[str]:
        """Return what SQLite finds wrong with its file."""
        found = [str(line) for (line,) in self._connection.execute("PRAGMA integrity_check(5)")]
        return [] if found == ["ok"] else found
