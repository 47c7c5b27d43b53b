"""The leaderboard as GitHub markdown."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.grids import (
    COST_CAPTION,
    COST_TITLE,
    FEW_SHOT_CAPTION,
    FEW_SHOT_TITLE,
    TASKS_CAPTION,
    Grid,
    cost_grid,
    differences_grid,
    few_shot_grid,
    mark,
)
from harness.report.table import CAPTION, MODEL_TITLE, SHOTS_TITLE, Column, LeaderboardTable
from harness.report.text import escape_markdown, percent, plural


def render_markdown(tables: Sequence[LeaderboardTable], *, per_task: bool = False) -> str:
    """Return the tables as one markdown document; the best value of each column is bold.

    Each leaderboard is followed by its rows with examples against those without, and by what encoding took.

    Args:
        tables: what to show, in order.
        per_task: whether a table with every task follows each leaderboard.
    """
    return "\n".join(_render(table, per_task=per_task) for table in tables)


def _render(table: LeaderboardTable, *, per_task: bool) -> str:
    columns = [*table.mean_columns(), *table.type_columns()]
    lines = [f"# {escape_markdown(table.title)} ({plural(len(table.tasks), 'task')})", ""]
    lines += _row([table.rank_title, MODEL_TITLE, SHOTS_TITLE, *(escape_markdown(column.title) for column in columns)])
    lines += _row(["---:", "---", "---:", *("---:" for _ in columns)])
    cells = [_cells(table, column) for column in columns]
    for index, row in enumerate(table.rows):
        text = [row.rank_text, escape_markdown(row.name), escape_markdown(row.key.shots)]
        lines += _row([*text, *(column[index] for column in cells)])
    lines += ["", CAPTION, ""]
    if table.notes:
        lines += [*(f"- {escape_markdown(note)}" for note in table.notes), ""]
    if per_task:
        lines += _per_task(table)
    if table.few_shot:
        lines += _section(table, FEW_SHOT_TITLE, few_shot_grid(table), FEW_SHOT_CAPTION)
        lines += [*(f"- {escape_markdown(note)}" for note in table.few_shot_notes), ""] if table.few_shot_notes else []
        part = "every task" if per_task else "task types"
        grid = differences_grid(table, per_task=per_task)
        lines += _section(table, f"{FEW_SHOT_TITLE}, {part}", grid, TASKS_CAPTION)
    if table.costs:
        lines += _section(table, COST_TITLE, cost_grid(table), COST_CAPTION)
    return "\n".join(lines)


def _section(table: LeaderboardTable, title: str, grid: Grid, caption: str) -> list[str]:
    lines = [f"## {escape_markdown(table.title)}: {title}", ""]
    lines += _row([escape_markdown(header) for header in grid.headers])
    text = grid.text_columns
    lines += _row(["---" if place in text else "---:" for place in range(len(grid.headers))])
    for row in grid.rows:
        lines += _row([escape_markdown(cell) if place in text else cell for place, cell in enumerate(row)])
    return [*lines, "", caption, ""]


def _per_task(table: LeaderboardTable) -> list[str]:
    """Tasks as rows, models as columns: benchmarks have more tasks than a comparison has models."""
    names = [escape_markdown(row.full_name) for row in table.rows]
    lines = [f"## {escape_markdown(table.title)}: every task", ""]
    lines += _row(["Task", "Type", *names])
    lines += _row(["---", "---", *("---:" for _ in names)])
    for task, column in zip(table.tasks, table.task_columns(), strict=True):
        cells = [mark(cell, row, task.name) for cell, row in zip(_cells(table, column), table.rows, strict=True)]
        lines += _row([escape_markdown(task.name), escape_markdown(task.task_type), *cells])
    return [*lines, ""]


def _cells(table: LeaderboardTable, column: Column) -> list[str]:
    best = table.best(column)
    return [f"**{percent(value)}**" if index in best else percent(value) for index, value in enumerate(column.values)]


def _row(cells: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]
