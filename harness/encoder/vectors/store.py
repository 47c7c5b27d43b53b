"""EmbeddingStore: vectors by key on disk, for all runs and processes of a machine."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from harness.encoder.hashing import cache_dir
from harness.encoder.vectors import maintenance
from harness.encoder.vectors.folder import Folder, drop_damaged
from harness.encoder.vectors.index import DamagedIndexError, Index
from harness.encoder.vectors.live import LiveIndex
from harness.encoder.vectors.maintenance import Removed, StoreInfo, VerifyReport
from harness.encoder.vectors.reader import ShardReader
from harness.encoder.vectors.shard import KEY_BYTES, SCHEMA_VERSION, DamagedShardError
from harness.encoder.vectors.writer import OpenShard, write_shard
from harness.errors import StorageError

DEFAULT_MAX_BYTES = 50 * 10**9
_EVICT_TO = 0.9
"""Eviction goes on down to this share of the limit: dropping keys costs a pass over the index."""


def embeddings_dir() -> Path:
    """Return the folder of the store: `HARNESS_CACHE`/embeddings."""
    return cache_dir() / "embeddings"


class EmbeddingStore:
    """Unnormalised vectors by key, on disk (see the package for the layout and what it survives).

    Every method that touches the disk raises StorageError if that is full or not writable; what was stored before stays
    as it was, and vectors that could not be written are kept in memory for the next attempt. A damaged shard is set
    aside with one warning; its texts are then unknown, that is, encoded again.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        dtype: Literal["float32", "float16"] = "float32",
        max_bytes: int | None = DEFAULT_MAX_BYTES,
        shard_texts: int = 4096,
        shard_seconds: float = 30.0,
    ) -> None:
        """Nothing is opened or made before the first use.

        Args:
            directory: `embeddings_dir()` by default.
            dtype: how vectors are stored. float16 halves the space and rounds: 4 % of the ranks of a search move. The
                two never serve each other's vectors.
            max_bytes: size of all shards above which the least recently used are removed; None for no limit.
            shard_texts: texts of a full shard; with `shard_seconds`, the most that a kill loses.
            shard_seconds: a put this long after the last writing is written at once.
        """
        self.directory = directory or embeddings_dir()
        self.dtype = np.dtype(dtype)
        self.max_bytes = max_bytes
        self._folder = Folder(self.directory / f"v{SCHEMA_VERSION}")
        self._pending = OpenShard(shard_texts, shard_seconds)
        self._reader = ShardReader(self._folder.shards)
        self._used: set[str] = set()
        self._index = LiveIndex(self._folder)
        self._lock = threading.RLock()

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors (`[D]` float32) that are known of these keys."""
        found: dict[bytes, np.ndarray] = {}
        with self._lock:
            asked: dict[bytes, bytes] = {}
            for key in keys:
                stored = self._stored_key(key)
                if stored in self._pending.vectors:
                    found[key] = self._pending.vectors[stored].astype(np.float32)
                else:
                    asked[stored] = key
            if asked:
                read = self._index.run(lambda index: self._read(index, list(asked)))
                found.update((asked[stored], vector) for stored, vector in read.items())
        return found

    def put(self, keys: Sequence[bytes], vectors: np.ndarray, scope: str = "") -> None:
        """Keep vectors `[N, D]` under their keys; rows that the stored dtype cannot hold (infinite) are left out.

        Args:
            keys: N keys of 32 bytes. A key that is known already keeps its vector.
            vectors: any float dtype.
            scope: hash of what the vectors depend on besides the texts; recorded, and one shard holds one scope only.
        """
        if vectors.ndim != 2 or len(keys) != len(vectors) or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"{len(keys)} keys of {KEY_BYTES} bytes do not go with an array of {vectors.shape}")
        with np.errstate(over="ignore"):
            rounded = vectors.astype(self.dtype)
        infinite = set(np.nonzero(~np.isfinite(rounded))[0].tolist())
        with self._lock:
            # What is put together is stored together, as far as it fits into one shard: a kill then leaves whole calls of
            # `put`, and the rest is encoded in the batches that it would have had.
            if not self._pending.takes(scope, rounded.shape[1]) or not self._pending.has_room(len(keys)):
                self._commit()
            for row, (key, vector) in enumerate(zip(keys, rounded, strict=True)):
                if row not in infinite:
                    if self._pending.is_full:
                        self._commit()
                    self._pending.add(scope, self._stored_key(key), vector)
            if self._pending.is_due:
                self._commit()

    def flush(self) -> None:
        """Write what was put so far, and when shards were used."""
        with self._lock:
            if self._pending.vectors:
                self._commit()
            elif self._used:
                with contextlib.suppress(StorageError):  # a full disk does not hinder who only reads
                    self._commit()

    def close(self) -> None:
        """Flush, and let go of all files; the store may be used again."""
        with self._lock:
            try:
                self.flush()
            finally:
                self._reader = ShardReader(self._folder.shards)
                self._index.close()

    def info(self) -> StoreInfo:
        """Return the figures of the store, of what was flushed."""
        with self._lock:
            return self._index.run(lambda index: maintenance.describe(index, self._folder))

    def verify(self) -> VerifyReport:
        """Check every byte of every shard and the index against them; damage is set aside, the index rebuilt."""
        with self._lock:
            shards, size_bytes, damaged = self._index.run(lambda index: maintenance.check_shards(index, self._folder))
            problem = self._index.rebuild_if_damaged(lambda index: maintenance.check_index(index, self._folder))
            return VerifyReport(shards, size_bytes, damaged, problem)

    def prune(self, max_bytes: int) -> Removed:
        """Remove the least recently used shards until the others take at most `max_bytes`."""
        with self._lock:
            self.flush()
            return self._index.run(lambda index: maintenance.make_room(index, self._folder, max_bytes))

    def clear(self) -> Removed:
        """Remove everything, also what was set aside."""
        with self._lock:
            self._pending.clear()
            return self._index.run(lambda index: maintenance.make_empty(index, self._folder))

    def _stored_key(self, key: bytes) -> bytes:
        return key if self.dtype == np.float32 else hashlib.sha256(self.dtype.name.encode() + key).digest()

    def _read(self, index: Index, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        places: dict[str, tuple[list[bytes], list[int]]] = {}
        for key, name, row in index.find(keys):
            held, rows = places.setdefault(name, ([], []))
            held.append(key)
            rows.append(row)
        found: dict[bytes, np.ndarray] = {}
        for name, (held, rows) in places.items():
            taken = self._take(index, name, held, rows)
            if taken is not None:
                found.update(zip(held, taken, strict=True))
                self._used.add(name)
        return found

    def _take(self, index: Index, name: str, keys: list[bytes], rows: list[int]) -> np.ndarray | None:
        for _ in range(2):
            try:
                return self._reader.open(name).take(keys, rows)
            except DamagedShardError as error:
                self._reader.forget(name)
                if drop_damaged(index, self._folder, name, error):
                    return None
            if name not in {place for _, place, _ in index.find(keys[:1])}:
                return None  # evicted by another process
            # Replaced by another process, which the second round shows; or the index contradicts itself.
        raise DamagedIndexError("it leads to a shard that it does not list")

    def _commit(self) -> None:
        self._index.run(lambda index: write_shard(index, self._folder, self._pending, self._used))
        self._pending.clear()
        self._used.clear()
        limit = self.max_bytes
        if limit is not None and self._index.run(Index.size_bytes) > limit:
            self._index.run(lambda index: maintenance.make_room(index, self._folder, int(limit * _EVICT_TO)))
