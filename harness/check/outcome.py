"""The result of a comparison as values: one entry per task and mean, verdicts, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.check.identity import Change
from harness.check.tolerance import Bound
from harness.errors import (
    EXIT_INCOMPLETE,
    EXIT_NOT_COMPARABLE,
    EXIT_OK,
    EXIT_REGRESSION,
    combine_exit_codes,
)


class Verdict(StrEnum):
    """What is to be thought of one task."""

    PASS = "PASS"  # noqa: S105 -- no password
    """No difference at all; against outside scores: within the tolerance."""
    WITHIN_NOISE = "WITHIN-NOISE"
    """A difference that rounding (same subject) or chance (changed subject) explains, or below the effect floor."""
    IMPROVED = "IMPROVED"
    REGRESSED = "REGRESSED"
    MISSING = "MISSING"
    """The baseline has it and the run has not."""
    NEW = "NEW"
    """The run has it and the baseline has not."""
    NOT_COMPARABLE = "NOT-COMPARABLE"


@dataclass(frozen=True)
class Comparison:
    """One task of one configuration, or the mean over the tasks of a configuration; scores are fractions."""

    configuration: str
    task: str
    verdict: Verdict
    task_type: str = ""
    part_of: str = ""
    """Aggregate of which the task is a part."""
    baseline_configuration: str = ""
    """Where it has another name there."""
    metric: str = ""
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    standard_error: float | None = None
    method: str = ""
    bound: Bound | None = None
    """Noise bound of an unchanged subject, or the tolerance for outside scores."""
    changed: tuple[Change, ...] = ()
    reason: str = ""
    """Why it cannot be compared, or what is missing."""
    is_mean: bool = False

    def with_verdict(self, verdict: Verdict, **values: object) -> Comparison:
        """Return this comparison judged."""
        return replace(self, verdict=verdict, **values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Outcome:
    """Everything that `check` and `compare` say."""

    baseline: str
    candidate: str
    comparisons: tuple[Comparison, ...]
    """Tasks by configuration, each configuration's mean behind its tasks."""
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    """What an outside score does not say and is taken to be equal."""
    allow_improved: bool = False
    incomplete: str = ""
    """Why the candidate as a whole is incomplete; empty if it is not."""

    @property
    def tasks(self) -> tuple[Comparison, ...]:
        """The comparisons of tasks, without the means."""
        return tuple(one for one in self.comparisons if not one.is_mean)

    def count(self, verdict: Verdict) -> int:
        """Return how many tasks have a verdict."""
        return sum(one.verdict == verdict for one in self.tasks)

    def fails(self, one: Comparison) -> bool:
        """Whether a comparison alone makes the check fail."""
        if one.verdict == Verdict.IMPROVED:
            # The same subject has no reason to become better: something is measured differently.
            return not self.allow_improved and one.bound is not None
        return one.verdict in (Verdict.REGRESSED, Verdict.MISSING, Verdict.NOT_COMPARABLE)

    @property
    def exit_code(self) -> int:
        """0, or the first that applies of 3 (incomplete), 4 (not comparable), 1 (moved beyond what is allowed)."""
        codes = [EXIT_OK] + ([EXIT_INCOMPLETE] if self.incomplete else [])
        special = {Verdict.MISSING: EXIT_INCOMPLETE, Verdict.NOT_COMPARABLE: EXIT_NOT_COMPARABLE}
        codes += [special.get(one.verdict, EXIT_REGRESSION) for one in self.comparisons if self.fails(one)]
        return combine_exit_codes(codes)

    @property
    def worst(self) -> tuple[Comparison, ...]:
        """The comparisons that fail, gravest first: those without a number, then the largest differences."""

        def gravity(one: Comparison) -> tuple[bool, float]:
            return (one.difference is not None, -abs(one.difference or 0.0))

        return tuple(sorted((one for one in self.comparisons if self.fails(one)), key=gravity))


def means_last(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return comparisons by configuration and task, the mean of a configuration behind its tasks."""
    return tuple(sorted(comparisons, key=lambda one: (one.configuration, one.is_mean, one.task)))
