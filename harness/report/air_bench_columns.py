"""AIR-Bench's columns: which sets a table counts, what the board calls them, and what a row scores in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.registry.air_bench import AirBenchSet, air_bench_sets
from harness.report.reference_files import ReferenceScore
from harness.report.rows import RowScores

TASK_TYPES = {"qa": "QA", "long-doc": "Long-Doc"}
SUBSET = "default"
PAPER_VERSION, DEV_VERSION = "AIR-Bench_24.04", "AIR-Bench_24.05"
_PREFIX = "air-bench/"


class Place(NamedTuple):
    """Where the scores of one kind of row are."""

    version: str
    split: str


def column_name(one: AirBenchSet) -> str:
    """Return the board's name of a column: `wiki_en`, `law_en_lex_files_500k_600k` (leaderboard `src/benchmarks.py`)."""
    name = f"{one.domain}_{one.language}" + ("" if one.task_type == "qa" else f"_{one.dataset}")
    return re.sub(r"[^\w]", "", name.lower().replace("-", "_"))


def sets_of(version: str, task_type: str, split: str, languages: Iterable[str] | None = None) -> list[AirBenchSet]:
    """Return the sets of a version that have a split, in the order of AIR-Bench's table."""
    kept = None if languages is None else frozenset(languages)
    return [
        one
        for one in air_bench_sets(version)
        if one.task_type == task_type and split in one.splits and (kept is None or one.language in kept)
    ]


def paper_sets(task_type: str) -> list[AirBenchSet]:
    """Return the sets of 24.05 whose dev split is as large, in every count, as the test split of 24.04.

    These are the columns of the paper's tables that can be scored without the board.
    """
    old = {one.name: one for one in air_bench_sets(PAPER_VERSION)}

    def size(one: AirBenchSet, split: str) -> tuple[int, int, int]:
        return one.corpus_size, one.queries[split], one.positives[split]

    return [
        one
        for one in sets_of(DEV_VERSION, task_type, "dev")
        if one.name in old and size(one, "dev") == size(old[one.name], "test")
    ]


def values(row: RowScores, sets: Sequence[AirBenchSet], place: Place) -> dict[str, float]:
    """Return set -> main score of a row, of the sets that it has in this version and split."""
    cell = (place.split, SUBSET)
    found = {}
    for one in sets:
        score = row.cells[one.name].get(cell) if one.name in row.cells else None
        # Both versions have sets of the same names; the data revision says which it is.
        version = row.compared.get((one.name, cell), {}).get("dataset_revision", "").partition("@")[0]
        if score is not None and version == place.version:
            found[one.name] = score
    return found


class Printed(NamedTuple):
    """A mean over sets as a publication prints it."""

    sets: frozenset[str]
    score: float


def printed(scores: Sequence[ReferenceScore], version: str, task_type: str) -> list[Printed]:
    """Return the printed means of a reference row over sets of one task type."""
    found = []
    for score in scores:
        if score.benchmark != version or score.level not in ("domain", "mean"):
            continue
        parts = score.task_name.removeprefix(_PREFIX).split("/")
        if not score.task_name.startswith(_PREFIX) or parts[0] != task_type:
            continue
        # A name is the beginning of the sets' names; without a domain it is that of all (`qa/en`).
        sets = frozenset(
            one.name
            for one in sets_of(version, task_type, score.split)
            if all(part in (one.domain, one.language) for part in parts[1:])
        )
        found.append(Printed(sets, score.score))
    return found
