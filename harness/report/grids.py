"""The tables beside the leaderboard as cells of text: few-shot against zero-shot, and what encoding costs."""

from __future__ import annotations

from typing import NamedTuple

from harness.report.comparison import CostRow, Difference, FewShotRow
from harness.report.resample import RESAMPLES
from harness.report.table import MODEL_TITLE, SHOTS_TITLE, TRAINED_MARK, LeaderboardRow, LeaderboardTable
from harness.report.text import GAP, percent, points, points_interval

FEW_SHOT_TITLE = "few-shot minus zero-shot"
COST_TITLE = "cost of encoding"
FEW_SHOT_CAPTION = (
    "Mean (Task) x 100 with and without examples, and the difference with its 95 % paired bootstrap interval "
    f"({RESAMPLES} resamples of the items). n-shot: number of examples, -s1: chosen by seed 1."
)
TASKS_CAPTION = "Differences x 100 to the same model without examples, with 95 % paired bootstrap intervals."
COST_CAPTION = (
    "Wall-clock time in the encoder, on the machine of the run and with its other load. ms/text and the multiple of "
    "zero-shot cover only tasks of which both encoded equally many texts; documents of retrieval are encoded once."
)
_FINGERPRINT_DIGITS = 8


class Grid(NamedTuple):
    """A table of text; what is not in `text_columns` is numbers, aligned right, and needs no escaping."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int]


def few_shot_grid(table: LeaderboardTable) -> Grid:
    """Return one line per few-shot row: both means side by side and their difference."""
    headers = (MODEL_TITLE, SHOTS_TITLE, "Prompt", "Examples", "Zero-shot", "Few-shot", "Difference", "95 % interval")
    rows = []
    for one in table.few_shot:
        row, base = table.rows[one.row], table.rows[one.zero_shot]
        rows.append(
            (
                row.name,
                row.key.shots,
                short_fingerprint(one),
                row.key.examples_set,
                percent(base.mean_task),
                percent(row.mean_task),
                points(one.mean.value),
                points_interval(one.mean.low, one.mean.high),
            )
        )
    return Grid(headers, tuple(rows), frozenset(range(4)))


def differences_grid(table: LeaderboardTable, *, per_task: bool) -> Grid:
    """Return differences with a line per task type and, if `per_task`, per task; a column per few-shot row."""
    rows = [table.rows[one.row] for one in table.few_shot]
    lines = [
        (task_type, "all tasks", *(_cell(one.types[place]) for one in table.few_shot))
        for place, task_type in enumerate(table.task_types)
    ]
    if per_task:
        for place, task in enumerate(table.tasks):
            cells = (
                mark(_cell(one.tasks[place]), row, task.name) for one, row in zip(table.few_shot, rows, strict=True)
            )
            lines.append((task.task_type, task.name, *cells))
    headers = ("Type", "Task", *(row.full_name for row in rows))
    return Grid(headers, tuple(lines), frozenset({0, 1}))


def cost_grid(table: LeaderboardTable) -> Grid:
    """Return one line per row that has encoded texts."""
    headers = (
        MODEL_TITLE,
        SHOTS_TITLE,
        "Texts",
        "Seconds",
        "Texts/s",
        "ms/text",
        "zero-shot ms/text",
        "x zero-shot",
        "Tasks compared",
    )
    rows = [(table.rows[cost.row].name, table.rows[cost.row].key.shots, *cost_cells(cost)) for cost in table.costs]
    return Grid(headers, tuple(rows), frozenset({0, 1}))


def cost_cells(cost: CostRow) -> tuple[str, ...]:
    """Return the numbers of a cost row as they are shown."""
    return (
        str(cost.texts_encoded),
        f"{cost.encode_seconds:.1f}",
        f"{cost.texts_per_second:.1f}",
        _milliseconds(cost.seconds_per_text),
        _milliseconds(cost.zero_shot_seconds_per_text),
        GAP if cost.relative is None else f"{cost.relative:.2f}",
        GAP if cost.zero_shot is None else str(cost.compared_tasks),
    )


def short_fingerprint(row: FewShotRow) -> str:
    """Return the first digits of a row's prompt fingerprint."""
    return row.prompt_fingerprint[:_FINGERPRINT_DIGITS] or GAP


def mark(shown: str, row: LeaderboardRow, task: str) -> str:
    """Return a shown number, marked if the row's model was trained on data of the task."""
    return f"{shown}{TRAINED_MARK}" if row.trained_on and task in row.trained_on and shown != GAP else shown


def _cell(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return points(difference.value)
    return f"{points(difference.value)} {points_interval(difference.low, difference.high)}"


def _milliseconds(seconds: float | None) -> str:
    return GAP if seconds is None else f"{1000 * seconds:.3f}"
