"""The leaderboard for a terminal of 80 columns or more."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from harness.report.grids import COST_TITLE, FEW_SHOT_TITLE, Grid, cost_grid, few_shot_grid
from harness.report.table import CAPTION, MODEL_TITLE, SHOTS_TITLE, Column, LeaderboardTable
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
    "Average": "Avg.",
    "finance": "fin.",
    "healthcare": "health",
    "msmarco": "msm.",
    "science": "scien.",
}
_RANK_WIDTH = 7
_SHOTS_WIDTH = 5
_SCORE_WIDTH = 6
_NAME_WIDTH = 20
"""Columns that names need at least; else the types go into tables of their own."""
_SHORT_NAME_WIDTH = 14
"""The same in those tables, where the organisation is left away."""
_TASK_SCORE_WIDTH = 13
# What of few_shot_grid and cost_grid fits beside the names.
_FEW_SHOT_COLUMNS = (0, 1, 4, 5, 6, 7)
_COST_COLUMNS = (0, 1, 2, 3, 4, 5, 7)


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
    names = [row.name for row in table.rows]
    room = console.width - _fixed_width(len(means) + len(types))
    if room >= _NAME_WIDTH:
        console.print(_table(table, [*means, *types], [_break_name(name, room) for name in names]))
    else:
        room = console.width - _fixed_width(len(means))
        console.print(_table(table, means, [_break_name(name, room) for name in names]))
        per_table = max((console.width - _fixed_width(0) - _SHORT_NAME_WIDTH) // (_SCORE_WIDTH + 1), 1)
        for start in range(0, len(types), per_table):
            console.print()
            console.print(_table(table, types[start : start + per_table], list(map(visible, _short_names(table)))))
    _say(console, CAPTION)
    for note in table.notes:
        _say(console, f"- {visible(note)}")
    if per_task:
        _render_tasks(console, table)
    if table.few_shot:
        _render_grid(console, f"{table.title}: {FEW_SHOT_TITLE}", few_shot_grid(table), _FEW_SHOT_COLUMNS)
        _say(console, "95 % paired bootstrap intervals of the difference.")
    if table.costs and table.few_shot:
        _render_grid(console, f"{table.title}: {COST_TITLE}", cost_grid(table), _COST_COLUMNS)


def _render_grid(console: Console, title: str, grid: Grid, columns: Sequence[int]) -> None:
    from rich.text import Text

    _say(console, f"\n{visible(title)}", style="bold")
    shown = _grid()
    for place in columns:
        is_name = place in grid.text_columns and place == columns[0]
        shown.add_column(grid.headers[place], justify="left" if is_name else "right", overflow="fold")
    for row in grid.rows:
        shown.add_row(*(Text(visible(row[place])) for place in columns))
    console.print(shown)


def _fixed_width(scores: int) -> int:
    """Return the columns taken by rank, n-shot, scores and the blanks between them."""
    return _RANK_WIDTH + _SHOTS_WIDTH + scores * _SCORE_WIDTH + scores + 2


def _break_name(name: str, room: int) -> str:
    """Return the name as visible text, broken behind the organisation when it is wider than `room` columns."""
    shown = visible(name)
    organisation, slash, rest = shown.partition("/")
    return shown if len(shown) <= room or not slash else f"{organisation}/\n{rest}"


def _short_names(table: LeaderboardTable) -> list[str]:
    """Return the names without the organisation, where that leaves different models different."""
    full = {row.key.model_name for row in table.rows}
    if len({name.rpartition("/")[2] for name in full}) < len(full):
        return [row.name for row in table.rows]
    return [row.name.removeprefix(row.key.model_name.rpartition("/")[0]).removeprefix("/") for row in table.rows]


def _say(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    lines = textwrap.wrap(text.strip(), console.width, subsequent_indent="  ", break_on_hyphens=False)
    console.print(Text("\n" * text.startswith("\n") + "\n".join(lines), style=style, overflow="fold"))


def _grid() -> Table:
    from rich.box import Box
    from rich.table import Table

    # A rule of ASCII hyphens: every encoding can print it.
    rule = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
    return Table(box=rule, padding=0, pad_edge=False, show_edge=False, header_style="bold")


def _title(title: str) -> str:
    return (
        visible(_SHORT_TYPES.get(title, title))
        .replace(" (TaskType)", "\n(Task\nType)")
        .replace(" (Unseen)", "\nunseen")
        .replace(" (", "\n(")
    )


def _table(table: LeaderboardTable, columns: Sequence[Column], names: Sequence[str]) -> Table:
    from rich.text import Text

    grid = _grid()
    grid.add_column(table.rank_title.replace(" ", "\n"), justify="right", width=_RANK_WIDTH)
    grid.add_column(MODEL_TITLE, overflow="fold")
    grid.add_column(SHOTS_TITLE.replace("-", "-\n"), justify="right", overflow="fold", width=_SHOTS_WIDTH)
    for column in columns:
        grid.add_column(Text(_title(column.title)), justify="right", overflow="fold", width=_SCORE_WIDTH)
    cells = [_cells(table, column) for column in columns]
    for index, row in enumerate(table.rows):
        text = [Text(part) for part in (row.rank_text, names[index], visible(row.key.shots))]
        grid.add_row(*text, *(column[index] for column in cells))
    return grid


def _render_tasks(console: Console, table: LeaderboardTable) -> None:
    """Tasks as rows; as many models side by side as fit."""
    from rich.text import Text

    columns = table.task_columns()
    cells = [_cells(table, column) for column in columns]
    names = max([len(visible(task.name)) for task in table.tasks] + [4])
    names = min(names, console.width // 2)
    step = max((console.width - names) // (_TASK_SCORE_WIDTH + 1), 1)
    for start in range(0, len(table.rows), step):
        grid = _grid()
        grid.add_column("Task", overflow="fold", width=names)
        for row in table.rows[start : start + step]:
            title = Text(_break_name(row.full_name, _TASK_SCORE_WIDTH))
            grid.add_column(title, justify="right", overflow="fold", width=_TASK_SCORE_WIDTH)
        for task, shown in zip(table.tasks, cells, strict=True):
            grid.add_row(Text(visible(task.name)), *shown[start : start + step])
        console.print()
        console.print(grid)


def _cells(table: LeaderboardTable, column: Column) -> list[RenderableType]:
    from rich.text import Text

    best = table.best(column)
    return [Text(percent(value), style="bold" if index in best else "") for index, value in enumerate(column.values)]
