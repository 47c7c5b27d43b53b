"""Which sets of AIR-Bench a command means, and in which order they are worth running."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from harness.errors import ConfigError, TaskNotFoundError
from harness.registry.air_bench import MINI_VERSION, AirBenchSet, air_bench_sets, air_bench_versions
from harness.registry.names import suggest

_SHOWN = 20


@dataclass(frozen=True)
class AirBenchFilter:
    """Filters of `run` for AIR-Bench; an empty one keeps everything."""

    task_types: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def flags(self) -> list[str]:
        """Return the flags that are set."""
        return [f"--{field.name.replace('_', '-')}" for field in fields(self) if getattr(self, field.name)]


def chosen_sets(version: str, wanted: AirBenchFilter) -> list[AirBenchSet]:
    """Return the sets of a version that pass the filters, each with the splits that are wanted of it, the cheapest first.

    Names are compared without regard to case. A set that has none of the wanted splits is left out.

    Raises:
        TaskNotFoundError: no such version.
        ConfigError: a filter value that the version does not have, or nothing left.
    """
    sets = air_bench_sets(version)
    types = _known("--task-types", wanted.task_types, (one.task_type for one in sets), version)
    domains = _known("--domains", wanted.domains, (one.domain for one in sets), version)
    languages = _known("--languages", wanted.languages, (one.language for one in sets), version)
    datasets = _known("--datasets", wanted.datasets, (one.dataset for one in sets), version)
    splits = _known("--splits", wanted.splits, (split for one in sets for split in one.splits), version)
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
        asked = ", ".join(f"{flag} {','.join(getattr(wanted, flag[2:].replace('-', '_')))}" for flag in wanted.flags())
        raise ConfigError(f"no set of {version} has all of these: {asked}. See: icl-harness list tasks")
    return by_cost(_with_splits(one, splits) for one in chosen)


def named_set(name: str, versions: Iterable[str], splits: tuple[str, ...]) -> AirBenchSet:
    """Return one set by its name, from the first of the versions that has it, else from the newest.

    Args:
        name: `air-bench/qa/law/en`.
        versions: versions that the same command asks for.
        splits: wanted splits; empty keeps all of the set.

    Raises:
        TaskNotFoundError: no version has a set of that name.
        ConfigError: the set has none of the splits.
    """
    order = tuple(dict.fromkeys((*versions, *reversed(air_bench_versions()), MINI_VERSION)))
    for version in order:
        for one in air_bench_sets(version):
            if one.name == name:
                _known("--splits", splits, one.splits, f"{name} of {version}")
                return _with_splits(one, set(splits))
    known = sorted({one.name for version in order for one in air_bench_sets(version)})
    raise TaskNotFoundError(f"AIR-Bench has no set {name!r}.{suggest(name, known)} See: icl-harness list tasks")


def by_cost(sets: Iterable[AirBenchSet]) -> list[AirBenchSet]:
    """Order by the number of tokens, so that many results are there before the long sets begin."""
    return sorted(sets, key=lambda one: (one.tokens, one.name))


def _known(flag: str, asked: Iterable[str], known: Iterable[str], where: str) -> set[str]:
    valid = {name.casefold(): name for name in known}
    chosen = set()
    for name in asked:
        if name.casefold() not in valid:
            names = sorted(valid.values())
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise ConfigError(f"{flag} {name!r} is not in {where}.{suggest(name, names)} Known: {shown}.")
        chosen.add(valid[name.casefold()])
    return chosen


def _with_splits(one: AirBenchSet, splits: set[str]) -> AirBenchSet:
    return replace(one, splits=tuple(split for split in one.splits if split in splits)) if splits else one
