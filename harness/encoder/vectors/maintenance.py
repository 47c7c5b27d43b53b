"""What can be asked of a store besides vectors: its size, a check of every byte, room, and an empty start."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from harness.encoder.vectors.folder import Folder, drop_damaged, remove_shards
from harness.encoder.vectors.index import DamagedIndexError, Index
from harness.encoder.vectors.shard import DamagedShardError, check_content, read_keys


class StoreInfo(NamedTuple):
    """Figures of a store."""

    directory: Path
    texts: int
    shards: int
    scopes: int
    """Distinct combinations of model, prompt, lengths and side."""
    size_bytes: int
    index_bytes: int
    corrupt_files: int
    corrupt_bytes: int
    """Set aside; not used and not counted in `size_bytes`."""


class VerifyReport(NamedTuple):
    """Outcome of a check of every byte."""

    shards: int
    """Shards that were read."""
    size_bytes: int
    damaged: dict[str, str]
    """Name -> reason, of shards that were set aside."""
    index_problem: str | None
    """Why the index was rebuilt, if it was."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.damaged and self.index_problem is None


class Removed(NamedTuple):
    """What was removed to make room."""

    shards: int
    size_bytes: int


def describe(index: Index, folder: Folder) -> StoreInfo:
    """Return the figures of a store."""
    totals = index.totals()
    aside = [path.stat().st_size for path in folder.corrupt.glob("*") if path.is_file()]
    return StoreInfo(
        directory=folder.root,
        texts=totals.texts,
        shards=totals.shards,
        scopes=totals.scopes,
        size_bytes=totals.size_bytes,
        index_bytes=sum(path.stat().st_size for path in folder.root.glob(f"{folder.index.name}*")),
        corrupt_files=len(aside),
        corrupt_bytes=sum(aside),
    )


def check_shards(index: Index, folder: Folder) -> tuple[int, int, dict[str, str]]:
    """Read every shard; set damaged ones aside. Return the number and size of those read, and the damaged ones."""
    damaged: dict[str, str] = {}
    size_bytes = 0
    names = sorted(index.names())
    for name in names:
        try:
            with folder.shard(name).open("rb") as handle:
                check_content(handle, name)
                size_bytes += handle.tell()
        except FileNotFoundError:
            reason = DamagedShardError("file is missing")
        except DamagedShardError as error:
            reason = error
        else:
            continue
        if drop_damaged(index, folder, name, reason):
            damaged[name] = str(reason)
    return len(names), size_bytes, damaged


def check_index(index: Index, folder: Folder) -> None:
    """Compare the index with the keys in the shards, and enter keys that it misses.

    Raises:
        DamagedIndexError: SQLite finds fault with its file, or a key leads to a row of another key.
    """
    if complaints := index.complaints():
        raise DamagedIndexError(complaints[0])
    for name in sorted(index.names()):
        try:
            header, keys = read_keys(folder.shard(name))
            places = {key: (shard, row) for key, shard, row in index.find(keys)}
            elsewhere = {shard for shard, _ in places.values()} - {name}
            held = {name: keys, **{shard: read_keys(folder.shard(shard))[1] for shard in elsewhere}}
        except DamagedShardError:
            continue  # evicted since, or damaged since it was read
        for key, (shard, row) in places.items():
            if not 0 <= row < len(held[shard]) or held[shard][row] != key:
                raise DamagedIndexError("a row that holds another text")
        if len(places) < len(keys):
            # Their entries led to another shard that held them too, and went with it.
            with index.transaction():
                if index.holds(name):
                    index.add(name, header.scope, header.size_bytes, keys, used=False)


def make_room(index: Index, folder: Folder, max_bytes: int) -> Removed:
    """Remove the least recently used shards until the others take at most `max_bytes`."""
    sizes = index.oldest()
    excess = sum(size for _, size in sizes) - max_bytes
    victims: list[str] = []
    freed = 0
    for name, size in sizes:
        if freed >= excess:
            break
        victims.append(name)
        freed += size
    if victims:
        remove_shards(index, folder, victims)
    return Removed(len(victims), freed)


def make_empty(index: Index, folder: Folder) -> Removed:
    """Remove every shard and everything that was set aside."""
    removed = make_room(index, folder, 0)
    for path in folder.corrupt.glob("*"):
        path.unlink(missing_ok=True)
    return removed
