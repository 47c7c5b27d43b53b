"""What AIR-Bench's own table says about the texts of its sets."""

from __future__ import annotations

from harness.plan.statistics import Statistics, TaskStatistics, TextGroup
from harness.registry.air_bench import AirBenchSet

_CHUNK = 50_000


def air_bench_groups(one: AirBenchSet, statistics: Statistics) -> TaskStatistics:
    """Return the texts of a set: one group of queries per split, and the corpus once."""
    longest = statistics.air_bench.get(one.version, {}).get(one.name)
    queries = [
        _group(
            "query",
            split,
            one.queries[split],
            one.mean_query_tokens[split],
            longest["queries"][split] if longest else one.mean_query_tokens[split],
        )
        for split in one.splits
    ]
    corpus = _group(
        "document",
        "corpus",
        one.corpus_size,
        one.mean_corpus_tokens,
        longest["corpus"] if longest else one.mean_corpus_tokens,
    )
    return TaskStatistics(one.name, counted=False, splits=one.splits, groups=(*queries, corpus))


def _group(side: str, split: str, texts: int, mean: float, longest: float) -> TextGroup:
    return TextGroup(
        side=side,
        split=split,
        subset="default",
        texts=texts,
        distinct=texts,
        exact=False,
        calls=-(-texts // _CHUNK),
        mean_chars=0.0,
        max_chars=0,
        curves={},
        mean_tokens=mean,
        max_tokens=longest,
    )
