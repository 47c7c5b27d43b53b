"""An Outcome as a readable table, as markdown for a CI's summary, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.check.identity import shown
from harness.check.outcome import Comparison, Outcome, Verdict
from harness.report.text import GAP, escape_markdown, percent, plural, points, points_interval, visible

WORST = 5
_TITLES = ("Task", "Baseline", "Run", "Difference", "95 % interval", "adj. p", "Bound", "Verdict")
_LEFT = frozenset({"Task", "Verdict"})


def headline(outcome: Outcome) -> str:
    """Return one line: how it went, how many tasks have which verdict, and which means fail."""
    counts = ", ".join(f"{outcome.count(one)} {one}" for one in Verdict if outcome.count(one))
    words = {0: "passed", 1: "FAILED", 3: "INCOMPLETE", 4: "NOT COMPARABLE"}
    means = [one for one in outcome.comparisons if one.is_mean and outcome.fails(one)]
    several = len({one.configuration for one in outcome.comparisons}) > 1
    told = "".join(f"; mean{f' of {one.configuration}' if several else ''} {one.verdict}" for one in means)
    return f"check {words.get(outcome.exit_code, 'FAILED')}: {counts or 'no task'}{told}"


def terminal(outcome: Outcome, *, title: str) -> str:
    """Return the table, the worst five, and the notes as plain text."""
    lines = [title, ""]
    several = len({one.configuration for one in outcome.comparisons}) > 1
    rows = [_cells(one, several=several) for one in outcome.comparisons]
    lines += _table(rows)
    lines += ["", "Scores and differences x 100; p adjusted by Holm over all tests."]
    lines += [f"Note: {note}" for note in outcome.notes]
    if outcome.assumed:
        lines.append(f"Assumed to be equal, because the other side does not say: {', '.join(outcome.assumed)}.")
    if outcome.incomplete:
        lines.append(f"Incomplete: {visible(outcome.incomplete)}")
    if outcome.worst:
        lines += ["", f"Worst {min(WORST, len(outcome.worst))} of {len(outcome.worst)}:"]
        lines += [f"  {sentence(one)}" for one in outcome.worst[:WORST]]
    return "\n".join(lines)


def sentence(one: Comparison) -> str:
    """Return what is wrong with one comparison, with both scores, interval and adjusted p."""
    name = visible(f"{one.configuration}/{one.task}")
    if one.difference is None or one.verdict == Verdict.NOT_COMPARABLE:
        return f"{name}: {one.verdict} ({visible(one.reason)})"
    parts = [f"{percent(one.baseline)} -> {percent(one.candidate)} ({points_fine(one.difference)}"]
    if one.low is not None:
        parts.append(f"95 % interval {points_interval(one.low, one.high)}")
    if one.p_adjusted is not None:
        parts.append(f"adjusted p {probability(one.p_adjusted)}")
    if one.bound is not None:
        parts.append(f"bound {bound_points(one)}, {visible(one.bound.source)}")
    return f"{name}: {one.verdict} {', '.join(parts)})"


def points_fine(difference: float | None) -> str:
    """Return a difference in points; one that two digits would hide keeps its first digit."""
    if difference is None or difference == 0 or abs(difference) >= 0.00005:
        return points(difference)
    return f"{100 * difference:+.1e}"


def probability(p: float | None) -> str:
    """Return a p value with two digits that matter."""
    if p is None:
        return GAP
    return f"{p:.2f}" if p >= 0.095 else f"{p:.2g}"


def bound_points(one: Comparison) -> str:
    """Return a bound in points, marked where it is not measured."""
    if one.bound is None:
        return GAP
    return f"{100 * one.bound.value:.3f}".rstrip("0").rstrip(".") + ("" if one.bound.measured else "*")


def _cells(one: Comparison, *, several: bool) -> tuple[str, ...]:
    name = f"{one.configuration}/{one.task}" if several else one.task
    if one.baseline_configuration not in ("", one.configuration):
        name += f" (against {one.baseline_configuration})"
    return (
        visible(name),
        percent(one.baseline),
        percent(one.candidate),
        points_fine(one.difference),
        points_interval(one.low, one.high),
        probability(one.p_adjusted),
        bound_points(one),
        str(one.verdict),
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[place]) for row in (_TITLES, *rows)) for place in range(len(_TITLES))]
    lines = [
        "  ".join(
            cell.ljust(width) if title in _LEFT else cell.rjust(width)
            for cell, width, title in zip(row, widths, _TITLES, strict=True)
        ).rstrip()
        for row in (_TITLES, *rows)
    ]
    return [lines[0], "-" * max(len(line) for line in lines), *lines[1:]]


def markdown(outcome: Outcome) -> str:
    """Return headline, worst five and table as GitHub markdown; names are escaped."""
    lines = [f"### {escape_markdown(headline(outcome))}", ""]
    lines += [f"- {escape_markdown(sentence(one))}" for one in outcome.worst[:WORST]]
    if outcome.incomplete:
        lines.append(f"- {escape_markdown(outcome.incomplete)}")
    lines += ["", f"| {' | '.join(_TITLES)} |", "|--|--:|--:|--:|--:|--:|--:|--|"]
    several = len({one.configuration for one in outcome.comparisons}) > 1
    lines += [
        "| " + " | ".join(escape_markdown(cell) for cell in _cells(one, several=several)) + " |"
        for one in outcome.comparisons
    ]
    notes = [*outcome.notes, *(["Assumed to be equal: " + ", ".join(outcome.assumed)] if outcome.assumed else [])]
    lines += ["", *(f"{escape_markdown(note)}  " for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def document(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as values for JSON; scores and differences are fractions."""
    return {
        "exit_code": outcome.exit_code,
        "headline": headline(outcome),
        "baseline": outcome.baseline,
        "candidate": outcome.candidate,
        "tasks": [_entry(one, outcome) for one in outcome.comparisons if not one.is_mean],
        "means": [_entry(one, outcome) for one in outcome.comparisons if one.is_mean],
        "worst": [f"{one.configuration}/{one.task}" for one in outcome.worst[:WORST]],
        "incomplete": outcome.incomplete,
        "assumed": list(outcome.assumed),
        "notes": list(outcome.notes),
    }


def _entry(one: Comparison, outcome: Outcome) -> dict[str, Any]:
    bound = one.bound
    return {
        "configuration": one.configuration,
        "baseline_configuration": one.baseline_configuration or one.configuration,
        "task": one.task,
        "task_type": one.task_type,
        "metric": one.metric,
        "verdict": str(one.verdict),
        "fails": outcome.fails(one),
        "baseline": one.baseline,
        "candidate": one.candidate,
        "difference": one.difference,
        "interval": None if one.low is None else [one.low, one.high],
        "p": one.p,
        "p_adjusted": one.p_adjusted,
        "method": one.method,
        "bound": None if bound is None else {"value": bound.value, "measured": bound.measured, "source": bound.source},
        "changed": [
            {"group": change.group, "field": change.field, "baseline": change.baseline, "candidate": change.candidate}
            for change in one.changed
        ],
        "reason": one.reason,
    }


def changes_list(outcome: Outcome) -> list[str]:
    """Return in which parts of the identity the compared tasks differ, one line each, with both values."""
    found: dict[str, None] = {}
    for one in outcome.tasks:
        if one.verdict == Verdict.NOT_COMPARABLE:
            continue
        for change in one.changed:
            values = f"{shown(change.baseline)} -> {shown(change.candidate)}"
            same = all(
                (change.field, change.baseline, change.candidate)
                in [(c.field, c.baseline, c.candidate) for c in other.changed]
                for other in outcome.tasks
                if other.changed
            )
            found[f"{change.field} ({change.group}): {values if same else 'differs by task'}"] = None
    return list(found)


def summary_line(outcome: Outcome) -> str:
    """Return how many tasks were compared and how many could not be."""
    lost = sum(outcome.count(one) for one in (Verdict.MISSING, Verdict.NEW, Verdict.NOT_COMPARABLE))
    return f"{plural(len(outcome.tasks) - lost, 'task')} compared, {lost} not."
