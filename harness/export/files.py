"""Writing a set of files: all or nothing, and nothing of others' overwritten unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.store import atomic


@dataclass(frozen=True)
class Written:
    """What `write_all` did."""

    new: int
    unchanged: int
    replaced: int


def write_all(files: Mapping[Path, bytes], *, overwrite: bool, merged: frozenset[Path] = frozenset()) -> Written:
    """Write files, each atomically, after a look at all of them.

    Args:
        files: path -> content.
        overwrite: replace files that exist with other content.
        merged: files whose content already holds what was there before, so that replacing them loses nothing.

    Raises:
        ConfigError: a file exists with other content and must not be overwritten; nothing was written.
        StorageError: a folder is not writable; the files before it are whole.
    """
    old = {path: path.read_bytes() for path in files if path.is_file()}
    other = [path for path, content in old.items() if content != files[path]]
    conflicts = [path for path in other if path not in merged]
    if conflicts and not overwrite:
        more = f" and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""
        raise ConfigError(
            f"{conflicts[0]}{more} exists with other content. Nothing was written; use another folder, or --overwrite."
        )
    for path, content in files.items():
        if old.get(path) != content:
            atomic.write_bytes(path, content)
    return Written(len(files) - len(old), len(old) - len(other), len(other))
