"""The leaderboard's arithmetic: means that refuse gaps, and Borda ranks.

Equal to mteb 2.x `benchmarks/_create_table.py` where both define a value. All scores are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol


def mean(values: Iterable[float | None]) -> float | None:
    """Return the plain mean, or None when a value is missing or there is none."""
    present: list[float] = []
    for value in values:
        if value is None:
            return None
        present.append(value)
    return math.fsum(present) / len(present) if present else None


def type_means(scores: Sequence[float | None], types: Sequence[str]) -> dict[str, float | None]:
    """Return the mean per task type, in order of first occurrence; None for a type with a gap.

    Args:
        scores: one per task.
        types: the task types, parallel to `scores`.
    """
    grouped: dict[str, list[float | None]] = {}
    for score, task_type in zip(scores, types, strict=True):
        grouped.setdefault(task_type, []).append(score)
    return {task_type: mean(values) for task_type, values in grouped.items()}


def average_ranks(scores: Sequence[float | None]) -> list[float | None]:
    """Return each score's rank, 1 for the highest, ties sharing their average; a gap has none."""
    order = sorted((index for index, score in enumerate(scores) if score is not None), key=lambda i: _number(scores[i]))
    order.reverse()
    ranks: list[float | None] = [None] * len(scores)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks


def _number(score: float | None) -> float:
    return -math.inf if score is None else score


def borda_points(table: Sequence[Sequence[float | None]]) -> list[float]:
    """Return each row's Borda points: per task (rows - rank), summed; a missing task gives 0.

    Args:
        table: rows of task scores, all of one length.
    """
    points = [0.0] * len(table)
    for column in zip(*table, strict=True):
        for index, rank in enumerate(average_ranks(column)):
            if rank is not None:
                points[index] += len(table) - rank
    return points


def min_ranks(keys: Sequence[tuple[float, ...]]) -> list[int]:
    """Return each key's rank, 1 for the smallest key; equal keys share the best of their ranks."""
    first: dict[tuple[float, ...], int] = {}
    for position, key in enumerate(sorted(keys), start=1):
        first.setdefault(key, position)
    return [first[key] for key in keys]


class Standing(Protocol):
    """What ranking needs to know of a row."""

    @property
    def scores(self) -> Sequence[float | None]:
        """Task scores."""

    @property
    def partial(self) -> bool:
        """Whether a --limit run made it."""


def _has_score(row: Standing) -> bool:
    return any(score is not None for score in row.scores)


def rank_rows(rows: Sequence[Standing]) -> tuple[list[int], list[float]]:
    """Return "Rank (Borda)" and the Borda points of each row.

    As mteb for rows without gaps. Different from mteb on purpose: a row with a gap ranks after every full row
    (mteb lets many points outweigh a missing task); partial rows are ranked among themselves, after all others,
    and take no part in the points of the others; a row without any score is shown, with 0 points, and does not raise
    those of the others; each configuration of a model is a row with points of its own
    (mteb pools them by model name); a task with a missing split or subset gives no points.
    """
    points = [0.0] * len(rows)
    for partial in (False, True):
        members = [index for index, row in enumerate(rows) if row.partial == partial and _has_score(row)]
        for index, value in zip(members, borda_points([rows[i].scores for i in members]), strict=True):
            points[index] = value
    keys = [(float(row.partial), float(None in row.scores), -value) for row, value in zip(rows, points, strict=True)]
    return min_ranks(keys), points
