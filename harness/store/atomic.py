"""Writing files so that a reader finds the old content or the new, never a torn one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from harness.errors import ResultSchemaError, StorageError

MAX_JSON_BYTES = 1 << 30


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it takes the name of `path`.

    Raises:
        StorageError: disk full or not writable; the old file is untouched.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        yield Path(name)
        with open(name, "rb+") as handle:  # noqa: PTH123 -- a handle for fsync
            os.fsync(handle.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}. The old content is kept.") from error
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> str:
    """Write a file atomically and return the SHA-256 of its content."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def dump_json(value: Any) -> bytes:
    """Return strict, sorted, indented JSON; NaN and infinity become null."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def write_json(path: Path, value: Any) -> str:
    """Write JSON atomically and return the SHA-256 of the file."""
    return write_bytes(path, dump_json(value))


def read_json(path: Path) -> Any:
    """Read strict JSON (orjson refuses NaN, infinities and lone surrogates).

    Raises:
        ResultSchemaError: the file is unreadable, too large, or not JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ResultSchemaError(f"{path}: file is larger than {MAX_JSON_BYTES} bytes; not read.")
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise ResultSchemaError(f"{path}: cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise ResultSchemaError(f"{path}: not JSON ({error}). The file is damaged or foreign.") from error
