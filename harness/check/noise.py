"""How far rounding moves the scores of one model: from repeats of a run with other batch plans.

A batch plan decides how texts are padded and in which order a sum is taken; nothing else differs between the repeats.
The bound of a task is a prediction interval for the difference of two further runs, from the spread `s` of `n` repeats:
sqrt(2) x t x s, with the quantile t of Student's distribution with n - 1 degrees of freedom at which a run of 56 tasks
alarms once in a hundred (Bonferroni). Few repeats cost a wide bound: 19 s for five, 10 s for eight, 7 s for twenty, 5 s for very many.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.check.baseline_file import task_score
from harness.check.tolerance import MOST_POINTS, POINT, SMALLEST_BOUND, Measured, hardware_class
from harness.errors import ConfigError, IncomparableRunsError, IncompleteRunError

if TYPE_CHECKING:
    from harness.store.stored_run import ResultSet

FEWEST_REPEATS = 5
FALSE_ALARMS = 0.01
"""How often one of TASKS tasks may leave its bound by rounding alone."""
TASKS = 56
BUG_POINTS = 0.5
"""Beyond this a fault of padding or masks is likelier than rounding; k-means can amplify rounding so far (measured: 1.9)."""
FEWEST_OUTCOMES = 2
"""Outcomes that may turn from right to wrong although no repeat has shown it: a bound is not below so many."""


class Noise(NamedTuple):
    """What repeats have shown."""

    measured: tuple[Measured, ...]
    warnings: tuple[str, ...]


def bound_factor(repeats: int) -> float:
    """Return how many standard deviations of `repeats` scores a later difference stays within."""
    from scipy.special import stdtrit

    return math.sqrt(2) * float(stdtrit(repeats - 1, 1 - FALSE_ALARMS / (2 * TASKS)))


def measure_noise(runs: Sequence[ResultSet]) -> Noise:
    """Return the bounds of every task that the runs repeat.

    Runs of several models, dtypes or hardware classes may be mixed: each of them is measured by itself.

    Args:
        runs: at least five of each kind, with different batch plans.

    Raises:
        ConfigError: too few repeats, a run named twice, or all with one batch plan.
        IncompleteRunError: a run is not complete.
        IncomparableRunsError: repeats of a task differ in what was measured.
    """
    kinds: dict[tuple[str, str, str], list[ResultSet]] = {}
    for run in runs:
        if run.manifest["status"] != "complete" or not run.records:
            raise IncompleteRunError(f"{run.path}: the run is {run.manifest['status']!r}. Noise needs complete runs.")
        model, hardware = run.manifest["model"], hardware_class(run.manifest)
        if not hardware:
            raise ConfigError(f"{run.path}: its manifest does not say on which hardware it ran.")
        kinds.setdefault((model["model_name"], model["dtype"], hardware), []).append(run)
    if not kinds:
        raise ConfigError("no run was given.")
    measured: list[Measured] = []
    warnings: list[str] = []
    for (model_name, dtype, hardware), repeats in sorted(kinds.items()):
        what = f"{model_name} ({dtype}, {hardware})"
        _check_repeats(repeats, what)
        for task, spreads, scores in _spreads(repeats, what):
            sigma = max(spreads)
            least = max(SMALLEST_BOUND, FEWEST_OUTCOMES * _outcome(repeats[0], task))
            widest = max(max(one) - min(one) for one in scores) / POINT
            if widest > BUG_POINTS:
                warnings.append(
                    f"{task} of {what} moves by {widest:.2f} points with the batch plan. Look at padding and masks first; of "
                    "rounding alone only k-means, and tasks with few items, move so far."
                )
            measured.append(
                Measured(
                    task=task,
                    model=model_name,
                    dtype=dtype,
                    hardware=hardware,
                    repeats=len(repeats),
                    sigma=_rounded(sigma / POINT),
                    bound=_rounded(min(max(bound_factor(len(repeats)) * sigma, least) / POINT, MOST_POINTS)),
                )
            )
        if all(
            one.sigma == 0 for one in measured if (one.model, one.dtype, one.hardware) == (model_name, dtype, hardware)
        ):
            warnings.append(f"All repeats of {what} gave equal scores: the bounds are the smallest there are.")
    return Noise(tuple(measured), tuple(warnings))


def _check_repeats(repeats: Sequence[ResultSet], what: str) -> None:
    ids = [run.manifest["run_id"] for run in repeats]
    if len(set(ids)) < len(ids):
        raise ConfigError(f"{what}: a run is named twice; a copy is no repeat.")
    if len(repeats) < FEWEST_REPEATS:
        raise ConfigError(f"{what}: {len(repeats)} runs; at least {FEWEST_REPEATS} repeats are needed.")
    plans = {record["details"].get("batch_tokens") for run in repeats for record in run.records}
    if len(plans) < 2:
        raise ConfigError(
            f"{what}: all runs have the same batch plan, so they say nothing about rounding. Vary --batch-tokens."
        )
    for run in repeats:
        # With vectors from the store a run repeats the scoring alone.
        if not sum(int(row["texts_encoded"]) for record in run.records for row in record["rows"]):
            raise ConfigError(f"{run.path}: its vectors came from the store. Repeat it with --no-cache.")


def _spreads(repeats: Sequence[ResultSet], what: str) -> list[tuple[str, list[float], list[list[float]]]]:
    """Return, per task, the standard deviation and the scores in each configuration; all fractions."""
    by_run = [{(one["configuration"], one["task_name"]): one for one in run.records} for run in repeats]
    shared = sorted(set.intersection(*(set(records) for records in by_run)))
    if not shared:
        raise IncomparableRunsError(f"{what}: the runs have no task in common.")
    tasks: dict[str, tuple[list[float], list[list[float]]]] = {}
    for key in shared:
        same = [records[key] for records in by_run]
        _check_same(same, repeats)
        scores = [task_score(record) for record in same]
        # Of equal scores the mean may differ in its last digit.
        spread = statistics.stdev(scores) if len(set(scores)) > 1 else 0.0
        spreads, all_scores = tasks.setdefault(key[1], ([], []))
        spreads.append(spread)
        all_scores.append(scores)
    return [(task, *found) for task, found in sorted(tasks.items())]


def _outcome(run: ResultSet, task: str) -> float:
    """Return what one outcome that is right or wrong weighs in the score of a task; 0 for other metrics."""
    record = next(one for one in run.records if one["task_name"] == task)
    if record["identity"]["protocol"]["main_metric"] != "accuracy":
        return 0.0
    count = run.items(record["configuration"], task).num_rows
    return 1 / count if count else 0.0


def _check_same(records: Sequence[dict[str, Any]], runs: Sequence[ResultSet]) -> None:
    first = records[0]
    for record, run in zip(records, runs, strict=True):
        if record["result_key"] == first["result_key"]:
            continue
        for half in ("protocol", "subject"):
            before, after = first["identity"][half], record["identity"][half]
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    raise IncomparableRunsError(
                        f"{run.path}: {record['configuration']}/{record['task_name']} is no repeat of that in "
                        f"{runs[0].path}: {name} is {after.get(name)!r}, there {before.get(name)!r}."
                    )


def _rounded(points: float) -> float:
    """Return three significant digits."""
    return float(f"{points:.3g}")
