"""AIR-Bench's evaluation sets as data of ours, so that nothing needs to import air-benchmark to know them.

`air_bench_sets.json` is made by `tools/air_bench_sets.py` from `air_benchmark.tasks.BenchmarkTable` (air-benchmark 0.1.0,
MIT); a test compares the two. Token counts are those of AIR-Bench's authors. `air_bench_mini.json` is the same for the three
packaged sets of the same shape (docs/mini-benchmark.md); `tools/mini_air_bench/build.py` makes it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TaskNotFoundError
from harness.registry.names import suggest

TABLE_FILE = Path(__file__).with_name("air_bench_sets.json")
MINI_TABLE_FILE = Path(__file__).with_name("air_bench_mini.json")
MINI_VERSION = "AIR-Bench_mini"
"""Stands where a version of AIR-Bench stands; its texts were written for this project."""
_MAIN_METRICS = {"qa": "ndcg_at_10", "long-doc": "recall_at_10"}


@dataclass(frozen=True)
class AirBenchSet:
    """One evaluation set of one version of AIR-Bench."""

    version: str
    name: str
    """Our task name; see `air_bench_task_name`."""
    task_type: str
    """`qa` or `long-doc`."""
    domain: str
    language: str
    dataset: str
    """AIR-Bench's own name, in its own case."""
    splits: tuple[str, ...]
    corpus_size: int
    queries: Mapping[str, int]
    """Split -> number of queries."""
    positives: Mapping[str, int]
    """Split -> number of relevant (query, passage) pairs."""
    mean_corpus_tokens: int
    mean_query_tokens: Mapping[str, int]

    @property
    def tokens(self) -> int:
        """Estimate of all tokens of the corpus and of the queries of `splits`, untruncated."""
        queries = sum(self.queries[split] * self.mean_query_tokens[split] for split in self.splits)
        return self.corpus_size * self.mean_corpus_tokens + queries

    @property
    def main_metric(self) -> str:
        """The metric that the leaderboard shows."""
        return _MAIN_METRICS[self.task_type]


def air_bench_task_name(task_type: str, domain: str, language: str, dataset: str) -> str:
    """Return the registry's name of a set: `air-bench/qa/finance/en`, `air-bench/long-doc/arxiv/en/gemini`."""
    name = f"air-bench/{task_type}/{domain}/{language}"
    return name if dataset == "default" else f"{name}/{dataset}"


@functools.cache
def _table(path: Path) -> dict[str, tuple[AirBenchSet, ...]]:
    table = json.loads(path.read_text(encoding="utf-8"))
    return {
        version: tuple(AirBenchSet(version=version, **{**one, "splits": tuple(one["splits"])}) for one in sets)
        for version, sets in table.items()
    }


def air_bench_versions() -> tuple[str, ...]:
    """Return AIR-Bench's versions, the oldest first: they are benchmark names of the registry. The mini one is not among them."""
    return tuple(_table(TABLE_FILE))


def is_air_bench(name: str) -> bool:
    """Whether a benchmark's or task's name is meant for AIR-Bench, known or not."""
    return name.casefold().startswith("air-bench")


def air_bench_sets(version: str) -> tuple[AirBenchSet, ...]:
    """Return the sets of a version, by task type, domain, language and data set; needs neither network nor air-benchmark.

    Args:
        version: one of `air_bench_versions()`, or `AIR-Bench_mini`.

    Raises:
        TaskNotFoundError: no such version; the message holds suggestions.
    """
    table = {**_table(TABLE_FILE), **_table(MINI_TABLE_FILE)}
    if version not in table:
        raise TaskNotFoundError(
            f"AIR-Bench version {version!r} is not known.{suggest(version, table)} Known: {', '.join(table)}."
        )
    return table[version]
