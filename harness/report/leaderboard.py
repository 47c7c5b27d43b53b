"""Building leaderboards: which tables a set of runs gives, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ConfigError, IncompleteRunError
from harness.registry import Registry
from harness.report.aggregate import mean, rank_rows, type_means
from harness.report.notes import table_notes
from harness.report.rows import Collected, RowScores, collect_rows, remarks_of
from harness.report.table import LeaderboardRow, LeaderboardTable, Task
from harness.report.tasks import CountedTask, benchmark_tasks, free_tasks

if TYPE_CHECKING:
    import pandas as pd

FREE_TITLE = "Tasks of these runs"
OTHER_TITLE = "Other tasks"


class _Scored(NamedTuple):
    row: RowScores
    scores: tuple[float | None, ...]

    @property
    def partial(self) -> bool:
        return self.row.key.partial


def build_leaderboards(
    scores: pd.DataFrame, *, benchmark: str | None = None, registry: Registry | None = None
) -> list[LeaderboardTable]:
    """Make the tables of a set of scores.

    With a benchmark: one table with exactly its tasks. Without: one table per benchmark of which some row has every
    task (or whose tasks the rows together hold, and no others), and one of the tasks that are then left.

    Args:
        scores: what `load_scores` returned.
        benchmark: registered benchmark name.
        registry: where membership of tasks in benchmarks is looked up; default the shipped one.

    Raises:
        TaskNotFoundError: no such benchmark.
        ConfigError: no row has a task of the benchmark.
        IncompleteRunError: no row has a main score.
    """
    registry = Registry.load() if registry is None else registry
    collected = collect_rows(scores)
    if not collected.rows:
        raise IncompleteRunError("the runs hold no main score of any task. Give the run's command again.")
    if benchmark is not None:
        tasks = benchmark_tasks(benchmark, registry)
        if not any(task.covers & row.cells.keys() for task in tasks for row in collected.rows):
            raise ConfigError(_no_task_of(benchmark, collected, registry))
        return [_build_table(benchmark, benchmark, tasks, collected, chosen=True)]

    observed = {name for row in collected.rows for name in row.cells}
    tables, shown = [], set[str]()
    for name, tasks in _covered_benchmarks(observed, collected, registry):
        tables.append(_build_table(name, name, tasks, collected))
        shown |= frozenset().union(*(task.covers for task in tasks))
    if left := observed - shown:
        title = OTHER_TITLE if tables else FREE_TITLE
        tasks = free_tasks(left, collected, registry)
        tables.append(_build_table(title, None, tasks, collected))
    return tables


def _no_task_of(benchmark: str, collected: Collected, registry: Registry) -> str:
    names = sorted({name for row in collected.rows for name in row.cells})
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
        full = any(all(task.score(row) is not None for task in tasks) for row in collected.rows)
        if not full and observed <= frozenset().union(*(task.covers for task in tasks)):
            full = all(any(task.score(row) is not None for row in collected.rows) for task in tasks)
        if full:
            found.append((name, tasks))
    return sorted(found, key=lambda item: (-len(item[1]), item[0]))


def _build_table(
    title: str,
    benchmark: str | None,
    tasks: Sequence[CountedTask],
    collected: Collected,
    *,
    chosen: bool = False,
) -> LeaderboardTable:
    """Compute one table.

    Args:
        title: heading.
        benchmark: benchmark whose tasks these are, if any.
        tasks: the columns, in order.
        collected: all rows; those without any of the tasks are left out.
        chosen: whether the user named the benchmark, so that what is left out has to be said.
    """
    covered = frozenset().union(*(task.covers for task in tasks))
    scored = [
        _Scored(row, tuple(task.score(row) for task in tasks)) for row in collected.rows if covered & row.cells.keys()
    ]
    remarks = remarks_of([item.row for item in scored])
    ranks, points = rank_rows(scored)
    types = [task.task_type for task in tasks]
    task_types = tuple(dict.fromkeys(types))
    rows = []
    for item, rank, borda in zip(scored, ranks, points, strict=True):
        by_type = type_means(item.scores, types)
        rows.append(
            LeaderboardRow(
                key=item.row.key,
                label=item.row.label,
                remarks=remarks[item.row.key],
                rank=rank,
                points=borda,
                mean_task=mean(item.scores),
                mean_task_type=mean(by_type.values()),
                type_means=tuple(by_type[task_type] for task_type in task_types),
                task_scores=item.scores,
            )
        )
    rows.sort(key=lambda row: (row.rank, row.key.sort_key))
    left_out = [row.key for row in collected.rows if not covered & row.cells.keys()] if chosen else []
    return LeaderboardTable(
        title=title,
        benchmark=benchmark,
        tasks=tuple(Task(task.name, task.task_type) for task in tasks),
        task_types=task_types,
        rows=tuple(rows),
        notes=(*collected.notes, *table_notes(tasks, rows, collected, left_out=left_out, chosen=chosen)),
    )
