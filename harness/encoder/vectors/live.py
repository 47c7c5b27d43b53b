"""The index as a store uses it: opened when needed, replaced when damaged, never carried into another process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from harness.encoder.vectors.folder import Folder, open_index, storage_errors, warn_rebuilt
from harness.encoder.vectors.index import INDEX_ERRORS, Index, is_damage

_Result = TypeVar("_Result")
_inherited: list[Index] = []
"""Connections of a parent process: SQLite allows a child neither to use nor to close them."""


class LiveIndex:
    """The index of one folder. Every method raises StorageError, and nothing else, where disk or lock fail."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._index: Index | None = None
        self._pid = os.getpid()

    def run(self, action: Callable[[Index], _Result]) -> _Result:
        """Do something with the index; once more with a rebuilt one if it proves damaged."""
        with storage_errors(self._folder.root):
            try:
                return action(self._opened())
            except INDEX_ERRORS as error:
                if not is_damage(error):
                    raise
                warn_rebuilt(self._folder, error)
            return action(self._rebuilt())

    def rebuild_if_damaged(self, check: Callable[[Index], None]) -> str | None:
        """Rebuild the index if a check finds it damaged, and return what it found."""
        with storage_errors(self._folder.root):
            try:
                check(self._opened())
            except INDEX_ERRORS as error:
                if not is_damage(error):
                    raise
                self._rebuilt()
                return str(error)
            return None

    def close(self) -> None:
        """Let go of the file."""
        if self._index is not None and self._pid == os.getpid():
            self._index.close()
        self._forget()

    def _forget(self) -> None:
        if self._index is not None and self._pid != os.getpid():
            _inherited.append(self._index)
        self._index = None

    def _opened(self) -> Index:
        if self._pid != os.getpid():
            self._forget()
            self._pid = os.getpid()
        if self._index is not None and not self._index.is_current():
            self.close()
        if self._index is None:
            self._index = open_index(self._folder)
        return self._index

    def _rebuilt(self) -> Index:
        damaged = self._index
        self.close()
        self._index = open_index(self._folder, damaged)
        return self._index
