"""Ids of a set's documents and queries for the check of a submission; from this machine only, nothing is fetched."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from harness.errors import DatasetUnavailableError
from harness.registry.air_bench import AirBenchSet

if TYPE_CHECKING:
    from harness.air_bench.data import AirData


class Ids(NamedTuple):
    """The ids of a set, from its data."""

    documents: Set[str]
    queries: Set[str]
    """Of the split `test`."""
    dev_queries: Set[str]


class IdSource(Protocol):
    """Where ids come from."""

    def __call__(self, air_set: AirBenchSet, /) -> Ids | None:
        """Return a set's ids, or None where the data are not at hand."""


def data_ids(data_dir: Path | None) -> IdSource:
    """Return the ids of local data: `--data-dir`, a folder `AIR-Bench` here, or the cache of `datasets`.

    The source raises ResultSchemaError where the data are damaged or truncated.
    """

    def ids(air_set: AirBenchSet) -> Ids | None:
        test = _load(air_set, "test", data_dir)
        if test is None:
            return None
        dev = _load(air_set, "dev", data_dir) if "dev" in air_set.splits else None
        dev_queries = frozenset(dev.queries["dev"]["id"].to_pylist()) if dev is not None else frozenset()
        return Ids(
            frozenset(test.corpus["id"].to_pylist()), frozenset(test.queries["test"]["id"].to_pylist()), dev_queries
        )

    return ids


def _load(air_set: AirBenchSet, split: str, data_dir: Path | None) -> AirData | None:
    from harness.air_bench.data import open_set
    from harness.air_bench.layout import on_this_machine

    source = open_set(replace(air_set, splits=(split,)), data_dir)
    if source.root is None and not on_this_machine(source.one):
        return None
    try:
        return source.load()
    except DatasetUnavailableError:
        return None
