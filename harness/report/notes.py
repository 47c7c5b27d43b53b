"""The sentences under a table: what was left out, and what must not be compared."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.rows import COMPARED, Collected, RowScores
from harness.report.table import TRAINED_MARK, UNSEEN_TITLE, LeaderboardRow, RowKey
from harness.report.tasks import CountedTask
from harness.report.text import plural, shorten

_MOST_GAP_NOTES = 5
_VARIANT_NOTE = {
    "metric": "was scored with different main metrics",
    "dataset_revision": "was run on different data set revisions",
}


def table_notes(
    tasks: Sequence[CountedTask],
    rows: Sequence[LeaderboardRow],
    collected: Collected,
    *,
    left_out: Sequence[RowKey],
    chosen: bool,
) -> list[str]:
    """Return the notes of one table as plain text.

    Args:
        tasks: the table's columns.
        rows: the table's rows.
        collected: everything that was read.
        left_out: rows that have no task of the benchmark.
        chosen: whether the user named the benchmark, so that uncounted tasks are worth a note.
    """
    covered = frozenset().union(*(task.covers for task in tasks))
    notes = [f"{task.name} is the mean of its {len(task.parts)} parts and counts once." for task in tasks if task.parts]
    notes += _gap_notes(tasks, rows)
    notes += _reference_notes(tasks, rows, collected)
    if any(row.key.partial for row in rows):
        notes.append(
            "Partial rows come from --limit runs, which are for testing only: they are ranked among themselves, "
            "after the others, and never count as a best value."
        )
    if any(row.trained_on for row in rows):
        notes.append(
            f"{UNSEEN_TITLE}: over the tasks of whose data the model's training did not use any, as its authors state; "
            f"{TRAINED_MARK} marks the others. '-' where nobody states it. Models differ in these tasks."
        )
    for name, message in _VARIANT_NOTE.items():
        differing = {
            task: values
            for (task, _), values in sorted(collected.variants[name].items())
            if task in covered and len(values) > 1
        }
        for task, values in differing.items():
            notes.append(f"{task} {message} ({shorten(sorted(values))}): do not compare its scores.")
    for task, types in sorted(collected.task_types.items()):
        if task in covered and len(types) > 1:
            notes.append(f"{task} has several task types in these runs ({', '.join(sorted(types))}).")
    if left_out:
        names = [
            f"reference {key.reference}" if key.reference else f"{key.model_name} ({key.configuration})"
            for key in left_out
        ]
        notes.append(f"Left out, without any task of this benchmark: {shorten(names)}.")
    if collected.unscored:
        names = [f"{key.model_name} ({key.configuration})" for key in collected.unscored]
        notes.append(f"Left out, without any main score: {shorten(names)}.")
    outside = sorted({name for row in collected.deciding for name in row.cells} - covered)
    if chosen and outside:
        notes.append(f"Not counted, {plural(len(outside), 'task')} outside this benchmark: {shorten(outside)}.")
    return notes


def _gap_notes(tasks: Sequence[CountedTask], rows: Sequence[LeaderboardRow]) -> list[str]:
    """Name the missing tasks, once for all rows that miss the same ones."""
    missing: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        gaps = tuple(task.name for task, score in zip(tasks, row.task_scores, strict=True) if score is None)
        if gaps and not row.averages_only:
            missing.setdefault(gaps, []).append(row.full_name)
    notes = [
        f"No complete score for {plural(len(gaps), 'task')} ({shorten(list(gaps), 3)}): {shorten(names, 3, '; ')}."
        for gaps, names in missing.items()
    ]
    more = sum(len(names) for names in list(missing.values())[_MOST_GAP_NOTES:])
    notes[_MOST_GAP_NOTES:] = [f"{plural(more, 'more row')} with missing scores."] if more else []
    if notes:
        notes.append("A row with a missing score has no mean and is ranked after every full row.")
    return notes


def _reference_notes(tasks: Sequence[CountedTask], rows: Sequence[LeaderboardRow], collected: Collected) -> list[str]:
    """Say what reference rows are, and where they measured something else than the other rows."""
    shown = [row for row in rows if row.key.reference]
    if not shown:
        return []
    notes = ["Reference rows are scores from elsewhere; no run that is shown here measured them."]
    if any(row.rank is None and not row.averages_only for row in shown):
        notes[0] += " They have no rank and are never a best value, unless --rank-references is given."
    averages = [row.key.reference for row in shown if row.averages_only]
    if averages:
        notes.append(
            f"Averages as printed, without scores of tasks and never ranked: {shorten(averages)}; "
            "the metrics of other rows may differ."
        )
    keys = {row.key for row in shown}
    references = [row for row in collected.rows if row.key in keys]
    return notes + [note for what in COMPARED for note in _difference_notes(what, tasks, references, collected)]


def _difference_notes(
    what: str, tasks: Sequence[CountedTask], references: Sequence[RowScores], collected: Collected
) -> list[str]:
    """Name the tasks of which references hold another metric or data set revision than the runs.

    Without a run that has the task, its registered metric is what a reference is compared with.
    """
    # (theirs, ours) -> tasks -> references
    found: dict[tuple[str, str], dict[tuple[str, ...], list[str]]] = {}
    for row in references:
        differing: dict[tuple[str, str], dict[str, None]] = {}
        for task in tasks:
            for name, cells in task.cells.items():
                for cell in sorted(cells):
                    theirs = row.compared.get((name, cell), {}).get(what, "")
                    registered = {task.main_metric} - {""} if what == "metric" else set()
                    ours = collected.variants[what].get((name, cell)) or registered
                    if theirs and ours and theirs not in ours:
                        pair = (theirs, " or ".join(sorted(ours))) if what == "metric" else ("", "")
                        differing.setdefault(pair, {})[task.name] = None
        for pair, names in differing.items():
            found.setdefault(pair, {}).setdefault(tuple(names), []).append(row.key.reference)
    return [
        (f"Other metric, {theirs} instead of {ours}" if what == "metric" else "Other data set revision")
        + f": {shorten(list(names))} of reference {shorten(sorted(set(holders)))}. Do not compare these scores closely."
        for (theirs, ours), groups in found.items()
        for names, holders in groups.items()
    ]
