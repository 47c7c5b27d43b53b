"""Keys and vectors that follow from a number, so that any process can tell whether a vector is right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from harness.encoder.vectors import EmbeddingStore

DIM = 8


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def keys(numbers: Iterable[int]) -> list[bytes]:
    return [key(number) for number in numbers]


def vector(one: bytes, dim: int = DIM) -> np.ndarray:
    digits = np.frombuffer(hashlib.shake_128(one).digest(2 * dim), dtype="<u2")
    return digits.astype(np.float32) / 7 + 1


def vectors(asked: Sequence[bytes], dim: int = DIM) -> np.ndarray:
    return np.array([vector(one, dim) for one in asked], dtype=np.float32).reshape(-1, dim)


def put(store: EmbeddingStore, numbers: Iterable[int], dim: int = DIM, scope: str = "") -> None:
    asked = keys(numbers)
    store.put(asked, vectors(asked, dim), scope)


def found(store: EmbeddingStore, numbers: Iterable[int], dim: int = DIM) -> set[int]:
    """Return those numbers whose vectors are known; fail if one of the vectors is wrong."""
    by_key = {key(number): number for number in numbers}
    got = store.get(list(by_key))
    for one, served in got.items():
        assert served.dtype == np.float32
        assert np.array_equal(served, vector(one, dim)), f"wrong vector served for text {by_key[one]}"
    return {by_key[one] for one in got}


def shard_files(directory: Path) -> list[Path]:
    return sorted((directory / "v1" / "shards").glob("*.safetensors"))


def index_file(directory: Path) -> Path:
    return directory / "v1" / "index.sqlite3"


def aside(directory: Path) -> list[Path]:
    return sorted((directory / "v1" / "corrupt").glob("*"))
