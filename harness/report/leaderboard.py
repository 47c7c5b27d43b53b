"""Building leaderboards: which tables a set of runs gives, and their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ConfigError, IncompleteRunError
from harness.registry import Registry
from harness.report.aggregate import mean, rank_rows, type_means
from harness.report.cost import cost_rows
from harness.report.item_files import ItemSource
from harness.report.notes import table_notes
from harness.report.paired import few_shot_rows, zero_shot_rows
from harness.report.rows import Collected, RowScores, collect_rows, remarks_of
from harness.report.table import LeaderboardRow, LeaderboardTable, PrintedAverages, Task
from harness.report.tasks import CountedTask, benchmark_tasks, free_tasks
from harness.report.text import shorten
from harness.report.training import TrainingData

if TYPE_CHECKING:
    import pandas as pd

    from harness.report.reference import References

FREE_TITLE = "Tasks of these runs"
REFERENCES_TITLE = "Tasks of these references"
OTHER_TITLE = "Other tasks"


class _Source(NamedTuple):
    """What every table of a report is made from."""

    collected: Collected
    registry: Registry
    training: TrainingData
    items: ItemSource | None
    rank_references: bool


class _Scored(NamedTuple):
    row: RowScores
    scores: tuple[float | None, ...]
    printed: PrintedAverages | None
    """Of a row that has no score of a task of the table, only averages."""

    @property
    def partial(self) -> bool:
        return self.row.key.partial


def build_leaderboards(
    scores: pd.DataFrame | None,
    *,
    benchmark: str | None = None,
    registry: Registry | None = None,
    references: References | None = None,
    rank_references: bool = False,
    items: ItemSource | None = None,
) -> list[LeaderboardTable]:
    """Make the tables of a set of scores.

    With a benchmark: one table with exactly its tasks. Without: one table per benchmark of which some row has every
    task (or whose tasks the rows together hold, and no others), and one of the tasks that are then left. Reference rows
    add no tables and no tasks to those of the runs.

    Args:
        scores: what `load_scores` returned; None for a table of reference rows alone.
        benchmark: registered benchmark name.
        registry: where membership of tasks in benchmarks is looked up; default the shipped one.
        references: what `load_references` returned: rows from elsewhere beside those of the runs.
        rank_references: whether reference rows are ranked among the runs.
        items: where per-item outcomes are read (`item_source`), for the intervals of few-shot minus zero-shot; None
            leaves the intervals away.

    Raises:
        TaskNotFoundError: no such benchmark.
        ConfigError: no row has a task of the benchmark.
        IncompleteRunError: no row has a main score.
        ResultSchemaError: a file of items is corrupt.
    """
    registry = Registry.load() if registry is None else registry
    collected = collect_rows(scores, references)
    training = TrainingData(references.training if references else None)
    source = _Source(collected, registry, training, items, rank_references)
    if not collected.rows or (scores is not None and all(row.is_reference for row in collected.rows)):
        raise IncompleteRunError("the runs hold no main score of any task. Give the run's command again.")
    if benchmark is not None:
        tasks = benchmark_tasks(benchmark, registry)
        if not any(
            benchmark in row.printed or task.covers & row.cells.keys() for task in tasks for row in collected.deciding
        ):
            raise ConfigError(_no_task_of(benchmark, collected, registry))
        return [_build_table(benchmark, benchmark, tasks, source, chosen=True)]

    observed = {name for row in collected.deciding for name in row.cells}
    tables, shown = [], set[str]()
    for name, tasks in _covered_benchmarks(observed, collected, registry):
        tables.append(_build_table(name, name, tasks, source))
        shown |= frozenset().union(*(task.covers for task in tasks))
    if left := observed - shown:
        title = OTHER_TITLE if tables else REFERENCES_TITLE if scores is None else FREE_TITLE
        tasks = free_tasks(left, collected, registry)
        tables.append(_build_table(title, None, tasks, source))
    return _with_absent_references(tables, collected)


def _with_absent_references(tables: list[LeaderboardTable], collected: Collected) -> list[LeaderboardTable]:
    """Say under the first table which reference rows stand in none."""
    shown = {row.key for table in tables for row in table.rows}
    absent = [row for row in collected.rows if row.key not in shown]
    if not absent:
        return tables
    benchmarks = sorted({name for row in absent for name in row.printed})
    mend = f" With --benchmark {benchmarks[0]!r} their printed averages are shown." if benchmarks else ""
    names = shorten(sorted({row.key.reference for row in absent}))
    note = f"Left out, without any task of these tables: reference {names}.{mend}"
    return [replace(tables[0], notes=(*tables[0].notes, note)), *tables[1:]]


def _no_task_of(benchmark: str, collected: Collected, registry: Registry) -> str:
    names = sorted({name for row in collected.deciding for name in row.cells})
    belong = sorted({other for name in names if name in registry for other in registry.get(name).benchmarks})
    mend = f"Their tasks belong to: {', '.join(belong)}." if belong else "Leave --benchmark away to see their tasks."
    return f"none of these runs has a task of the benchmark {benchmark!r}. {mend}"


def _covered_benchmarks(
    observed: set[str], collected: Collected, registry: Registry
) -> list[tuple[str, list[CountedTask]]]:
    """Return the benchmarks that deserve a table of their own, the largest first."""
    found = []
    for name in registry.benchmarks():
        tasks = benchmark_tasks(name, registry)
        full = any(all(task.score(row) is not None for task in tasks) for row in collected.deciding)
        full |= any(not row.cells and name in row.printed for row in collected.deciding)
        if not full and observed <= frozenset().union(*(task.covers for task in tasks)):
            full = all(any(task.score(row) is not None for row in collected.deciding) for task in tasks)
        if full:
            found.append((name, tasks))
    return sorted(found, key=lambda item: (-len(item[1]), item[0]))


def _build_table(
    title: str, benchmark: str | None, tasks: Sequence[CountedTask], source: _Source, *, chosen: bool = False
) -> LeaderboardTable:
    """Compute one table.

    Args:
        title: heading.
        benchmark: benchmark whose tasks these are, if any.
        tasks: the columns, in order.
        source: all rows; those without any of the tasks are left out.
        chosen: whether the user named the benchmark, so that what is left out has to be said.
    """
    collected = source.collected
    entries = _entries(benchmark, tasks, source)
    scored, rows = [row for row, _ in entries], [row for _, row in entries]
    shown = {row.key for row in rows}
    left_out = [row.key for row in collected.rows if row.key not in shown] if chosen else []
    few_shot, few_shot_notes = few_shot_rows(tasks, scored, rows, source.items)
    return LeaderboardTable(
        title=title,
        benchmark=benchmark,
        tasks=tuple(Task(task.name, task.task_type) for task in tasks),
        task_types=tuple(dict.fromkeys(task.task_type for task in tasks)),
        rows=tuple(rows),
        notes=(*collected.notes, *table_notes(tasks, rows, collected, left_out=left_out, chosen=chosen)),
        few_shot=tuple(few_shot),
        few_shot_notes=tuple(few_shot_notes),
        costs=tuple(cost_rows(tasks, scored, zero_shot_rows([row.key for row in rows]))),
    )


def _entries(
    benchmark: str | None, tasks: Sequence[CountedTask], source: _Source
) -> list[tuple[RowScores, LeaderboardRow]]:
    """Return what the table's rows were made from, and the rows, in order of rank."""
    covered = frozenset().union(*(task.covers for task in tasks))
    scored = []
    for row in source.collected.rows:
        printed = row.printed.get(benchmark or "")
        if covered & row.cells.keys():
            scored.append(_Scored(row, tuple(task.score(row) for task in tasks), None))
        elif printed is not None:
            scored.append(_Scored(row, (None,) * len(tasks), printed))
    remarks = remarks_of([item.row for item in scored])
    ranked = [item for item in scored if not item.row.is_reference or (source.rank_references and item.printed is None)]
    standing = dict(zip((item.row.key for item in ranked), zip(*rank_rows(ranked), strict=True), strict=True))
    types = [task.task_type for task in tasks]
    names = [task.name for task in tasks]
    entries: list[tuple[RowScores, LeaderboardRow]] = []
    for item in scored:
        rank, borda = standing.get(item.row.key, (None, None))
        by_type: dict[str, float | None] = type_means(item.scores, types)
        if item.printed is not None:
            by_type |= item.printed.types
        trained = source.training.of(item.row.key, names, source.registry)
        unseen = [score for name, score in zip(names, item.scores, strict=True) if name not in (trained or ())]
        shown = LeaderboardRow(
            key=item.row.key,
            label=item.row.label,
            remarks=remarks[item.row.key],
            rank=rank,
            points=borda,
            mean_task=mean(item.scores) if item.printed is None else item.printed.mean,
            mean_task_type=mean(by_type.values()) if item.printed is None else None,
            type_means=tuple(by_type[task_type] for task_type in dict.fromkeys(types)),
            task_scores=item.scores,
            averages_only=item.printed is not None,
            trained_on=trained,
            mean_unseen=None if trained is None else mean(unseen),
        )
        entries.append((item.row, shown))
    return sorted(entries, key=lambda entry: _table_order(entry[1]))


def _table_order(row: LeaderboardRow) -> tuple[bool, float, object]:
    """By rank; then the unranked reference rows, the highest mean first."""
    if row.rank is not None:
        return False, row.rank, row.key.sort_key
    return True, math.inf if row.mean_task is None else -row.mean_task, row.key.sort_key
