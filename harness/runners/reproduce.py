"""From a run's manifest to the commands that make the run again, and what differs on this machine.

Everything is read from the manifest: the run directory's other files may be missing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import ConfigError, HarnessError, ResultSchemaError
from harness.prompts.shots import configuration_name
from harness.registry.air_bench import is_air_bench
from harness.registry.air_bench_select import AirBenchFilter
from harness.registry.registry import Registry
from harness.runners.tasks import resolve_units
from harness.store import atomic
from harness.store.schema import SCHEMA_VERSION

PROGRAM = "icl-harness"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CONFIGURATION = re.compile(r"k(?P<shots>\d+|all)(?:-s(?P<seed>-?\d+))?")
# Settings whose flag takes no value.
_SWITCHES = frozenset({"offline", "trust_remote_code", "no_cache"})
# One flag for each value; the other lists are comma-separated.
_REPEATED = frozenset({"benchmark", "registry_dir"})


@dataclass(frozen=True)
class RecordedTask:
    """A finished task as the manifest names it."""

    configuration: str
    task_name: str
    result_key: str
    prompt_fingerprint: str
    dataset_revision: str


@dataclass(frozen=True)
class RecordedRun:
    """What a manifest says of a run."""

    path: Path
    """manifest.json."""
    config: RunConfig
    """The settings of its last command, with the model's commit as revision where it came from the hub."""
    manifest: dict[str, Any]
    tasks: tuple[RecordedTask, ...]


def read_run(path: Path) -> RecordedRun:
    """Read a run directory or its manifest.json.

    Raises:
        ConfigError: there is no manifest.
        ResultSchemaError: it is damaged, or of another version of the program.
    """
    file = path / "manifest.json" if path.is_dir() else path
    if not file.is_file():
        inner = sorted(found.parent.name for found in path.glob("*/manifest.json")) if path.is_dir() else []
        hint = f" It holds run directories: {', '.join(inner[:4])}." if inner else ""
        raise ConfigError(f"{path}: no manifest.json of a run is here.{hint}")
    manifest = atomic.read_json(file)
    if not isinstance(manifest, dict) or manifest.get("schema_version") != SCHEMA_VERSION:
        raise ResultSchemaError(f"{file}: not a manifest of schema version {SCHEMA_VERSION}.")
    try:
        values = dict(manifest["config"])
        tasks = tuple(
            RecordedTask(**{name: str(task[name]) for name in RecordedTask.__dataclass_fields__})
            for task in manifest["tasks"]
        )
        revision = str(manifest["model"]["model_revision"])
        manifest["model"]["weights_sha"], manifest["packages"], manifest["machine"]
    except (KeyError, TypeError) as error:
        raise ResultSchemaError(f"{file}: {error} is missing, so it is no manifest of a run.") from error
    if _COMMIT.fullmatch(revision):
        values["revision"] = revision
    # What `auto` gave there: another device would choose another one, and dtype is part of a result's identity.
    values["dtype"] = manifest["model"]["dtype"]
    for name in ("model", "data_dir"):
        values[name] = _still_there(values.get(name), manifest.get("configuration", {}).get(name))
    known = {key: value for key, value in values.items() if key in RunConfig.model_fields}
    try:
        config = RunConfig.model_validate(known)
    except ValueError as error:
        raise ResultSchemaError(f"{file}: its settings cannot be read: {' '.join(str(error).split())[:200]}") from error
    return RecordedRun(file, config, manifest, tasks)


def _still_there(given: Any, resolved: Any) -> Any:
    """Return the path as it was given, or the absolute one if only that leads anywhere from here."""
    if isinstance(given, str) and isinstance(resolved, str) and not Path(given).is_dir() and Path(resolved).is_dir():
        return resolved
    return given


def commands(run: RecordedRun, registry: Registry, *, output_dir: Path | None = None) -> list[RunConfig]:
    """Return the settings of the commands that make all of a run's results again.

    The first is the run's last command. Results of earlier commands in the same directory that it does not cover follow,
    grouped by the numbers of examples that share their tasks.
    """
    base = run.config.model_copy(update={"output_dir": output_dir or run.config.output_dir})
    covered = _covered(base, registry)
    left: dict[str, list[str]] = {}
    for task in run.tasks:
        if (task.configuration, task.task_name) not in covered:
            left.setdefault(task.configuration, []).append(task.task_name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for configuration, names in left.items():
        for together in _one_command_each(names):
            groups.setdefault(together, []).append(configuration)
    versions = {task.task_name: task.dataset_revision.split("@")[0] for task in run.tasks}
    further = []
    for tasks, configurations in groups.items():
        for seeds, shots in _shots_and_seeds(configurations):
            update = {"num_fewshot": shots, "fewshot_seed": seeds, **_selection(tasks, versions)}
            further.append(base.model_copy(update=update))
    elsewhere = run.tasks and not any((task.configuration, task.task_name) in covered for task in run.tasks)
    return further if elsewhere else [base, *further]


def _one_command_each(names: list[str]) -> list[tuple[str, ...]]:
    """Group tasks that one command can name: a set of AIR-Bench takes a command of its own, as its version must be said."""
    sets = [(name,) for name in sorted(names) if is_air_bench(name)]
    others = tuple(name for name in sorted(names) if not is_air_bench(name))
    return [*([others] if others else []), *sets]


def _selection(tasks: tuple[str, ...], versions: dict[str, str]) -> dict[str, Any]:
    """Return the settings that select these tasks alone."""
    cleared: dict[str, Any] = dict.fromkeys(("benchmark", "tasks", "task_types", "domains", "datasets"), ())
    if not is_air_bench(tasks[0]):
        return {**cleared, "tasks": tasks}
    _, task_type, domain, language, *dataset = tasks[0].split("/")
    return {
        **cleared,
        "benchmark": (versions[tasks[0]],),
        "task_types": (task_type,),
        "domains": (domain,),
        "languages": (language,),
        "datasets": tuple(dataset) or ("default",),
    }


def _covered(config: RunConfig, registry: Registry) -> set[tuple[str, str]]:
    """Return configuration and name of every task that a command asks for; none if it cannot be resolved here."""
    try:
        units = resolve_units(
            registry,
            benchmarks=config.benchmark,
            tasks=config.tasks,
            data_dir=None,
            splits=config.splits,
            languages=config.languages,
            zero_shot_only=True,
            air=AirBenchFilter(task_types=config.task_types, domains=config.domains, datasets=config.datasets),
        )
    except HarnessError:
        return set()  # reported by `differences`
    seeds: tuple[int | None, ...] = config.fewshot_seed or (None,)
    return {
        (configuration_name(shots, seed), unit.name)
        for shots in config.num_fewshot
        for seed in (seeds if shots != 0 else (None,))
        for unit in units
    }


def shots_and_seed(configuration: str) -> tuple[int | None, int | None]:
    """Return the number of examples (None: all) and the seed of a configuration's name (k0, kall, k3-s1).

    Raises:
        ResultSchemaError: no such name.
    """
    match = _CONFIGURATION.fullmatch(configuration)
    if match is None:
        raise ResultSchemaError(f"configuration {configuration!r} of the manifest is not one of this program.")
    return None if match["shots"] == "all" else int(match["shots"]), int(match["seed"]) if match["seed"] else None


def _shots_and_seeds(configurations: Iterable[str]) -> list[tuple[tuple[int, ...], tuple[int | None, ...]]]:
    """Return (seeds, numbers of examples) of configurations such as k0, kall and k3-s1, one pair per seed."""
    by_seed: dict[tuple[int, ...], list[int | None]] = {}
    for name in configurations:
        shots, seed = shots_and_seed(name)
        by_seed.setdefault(() if seed is None else (seed,), []).append(shots)
    return [(seeds, tuple(shots)) for seeds, shots in by_seed.items()]


def command_line(config: RunConfig) -> list[str]:
    """Return the words of the `run` command that has these settings; settings at their default are left out."""
    words = [PROGRAM, "run"]
    defaults = RunConfig(model=config.model)
    settings = config.settings()
    for name in RunConfig.model_fields:
        value = settings[name]
        # k is always said: it is what one looks for first.
        if name not in ("model", "num_fewshot") and getattr(config, name) == getattr(defaults, name):
            continue
        flag = f"--{name.replace('_', '-')}"
        if name in _SWITCHES:
            words.append(flag)
        elif name in _REPEATED:
            for one in value:
                words += _option(flag, str(one))
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words += _option(flag, text)
    return words


def _option(flag: str, value: str) -> list[str]:
    # A value that begins with a hyphen would be read as a flag.
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def shell_line(words: list[str]) -> str:
    """Return words as one line that a POSIX shell reads back to the same words."""
    return shlex.join(words)


@dataclass(frozen=True)
class Comparison:
    """Two makings of a run, result by result."""

    equal: int
    """Results with one key."""
    other_key: tuple[str, ...]
    """`configuration/task` of results whose identity differs."""
    missing: tuple[str, ...]
    largest_difference: float | None
    """Of the main scores of equal keys (fractions); None where the scores of either run are not at hand."""

    @property
    def all_equal(self) -> bool:
        """Whether every result is there with its key."""
        return not self.other_key and not self.missing

    def lines(self) -> list[str]:
        """Return what to tell."""
        total = self.equal + len(self.other_key) + len(self.missing)
        shown = [f"{self.equal} of {total} results have the key that they had."]
        for names, what in (
            (self.other_key, "Another key (something of the identity differs)"),
            (self.missing, "Missing"),
        ):
            if names:
                shown.append(f"{what}: {', '.join(names)}")
        if self.largest_difference is not None:
            shown.append(f"Largest difference of a main score x 100: {100 * self.largest_difference:.2g}")
        return shown


def compare_with(old: RecordedRun, new: RecordedRun) -> Comparison:
    """Compare the results of two runs by key, and the main scores of equal keys where scores.parquet is there."""
    keys = {(task.configuration, task.task_name): task.result_key for task in new.tasks}
    names = {(task.configuration, task.task_name): f"{task.configuration}/{task.task_name}" for task in old.tasks}
    equal = [task for task in old.tasks if keys.get((task.configuration, task.task_name)) == task.result_key]
    before, after = _main_scores(old.path.parent), _main_scores(new.path.parent)
    shared = [key for key in before if key in after]
    return Comparison(
        equal=len(equal),
        other_key=tuple(
            names[task.configuration, task.task_name]
            for task in old.tasks
            if keys.get((task.configuration, task.task_name), task.result_key) != task.result_key
        ),
        missing=tuple(name for key, name in names.items() if key not in keys),
        largest_difference=max((abs(before[key] - after[key]) for key in shared), default=None),
    )


def _main_scores(folder: Path) -> dict[tuple[str, str, str], float]:
    import pyarrow.parquet as pq

    file = folder / "scores.parquet"
    if not file.is_file():
        return {}
    columns = ["result_key", "split", "hf_subset", "score", "is_main"]
    rows = pq.read_table(file, columns=columns).to_pylist()
    return {(row["result_key"], row["split"], row["hf_subset"]): row["score"] for row in rows if row["is_main"]}
