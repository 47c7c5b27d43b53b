"""Writing files so that a reader finds the old content or the new, never a torn one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import StorageError
from harness.store.strict_json import dump_json, read_json


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


def write_json(path: Path, value: Any) -> str:
    """Write JSON atomically and return the SHA-256 of the file."""
    return write_bytes(path, dump_json(value))


__all__ = ["dump_json", "read_json", "replacing", "write_bytes", "write_json"]
