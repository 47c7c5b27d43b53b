"""Scores that carry no identity of ours (published tables, an mteb results folder): what can be compared is compared.

Benchmark, metric, split, subset and, where it is stated, the data revision must be the same and are checked; the rest of the
identity is unknown on the other side and listed as assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.check.identity import shown
from harness.check.outcome import Comparison, Outcome, Verdict, means_last
from harness.check.sources import Source
from harness.check.tolerance import Bound
from harness.errors import ConfigError, IncomparableRunsError
from harness.registry.air_bench import is_air_bench
from harness.report.reference import load_references
from harness.report.text import plural, shorten

if TYPE_CHECKING:
    from harness.registry import Registry

ASSUMED = (
    "weights",
    "tokenizer",
    "instruction",
    "examples",
    "lengths",
    "pooling",
    "dtype",
    "mteb version",
)
_ZERO_SHOT = "k0"
_ALL_EXAMPLES = "kall"
_UNSTATED = ("none", "unstated")
_RENAMED = {"cos_sim_ap": "cosine_ap", "cos_sim_spearman": "cosine_spearman"}
"""Keys of mteb 1 -> today's of the same measure."""
_LOCAL = "local:"
Cell = tuple[str, str, str]
"""(split, hf_subset, metric)"""


def check_against(
    source: Source,
    reference: str,
    *,
    tolerance: float,
    shared_only: bool = False,
    allow_improved: bool = False,
    registry: Registry | None = None,
) -> Outcome:
    """Compare a run's scores with outside ones.

    Args:
        source: the run, with a configuration where it has several.
        reference: a shipped row id, a parquet, an mteb results folder or a run directory (docs/reports.md).
        tolerance: allowed difference, a fraction.
        shared_only: leave out the reference's tasks that the run does not have, instead of calling them MISSING.
        allow_improved: a score above the tolerance does not fail.
        registry: default the shipped one.

    Raises:
        ConfigError: no such reference, or several models or configurations and none was named.
        IncomparableRunsError: the run and the reference share no task.
        ResultSchemaError: a file is corrupt.
    """
    from harness.registry import Registry as Registered

    registry = Registered.load() if registry is None else registry
    frame = load_references([reference], registry=registry).scores
    frame = frame[frame["is_main"]]
    rows = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    if not rows:
        raise ConfigError(f"reference {reference!r} holds no scores of tasks to compare with.")
    rows = _one_model(rows, source, reference)
    stated = str(rows[0]["configuration"])
    configuration = _configuration(source, stated)
    records = [one for one in source.results.records if one["configuration"] == configuration]
    theirs: dict[str, dict[Cell, float]] = {}
    types: dict[str, str] = {}
    revisions: dict[str, str] = {}
    for row in rows:
        cells = theirs.setdefault(row["task_name"], {})
        cell = (row["split"], row["hf_subset"], _RENAMED.get(row["metric"], row["metric"]))
        if cell in cells:
            raise ConfigError(
                f"reference {reference!r} holds {'/'.join((row['task_name'], *cell))} twice: rows of several settings. Name "
                "a run directory, or a file of one setting."
            )
        cells[cell] = float(row["score"])
        types[row["task_name"]], revisions[row["task_name"]] = row["task_type"], row["dataset_revision"]
    ours = _own_cells(records, theirs, registry)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise IncomparableRunsError(
            f"{source.results.path} ({configuration}) and reference {reference!r} share no task: is it of another benchmark? "
            f"Run: {shorten(sorted(ours), 3)}. Reference: {shorten(sorted(theirs), 3)}."
        )
    others = [task for task in theirs if is_air_bench(task) not in {is_air_bench(one) for one in shared}]
    theirs = {task: cells for task, cells in theirs.items() if task not in others}
    bound = Bound(tolerance, True, "--tolerance")
    own_revisions = {one["task_name"]: one["identity"]["protocol"]["dataset_revision"] for one in records}
    comparisons = [
        _compared(
            configuration,
            task,
            types[task],
            ours[task],
            theirs[task],
            bound,
            (own_revisions.get(task, ""), revisions[task]),
        )
        for task in shared
    ]
    if not shared_only:
        comparisons += [
            Comparison(
                configuration=configuration,
                task=task,
                task_type=types[task],
                verdict=Verdict.MISSING,
                baseline=math.fsum(theirs[task].values()) / len(theirs[task]),
                reason="the run does not have it",
            )
            for task in sorted(theirs.keys() - ours.keys())
        ]
    comparisons += _mean(configuration, comparisons)
    known = all(_same_revision(own_revisions.get(task, ""), revisions[task]) is not None for task in shared)
    assumed = [*ASSUMED, *([] if known else ["dataset revision"])]
    notes = [f"Reference: {rows[0]['model_name']}, {_told(stated)}. Run: {configuration}."]
    extra = sorted(ours.keys() - theirs.keys())
    if extra:
        notes.append(f"Not in the reference: {plural(len(extra), 'task')} ({shorten(extra, 3)}).")
    if others:
        notes.append(f"Of another benchmark in the reference, and left out: {plural(len(others), 'task')}.")
    if shared_only and len(shared) < len(theirs):
        notes.append(f"--shared-only: {len(shared)} of the reference's {plural(len(theirs), 'task')} were compared.")
    limited = any(one["identity"]["protocol"]["limit"] for one in records)
    return Outcome(
        baseline=reference,
        candidate=str(source.results.path),
        comparisons=means_last([_judged(one, limited=limited) for one in comparisons]),
        notes=tuple(notes),
        assumed=tuple(assumed),
        allow_improved=allow_improved,
        incomplete=""
        if shared_only or source.results.manifest.get("status") == "complete"
        else f"the run is marked {source.results.manifest.get('status')!r}. Give its command again.",
    )


def _one_model(rows: list[dict[str, Any]], source: Source, reference: str) -> list[dict[str, Any]]:
    """Return the rows of one model in one configuration: the only one, or that of the run."""

    def held(kept: list[dict[str, Any]]) -> list[tuple[str, ...]]:
        names = ("model_name", "model_revision", "model_label", "configuration")
        return sorted({tuple(row[name] for name in names) for row in kept})

    if len(held(rows)) == 1:
        return rows
    own = source.results.manifest["model"]["model_name"]
    mine = [row for row in rows if row["model_name"] == own]
    if not mine:
        models = sorted({row["model_name"] for row in rows})
        if len(models) > 1:
            raise ConfigError(
                f"reference {reference!r} holds {len(models)} models and not the run's ({own}): {shorten(models, 3)}. Name a "
                "folder or file of one model."
            )
        mine = rows
    if len(held(mine)) == 1:
        return mine
    there = {one["configuration"] for one in source.results.records}
    wanted = {source.configuration} if source.configuration else there
    kept = [row for row in mine if row["configuration"] in wanted]
    if len(held(kept)) != 1:
        rest = held(kept or mine)
        listed = shorten([" ".join(part for part in one if part) for one in rest], 4)
        raise ConfigError(
            f"reference {reference!r} holds {len(rest)} rows of that model: {listed}. Name a folder or file of one revision, or "
            f"a configuration, as in {source.results.path}:{sorted(there)[0]}."
        )
    return kept


def _same_revision(ours: str, theirs: str) -> bool | None:
    """Whether two data revisions are the same; None where one side does not say or has local data."""
    if not ours or not theirs or ours.startswith(_LOCAL) != theirs.startswith(_LOCAL):
        return None
    # A published row of AIR-Bench says the version only: `AIR-Bench_24.05` of `AIR-Bench_24.05@hub:0123...`.
    return ours == theirs or ours.startswith(f"{theirs}@")


def _told(configuration: str) -> str:
    words = {_ZERO_SHOT: "zero-shot", "few": "few-shot"}
    return words.get(configuration, "examples not stated" if configuration in _UNSTATED else configuration)


def _configuration(source: Source, stated: str) -> str:
    """Return the run's configuration that belongs to a reference, refusing zero-shot against few-shot."""
    there = sorted({one["configuration"] for one in source.results.records})
    chosen = source.configuration
    if chosen is None:
        wanted = {_ZERO_SHOT: _ZERO_SHOT, "few": _ALL_EXAMPLES}.get(stated, stated)
        chosen = wanted if wanted in there else (there[0] if len(there) == 1 else None)
    if chosen is None:
        raise ConfigError(
            f"{source.results.path} has the configurations {', '.join(there)}: say which, as in {source.results.path}:{there[0]}."
        )
    is_number = [re.fullmatch(r"k\d+", name) is not None for name in (stated, chosen)]
    if stated not in _UNSTATED and (
        (stated == _ZERO_SHOT) != (chosen == _ZERO_SHOT) or (all(is_number) and stated != chosen)
    ):
        raise IncomparableRunsError(
            f"the reference is {_told(stated)} and configuration {chosen!r} of {source.results.path} is not. Name another."
        )
    return chosen


def _own_cells(
    records: Sequence[Mapping[str, Any]], theirs: Mapping[str, Mapping[Cell, float]], registry: Registry
) -> dict[str, dict[Cell, float]]:
    """Return the run's scores of all metrics by task; parts of an aggregate give the aggregate where it is asked for."""
    ours: dict[str, dict[Cell, float]] = {}
    parts: dict[str, dict[str, dict[Cell, float]]] = {}
    for record in records:
        cells = {(row["split"], row["hf_subset"], row["metric"]): float(row["score"]) for row in record["rows"]}
        ours[record["task_name"]] = cells
        whole = next((row["part_of"] for row in record["rows"]), "")
        if whole:
            parts.setdefault(whole, {})[record["task_name"]] = cells
    for whole, of_part in parts.items():
        expected = set(registry.get(whole).parts) if whole in registry else set()
        if whole in theirs and expected and expected <= of_part.keys():
            common = set.intersection(*(set(of_part[name]) for name in expected))
            ours[whole] = {cell: math.fsum(of_part[name][cell] for name in expected) / len(expected) for cell in common}
            for name in expected - theirs.keys():
                ours.pop(name, None)
    return ours


def _compared(
    configuration: str,
    task: str,
    task_type: str,
    ours: Mapping[Cell, float],
    theirs: Mapping[Cell, float],
    bound: Bound,
    revisions: tuple[str, str],
) -> Comparison:
    metric = next(iter(theirs))[2]
    one = Comparison(
        configuration=configuration, task=task, task_type=task_type, metric=metric, verdict=Verdict.PASS, bound=bound
    )
    # The other side may have scored more splits and subsets; those that the run has must all be there.
    parts = {cell[:2] for cell in ours}
    there = {cell for cell in theirs if cell[:2] in parts}
    lacking = sorted(parts - {cell[:2] for cell in there})
    unscored = sorted(there - ours.keys())
    if lacking:
        reason = f"split {'/'.join(lacking[0])} in the run, the reference has {shorten(sorted({'/'.join(cell[:2]) for cell in theirs}), 3)}"
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason=reason)
    if unscored:
        metrics = sorted({cell[2] for cell in ours if cell[:2] == unscored[0][:2]})
        reason = f"metric {unscored[0][2]} in the reference, the run has {shorten(metrics, 3)}"
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason=reason)
    old = math.fsum(theirs[cell] for cell in there) / len(there)
    if _same_revision(*revisions) is False:
        reason = f"dataset_revision {shown(revisions[1])} there, {shown(revisions[0])} in the run"
        return one.with_verdict(Verdict.NOT_COMPARABLE, baseline=old, reason=reason)
    new = math.fsum(ours[cell] for cell in there) / len(there)
    return one.with_verdict(Verdict.PASS, baseline=old, candidate=new, difference=new - old)


def _mean(configuration: str, comparisons: Sequence[Comparison]) -> list[Comparison]:
    tasks = [one for one in comparisons if one.difference is not None]
    if len(tasks) < 2:
        return []
    count = len(tasks)
    old = math.fsum(one.baseline or 0.0 for one in tasks) / count
    new = math.fsum(one.candidate or 0.0 for one in tasks) / count
    return [
        Comparison(
            configuration=configuration,
            task=f"Mean ({plural(count, 'task')})",
            verdict=Verdict.PASS,
            baseline=old,
            candidate=new,
            difference=new - old,
            bound=tasks[0].bound,
            is_mean=True,
        )
    ]


def _judged(one: Comparison, *, limited: bool) -> Comparison:
    if one.verdict != Verdict.PASS or one.difference is None or one.bound is None:
        return one
    if limited:
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason="a --limit run scores part of the data only")
    # The last digit of what is printed elsewhere is a rounded one.
    if abs(one.difference) <= one.bound.value + 1e-12:
        return one
    return one.with_verdict(Verdict.IMPROVED if one.difference > 0 else Verdict.REGRESSED)
