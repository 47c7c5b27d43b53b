"""The leaderboard for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from harness.report.table import CAPTION, MODEL_TITLE, RANK_TITLE, SHOTS_TITLE, Column, LeaderboardTable
from harness.report.text import percent, plural, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

# Abbreviations as in the tables of the bge-en-icl paper, so that seven types fit beside the names.
_SHORT_TYPES = {
    "Classification": "Class.",
    "Clustering": "Clust.",
    "PairClassification": "Pair",
    "Reranking": "Rerank",
    "Retrieval": "Retr.",
    "Summarization": "Summ.",
}
_SCORE_WIDTH = 6
_NAME_WIDTH = 22
"""Columns that names need at least; else the types go into a second table."""


def render_terminal(
    tables: Sequence[LeaderboardTable], *, width: int = 100, per_task: bool = False, color: bool = False
) -> str:
    """Return the tables as text with lines of at most `width` columns (at least 60).

    Args:
        tables: what to show, in order.
        width: columns of the terminal.
        per_task: whether a table with every task follows each leaderboard.
        color: whether to emit ANSI codes (bold best values).
    """
    from rich.console import Console

    console = Console(
        file=StringIO(),
        width=max(width, 60),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        for table in tables:
            _render(console, table, per_task=per_task)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n")) + "\n"


def _render(console: Console, table: LeaderboardTable, *, per_task: bool) -> None:
    means, types = table.mean_columns(), table.type_columns()
    _say(console, f"\n{visible(table.title)} ({plural(len(table.tasks), 'task')})", style="bold")
    fixed = 7 + 6 + _SCORE_WIDTH + (_SCORE_WIDTH + 1) * (len(means) - 1 + len(types)) + 6
    if fixed + _NAME_WIDTH <= console.width:
        console.print(_table(table, [*means, *types]))
    else:
        console.print(_table(table, means))
        room = console.width - (7 + 6 + _NAME_WIDTH + 6)
        for start in range(0, len(types), step := max(room // (_SCORE_WIDTH + 2), 1)):
            console.print(_table(table, types[start : start + step]))
    _say(console, CAPTION)
    for note in table.notes:
        _say(console, f"- {visible(note)}")
    if per_task:
        _render_tasks(console, table)


def _say(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(text, style=style, overflow="fold"))


def _grid() -> Table:
    from rich.box import Box
    from rich.table import Table

    # A rule of ASCII hyphens: every encoding can print it.
    rule = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
    return Table(box=rule, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")


def _title(title: str) -> str:
    return visible(_SHORT_TYPES.get(title, title)).replace(" (TaskType)", "\n(Task\nType)").replace(" (", "\n(")


def _table(table: LeaderboardTable, columns: Sequence[Column]) -> Table:
    from rich.text import Text

    grid = _grid()
    grid.add_column(RANK_TITLE.replace(" ", "\n"), justify="right", no_wrap=True)
    grid.add_column(MODEL_TITLE, overflow="fold", min_width=_NAME_WIDTH)
    grid.add_column(SHOTS_TITLE, justify="right", overflow="fold", max_width=12)
    for column in columns:
        grid.add_column(Text(_title(column.title)), justify="right", overflow="fold", min_width=_SCORE_WIDTH)
    cells = [_cells(table, column) for column in columns]
    for index, row in enumerate(table.rows):
        text = [Text(visible(part)) for part in (str(row.rank), row.name, row.key.shots)]
        grid.add_row(*text, *(column[index] for column in cells))
    return grid


def _render_tasks(console: Console, table: LeaderboardTable) -> None:
    """Tasks as rows; as many models side by side as fit."""
    from rich.text import Text

    columns = table.task_columns()
    cells = [_cells(table, column) for column in columns]
    names = max([len(visible(task.name)) for task in table.tasks] + [4])
    names = min(names, console.width // 2)
    step = max((console.width - names - 1) // 15, 1)
    for start in range(0, len(table.rows), step):
        grid = _grid()
        grid.add_column("Task", overflow="fold", width=names)
        for row in table.rows[start : start + step]:
            grid.add_column(
                Text(f"{visible(row.name)}, {visible(row.key.shots)}-shot"), justify="right", overflow="fold", width=13
            )
        for task, shown in zip(table.tasks, cells, strict=True):
            grid.add_row(Text(visible(task.name)), *shown[start : start + step])
        console.print()
        console.print(grid)


def _cells(table: LeaderboardTable, column: Column) -> list[RenderableType]:
    from rich.text import Text

    best = table.best(column)
    return [Text(percent(value), style="bold" if index in best else "") for index, value in enumerate(column.values)]
