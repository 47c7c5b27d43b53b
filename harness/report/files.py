"""Writing leaderboards: leaderboard.md, leaderboard.parquet (wide) and leaderboard_long.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.report.leaderboard import build_leaderboards
from harness.report.load import load_scores
from harness.report.markdown import render_markdown
from harness.report.table import IDENTITY_COLUMNS, LeaderboardRow, LeaderboardTable
from harness.store.atomic import write_bytes

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("md", "parquet")
MARKDOWN_FILE = "leaderboard.md"
WIDE_FILE = "leaderboard.parquet"
LONG_FILE = "leaderboard_long.parquet"

_INTEGERS = frozenset({"query_max_tokens", "document_max_tokens", "limit"})


def write_leaderboard(run_dir: Path) -> LeaderboardTable:
    """Write RUN_DIR/leaderboard.md from RUN_DIR/scores.parquet, with a table of every task.

    manifest.json is not read, because a run writes it last.

    Returns:
        The first table; a run over tasks of several benchmarks has one for each, and the file holds them all.

    Raises:
        ResultSchemaError: scores.parquet is missing or corrupt.
        IncompleteRunError: no task has a main score.
        StorageError: the file cannot be written.
    """
    tables = build_leaderboards(load_scores([run_dir], use_manifest=False))
    write_tables(tables, run_dir, formats=("md",), per_task=True)
    return tables[0]


def write_tables(
    tables: Sequence[LeaderboardTable], folder: Path, *, formats: Sequence[str] = FORMATS, per_task: bool = False
) -> list[Path]:
    """Write the tables into a folder, each file atomically; return the files' paths.

    Args:
        tables: what to write.
        folder: made if it does not exist.
        formats: `md` (leaderboard.md) and `parquet` (leaderboard.parquet and leaderboard_long.parquet).
        per_task: whether leaderboard.md shows every task; the parquet files always do.

    Raises:
        ConfigError: a format is not known.
        StorageError: a file cannot be written.
    """
    check_formats(formats)
    contents: dict[str, bytes] = {}
    if "md" in formats:
        contents[MARKDOWN_FILE] = render_markdown(tables, per_task=per_task).encode("utf-8")
    if "parquet" in formats:
        contents[WIDE_FILE] = _parquet_bytes(wide_table(tables))
        contents[LONG_FILE] = _parquet_bytes(long_table(tables))
    for name, content in contents.items():
        write_bytes(folder / name, content)
    return [folder / name for name in contents]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse an empty list of formats and unknown ones.

    Raises:
        ConfigError: names what is known.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ConfigError(f"--format: {', '.join(map(repr, unknown)) or 'nothing'} given. Known: {', '.join(FORMATS)}.")


def wide_table(tables: Sequence[LeaderboardTable]) -> pa.Table:
    """Return one line per row of each table, scores as fractions.

    Columns: `benchmark` (the table's title), `rank_borda`, `borda_points` (both null for an unranked reference row), the
    row's identity, `reference` (empty for a run), `n_shot`, `model_label`, `mean_task`, `mean_task_type`, `type:<task type>`, `task:<task name>`. A gap is null, and so is a column that
    only another table has.
    """
    import pyarrow as pa

    types = list(dict.fromkeys(f"type:{name}" for table in tables for name in table.task_types))
    tasks = list(dict.fromkeys(f"task:{task.name}" for table in tables for task in table.tasks))
    scores = ("mean_task", "mean_task_type", *types, *tasks)
    schema = pa.schema([*_identity_fields(), *(pa.field(name, pa.float64()) for name in scores)])
    lines = []
    for table in tables:
        for row in table.rows:
            line = {**_identity(table, row), "mean_task": row.mean_task, "mean_task_type": row.mean_task_type}
            line |= {f"type:{name}": score for name, score in zip(table.task_types, row.type_means, strict=True)}
            line |= {f"task:{task.name}": score for task, score in zip(table.tasks, row.task_scores, strict=True)}
            lines.append(line)
    return pa.Table.from_pylist(lines, schema=schema)


def long_table(tables: Sequence[LeaderboardTable]) -> pa.Table:
    """Return one line per row and score, scores as fractions.

    After the identity columns of `wide_table`: `level` (mean, type, task), `name` ("Mean (Task)", a task type, a task),
    `task_type` (empty for means) and `score` (null for a gap).
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            *_identity_fields(),
            *(pa.field(name, pa.string(), nullable=False) for name in ("level", "name", "task_type")),
            pa.field("score", pa.float64()),
        ]
    )
    lines = []
    for table in tables:
        for index, row in enumerate(table.rows):
            identity = _identity(table, row)
            scores = [("mean", column.title, "", column.values[index]) for column in table.mean_columns()]
            types = zip(table.task_types, row.type_means, strict=True)
            scores += [("type", name, name, score) for name, score in types]
            scores += [("task", *task, score) for task, score in zip(table.tasks, row.task_scores, strict=True)]
            lines += [
                {**identity, "level": level, "name": name, "task_type": task_type, "score": score}
                for level, name, task_type, score in scores
            ]
    return pa.Table.from_pylist(lines, schema=schema)


def _identity(table: LeaderboardTable, row: LeaderboardRow) -> dict[str, Any]:
    return {
        "benchmark": table.title,
        "rank_borda": row.rank,
        "borda_points": row.points,
        **asdict(row.key),
        "n_shot": row.key.shots,
        "model_label": row.label,
    }


def _identity_fields() -> list[pa.Field[Any]]:
    import pyarrow as pa

    types: dict[str, Any] = {"rank_borda": pa.int64(), "borda_points": pa.float64(), "partial": pa.bool_()}
    types |= dict.fromkeys(_INTEGERS, pa.int64())
    nullable = ("rank_borda", "borda_points")
    names = ("benchmark", *nullable, *IDENTITY_COLUMNS, "reference", "n_shot", "model_label")
    return [pa.field(name, types.get(name, pa.string()), nullable=name in nullable) for name in names]


def _parquet_bytes(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())
