"""The tables for a paper: LaTeX with booktabs, whatever models and tasks are called."""

from __future__ import annotations

import re
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
from harness.report.table import (
    CAPTION,
    MODEL_TITLE,
    SHOTS_TITLE,
    TRAINED_MARK,
    Column,
    LeaderboardTable,
)
from harness.report.text import percent, plural, visible

_HEAD = r"""% Needs LaTeX of 2020 or later and \usepackage{booktabs}; a name outside ASCII needs fonts that have its letters (LuaLaTeX, XeLaTeX).
% Wide tables: put \begin{adjustbox}{max width=\linewidth} or \resizebox around the tabular."""
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    # In the old font encoding these are other letters, and two hyphens or quotes become one sign.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    TRAINED_MARK: r"\textdagger{}",
}
_SPECIAL = re.compile("|".join([*map(re.escape, _ESCAPES), "-(?=-)"]))


def render_latex(tables: Sequence[LeaderboardTable], *, per_task: bool = False) -> str:
    """Return the tables as LaTeX floats; the best value of each column is bold.

    Args:
        tables: what to show, in order.
        per_task: whether a table with every task follows each leaderboard.
    """
    floats = [one for number, table in enumerate(tables) for one in _floats(table, number, per_task=per_task)]
    return "\n".join([_HEAD, *floats]) + "\n"


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it is, on one line."""
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match.group(), "-{}"), visible(text))


def _floats(table: LeaderboardTable, number: int, *, per_task: bool) -> list[str]:
    title = f"{table.title} ({plural(len(table.tasks), 'task')})"
    floats = [_float(_leaderboard(table), f"{title}. {CAPTION}", f"leaderboard-{number}", table.notes)]
    if per_task:
        floats.append(_float(_per_task(table), f"{title}, every task. {CAPTION}", f"tasks-{number}"))
    if table.few_shot:
        grids = (
            (few_shot_grid(table), FEW_SHOT_TITLE, FEW_SHOT_CAPTION, table.few_shot_notes),
            (differences_grid(table, per_task=per_task), f"{FEW_SHOT_TITLE} by task", TASKS_CAPTION, ()),
        )
        for place, (grid, name, caption, notes) in enumerate(grids):
            floats.append(
                _float(_escaped(grid), f"{table.title}: {name}. {caption}", f"few-shot-{number}-{place}", notes)
            )
    if table.costs:
        floats.append(
            _float(_escaped(cost_grid(table)), f"{table.title}: {COST_TITLE}. {COST_CAPTION}", f"cost-{number}")
        )
    return floats


def _leaderboard(table: LeaderboardTable) -> Grid:
    columns = [*table.mean_columns(), *table.type_columns()]
    cells = [_cells(table, column) for column in columns]
    headers = (table.rank_title, MODEL_TITLE, SHOTS_TITLE, *(column.title for column in columns))
    rows = [
        (_number(row.rank_text), escape_latex(row.name), escape_latex(row.key.shots), *(one[index] for one in cells))
        for index, row in enumerate(table.rows)
    ]
    return Grid(tuple(map(escape_latex, headers)), tuple(rows), frozenset({1}))


def _per_task(table: LeaderboardTable) -> Grid:
    headers = ("Task", "Type", *(row.full_name for row in table.rows))
    rows = []
    for task, column in zip(table.tasks, table.task_columns(), strict=True):
        cells = [mark(cell, row, task.name) for cell, row in zip(_cells(table, column), table.rows, strict=True)]
        marked = (cell.replace(TRAINED_MARK, _ESCAPES[TRAINED_MARK]) for cell in cells)
        rows.append((escape_latex(task.name), escape_latex(task.task_type), *marked))
    return Grid(tuple(map(escape_latex, headers)), tuple(rows), frozenset({0, 1}))


def _escaped(grid: Grid) -> Grid:
    rows = tuple(
        tuple(escape_latex(cell) if place in grid.text_columns else _number(cell) for place, cell in enumerate(row))
        for row in grid.rows
    )
    return Grid(tuple(map(escape_latex, grid.headers)), rows, grid.text_columns)


def _cells(table: LeaderboardTable, column: Column) -> list[str]:
    best = table.best(column)
    shown = [_number(percent(value)) for value in column.values]
    return [rf"\textbf{{{cell}}}" if index in best else cell for index, cell in enumerate(shown)]


def _number(shown: str) -> str:
    """Return a number with a minus sign instead of a hyphen; a gap stays one, brackets are no optional argument."""
    signed = re.sub(r"([+-])(?=\d)", r"$\1$", shown)
    return signed.replace("[", "{[}").replace("]", "{]}").replace(TRAINED_MARK, _ESCAPES[TRAINED_MARK])


def _float(grid: Grid, caption: str, label: str, notes: Sequence[str] = ()) -> str:
    alignment = "".join("l" if place in grid.text_columns else "r" for place in range(len(grid.headers)))
    lines = [r"\begin{table*}[t]", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{escape_latex(caption)}}}", rf"\label{{tab:{label}}}"]
    lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", _line(grid.headers), r"\midrule"]
    lines += [*map(_line, grid.rows), r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += [r"\par\smallskip\raggedright\footnotesize", *(rf"{escape_latex(note)}\par" for note in notes)]
    return "\n".join([*lines, r"\end{table*}"])


def _line(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"
