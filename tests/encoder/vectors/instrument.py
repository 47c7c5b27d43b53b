"""Every write, fsync, rename, unlink and SQLite statement of the store passes through a hook."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

Hook = Callable[[str, str], None]
"""Called with the name of an operation and "before" or "after"."""

_FUNCTIONS = [(os, "fsync"), (os, "replace"), (os, "chmod"), (os, "unlink"), (os, "mkdir"), (tempfile, "mkstemp")]


def _wrapped(name: str, function: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        hook(name, "before")
        result = function(*arguments, **named)
        hook(name, "after")
        return result

    return call


def _write_bytes(hook: Hook) -> Callable[[Path, bytes], int]:
    def write_bytes(path: Path, content: bytes) -> int:
        hook("write", "before")
        with open(path, "wb") as handle:
            handle.write(content[: len(content) // 2])
            handle.flush()
            hook("write half", "after")
            handle.write(content[len(content) // 2 :])
        hook("write", "after")
        return len(content)

    return write_bytes


@contextlib.contextmanager
def instrumented(hook: Hook) -> Iterator[None]:
    """Let the hook see, delay, fail or kill every operation that changes the disk."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            name = "sqlite " + sql.split(maxsplit=1)[0]
            if name == "sqlite ROLLBACK":  # it must not fail where an error is injected, and changes nothing
                return super().execute(sql, *arguments)
            hook(name, "before")
            cursor = super().execute(sql, *arguments)
            try:
                hook(name, "after")
            except BaseException:
                cursor.close()  # SQLite itself would leave no statement behind, whose locks outlive the connection
                raise
            return cursor

        def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            name = "sqlite many " + sql.split(maxsplit=1)[0]
            return _wrapped(name, super().executemany, hook)(sql, *arguments)  # type: ignore[no-any-return]

        def executescript(self, sql: str) -> sqlite3.Cursor:
            return _wrapped("sqlite script", super().executescript, hook)(sql)  # type: ignore[no-any-return]

    connect = sqlite3.connect
    with contextlib.ExitStack() as stack:
        for module, name in _FUNCTIONS:
            stack.enter_context(mock.patch.object(module, name, _wrapped(name, getattr(module, name), hook)))
        stack.enter_context(mock.patch.object(Path, "write_bytes", _write_bytes(hook)))
        stack.enter_context(
            mock.patch.object(sqlite3, "connect", lambda *a, **named: connect(*a, factory=Connection, **named))
        )
        yield


class Fault:
    """A hook that does something at the k-th moment, and counts moments."""

    def __init__(self, at: int, act: Callable[[str], None]) -> None:
        self.at = at
        self.act = act
        self.moments = 0
        self.where = ""

    def __call__(self, name: str, moment: str) -> None:
        self.moments += 1
        if self.moments == self.at:
            self.where = f"{moment} {name}"
            self.act(name)


def fail(number: int) -> Callable[[str], None]:
    """Return an action that raises as the system (or SQLite) would with this errno."""

    def act(name: str) -> None:
        if not name.startswith("sqlite"):
            raise OSError(number, os.strerror(number))
        full = number == errno.ENOSPC
        error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR_WRITE
        raise error

    return act
