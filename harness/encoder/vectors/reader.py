"""Open shards of a process: each is checked once, and a bounded number is kept mapped."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from harness.encoder.vectors.shard import SUFFIX, DamagedShardError, MappedShard, check_content

MAX_OPEN = 128  # a map holds a file descriptor; 1,024 is a usual limit for a process


class ShardReader:
    """The shards of one folder, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, MappedShard] = OrderedDict()
        self._checked: dict[str, tuple[int, ...]] = {}

    def open(self, name: str) -> MappedShard:
        """Return a shard whose bytes were compared with its name once since the file last changed.

        Raises:
            DamagedShardError: missing or damaged.
        """
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        try:
            with (self.folder / f"{name}{SUFFIX}").open("rb") as handle:
                stat = os.fstat(handle.fileno())
                identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                if self._checked.get(name) != identity:
                    check_content(handle, name)
                shard = MappedShard(handle)
        except FileNotFoundError as error:
            raise DamagedShardError("file is missing") from error
        self._checked[name] = identity
        self._open[name] = shard
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return shard

    def forget(self, name: str) -> None:
        """Close a shard; the next opening checks it again."""
        self._open.pop(name, None)
        self._checked.pop(name, None)
