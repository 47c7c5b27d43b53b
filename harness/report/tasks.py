"""Which tasks a table counts, and what a row scores in each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from harness.registry import RegisteredTask, Registry
from harness.report.aggregate import mean
from harness.report.rows import Cell, Collected, RowScores
from harness.types import TASK_TYPES


class CountedTask(NamedTuple):
    """A task of a table: a column that every mean counts once."""

    name: str
    task_type: str
    parts: tuple[str, ...]
    """Tasks whose mean this one is (CQADupstack); empty for a plain task."""
    cells: dict[str, frozenset[Cell]]
    """The task's own name and its parts -> the (split, subset) pairs that must all have a score."""
    main_metric: str = ""
    """The registered headline metric; empty for a task that the registry lacks."""

    @property
    def covers(self) -> frozenset[str]:
        """The task names whose scores this column stands for."""
        return frozenset((self.name, *self.parts))

    def score(self, row: RowScores) -> float | None:
        """Return the row's score: the mean over splits and subsets, of an aggregate the mean of its parts.

        None when any part, split or subset is missing.
        """
        if self.parts:
            by_parts = mean(self._plain(row, part) for part in self.parts)
            if by_parts is not None:
                return by_parts
        return self._plain(row, self.name)

    def _plain(self, row: RowScores, name: str) -> float | None:
        have = row.cells.get(name)
        if have is None:
            return None
        return mean(have.get(cell) for cell in sorted(self.cells[name]))


def benchmark_tasks(name: str, registry: Registry) -> list[CountedTask]:
    """Return the tasks of a benchmark, in table order.

    Raises:
        TaskNotFoundError: the registry knows no such benchmark; the message holds suggestions.
    """
    tasks = [
        CountedTask(
            task.name,
            task.task_type,
            task.parts,
            {name: _registered_cells(registry.get(name)) for name in (task.name, *task.parts)},
            task.main_metric,
        )
        for task in registry.benchmark(name)
        if task.scored_splits
    ]
    return sort_tasks(tasks)


def free_tasks(names: Collection[str], collected: Collected, registry: Registry) -> list[CountedTask]:
    """Return table columns for tasks that were run outside any benchmark, as the deciding rows have them.

    Parts stand as tasks of their own unless some row has all parts of their aggregate.
    """
    parents: dict[str, set[str]] = {}
    for name in names:
        parent = collected.part_of.get(name) or (registry.get(name).part_of if name in registry else None)
        if parent is not None and parent not in names:
            parents.setdefault(parent, set()).add(name)
    tasks: list[CountedTask] = []
    counted: set[str] = set()
    for parent, seen in sorted(parents.items()):
        known = registry.get(parent).parts if parent in registry else ()
        task = _free_task(parent, known or tuple(sorted(seen)), collected, registry)
        if any(task.score(row) is not None for row in collected.deciding):
            tasks.append(task)
            counted |= task.covers
    tasks += [_free_task(name, (), collected, registry) for name in names if name not in counted]
    return sort_tasks(tasks)


def sort_tasks(tasks: Iterable[CountedTask]) -> list[CountedTask]:
    """Order by task type (the seven of mteb first), then by name."""
    place = {task_type: index for index, task_type in enumerate(TASK_TYPES)}
    return sorted(tasks, key=lambda task: (place.get(task.task_type, len(place)), task.task_type, task.name))


def _registered_cells(task: RegisteredTask) -> frozenset[Cell]:
    return frozenset((split, subset) for split in task.scored_splits for subset in task.subsets)


def _free_task(name: str, parts: tuple[str, ...], collected: Collected, registry: Registry) -> CountedTask:
    main_metric = ""
    if name in registry:
        task_type, main_metric = registry.get(name).task_type, registry.get(name).main_metric
    else:
        claims = [collected.task_types.get(leaf, set()) for leaf in (name, *parts)]
        task_type = min(set().union(*claims))
    cells = {leaf: _free_cells(leaf, collected, registry) for leaf in (name, *parts)}
    return CountedTask(name, task_type, parts, cells, main_metric)


def _free_cells(name: str, collected: Collected, registry: Registry) -> frozenset[Cell]:
    """Return the registered pairs when some row has them all or none has any, else every pair that a row has.

    The last is mteb's rule.
    """
    observed = [frozenset(row.cells[name]) for row in collected.deciding if name in row.cells]
    if name in registry:
        registered = _registered_cells(registry.get(name))
        if not observed or any(registered <= have for have in observed):
            return registered
    return frozenset().union(*observed)
