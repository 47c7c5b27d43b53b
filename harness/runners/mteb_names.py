"""Comparing registry entries with mteb's own metadata (`validate --check-names`)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.registry.load import LoadedFile
from harness.registry.names import suggest
from harness.registry.spec import DatasetRef
from harness.registry.strict_yaml import Problem

_AIR_BENCH = ("air-bench/", "air-bench-mini/")


class _Claim(NamedTuple):
    """What a registry file says about one mteb task."""

    file: LoadedFile
    where: tuple[str | int, ...]
    name: str
    task_type: str
    main_metric: str
    splits: list[str]
    subsets: list[str]
    dataset: DatasetRef | None
    benchmarks: list[str]

    def problem(self, message: str, key: str | None = None) -> Problem:
        line = self.file.located.line((*self.where, key) if key else self.where)
        return Problem(str(self.file.path), line, f"task {self.name!r}: {message}")


def _claims(file: LoadedFile) -> Iterator[_Claim]:
    spec = file.spec
    own_parts = bool(spec.parts) and all(part.data is not None for part in spec.parts)
    if spec.data is not None or own_parts or spec.task.startswith(_AIR_BENCH):
        return
    yield _Claim(
        file, (), spec.task, spec.type, spec.main_metric, spec.splits, spec.subsets, spec.dataset, spec.benchmarks
    )
    for index, alias in enumerate(spec.aliases):
        yield _Claim(
            file,
            ("aliases", index),
            alias.name,
            spec.type,
            alias.main_metric or spec.main_metric,
            alias.splits or spec.splits,
            alias.subsets or spec.subsets,
            alias.dataset,
            alias.benchmarks,
        )
    for index, part in enumerate(spec.parts):
        if part.data is not None:
            continue
        yield _Claim(
            file,
            ("parts", index),
            part.name,
            spec.type,
            spec.main_metric,
            spec.splits,
            spec.subsets,
            part.dataset,
            part.benchmarks,
        )


def mteb_problems(files: list[LoadedFile]) -> list[Problem]:
    """Compare every task, alias and part with mteb: name, type, splits, subsets, main score, data set, benchmarks.

    Entries with `data` and AIR-Bench sets are no mteb tasks and are skipped.
    """
    import mteb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = {task.metadata.name: task for task in mteb.get_tasks(exclude_superseded=False, exclude_aggregate=False)}
        benchmarks = {benchmark.name: benchmark for benchmark in mteb.get_benchmarks()}
    claims = [claim for file in files for claim in _claims(file)]
    problems: list[Problem] = []
    for claim in claims:
        if claim.name in known:
            problems += _metadata_problems(claim, known[claim.name].metadata)
        else:
            problems.append(claim.problem(f"mteb has no such task.{suggest(claim.name, known)}"))
    for name in sorted({name for claim in claims for name in claim.benchmarks} & set(benchmarks)):
        problems += _benchmark_problems(name, claims, benchmarks[name])
    return problems


def _metadata_problems(claim: _Claim, metadata: Any) -> Iterator[Problem]:
    if claim.task_type != metadata.type:
        yield claim.problem(f"type is {claim.task_type}; mteb has {metadata.type}.", "type")
    if claim.main_metric != metadata.main_score:
        yield claim.problem(f"main_metric is {claim.main_metric}; mteb has {metadata.main_score}.", "main_metric")
    for key, ours, theirs in (
        ("splits", claim.splits, list(metadata.eval_splits)),
        ("subsets", claim.subsets, list(metadata.hf_subsets)),
    ):
        unknown = [one for one in ours if one not in theirs]
        if unknown:
            shown = ", ".join(theirs[:12]) + (", ..." if len(theirs) > 12 else "")
            yield claim.problem(f"{key} holds {', '.join(unknown)}; mteb has {shown}.", key)
    if claim.dataset is not None:
        for key, one, other in (
            ("path", claim.dataset.path, str(metadata.dataset["path"])),
            ("revision", claim.dataset.revision, str(metadata.dataset["revision"])),
        ):
            if one != other:
                yield claim.problem(f"dataset {key} is {one}; mteb has {other}.", "dataset")


def _benchmark_problems(name: str, claims: list[_Claim], benchmark: Any) -> Iterator[Problem]:
    members = {task.metadata.name: task for task in benchmark.tasks}
    ours = {claim.name: claim for claim in claims if name in claim.benchmarks}
    for missing in sorted(set(members) - set(ours)):
        yield Problem(name, 0, f"the registry has no task {missing!r} for this benchmark.")
    for task_name, claim in sorted(ours.items()):
        if task_name not in members:
            yield claim.problem(f"mteb's {name} does not hold it.", "benchmarks")
            continue
        task = members[task_name]
        for key, one, other in (
            ("splits", claim.splits, list(task.eval_splits)),
            ("subsets", claim.subsets, list(task.hf_subsets)),
        ):
            if sorted(one) != sorted(other):
                yield claim.problem(f"{key} are {', '.join(one)}; in mteb's {name} {', '.join(other)}.", key)
