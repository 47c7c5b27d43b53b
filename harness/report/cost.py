"""What encoding took, and how much more with examples than without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report.comparison import CostRow
from harness.report.rows import Measurement, RowScores
from harness.report.tasks import CountedTask


def cost_rows(
    tasks: Sequence[CountedTask], rows: Sequence[RowScores], zero_shot: Sequence[int | None]
) -> list[CostRow]:
    """Return the cost of each row that has encoded a text of the tasks.

    Texts that a row took from the store cost it nothing. So the comparison takes only tasks of which both rows encoded
    equally many texts: the documents of a retrieval task are encoded once, by whichever configuration comes first.

    Args:
        tasks: the table's columns.
        rows: the table's rows.
        zero_shot: place of each row's zero-shot row, if any.
    """
    costs = []
    for place, row in enumerate(rows):
        texts = sum(one.texts_encoded for _, one in _measurements(tasks, row))
        seconds = sum(one.encode_seconds for _, one in _measurements(tasks, row))
        if texts <= 0 or seconds <= 0:
            continue
        base = zero_shot[place]
        mine, theirs, shared = (0.0, 0.0, 0)
        compared = 0
        if base is not None:
            other = dict(_measurements(tasks, rows[base]))
            for key, one in _measurements(tasks, row):
                if key in other and other[key].texts_encoded == one.texts_encoded > 0:
                    compared += 1
                    mine, theirs = mine + one.encode_seconds, theirs + other[key].encode_seconds
                    shared += one.texts_encoded
        known = shared > 0 and theirs > 0
        costs.append(
            CostRow(
                row=place,
                texts_encoded=texts,
                encode_seconds=seconds,
                texts_per_second=texts / seconds,
                zero_shot=base,
                compared_tasks=compared,
                seconds_per_text=mine / shared if known else None,
                zero_shot_seconds_per_text=theirs / shared if known else None,
                relative=mine / theirs if known else None,
            )
        )
    return sorted(
        costs, key=lambda cost: (cost.row if cost.zero_shot is None else cost.zero_shot, rows[cost.row].key.sort_key)
    )


def _measurements(tasks: Sequence[CountedTask], row: RowScores) -> Iterator[tuple[tuple[str, int], Measurement]]:
    """Yield each task and part once per run, numbered, so that two rows' runs of a task meet in order."""
    for name in sorted({leaf for task in tasks for leaf in task.covers}):
        for number, one in enumerate(row.measured.get(name, {}).values()):
            yield (name, number), one
