"""The report's numbers as Arrow tables: what the parquet and CSV files hold. Scores are fractions; a gap is null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.report.table import IDENTITY_COLUMNS, RANK_TITLE, LeaderboardRow, LeaderboardTable

if TYPE_CHECKING:
    import pyarrow as pa

_INTEGERS = frozenset({"query_max_tokens", "document_max_tokens", "limit"})


def wide_table(tables: Sequence[LeaderboardTable]) -> pa.Table:
    """Return one line per row of each table.

    Columns: `benchmark` (the table's title), `rank_borda`, `borda_points` (both null for an unranked reference row), the
    row's identity, `reference` (empty for a run), `n_shot`, `model_label`, `mean_task`, `mean_task_type`, `mean_unseen`,
    `tasks_trained_on` (both null where the training data are not stated), `type:<task type>`, `task:<task name>`. A
    column that only another table has is null.
    """
    import pyarrow as pa

    types = list(dict.fromkeys(f"type:{name}" for table in tables for name in table.task_types))
    tasks = list(dict.fromkeys(f"task:{task.name}" for table in tables for task in table.tasks))
    schema = pa.schema(
        [
            *_row_fields(tables),
            *(pa.field(name, pa.float64()) for name in ("mean_task", "mean_task_type", "mean_unseen")),
            pa.field("tasks_trained_on", pa.int64()),
            *(pa.field(name, pa.float64()) for name in (*types, *tasks)),
        ]
    )
    lines = []
    for table in tables:
        for row in table.rows:
            trained = None if row.trained_on is None else len(row.trained_on)
            line = {**_standing(table, row), **_identity(table, row), "tasks_trained_on": trained}
            line |= {name: getattr(row, name) for name in ("mean_task", "mean_task_type", "mean_unseen")}
            line |= {f"type:{name}": score for name, score in zip(table.task_types, row.type_means, strict=True)}
            line |= {f"task:{task.name}": score for task, score in zip(table.tasks, row.task_scores, strict=True)}
            lines.append(line)
    return pa.Table.from_pylist(lines, schema=schema)


def long_table(tables: Sequence[LeaderboardTable]) -> pa.Table:
    """Return one line per row and score.

    After the standing and identity of `wide_table`: `level` (mean, type, task), `name` ("Mean (Task)", a task type, a
    task), `task_type` (empty for means), `score`, and `trained_on` (null but for a task of a model whose training data
    are stated).
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            *_row_fields(tables),
            *_level_fields(),
            pa.field("score", pa.float64()),
            pa.field("trained_on", pa.bool_()),
        ]
    )
    lines = []
    for table in tables:
        for index, row in enumerate(table.rows):
            identity = {**_standing(table, row), **_identity(table, row)}
            means = [column.values[index] for column in table.mean_columns()]
            scores = [*means, *row.type_means, *row.task_scores]
            lines += [
                {**identity, **level, "score": score, "trained_on": _trained_on(row, level)}
                for level, score in zip(_levels(table, len(means)), scores, strict=True)
            ]
    return pa.Table.from_pylist(lines, schema=schema)


def few_shot_table(tables: Sequence[LeaderboardTable]) -> pa.Table:
    """Return one line per few-shot row and Mean (Task), task type and task, against the zero-shot row.

    After the identity: `level`, `name`, `task_type` as in `long_table`; `num_fewshot` (null for means and types),
    `prompt_fingerprint`, `zero_shot_score`, `few_shot_score`, `difference`, `interval_low`, `interval_high`,
    `resampled` (empty without an interval), `trained_on`.
    """
    import pyarrow as pa

    scores = ("zero_shot_score", "few_shot_score", "difference", "interval_low", "interval_high")
    schema = pa.schema(
        [
            *_identity_fields(),
            *_level_fields(),
            pa.field("num_fewshot", pa.int64()),
            pa.field("prompt_fingerprint", pa.string(), nullable=False),
            *(pa.field(name, pa.float64()) for name in scores),
            pa.field("resampled", pa.string(), nullable=False),
            pa.field("trained_on", pa.bool_()),
        ]
    )
    lines = []
    for table in tables:
        for one in table.few_shot:
            row, base = table.rows[one.row], table.rows[one.zero_shot]
            before, after = ([each.mean_task, *each.type_means, *each.task_scores] for each in (base, row))
            whole = 1 + len(table.task_types)
            entries = zip(
                _levels(table, 1),
                [None] * whole + list(one.num_fewshot),
                [one.prompt_fingerprint] * whole + list(one.fingerprints),
                before,
                after,
                [one.mean, *one.types, *one.tasks],
                strict=True,
            )
            for level, shots, fingerprint, zero_shot, few_shot, difference in entries:
                numbers = (zero_shot, few_shot, difference.value, difference.low, difference.high)
                lines.append(
                    {
                        **_identity(table, row),
                        **level,
                        "num_fewshot": shots,
                        "prompt_fingerprint": fingerprint,
                        **dict(zip(scores, numbers, strict=True)),
                        "resampled": difference.resampled,
                        "trained_on": _trained_on(row, level),
                    }
                )
    return pa.Table.from_pylist(lines, schema=schema)


def cost_table(tables: Sequence[LeaderboardTable]) -> pa.Table:
    """Return one line per row that has encoded texts: the identity and the fields of `CostRow`."""
    import pyarrow as pa

    integers = ("texts_encoded", "compared_tasks")
    floats = (
        "encode_seconds", "texts_per_second", "seconds_per_text", "zero_shot_seconds_per_text", "relative",
    )  # fmt: skip
    fields = [pa.field(name, pa.int64()) for name in integers] + [pa.field(name, pa.float64()) for name in floats]
    lines = [
        {**_identity(table, table.rows[cost.row]), **{name: getattr(cost, name) for name in (*integers, *floats)}}
        for table in tables
        for cost in table.costs
    ]
    return pa.Table.from_pylist(lines, schema=pa.schema([*_identity_fields(), *fields]))


def _levels(table: LeaderboardTable, means: int) -> list[dict[str, str]]:
    titles = [column.title for column in table.mean_columns()[:means]]
    found = [("mean", title, "") for title in titles]
    found += [("type", name, name) for name in table.task_types]
    found += [("task", *task) for task in table.tasks]
    return [dict(zip(("level", "name", "task_type"), one, strict=True)) for one in found]


def _trained_on(row: LeaderboardRow, level: dict[str, str]) -> bool | None:
    return level["name"] in row.trained_on if level["level"] == "task" and row.trained_on is not None else None


def _standing(table: LeaderboardTable, row: LeaderboardRow) -> dict[str, Any]:
    if table.rank_title != RANK_TITLE:
        return {"rank": row.rank}
    return {"rank_borda": row.rank, "borda_points": row.points}


def _row_fields(tables: Sequence[LeaderboardTable]) -> list[pa.Field[Any]]:
    import pyarrow as pa

    benchmark, *identity = _identity_fields()
    # Ranks by another rule than Borda's stand in a column of their own.
    other = [pa.field("rank", pa.int64())] if any(table.rank_title != RANK_TITLE for table in tables) else []
    return [benchmark, pa.field("rank_borda", pa.int64()), pa.field("borda_points", pa.float64()), *other, *identity]


def _identity(table: LeaderboardTable, row: LeaderboardRow) -> dict[str, Any]:
    return {"benchmark": table.title, **asdict(row.key), "n_shot": row.key.shots, "model_label": row.label}


def _identity_fields() -> list[pa.Field[Any]]:
    import pyarrow as pa

    types: dict[str, Any] = {"partial": pa.bool_(), **dict.fromkeys(_INTEGERS, pa.int64())}
    names = ("benchmark", *IDENTITY_COLUMNS, "reference", "n_shot", "model_label")
    return [pa.field(name, types.get(name, pa.string()), nullable=False) for name in names]


def _level_fields() -> list[pa.Field[Any]]:
    import pyarrow as pa

    return [pa.field(name, pa.string(), nullable=False) for name in ("level", "name", "task_type")]
