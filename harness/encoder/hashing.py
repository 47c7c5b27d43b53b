"""Content hashes of model files, remembered by file identity because hashing 28 GB at every start is no answer."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from harness.paths import cache_dir as cache_dir  # asked for here by the store of vectors and others

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
# Configuration decides what the weights compute (rope, window, pooling modules), so it is hashed with them.
CONFIG_FILES = ("config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _memo_path() -> Path:
    return cache_dir() / "file-hashes.json"


def _identity(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def remembered_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, from memory if path, size, inode and change times are as when it was hashed."""
    memo_path = _memo_path()
    try:
        memo = json.loads(memo_path.read_text(encoding="utf-8"))
        if not isinstance(memo, dict):
            memo = {}
    except (OSError, ValueError):
        memo = {}
    identity = _identity(path)
    known = memo.get(identity)
    if isinstance(known, str) and len(known) == 64:
        return known
    digest = file_sha256(path)
    memo[identity] = digest
    try:
        memo_path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=memo_path.parent, prefix="file-hashes.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(memo, handle)
        Path(name).replace(memo_path)
    except OSError:
        return digest  # a read-only cache folder costs time at the next start, nothing else
    return digest


def hash_files(directory: Path, files: list[Path]) -> str:
    """Return one SHA-256 over names and contents of some files of a directory."""
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(directory).as_posix()
        digest.update(f"{name}\n{remembered_sha256(path)}\n".encode())
    return digest.hexdigest()


def weights_sha256(directory: Path) -> str:
    """Return the hash of a model directory's weights and of the configuration that decides what they compute."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.suffix in WEIGHT_SUFFIXES]
    files += [directory / name for name in CONFIG_FILES if (directory / name).is_file()]
    return hash_files(directory, files)


def tokenizer_sha256(directory: Path) -> str:
    """Return the hash of a model directory's tokenizer files."""
    return hash_files(directory, [directory / name for name in TOKENIZER_FILES if (directory / name).is_file()])
