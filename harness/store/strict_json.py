"""Reading files that others may have made, and JSON of which every byte counts."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import orjson

from harness.errors import ResultSchemaError

MAX_JSON_BYTES = 1 << 28
MAX_DEPTH = 32
"""Levels of nesting; a record of a task has six."""

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY


def one_line(text: str, limit: int = 200) -> str:
    """Return another library's message as a part of a line: no breaks, no control characters, of limited length."""
    text = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return text[:limit]


def dump_json(value: Any) -> bytes:
    """Return strict, sorted, indented JSON; NaN and infinity become null."""
    return orjson.dumps(value, option=_OPTIONS) + b"\n"


def read_file(path: Path, *, limit: int, follow: bool = True) -> bytes:
    """Read a regular file of limited size.

    Args:
        path: the file.
        limit: greatest size in bytes.
        follow: whether a symbolic link may stand in its place.

    Raises:
        ResultSchemaError: missing, unreadable, too large, a link, or no file at all (a pipe would never end).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ResultSchemaError(f"{path}: not a regular file.")
            if status.st_size > limit:
                raise ResultSchemaError(f"{path}: file is larger than {limit} bytes; not read.")
            with open(descriptor, "rb", closefd=False) as handle:
                return handle.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise ResultSchemaError(
                f"{path}: is a symbolic link, which is not followed. Name the file itself."
            ) from error
        raise ResultSchemaError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # a NUL byte in the name
        raise ResultSchemaError(f"{str(path)!r}: no file can have this name.") from error


def read_json(path: Path, *, follow: bool = True) -> Any:
    """Read strict JSON: no NaN, infinities or lone surrogates, no key twice, at most 32 levels.

    Raises:
        ResultSchemaError: the file is unreadable, too large, or not such JSON.
    """
    return parse_json(read_file(path, limit=MAX_JSON_BYTES, follow=follow), str(path))


def parse_json(raw: bytes, where: str) -> Any:
    """Parse strict JSON; see `read_json`.

    Args:
        raw: the bytes.
        where: what the message of an error begins with.

    Raises:
        ResultSchemaError: names the reason.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ResultSchemaError(
            f"{where}: not JSON ({one_line(str(error))}). The file is damaged or foreign."
        ) from error
    try:
        ours = dump_json(value) == raw
    except orjson.JSONEncodeError as error:  # deeper than the writer goes
        raise _too_deep(where) from error
    if ours:
        # Bytes of our own making hold no key twice, and their indent shows the depth.
        if b"\n" + b"  " * (MAX_DEPTH + 1) in raw:
            raise _too_deep(where)
        return value
    _check_depth(value, where)

    def once(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ResultSchemaError(f"{where}: key {key[:80]!r} occurs twice. The file is damaged or foreign.")
            seen.add(key)

    json.loads(raw, object_pairs_hook=once, parse_int=str)
    return value


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep(where)


def _too_deep(where: str) -> ResultSchemaError:
    return ResultSchemaError(f"{where}: nested deeper than {MAX_DEPTH} levels. The file is damaged or foreign.")
