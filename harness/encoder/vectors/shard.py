"""One shard: an immutable safetensors file, named by the SHA-256 of its bytes.

Notation: N rows, D embedding dimension.

The header carries a check over itself and the keys, so that an index can be rebuilt from headers and keys alone, without
reading the vectors; these are checked against the name of the file before the first of them is served.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from harness.encoder.vectors.index import DamagedIndexError

SCHEMA_VERSION = 1
KEY_BYTES = 32
SUFFIX = ".safetensors"
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
_MAX_HEADER_BYTES = 1 << 16
# safetensors writes several metadata entries in an order that changes from process to process: one entry, one content.
_METADATA = "icl-harness"


class DamagedShardError(Exception):
    """A shard file is missing or is not what was written."""


@dataclass(frozen=True)
class ShardHeader:
    """What a shard says about itself."""

    scope: str
    """Hash of everything but the text that its vectors depend on; "" where the writer did not say."""
    count: int
    """N."""
    dim: int
    """D."""
    dtype: np.dtype[Any]
    vectors_at: int
    """Offset of the vectors in the file."""
    keys_at: int
    size_bytes: int


def build_shard(keys: Sequence[bytes], vectors: np.ndarray, scope: str) -> tuple[str, bytes]:
    """Return the name (SHA-256, hex) and the content of a shard.

    Args:
        keys: N distinct keys of 32 bytes.
        vectors: `[N, D]` float32 or float16.
        scope: recorded in the header.
    """
    packed = b"".join(keys)
    description = _describe(scope, vectors.shape[0], vectors.shape[1], vectors.dtype.name, packed)
    tensors = {
        "keys": np.frombuffer(packed, dtype=np.uint8).reshape(-1, KEY_BYTES),
        "vectors": np.ascontiguousarray(vectors),
    }
    content: bytes = save(tensors, metadata={_METADATA: description})
    return hashlib.sha256(content).hexdigest(), content


def _describe(scope: str, count: int, dim: int, dtype: str, packed: bytes) -> str:
    parts = {"schema": SCHEMA_VERSION, "scope": scope, "count": count, "dim": dim, "dtype": dtype}
    check = hashlib.sha256(json.dumps(parts, sort_keys=True).encode() + packed).hexdigest()
    return json.dumps({**parts, "check": check}, sort_keys=True)


def read_keys(path: Path) -> tuple[ShardHeader, list[bytes]]:
    """Return the header and the keys of a shard, both checked; its vectors are not read.

    Raises:
        DamagedShardError: the file is missing, cut, or its header or keys were changed.
    """
    try:
        with path.open("rb") as handle:
            header, description = _read_header(handle)
            handle.seek(header.keys_at)
            packed = handle.read(header.count * KEY_BYTES)
    except FileNotFoundError as error:
        raise DamagedShardError("file is missing") from error
    if description != _describe(header.scope, header.count, header.dim, header.dtype.name, packed):
        raise DamagedShardError("header or keys were changed")
    return header, [packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)]


def _read_header(handle: BufferedReader) -> tuple[ShardHeader, str]:
    size = handle.seek(0, 2)
    handle.seek(0)
    length = int.from_bytes(handle.read(8), "little")
    if not 0 < length <= min(_MAX_HEADER_BYTES, size - 8):
        raise DamagedShardError("header is cut")
    try:
        fields = json.loads(handle.read(length))
        description: str = fields["__metadata__"][_METADATA]
        scope: str = json.loads(description)["scope"]
        dtype = _DTYPES[fields["vectors"]["dtype"]]
        count, dim = map(int, fields["vectors"]["shape"])
        vectors_at = 8 + length + int(fields["vectors"]["data_offsets"][0])
        keys_at = 8 + length + int(fields["keys"]["data_offsets"][0])
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise DamagedShardError(f"header cannot be read ({type(error).__name__})") from error
    if min(count, dim) < 1 or vectors_at != 8 + length or keys_at != vectors_at + count * dim * dtype.itemsize:
        raise DamagedShardError("header contradicts itself")
    if size != keys_at + count * KEY_BYTES:
        raise DamagedShardError(f"file has {size} bytes instead of {keys_at + count * KEY_BYTES}")
    return ShardHeader(scope, count, dim, dtype, vectors_at, keys_at, size), description


def check_content(handle: BufferedReader, name: str) -> None:
    """Compare the bytes of an open shard with its name.

    Raises:
        DamagedShardError: they are not those that were written.
    """
    handle.seek(0)
    try:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        if error.errno == errno.EIO:  # a bad sector
            raise DamagedShardError("file cannot be read") from error
        raise
    if digest != name:
        raise DamagedShardError("checksum is wrong")


class MappedShard:
    """A shard in memory-mapped form; its content must have been checked."""

    def __init__(self, handle: BufferedReader) -> None:
        header, _ = _read_header(handle)
        self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self._keys = np.frombuffer(
            self._map, dtype=np.uint8, count=header.count * KEY_BYTES, offset=header.keys_at
        ).reshape(-1, KEY_BYTES)
        self._vectors = np.frombuffer(
            self._map, dtype=header.dtype, count=header.count * header.dim, offset=header.vectors_at
        ).reshape(-1, header.dim)

    def take(self, keys: Sequence[bytes], rows: Sequence[int]) -> np.ndarray:
        """Return a copy `[len(keys), D]` float32 of rows that must hold these keys.

        Raises:
            DamagedShardError: the file was cut since it was opened; reading the map would end the process.
            DamagedIndexError: a row is not there or holds another key.
        """
        if self._map.size() != len(self._map):
            raise DamagedShardError("file changed its size while it was open")
        if min(rows) < 0 or max(rows) >= len(self._keys):
            raise DamagedIndexError(f"a row outside a shard of {len(self._keys)} rows")
        asked = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
        if not np.array_equal(self._keys[rows], asked):
            raise DamagedIndexError("a row that holds another text")
        taken: np.ndarray = self._vectors[rows].astype(np.float32, copy=False)
        return taken
