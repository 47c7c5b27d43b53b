"""From names on the command line to fresh mteb task objects, on the hub's data or on local files."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.encoder.hashing import cache_dir, remembered_sha256
from harness.errors import ConfigError, DatasetUnavailableError, TaskNotFoundError
from harness.registry.air_bench import AirBenchSet, is_air_bench
from harness.registry.air_bench_select import AirBenchFilter, by_cost, chosen_sets, named_set
from harness.registry.registry import RegisteredTask, Registry, suggest

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.runners.air_bench import AirTask


@dataclass(frozen=True)
class TaskUnit:
    """One evaluation to do: a task, or one part of an aggregate."""

    name: str
    task_type: str
    part_of: str
    entry: RegisteredTask | None
    """None for a task that only mteb knows."""
    folder: Path | None
    """Local data; None loads from the hub (or its cache)."""
    splits: tuple[str, ...]
    """Empty: the task's own."""
    subsets: tuple[str, ...]
    languages: tuple[str, ...]
    air: AirBenchSet | None = None
    """The set of AIR-Bench, with the splits to search; `folder` is then the root of its repositories."""


def folder_fingerprint(folder: Path) -> str:
    """Return a hash over names and contents of a data folder; it is the dataset revision of local data."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\n{remembered_sha256(path)}\n".encode())
    return f"local:{digest.hexdigest()[:16]}"


def resolve_units(
    registry: Registry,
    *,
    benchmarks: tuple[str, ...],
    tasks: tuple[str, ...],
    data_dir: Path | None,
    splits: tuple[str, ...],
    languages: tuple[str, ...],
    zero_shot_only: bool,
    air: AirBenchFilter | None = None,
) -> list[TaskUnit]:
    """Resolve what to run, in a fixed order, before anything heavy loads.

    Args:
        registry: the registry of the session.
        benchmarks: names of benchmarks.
        tasks: names of tasks; one outside the registry is looked up in mteb if only zero-shot is asked for.
        data_dir: folder whose sub-folders, named like tasks, replace the hub's data.
        splits: override of the evaluation splits; empty keeps those of the registry.
        languages: ISO language codes to keep (mteb's filter; two letters for AIR-Bench); empty keeps the registry's subsets.
        zero_shot_only: whether every configuration has no examples.
        air: AIR-Bench's own filters; its `languages` and `splits` are those above.

    Raises:
        TaskNotFoundError: an unknown name, with suggestions.
        ConfigError: nothing to run.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise ConfigError(f"--data-dir {str(data_dir)!r} is no folder.")
    entries: dict[str, RegisteredTask | None] = {}
    versions = [name for name in benchmarks if is_air_bench(name)]
    named = [name for name in tasks if is_air_bench(name)]
    wanted = replace(air or AirBenchFilter(), languages=languages, splits=splits)
    sets = _air_bench_sets(wanted, versions, named)
    benchmarks = tuple(name for name in benchmarks if name not in versions)
    tasks = tuple(name for name in tasks if name not in named)
    shared = [flag for flag in ("--languages", "--splits") if flag in wanted.flags()]
    if sets and shared and (benchmarks or tasks):
        raise ConfigError(
            f"{' and '.join(shared)}: AIR-Bench and MTEB name these differently. Give one command for each of them."
        )
    for benchmark in benchmarks:
        entries.update({entry.name: entry for entry in registry.benchmark(benchmark)})
    problems: list[str] = []
    for name in tasks:
        if name in registry:
            entries[name] = registry.get(name)
        elif zero_shot_only and _mteb_knows(name):
            entries[name] = None
        else:
            problems.append(_unknown(name, registry, zero_shot_only))
    if problems:
        raise TaskNotFoundError("\n".join(problems))
    if not entries and not sets:
        raise ConfigError("nothing to run: give --benchmark or --tasks. See: icl-harness list benchmarks")
    units: list[TaskUnit] = []
    for name, entry in entries.items():
        parts = entry.parts if entry is not None else ()
        for part in parts or (name,):
            part_entry = registry.get(part) if parts else entry
            units.append(_unit(part, part_entry, name if parts else "", data_dir, splits, languages))
    return units + [_air_bench_unit(one, registry, data_dir) for one in sets]


def _air_bench_sets(wanted: AirBenchFilter, versions: list[str], named: list[str]) -> list[AirBenchSet]:
    """Return the sets to run, the cheapest first."""
    selecting = [flag for flag in wanted.flags() if flag != "--splits"]
    if not versions and (own := [flag for flag in selecting if named or flag != "--languages"]):
        raise ConfigError(
            f"{', '.join(own)}: only for a benchmark of AIR-Bench, such as --benchmark AIR-Bench_24.05; none is asked for."
        )
    sets = {(one.version, one.name): one for version in versions for one in chosen_sets(version, wanted)}
    for name in named:
        one = named_set(name, versions, wanted.splits)
        sets.setdefault((one.version, one.name), one)
    return by_cost(sets.values())


def _air_bench_unit(one: AirBenchSet, registry: Registry, data_dir: Path | None) -> TaskUnit:
    from harness.air_bench.layout import local_root

    return TaskUnit(
        name=one.name,
        task_type="Retrieval",
        part_of="",
        entry=registry.get(one.name),
        folder=local_root(one, data_dir),
        splits=one.splits,
        subsets=("default",),
        languages=(),
        air=one,
    )


def _unit(
    name: str,
    entry: RegisteredTask | None,
    part_of: str,
    data_dir: Path | None,
    splits: tuple[str, ...],
    languages: tuple[str, ...],
) -> TaskUnit:
    folder = None
    if data_dir is not None and (data_dir / name).is_dir():
        folder = data_dir / name
    elif entry is not None and entry.data is not None:
        folder = entry.data
    return TaskUnit(
        name=name,
        task_type=entry.task_type if entry is not None else _mteb_type(name),
        part_of=part_of,
        entry=entry,
        folder=folder,
        splits=splits or (entry.splits if entry is not None else ()),
        subsets=() if languages else (entry.subsets if entry is not None else ()),
        languages=languages,
    )


def _mteb_tasks() -> dict[str, Any]:
    from mteb.get_tasks import _TASKS_REGISTRY

    return dict(_TASKS_REGISTRY)


def _mteb_knows(name: str) -> bool:
    return name in _mteb_tasks()


def _mteb_type(name: str) -> str:
    return str(_mteb_tasks()[name].metadata.type)


def _unknown(name: str, registry: Registry, zero_shot_only: bool) -> str:
    known = [task.name for task in registry]
    if not zero_shot_only:
        return (
            f"task {name!r} is not in the registry.{suggest(name, known)} A task that only mteb knows runs with "
            "--num-fewshot 0. See: icl-harness list tasks"
        )
    return f"task {name!r} is neither in the registry nor in mteb.{suggest(name, [*known, *_mteb_tasks()])}"


def check_offline(units: list[TaskUnit]) -> None:
    """Refuse, without the network and without torch or mteb, tasks whose data is not on this machine.

    Raises:
        DatasetUnavailableError: names every such task.
    """
    missing = [unit.name for unit in units if needs_download(unit)]
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise DatasetUnavailableError(
            f"--offline: the data of {len(missing)} task(s) is not on this machine: {shown}. Run once with the network, "
            "or give local files with --data-dir (docs/data-dir.md)."
        )


def needs_download(unit: TaskUnit) -> bool:
    """Whether the registry knows that a task's data comes from the hub and no cache of it is on this machine."""
    if unit.folder is None and unit.air is not None:
        from harness.air_bench.layout import on_this_machine

        return not on_this_machine(unit.air)
    if unit.folder is not None or unit.entry is None or unit.entry.dataset is None:
        return False
    path = unit.entry.dataset.path
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    datasets = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")
    return not (hub / f"datasets--{path.replace('/', '--')}").is_dir() and not any(
        (datasets / name).is_dir() for name in (path.replace("/", "___"), path.replace("/", "___").lower())
    )


def make_task(unit: TaskUnit) -> AbsTask | AirTask:
    """Make a fresh task object (a used one of mteb's does not repeat its score, facts: clustering)."""
    if unit.air is not None:
        from harness.runners.air_bench import make_air_task

        return make_air_task(unit)
    entry = unit.entry
    if unit.folder is not None and entry is not None and (entry.data is not None or not _mteb_knows(unit.name)):
        from harness.runners.custom_tasks import build_custom_task

        return build_custom_task(
            unit.name,
            task_type=entry.task_type,
            main_metric=entry.main_metric,
            folder=unit.folder,
            fingerprint=folder_fingerprint(unit.folder),
            description=entry.description,
            splits=unit.splits or ("test",),
        )
    if not _mteb_knows(unit.name):
        raise ConfigError(
            f"task {unit.name!r} is in the registry but mteb does not know it, and it has no local data. Give `data:` in "
            "its YAML file or a folder of its name under --data-dir."
        )
    import mteb

    task = mteb.get_task(
        unit.name,
        eval_splits=list(unit.splits) or None,
        hf_subsets=list(unit.subsets) if unit.subsets and unit.subsets != ("default",) else None,
        languages=list(unit.languages) or None,
    )
    _check_selection(unit, task)
    if unit.folder is not None:
        # `metadata` belongs to the class: the instance gets its own copy, or all objects would be redirected.
        dataset = {**task.metadata.dataset, "path": str(unit.folder)}
        instance: Any = task
        instance.metadata = task.metadata.model_copy(update={"dataset": dataset})
    return task


def _check_selection(unit: TaskUnit, task: AbsTask) -> None:
    if unit.splits and not task.eval_splits:
        own = ", ".join(type(task).metadata.eval_splits)
        raise ConfigError(f"task {unit.name!r} has no split {', '.join(unit.splits)} (it has: {own}).")
    if not task.hf_subsets:
        raise ConfigError(f"task {unit.name!r} has no subset for --languages {','.join(unit.languages)}.")


def dataset_revision(unit: TaskUnit, task: AbsTask) -> str:
    """Return what identifies the data: a content hash for local files, else the hub revision."""
    if unit.folder is not None:
        return folder_fingerprint(unit.folder)
    return str(task.metadata.dataset.get("revision", "unknown"))


@contextlib.contextmanager
def content_addressed_cache(unit: TaskUnit) -> Iterator[None]:
    """Keep the `datasets` cache of local files apart by content: its own key is made of file names only."""
    if unit.folder is None:
        yield
        return
    import datasets.config

    folder = cache_dir() / "datasets" / folder_fingerprint(unit.folder).removeprefix("local:")
    previous = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = folder
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = previous
