"""Whether a downloaded file is whole and right: size, hash, and the header of safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

_BLOCK = 1 << 20
_SHA256_DIGITS, _GIT_DIGITS = 64, 40
MAX_HEADER_BYTES = 100_000_000
"""Limit of the safetensors format for its header."""


def content_problem(path: Path, *, size: int | None, etag: str) -> str | None:
    """Return what is wrong with a file's content, or None.

    Args:
        path: the file.
        size: bytes that the hub states.
        etag: the hub's name of the content: SHA-256 of a large file (LFS), git's blob hash (SHA-1) of a small one. One of
            another length says nothing that could be checked.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found} bytes, the hub says {size}"
    if len(etag) == _SHA256_DIGITS:
        digest = hashlib.sha256()
    elif len(etag) == _GIT_DIGITS:
        digest = hashlib.sha1(b"blob %d\0" % found, usedforsecurity=False)
    else:
        return None
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return None if digest.hexdigest() == etag else "its content does not match its hash"


def safetensors_problem(path: Path) -> str | None:
    """Return why a safetensors file is not whole, or None: its header must describe exactly the bytes that follow."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            return "its header is cut"
        try:
            header = json.loads(handle.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "its header is damaged"
    if 8 + length + max(ends, default=0) != size:
        return f"its header describes {8 + length + max(ends, default=0)} bytes, it has {size}"
    return None


def missing_model_files(directory: Path, names: Collection[str]) -> list[str]:
    """Return what a model directory lacks to be loaded: configuration, tokenizer, weights, every shard of the index."""
    missing = [] if "config.json" in names else ["config.json"]
    if not {"tokenizer.json", "tokenizer.model", "vocab.txt"} & set(names):
        missing.append("tokenizer.json")
    if not any(name.endswith((".safetensors", ".bin")) for name in names):
        missing.append("weights (*.safetensors or *.bin)")
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return [*missing, "a readable model.safetensors.index.json"]
        missing += sorted(shards - set(names))
    return missing
