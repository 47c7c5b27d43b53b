"""Vectors kept for the length of a run, so that no text is encoded twice under the same key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

DEFAULT_LIMIT_BYTES = 4 << 30


def text_key(scope: str, text: str) -> bytes:
    """Return the key of a text: `scope` holds everything else that its vector depends on."""
    return hashlib.sha256(f"{scope}\0{text}".encode()).digest()


class VectorStore(Protocol):
    """Where vectors are kept: in memory, on disk, or both."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors (`[D]` float32) that are known of these keys."""

    def put(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep vectors `[N, D]` under their keys."""

    def flush(self) -> None:
        """Make what was put survive the process, where the store can."""


class LayeredStore:
    """A fast store in front of a lasting one."""

    def __init__(self, front: VectorStore, back: VectorStore) -> None:
        self.front = front
        self.back = back

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return what either knows; what only the lasting one knew is kept in front from now on."""
        found = self.front.get(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing and (known := self.back.get(missing)):
            self.front.put(list(known), np.stack(list(known.values())))
            found |= known
        return found

    def put(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep vectors in both."""
        self.front.put(keys, vectors)
        self.back.put(keys, vectors)

    def flush(self) -> None:
        """Flush both."""
        self.front.flush()
        self.back.flush()


class MemoryStore:
    """Unnormalised vectors by key, up to a number of bytes; what no longer fits is not kept."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._vectors: dict[bytes, np.ndarray] = {}

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors (`[D]` float32) that are known of these keys."""
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    def put(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep vectors `[N, D]` under their keys, as far as the limit allows."""
        for key, vector in zip(keys, vectors, strict=True):
            if self.used_bytes + vector.nbytes > self.limit_bytes:
                return
            if key not in self._vectors:
                self._vectors[key] = vector.copy()
                self.used_bytes += vector.nbytes

    def flush(self) -> None:
        """Do nothing: memory ends with the process."""
