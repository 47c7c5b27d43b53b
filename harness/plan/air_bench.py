"""Which AIR-Bench sets a plan holds, and what their table says about them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.plan.statistics import Statistics, TaskStatistics, TextGroup
from harness.registry.air_bench import AirBenchSet, air_bench_sets
from harness.registry.names import suggest


@dataclass(frozen=True)
class AirBenchFilter:
    """Filters of `run` for AIR-Bench; an empty one keeps everything."""

    task_types: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()


def _check(flag: str, asked: Iterable[str], known: Iterable[str], version: str) -> set[str]:
    valid = {name.casefold(): name for name in known}
    chosen = set()
    for name in asked:
        if name.casefold() not in valid:
            names = sorted(valid.values())
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ConfigError(f"{flag} {name!r} is not in {version}.{suggest(name, names)} Known: {shown}.")
        chosen.add(valid[name.casefold()])
    return chosen


def chosen_sets(version: str, wanted: AirBenchFilter) -> list[AirBenchSet]:
    """Return the sets of a version that pass the filters, each with the splits that are wanted of it.

    Raises:
        TaskNotFoundError: no such version.
        ConfigError: a filter value that the version does not have, or nothing left.
    """
    sets = air_bench_sets(version)
    types = _check("--task-types", wanted.task_types, {one.task_type for one in sets}, version)
    domains = _check("--domains", wanted.domains, {one.domain for one in sets}, version)
    languages = _check("--languages", wanted.languages, {one.language for one in sets}, version)
    datasets = _check("--datasets", wanted.datasets, {one.dataset for one in sets}, version)
    splits = _check("--splits", wanted.splits, {split for one in sets for split in one.splits}, version)
    chosen = [
        one
        for one in sets
        if (not types or one.task_type in types)
        and (not domains or one.domain in domains)
        and (not languages or one.language in languages)
        and (not datasets or one.dataset in datasets)
        and (not splits or splits & set(one.splits))
    ]
    if not chosen:
        raise ConfigError(
            f"no set of {version} has all of these: task types, domains, languages, data sets and splits."
        )
    if not splits:
        return chosen
    return [_with_splits(one, tuple(split for split in one.splits if split in splits)) for one in chosen]


def _with_splits(one: AirBenchSet, splits: tuple[str, ...]) -> AirBenchSet:
    from dataclasses import replace

    return replace(one, splits=splits)


def air_bench_groups(one: AirBenchSet, statistics: Statistics) -> TaskStatistics:
    """Return the texts of a set: one group of queries per split, and the corpus once."""
    longest = statistics.air_bench[one.version][one.name]
    queries = [
        _group("query", split, one.queries[split], one.mean_query_tokens[split], longest["queries"][split])
        for split in one.splits
    ]
    corpus = _group("document", "corpus", one.corpus_size, one.mean_corpus_tokens, longest["corpus"])
    return TaskStatistics(one.name, counted=False, splits=one.splits, groups=(*queries, corpus))


def _group(side: str, split: str, texts: int, mean: float, longest: float) -> TextGroup:
    return TextGroup(
        side=side,
        split=split,
        subset="default",
        texts=texts,
        distinct=texts,
        exact=False,
        calls=-(-texts // 50_000),
        mean_chars=0.0,
        max_chars=0,
        curves={},
        mean_tokens=mean,
        max_tokens=longest,
    )


def missing_air_bench(one: AirBenchSet, data_dir: Path | None) -> bool:
    """Whether a set's corpus is neither below --data-dir nor in a cache of this machine."""
    repository = f"{one.task_type}_{one.domain}_{one.language}"
    if data_dir is not None and any((root / repository).is_dir() for root in (data_dir, data_dir / "AIR-Bench")):
        return False
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    datasets = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")
    return not any(
        folder.is_dir()
        for folder in (hub / f"datasets--AIR-Bench--{repository}", datasets / f"AIR-Bench___{repository}")
    )
