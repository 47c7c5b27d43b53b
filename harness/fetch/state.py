"""What was fetched: a small file that a later `fetch` reads, so that it neither asks nor hashes again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.encoder.hashing import cache_dir
from harness.errors import ResultSchemaError
from harness.store import atomic

Status = Literal["done", "temporary", "refused"]
_VERSION = 1


@dataclass(frozen=True)
class ItemState:
    """One model or one task's data."""

    status: Status
    commit: str = ""
    files: int = 0
    size_bytes: int = 0
    message: str = ""


class FetchState:
    """The state of all items of one hub cache; every change is written at once."""

    def __init__(self, path: Path) -> None:
        """Read the file; a damaged one counts as absent, as everything in it can be found out again."""
        self.path = path
        self._items: dict[str, dict[str, Any]] = {}
        if path.is_file():
            try:
                content = atomic.read_json(path)
                if isinstance(content, dict) and content.get("version") == _VERSION:
                    self._items = {str(key): dict(value) for key, value in content["items"].items()}
            except (ResultSchemaError, KeyError, TypeError, ValueError, AttributeError):
                self._items = {}

    def get(self, key: str) -> ItemState | None:
        """Return an item's state."""
        try:
            return ItemState(**self._items[key])
        except (KeyError, TypeError):
            return None

    def put(self, key: str, state: ItemState) -> None:
        """Keep an item's state."""
        self._items[key] = vars(state)
        atomic.write_json(self.path, {"version": _VERSION, "items": self._items})


def state_path(hub_cache: Path) -> Path:
    """Return where the state of a hub cache is kept (`HARNESS_CACHE`/fetch)."""
    name = hashlib.sha256(str(hub_cache.resolve()).encode()).hexdigest()[:12]
    return cache_dir() / "fetch" / f"{name}.json"
