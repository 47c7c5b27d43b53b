"""What the HTML page knows: the tables' numbers as they are shown elsewhere, in short JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.report.comparison import CostRow, Difference, FewShotRow
from harness.report.grids import COST_CAPTION, FEW_SHOT_CAPTION, cost_cells, short_fingerprint
from harness.report.table import CAPTION, LeaderboardRow, LeaderboardTable
from harness.report.text import GAP, percent, points, visible

Json = dict[str, Any]


def page_data(tables: Sequence[LeaderboardTable]) -> Json:
    """Return the tables as the page's script reads them (page/base.js).

    Scores are numbers times 100 with two decimals, as in every other format; null is a gap.
    """
    return {
        "caption": CAPTION,
        "fewShotCaption": FEW_SHOT_CAPTION,
        "costCaption": COST_CAPTION,
        "tables": [_table(table) for table in tables],
    }


def _table(table: LeaderboardTable) -> Json:
    means, types, tasks = table.mean_columns(), table.type_columns(), table.task_columns()
    models: dict[tuple[Any, ...], int] = {}
    return {
        "title": visible(table.title),
        "rankTitle": table.rank_title,
        "notes": [visible(note) for note in table.notes],
        "means": [column.title for column in means],
        "types": [visible(name) for name in table.task_types],
        "tasks": [[visible(task.name), table.task_types.index(task.task_type)] for task in table.tasks],
        "best": [sorted(table.best(column)) for column in (*means, *types, *tasks)],
        "rows": [_row(table, place, models) for place in range(len(table.rows))],
        "fewShot": [_few_shot(one) for one in table.few_shot],
        "fewShotNotes": [visible(note) for note in table.few_shot_notes],
        "costs": [_cost(cost) for cost in table.costs],
    }


def _row(table: LeaderboardTable, place: int, models: dict[tuple[Any, ...], int]) -> Json:
    row = table.rows[place]
    means = [column.values[place] for column in table.mean_columns()]
    places = {task.name: index for index, task in enumerate(table.tasks)}
    return {
        "model": visible(row.key.model_name),
        "name": visible(row.name),
        "fullName": visible(row.full_name),
        "remarks": [visible(remark) for remark in row.remarks],
        # Rows of one model and setting, which the plots join over numbers of examples.
        "series": models.setdefault(_setting(row), len(models)),
        "shots": visible(row.key.shots),
        "k": row.key.num_shots,
        "rank": row.rank,
        "partial": row.key.partial,
        "reference": bool(row.key.reference),
        "scores": _numbers(percent(score) for score in (*means, *row.type_means, *row.task_scores)),
        "trained": sorted(places[name] for name in row.trained_on or ()),
        "details": {name: visible(str(value)) for name, value in _details(row).items() if value != ""},
    }


def _setting(row: LeaderboardRow) -> tuple[Any, ...]:
    key = row.key
    return (
        key.model_name, key.model_revision, key.instructions, key.dtype, key.tokenization, key.query_max_tokens,
        key.document_max_tokens, key.partial, key.limit, key.reference,
    )  # fmt: skip


def _details(row: LeaderboardRow) -> dict[str, Any]:
    key = row.key
    lengths = f"{key.query_max_tokens} (query), {key.document_max_tokens} (document)" if key.query_max_tokens else ""
    return {
        "Revision": key.model_revision,
        "Examples": key.examples_set,
        "Instructions": key.instructions,
        "Type of numbers": key.dtype,
        "Tokenisation": key.tokenization,
        "Longest text, tokens": lengths,
        "Reference": key.reference,
    }


def _few_shot(one: FewShotRow) -> Json:
    return {
        "row": one.row,
        "zeroShot": one.zero_shot,
        "prompt": short_fingerprint(one),
        # Parallel to a row's scores without the further means: [difference, low, high].
        "mean": _difference(one.mean),
        "types": [_difference(each) for each in one.types],
        "tasks": [_difference(each) for each in one.tasks],
    }


def _cost(cost: CostRow) -> Json:
    return {"row": cost.row, "zeroShot": cost.zero_shot, "cells": [None if c == GAP else c for c in cost_cells(cost)]}


def _difference(difference: Difference) -> list[float | None]:
    return _numbers(map(points, (difference.value, difference.low, difference.high)))


def _numbers(shown: Iterable[str]) -> list[float | None]:
    return [None if one == GAP else float(one) for one in shown]
