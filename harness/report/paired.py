"""Few-shot minus zero-shot: each row with examples against its model's row without, with paired intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from harness.report.aggregate import mean
from harness.report.comparison import Difference, FewShotRow
from harness.report.item_files import ItemSource
from harness.report.item_pairs import SAME_SCORE, NotPairedError, compare_cell, item_columns, pair_items
from harness.report.resample import interval
from harness.report.resample_memo import file_identity, memo_key
from harness.report.rows import Cell, RowScores
from harness.report.table import ZERO_SHOT, LeaderboardRow, RowKey
from harness.report.tasks import CountedTask
from harness.report.text import plural, shorten

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.report.resample import Floats


_NO_ITEMS = "the run directories hold no items"


class _Sample(NamedTuple):
    difference: float | None
    replicates: Floats | None
    """The difference on each resample; None where items are missing."""
    resampled: str


def zero_shot_rows(keys: Sequence[RowKey]) -> list[int | None]:
    """Return, for each row with examples, the place of its model's row without any in the same setting."""

    def setting(key: RowKey) -> RowKey:
        return replace(key, configuration="", examples_set="")

    bases = {setting(key): place for place, key in enumerate(keys) if key.configuration == ZERO_SHOT}
    return [None if key.configuration == ZERO_SHOT else bases.get(setting(key)) for key in keys]


def few_shot_rows(
    tasks: Sequence[CountedTask],
    scored: Sequence[RowScores],
    rows: Sequence[LeaderboardRow],
    items: ItemSource | None,
) -> tuple[list[FewShotRow], list[str]]:
    """Return the comparisons of a table, and notes on what has no interval.

    A mean over tasks is resampled task by task, so its interval is that of a difference on these very tasks.

    Args:
        tasks: the table's columns.
        scored: what the rows were made from, parallel to `rows`.
        rows: the table's rows.
        items: where per-item outcomes are read; None gives differences without intervals.
    """
    pairs = [(row, base) for row, base in enumerate(zero_shot_rows([row.key for row in rows])) if base is not None]
    pairs.sort(key=lambda pair: (pair[1], rows[pair[0]].key.sort_key))
    samples: dict[int, list[_Sample]] = {row: [] for row, _ in pairs}
    reasons: dict[str, set[str]] = {}
    for place, task in enumerate(tasks):
        reader = None if items is None else _Reader(items)
        for row, base in pairs:
            before, after = rows[base].task_scores[place], rows[row].task_scores[place]
            difference = None if before is None or after is None else after - before
            sample = _Sample(difference, None, "")
            if difference is not None and reader is not None:
                try:
                    sample = _resample(task, scored[base], scored[row], difference, reader)
                except NotPairedError as error:
                    reasons.setdefault(str(error), set()).add(task.name)
            samples[row].append(sample)
    if items is not None:
        items.memo.flush()
    types = list(dict.fromkeys(task.task_type for task in tasks))
    compared = []
    for row, base in pairs:
        by_type = [
            _mean([sample for sample, task in zip(samples[row], tasks, strict=True) if task.task_type == one])
            for one in types
        ]
        fingerprints = [_fingerprint(task, scored[row]) for task in tasks]
        compared.append(
            FewShotRow(
                row=row,
                zero_shot=base,
                prompt_fingerprint=_digest(fingerprints),
                mean=_difference(_mean(samples[row])),
                types=tuple(_difference(sample) for sample in by_type),
                tasks=tuple(_difference(sample) for sample in samples[row]),
                fingerprints=tuple(fingerprints),
                num_fewshot=tuple(_num_fewshot(task, scored[row]) for task in tasks),
            )
        )
    return compared, _notes(compared, reasons, tasks)


class _Reader:
    """The items of one task; those of the zero-shot run are read once for all rows."""

    def __init__(self, items: ItemSource) -> None:
        self._items = items
        self._read: dict[tuple[str, str, str, tuple[str, ...]], pa.Table | None] = {}
        self.memo = items.memo

    def identity(self, row: RowScores, task: str, cell: Cell) -> str:
        path = self._items.path(row.runs[task, cell], row.key.configuration, task)
        if path is None:
            raise NotPairedError(_NO_ITEMS)
        return file_identity(path)

    def __call__(self, row: RowScores, task: str, cell: Cell, columns: tuple[str, ...], *, keep: bool) -> pa.Table:
        key = (row.runs[task, cell], row.key.configuration, task, columns)
        table = self._read[key] if key in self._read else self._items(*key)
        if keep:
            self._read[key] = table
        if table is None:
            raise NotPairedError(_NO_ITEMS)
        return table


def _resample(task: CountedTask, base: RowScores, other: RowScores, difference: float, read: _Reader) -> _Sample:
    """Resample a task: each split and subset by itself, each part of an aggregate by itself."""
    leaves = _leaves(task, base)
    if leaves != _leaves(task, other):
        raise NotPairedError("one run has the parts of the task and the other the whole")
    by_leaf, kinds = [], dict[str, None]()
    for leaf in leaves:
        by_cell = []
        for cell in sorted(task.cells[leaf]):
            replicates, kind = _resample_cell(leaf, task.task_type, cell, base, other, read)
            by_cell.append(replicates)
            kinds[kind] = None
        by_leaf.append(sum(by_cell[1:], by_cell[0]) / len(by_cell))
    return _Sample(difference, sum(by_leaf[1:], by_leaf[0]) / len(by_leaf), ", ".join(kinds))


def _leaves(task: CountedTask, row: RowScores) -> tuple[str, ...]:
    """Return the tasks whose scores make the row's score, as `CountedTask.score` takes them."""
    whole = all(task.cells[part] <= row.cells.get(part, {}).keys() for part in task.parts)
    return task.parts if task.parts and whole else (task.name,)


def _resample_cell(
    task: str, task_type: str, cell: Cell, base: RowScores, other: RowScores, read: _Reader
) -> tuple[Floats, str]:
    metrics = [row.compared[task, cell]["metric"] for row in (base, other)]
    if metrics[0] != metrics[1]:
        raise NotPairedError("the two runs have different main metrics")
    columns = item_columns(metrics[0], task_type)
    if not columns:
        raise NotPairedError(f"items do not give the metric {metrics[0]}")
    split, subset = cell
    files = [read.identity(row, task, cell) for row in (base, other)]
    key = memo_key(*files, metrics[0], task, task_type, split, subset)
    found = read.memo.get(key)
    if found is None:
        pair = pair_items(read(base, task, cell, columns, keep=True), read(other, task, cell, columns, keep=False))
        found = compare_cell(*pair, metric=metrics[0], task=task, task_type=task_type, split=split, subset=subset)
        read.memo.put(key, found)
    for row, score in ((base, found.outcome.base), (other, found.outcome.other)):
        if abs(row.cells[task][cell] - score) > SAME_SCORE:
            raise NotPairedError("the items do not give the stored score")
    return found.outcome.differences, found.resampled


def _mean(samples: Sequence[_Sample]) -> _Sample:
    replicates = [sample.replicates for sample in samples if sample.replicates is not None]
    kinds = list(dict.fromkeys(sample.resampled for sample in samples))
    whole = len(replicates) == len(samples)
    return _Sample(
        mean(sample.difference for sample in samples),
        sum(replicates[1:], replicates[0]) / len(replicates) if whole and replicates else None,
        ", ".join(kinds) if whole else "",
    )


def _difference(sample: _Sample) -> Difference:
    if sample.difference is None or sample.replicates is None:
        return Difference(sample.difference)
    return Difference(sample.difference, *interval(sample.replicates), sample.resampled)


def _num_fewshot(task: CountedTask, row: RowScores) -> int | None:
    numbers = {one.num_fewshot for leaf in task.covers for one in row.measured.get(leaf, {}).values()}
    return numbers.pop() if len(numbers) == 1 else None


def _fingerprint(task: CountedTask, row: RowScores) -> str:
    return _digest(
        [one.prompt_fingerprint for leaf in sorted(task.covers) for one in row.measured.get(leaf, {}).values()]
    )


def _digest(fingerprints: Sequence[str]) -> str:
    """Return the one fingerprint, or the SHA-256 of several."""
    different = list(dict.fromkeys(one for one in fingerprints if one))
    if len(different) <= 1:
        return "".join(different)
    return hashlib.sha256("\n".join(different).encode()).hexdigest()


def _notes(compared: Sequence[FewShotRow], reasons: dict[str, set[str]], tasks: Sequence[CountedTask]) -> list[str]:
    notes = [
        f"Without an interval, because {reason}: {plural(len(names), 'task')} ({shorten(sorted(names), 3)})."
        for reason, names in sorted(reasons.items())
    ]
    kinds = {difference.resampled for row in compared for difference in row.tasks}
    if "experiments" in kinds:
        clustering = [task.name for task in tasks if task.task_type == "Clustering"]
        notes.append(
            f"The intervals of Clustering tasks ({shorten(clustering, 3)}) resample the experiments of the protocol, "
            "which may share texts: read them as too narrow for statements about other texts."
        )
    return notes
