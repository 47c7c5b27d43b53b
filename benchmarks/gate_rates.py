"""How often the gate errs: simulated and real runs through the decision that `check` makes, a flat rule beside it."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gate_faults import FAULTS, records_of, write_run
from benchmarks.gate_simulation import (
    Key,
    MemoryResults,
    TaskPair,
    drop_of,
    equal_subjects,
    results_of,
    shifted,
    worsen,
)
from harness.check.baseline_file import task_score
from harness.check.noise import measure_noise
from harness.check.tolerance import EFFECT_FLOOR, Tolerances

FLAT = 0.001
"""The one tolerance of mteb's results repository: 0.1 points for every task."""
CALIBRATION = 8
"""Repeats from which the bounds of a simulation are measured."""


class Decision(NamedTuple):
    """What the gate says about a run."""

    exit_code: int
    regressed: frozenset[Key]


Decide = Callable[..., Decision]
"""(run, baseline, tolerances, allow_change) -> Decision"""


@dataclass
class Rate:
    """How often something was said."""

    what: str
    promised: str
    runs: int = 0
    gate: int = 0
    flat: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return how often the gate said it."""
        return self.gate / self.runs if self.runs else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the gate's rate (Wilson)."""
        z, n, p = 1.959964, self.runs, self.share
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max((middle - half) / (1 + z * z / n), 0.0), min((middle + half) / (1 + z * z / n), 1.0)


def flat_alarm(run: Any, baseline: Any, *, only: Key | None = None) -> bool:
    """Say whether a flat tolerance alarms: some score differs by more than FLAT (with `only`: that score is lower)."""
    old = {(one["configuration"], one["task_name"]): task_score(one) for one in baseline.records}
    for record in run.records:
        key = record["configuration"], record["task_name"]
        difference = task_score(record) - old[key]
        if (only is None and abs(difference) > FLAT) or (key == only and difference < -FLAT):
            return True
    return False


# (a) Numerical noise alone.


def noise_simulated(decide: Decide, repeats: Sequence[Any], rng: np.random.Generator, runs: int, rate: Rate) -> Rate:
    """Simulate normal noise of the size that the repeats have, measure bounds from it, and check one clean run.

    Args:
        decide: the gate.
        repeats: real repeats of one model and dtype.
        rng: source of the draws.
        runs: how many runs to simulate.
        rate: where the counts are added.
    """
    keys = [(one["configuration"], one["task_name"]) for one in repeats[0].records]
    sigma = {key: float(np.std([_score(run, key) for run in repeats], ddof=1)) for key in keys}
    centre = {key: float(np.mean([_score(run, key) for run in repeats])) - _score(repeats[0], key) for key in keys}

    def draw(number: int) -> MemoryResults:
        noise = {key: centre[key] + sigma[key] * rng.standard_normal() for key in keys}
        return _planned(shifted(repeats[0], noise.__getitem__), number)

    for _ in range(runs):
        calibration = [draw(number) for number in range(CALIBRATION)]
        _count(decide, rate, draw(90), draw(91), Tolerances(measure_noise(calibration).measured))
    return rate


def noise_real(decide: Decide, repeats: Sequence[Any], rng: np.random.Generator, runs: int, rate: Rate) -> Rate:
    """Measure bounds from some real repeats and check one of the others against yet another.

    Args:
        decide: the gate.
        repeats: at least two more real repeats of one model and dtype than `measure_noise` needs.
        rng: source of the draws.
        runs: how many splits to draw.
        rate: where the counts are added.
    """
    size = calibration_size(repeats)
    for _ in range(runs):
        order = [repeats[place] for place in rng.permutation(len(repeats))]
        tolerances = Tolerances(measure_noise(order[:size]).measured)
        _count(decide, rate, order[size], order[size + 1], tolerances)
    return rate


def calibration_size(repeats: Sequence[Any]) -> int:
    """Return from how many of some repeats bounds are measured: CALIBRATION, or all but two."""
    return min(CALIBRATION, len(repeats) - 2)


def noise_unmeasured(decide: Decide, repeats: Sequence[Any], rate: Rate) -> Rate:
    """Check every real repeat against every other with the start values."""
    for first in repeats:
        for second in repeats:
            if first is not second:
                _count(decide, rate, first, second, Tolerances())
    return rate


def _planned(results: MemoryResults, number: int) -> MemoryResults:
    results.manifest = {**results.manifest, "run_id": f"draw{number}"}
    for record in results.records:
        record["details"] = {**record["details"], "batch_tokens": number + 1}
        for row in record["rows"]:
            row["texts_encoded"] = 1
    return results


def _count(decide: Decide, rate: Rate, run: Any, baseline: Any, tolerances: Tolerances) -> None:
    rate.runs += 1
    rate.gate += decide(run, baseline, tolerances).exit_code != 0
    rate.flat += flat_alarm(run, baseline)


def _score(run: Any, key: Key) -> float:
    return next(task_score(one) for one in run.records if (one["configuration"], one["task_name"]) == key)


# (b) A changed subject of equal quality, (c) a drop.


OTHER = {"weights_sha": "e" * 64, "model_revision": "e" * 16}
ALLOWED = ("weights",)


def equal_quality(
    decide: Decide, manifest: Any, pairs: Sequence[TaskPair], rng: np.random.Generator, runs: int, rate: Rate
) -> Rate:
    """Check changed subjects whose expected scores are those of the baseline on every task."""
    for _ in range(runs):
        sides = [(pair, *equal_subjects(pair, rng)) for pair in pairs]
        baseline = results_of(manifest, [(pair, first) for pair, first, _ in sides])
        run = results_of(manifest, [(pair, second) for pair, _, second in sides], subject=OTHER)
        rate.runs += 1
        rate.gate += decide(run, baseline, Tolerances(), ALLOWED).exit_code != 0
        rate.flat += flat_alarm(run, baseline)
    return rate


def drops(
    decide: Decide,
    manifest: Any,
    pairs: Sequence[TaskPair],
    rng: np.random.Generator,
    runs: int,
    rate: Rate,
    *,
    precise: bool = True,
) -> Rate:
    """Check changed subjects of which one task has dropped by max(5 paired standard errors, twice the effect floor)."""
    ready = []
    for pair in pairs:
        drop = drop_of(pair, rng, errors=5, least=2 * EFFECT_FLOOR, draws=12 if precise else 4)
        where = "/".join(pair.key)
        if drop is None:
            rate.notes.append(f"{where}: five standard errors are more than the whole score; not in the test")
        else:
            ready.append((pair, drop))
            rate.notes.append(f"{where}: drop {100 * drop.drop:.2f} points, standard error {100 * drop.error:.2f}")
    for number in range(runs):
        target, drop = ready[number % len(ready)]
        baseline_sides, run_sides = [], []
        for pair in pairs:
            first, second = equal_subjects(pair, rng)
            baseline_sides.append((pair, first))
            run_sides.append((pair, worsen(pair, second, drop.strength, rng) if pair is target else second))
        baseline = results_of(manifest, baseline_sides)
        run = results_of(manifest, run_sides, subject=OTHER)
        decision = decide(run, baseline, Tolerances(), ALLOWED)
        rate.runs += 1
        rate.gate += target.key in decision.regressed and decision.exit_code == 1
        rate.flat += flat_alarm(run, baseline, only=target.key)
    return rate


# (d) Structural faults.


class FaultResult(NamedTuple):
    """One structural fault in one task."""

    fault: str
    task: str
    exit_code: int
    found: bool
    flat: bool | None
    """Whether a flat tolerance on the scores alone would have seen it; None where it cannot read the run."""


def structural(check: Callable[[Path], int], baseline: Any, places: Sequence[int]) -> Iterator[FaultResult]:
    """Put every fault into copies of a sound run and say what `check` makes of it.

    Args:
        check: runs the command on a run directory and returns its exit code.
        baseline: what the run is compared with.
        places: which of its tasks get the faults.
    """
    with tempfile.TemporaryDirectory() as name:
        sound = write_run(baseline, Path(name) / "sound")
        if check(sound) != 0:
            raise RuntimeError("the sound run does not pass")
        old = {(one["configuration"], one["task_name"]): task_score(one) for one in baseline.records}
        for fault in FAULTS:
            for place in places:
                folder = Path(name) / "faulty"
                shutil.copytree(sound, folder)
                records = records_of(folder)
                task = f"{records[place]['configuration']}/{records[place]['task_name']}"
                fault.put(folder, records, place)
                code = check(folder)
                yield FaultResult(fault.name, task, code, code in fault.codes, _flat_sees(folder, old))
                shutil.rmtree(folder)


def _flat_sees(folder: Path, old: dict[Key, float]) -> bool | None:
    """Compare scores as a flat check does: those that are there, percentages taken as such, hashes not looked at."""
    try:
        records = records_of(folder)
    except ValueError:
        return None
    seen = False
    for record in records:
        score = task_score(record)
        score = score / 100 if score > 1 else score
        before = old.get((record["configuration"], record["task_name"]))
        seen |= before is not None and abs(score - before) > FLAT
    return seen
