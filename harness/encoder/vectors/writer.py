"""Vectors on their way to the disk: the open shard, and the writing of one shard."""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np

from harness.encoder.vectors.folder import Folder
from harness.encoder.vectors.index import Index
from harness.encoder.vectors.shard import build_shard
from harness.store.atomic import replacing


class OpenShard:
    """Vectors that are not on disk yet: all that a kill can lose."""

    def __init__(self, max_texts: int, max_seconds: float) -> None:
        self.max_texts = max_texts
        self.max_seconds = max_seconds
        self.scope = ""
        self.vectors: dict[bytes, np.ndarray] = {}
        """`[D]` by key."""
        self._emptied_at = time.monotonic()

    def takes(self, scope: str, dim: int) -> bool:
        """Whether vectors of this scope and dimension may share the shard."""
        return not self.vectors or (self.scope == scope and next(iter(self.vectors.values())).shape == (dim,))

    def has_room(self, texts: int) -> bool:
        """Whether so many texts fit beside those that are there; an empty shard takes any number."""
        return not self.vectors or len(self.vectors) + texts <= self.max_texts

    def add(self, scope: str, key: bytes, vector: np.ndarray) -> None:
        """Add a copy of a vector, unless the key is there."""
        self.scope = scope
        if key not in self.vectors:
            self.vectors[key] = vector.copy()

    @property
    def is_full(self) -> bool:
        """Whether it holds as many texts as a shard may."""
        return len(self.vectors) >= self.max_texts

    @property
    def is_due(self) -> bool:
        """Whether it must be written: full, or the work since the last writing took too long to be lost.

        The time runs from the last writing, not from the first vector: the first one may have taken a minute itself.
        """
        return self.is_full or (bool(self.vectors) and time.monotonic() - self._emptied_at >= self.max_seconds)

    def clear(self) -> None:
        """Start a new shard."""
        self.vectors.clear()
        self._emptied_at = time.monotonic()


def write_shard(index: Index, folder: Folder, shard: OpenShard, used: Collection[str]) -> None:
    """Write what no other shard holds, and enter it in the index, together with the use of other shards."""
    known = {key for key, _, _ in index.find(list(shard.vectors))}
    fresh = [key for key in shard.vectors if key not in known]
    if not fresh and not used:
        return
    name, content = "", b""
    if fresh:
        name, content = build_shard(fresh, np.stack([shard.vectors[key] for key in fresh]), shard.scope)
    with index.transaction():
        index.touch(used)
        if fresh:
            with replacing(folder.shard(name)) as temporary:
                temporary.write_bytes(content)
            index.add(name, shard.scope, len(content), fresh, used=True)
