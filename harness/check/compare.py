"""Two sets of results side by side: aligned, checked for comparability, tested, judged. Pure: values in, an Outcome out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.check.baseline_file import task_score
from harness.check.identity import SUBJECT_GROUPS, changes, refused, shown
from harness.check.outcome import Comparison, Outcome, Verdict, means_last
from harness.check.significance import (
    RESAMPLES,
    SIGNIFICANCE,
    holm,
    normal_p,
    paired_test,
)
from harness.check.tolerance import EFFECT_FLOOR, Bound, Tolerances, hardware_class
from harness.errors import ConfigError
from harness.report.item_pairs import NotPairedError
from harness.report.text import plural, shorten
from harness.store.stored_run import ResultSet

ALL_CHANGES = frozenset({*SUBJECT_GROUPS, "other"})
SAME_SCORE = 1e-4
"""How far a score made from items may be from the stored one, which mteb rounds to five decimals."""
_Z95 = 1.959963984540054
"""97.5 % point of the normal distribution."""
Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What a comparison allows and how hard it looks."""

    allowed: frozenset[str] = frozenset()
    """Names of SUBJECT_GROUPS that may differ."""
    allow_improved: bool = False
    effect_floor: float = EFFECT_FLOOR
    """The smallest difference of a changed subject that counts, a fraction."""
    resamples: int = RESAMPLES
    configurations: Mapping[str, str] = field(default_factory=dict)
    """Configuration of the candidate -> the baseline's that it is compared with; the others by equal names."""
    complete: bool = True
    """Whether a task of the baseline that the candidate lacks is MISSING, and an unfinished run incomplete."""


def check_results(
    candidate: ResultSet, baseline: ResultSet, tolerances: Tolerances | None = None, options: CheckOptions | None = None
) -> Outcome:
    """Compare the results of a run with those of another run or of a baseline.

    Args:
        candidate: what is judged.
        baseline: what it is judged by.
        tolerances: noise bounds of unchanged subjects; start values by default.
        options: what is allowed.

    Raises:
        ConfigError: an unknown name in `allowed`, or configurations that are not there.
    """
    options = options or CheckOptions()
    tolerances = tolerances or Tolerances()
    if unknown := sorted(options.allowed - ALL_CHANGES):
        raise ConfigError(f"--allow-change {unknown[0]!r} is not one of {', '.join(sorted(ALL_CHANGES))}.")
    hardware = hardware_class(candidate.manifest)
    if hardware != hardware_class(baseline.manifest):
        hardware = ""
    before, after = _by_key(baseline.records), _by_key(candidate.records)
    selected = _selected(before, after, options)
    comparisons = []
    for key in sorted(after):
        configuration, task = key
        if configuration not in selected:
            continue
        other = (selected[configuration], task)
        if other not in before:
            comparisons.append(_new(after[key]))
            continue
        comparisons.append(_compare(candidate, baseline, after[key], before[other], tolerances, hardware, options))
    comparisons += [
        _missing(before[base, task], configuration)
        for configuration, base in selected.items()
        for name, task in sorted(before)
        if name == base and (configuration, task) not in after
    ]
    if options.complete:
        # Whole configurations that the baseline has and the run has not.
        used = set(selected.values())
        comparisons += [
            _missing(record, name)
            for (name, _), record in sorted(before.items())
            if name not in used and not options.configurations
        ]
    else:
        comparisons = [one for one in comparisons if one.verdict != Verdict.MISSING]
    comparisons += _means(comparisons)
    judged = _judged(comparisons, options)
    return Outcome(
        baseline=str(baseline.path),
        candidate=str(candidate.path),
        comparisons=means_last(judged),
        notes=tuple(_notes(judged, candidate, options)),
        allow_improved=options.allow_improved,
        incomplete=_incomplete(candidate) if options.complete else "",
    )


def _by_key(records: Sequence[Record]) -> dict[tuple[str, str], Record]:
    return {(one["configuration"], one["task_name"]): one for one in records}


def _selected(
    before: Mapping[tuple[str, str], Record], after: Mapping[tuple[str, str], Record], options: CheckOptions
) -> dict[str, str]:
    """Return candidate configuration -> baseline configuration."""
    bases, names = sorted({name for name, _ in before}), sorted({name for name, _ in after})
    for side, wanted, there in (
        ("run", options.configurations.keys(), names),
        ("baseline", options.configurations.values(), bases),
    ):
        absent = sorted(set(wanted) - set(there))
        if absent:
            raise ConfigError(f"no configuration {absent[0]!r} in the {side}; it has {', '.join(there) or 'none'}.")
    if options.configurations:
        return dict(options.configurations)
    return {name: name for name in names}


def _describe(record: Record) -> dict[str, Any]:
    main = next(row for row in record["rows"] if row["is_main"])
    names = {"task": record["task_name"], "task_type": main["task_type"], "metric": main["metric"]}
    return {**names, "part_of": main["part_of"]}


def _new(record: Record) -> Comparison:
    return Comparison(
        configuration=record["configuration"],
        verdict=Verdict.NEW,
        candidate=task_score(dict(record)),
        reason="the baseline does not have it",
        **_describe(record),
    )


def _missing(record: Record, configuration: str) -> Comparison:
    return Comparison(
        configuration=configuration,
        verdict=Verdict.MISSING,
        baseline=task_score(dict(record)),
        reason="the run does not have it",
        **_describe(record),
    )


def _compare(
    candidate: ResultSet,
    baseline: ResultSet,
    record: Record,
    base: Record,
    tolerances: Tolerances,
    hardware: str,
    options: CheckOptions,
) -> Comparison:
    """Compare one task; the verdict of a changed subject waits for the adjustment over all tasks."""
    found = changes(base["identity"], record["identity"])
    old, new = task_score(dict(base)), task_score(dict(record))
    one = Comparison(
        configuration=record["configuration"],
        baseline_configuration=base["configuration"],
        verdict=Verdict.PASS,
        baseline=old,
        candidate=new,
        difference=new - old,
        changed=tuple(found),
        **_describe(record),
    )
    against = refused(found, options.allowed)
    if _cells(base) != _cells(record):
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason="splits and subsets with a score differ")
    if against:
        parts = [f"{change.field} {shown(change.baseline)} -> {shown(change.candidate)}" for change in against]
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason="; ".join(parts))
    if not found:
        subject = record["identity"]["subject"]
        bound = tolerances.bound(
            one.task, one.task_type, model=subject["model_name"], dtype=subject["dtype"], hardware=hardware
        )
        return replace(one, bound=bound)
    try:
        test = paired_test(
            dict(base),
            baseline.items(base["configuration"], one.task),
            candidate.items(record["configuration"], one.task),
            resamples=options.resamples,
        )
    except NotPairedError as error:
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason=f"no paired test: {error}")
    if not abs(test.difference - (new - old)) <= 2 * SAME_SCORE:  # NaN is no agreement either
        reason = f"no paired test: items give {100 * test.difference:+.3f} points, scores {100 * (new - old):+.3f}"
        return one.with_verdict(Verdict.NOT_COMPARABLE, reason=reason)
    return replace(one, low=test.low, high=test.high, p=test.p, standard_error=test.standard_error, method=test.method)


def _cells(record: Record) -> set[tuple[str, str, str]]:
    return {(row["split"], row["hf_subset"], row["metric"]) for row in record["rows"] if row["is_main"]}


def _means(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the mean over the comparable tasks of each configuration with at least two of them.

    As in a leaderboard, the parts of an aggregate count as one task together.
    """
    means = []
    for configuration in sorted({one.configuration for one in comparisons}):
        tasks = [
            one
            for one in comparisons
            if one.configuration == configuration
            and one.verdict not in (Verdict.NOT_COMPARABLE, Verdict.MISSING, Verdict.NEW)
        ]
        if len(tasks) < 2:
            continue
        sizes = Counter(one.part_of or one.task for one in tasks)
        weights = [1 / (len(sizes) * sizes[one.part_of or one.task]) for one in tasks]
        old = _weighted(weights, [one.baseline for one in tasks])
        # From the differences, so that equal scores differ by exactly nothing.
        new = old + _weighted(weights, [one.difference for one in tasks])
        mean = Comparison(
            configuration=configuration,
            task=f"Mean ({plural(len(sizes), 'task')})",
            verdict=Verdict.PASS,
            baseline=old,
            candidate=new,
            difference=new - old,
            is_mean=True,
        )
        bounds = [one.bound for one in tasks if one.bound is not None]
        if len(bounds) == len(tasks):
            # Independent errors add in quadrature.
            value = _quadrature(weights, [bound.value for bound in bounds])
            source = "from the tasks' bounds" + (
                "" if all(bound.measured for bound in bounds) else ", not all measured"
            )
            mean = replace(mean, bound=Bound(value, all(bound.measured for bound in bounds), source))
        else:
            error = _quadrature(weights, [_error(one) for one in tasks])
            mean = replace(
                mean,
                standard_error=error,
                p=normal_p(new - old, error),
                low=new - old - _Z95 * error,
                high=new - old + _Z95 * error,
                method="normal, from the tasks' standard errors",
            )
        means.append(mean)
    return means


def _weighted(weights: Sequence[float], values: Sequence[float | None]) -> float:
    return math.fsum(weight * (value or 0.0) for weight, value in zip(weights, values, strict=True))


def _quadrature(weights: Sequence[float], errors: Sequence[float]) -> float:
    return math.sqrt(math.fsum((weight * error) ** 2 for weight, error in zip(weights, errors, strict=True)))


def _error(one: Comparison) -> float:
    """Return the standard error of a task's difference; that of an unchanged subject is rounding alone."""
    if one.bound is None:
        return one.standard_error or 0.0
    # Bounds are three to five standard deviations of a difference.
    return one.bound.value / 3


def _judged(comparisons: Sequence[Comparison], options: CheckOptions) -> list[Comparison]:
    """Return the comparisons with their verdicts; p values are adjusted over all of them."""
    tested = [place for place, one in enumerate(comparisons) if one.p is not None]
    adjusted = dict(zip(tested, holm([comparisons[place].p or 0.0 for place in tested]), strict=True))
    return [_verdict(one, adjusted.get(place), options) for place, one in enumerate(comparisons)]


def _verdict(one: Comparison, p_adjusted: float | None, options: CheckOptions) -> Comparison:
    if one.verdict != Verdict.PASS or one.difference is None:
        return one
    difference = one.difference
    if difference == 0:
        return replace(one, p_adjusted=p_adjusted)
    moved = Verdict.IMPROVED if difference > 0 else Verdict.REGRESSED
    if one.bound is not None:
        beyond = abs(difference) > one.bound.value
    else:
        beyond = (p_adjusted or 0.0) < SIGNIFICANCE and abs(difference) >= options.effect_floor
    return one.with_verdict(moved if beyond else Verdict.WITHIN_NOISE, p_adjusted=p_adjusted)


def _incomplete(candidate: ResultSet) -> str:
    status = candidate.manifest.get("status")
    if status == "complete":
        return ""
    failed = sorted(candidate.manifest.get("failures", {}))
    why = f": {shorten(failed)} failed" if failed else ""
    return f"the run is marked {status!r}{why}. Give its command again."


def _notes(judged: Sequence[Comparison], candidate: ResultSet, options: CheckOptions) -> list[str]:
    notes = []
    limited = sorted({one["task_name"] for one in candidate.records if one["identity"]["protocol"]["limit"]})
    if limited:
        notes.append(f"A --limit run: {plural(len(limited), 'task')} on part of the data only.")
    wholes = sorted({one.part_of for one in judged if one.part_of})
    if wholes:
        notes.append(f"Parts of an aggregate count as one task in the mean: {shorten(wholes, 3)}.")
    start = [one for one in judged if one.bound is not None and not one.bound.measured and not one.is_mean]
    if start:
        notes.append(
            f"Noise bounds of {plural(len(start), 'task')} are start values, not measured here: icl-harness noise measures them."
        )
    tested = [one for one in judged if one.verdict != Verdict.NOT_COMPARABLE]
    groups = sorted({change.group for one in tested for change in one.changed})
    if groups:
        notes.append(f"Changed and allowed: {', '.join(groups)}. Such tasks are judged by the paired test.")
    if any(one.method.startswith("Student") for one in judged):
        notes.append(
            "Tests over the repeats of a protocol (clusterings, documents) speak of these repeats; the repeats may share texts."
        )
    return notes
