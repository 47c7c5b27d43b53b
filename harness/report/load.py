"""Reading scores.parquet of any set of run directories, strictly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ConfigError, IncompleteRunError, ResultSchemaError
from harness.report.consistency import (
    FOLDERS_ATTRIBUTE,
    NOTES_ATTRIBUTE,
    PATH_COLUMN,
    check_one_main_metric,
    check_values,
    drop_repeated,
)
from harness.store.atomic import read_json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCORES_FILE = "scores.parquet"
MANIFEST_FILE = "manifest.json"

_FINISHED = frozenset({"complete", "completed", "done", "finished", "ok", "success"})


class _Source(NamedTuple):
    scores: Path
    notes: list[str]


def load_scores(paths: Sequence[Path], *, use_manifest: bool = True) -> pd.DataFrame:
    """Read the scores of run directories or scores.parquet files into one frame.

    A score that several runs hold under one result key is kept once, from the run named first. The frame's
    `attrs["notes"]` lists what a reader of a table made from it should know; `attrs["folders"]` says in which run
    directories each `run_id` was found.

    Args:
        paths: run directories (scores.parquet and manifest.json) or scores.parquet files.
        use_manifest: whether a run directory must have its manifest.json, whose status may become a note.

    Raises:
        ConfigError: no path given, or one does not exist.
        ResultSchemaError: a file is missing or corrupt, a column, dtype or score is not what the schema says, or
            two runs claim different results for one configuration, task, split, subset and metric.
        IncompleteRunError: the runs hold no score at all.
    """
    import pyarrow as pa

    if not paths:
        raise ConfigError("no run directory was given. Name at least one: icl-harness report RUN...")
    sources = [_locate(path, use_manifest=use_manifest) for path in paths]
    notes = [note for source in sources for note in source.notes]
    tables = []
    folders: dict[str, list[str]] = {}
    for file in dict.fromkeys(source.scores for source in sources):
        table = _read_table(file)
        for run_id in table["run_id"].unique().to_pylist():
            folders.setdefault(run_id, []).append(str(file.parent))
        tables.append(table.append_column(PATH_COLUMN, pa.array([str(file)] * table.num_rows, pa.string())))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    if frame.empty:
        raise IncompleteRunError(
            f"{', '.join(str(source.scores) for source in sources)}: no task has a score yet. "
            "Give the run's command again to go on with it."
        )
    check_values(frame)
    frame = drop_repeated(frame, notes)
    check_one_main_metric(frame)
    frame = frame.drop(columns=PATH_COLUMN).reset_index(drop=True)
    frame.attrs[NOTES_ATTRIBUTE] = notes
    frame.attrs[FOLDERS_ATTRIBUTE] = folders
    return frame


def _locate(path: Path, *, use_manifest: bool) -> _Source:
    path = path.resolve()
    if path.is_file():
        return _Source(path, [])
    if not path.is_dir():
        raise ConfigError(f"{path}: no such run directory or scores.parquet file.")
    scores = path / SCORES_FILE
    if not scores.is_file():
        inner = any(path.glob(f"*/{SCORES_FILE}"))
        mend = f"It holds run directories: name {path}/*." if inner else "Name a directory that `run` has written."
        raise ResultSchemaError(f"{path}: no {SCORES_FILE} in this directory. {mend}")
    return _Source(scores, _manifest_notes(path / MANIFEST_FILE) if use_manifest else [])


def _manifest_notes(path: Path) -> list[str]:
    if not path.is_file():
        raise ResultSchemaError(
            f"{path}: no such file, so this run was not finished. Give the run's command again, "
            f"or name {path.with_name(SCORES_FILE)} itself to see the tasks it has."
        )
    manifest: Any = read_json(path)
    run_id = manifest.get("run_id") if isinstance(manifest, dict) else None
    if not isinstance(run_id, str) or not run_id:
        raise ResultSchemaError(f"{path}: has no text `run_id`, so it is no manifest of a run. Run again.")
    status = manifest.get("status")
    if status is None or str(status).casefold() in _FINISHED:
        return []
    return [f"Run {run_id} is marked '{status}': some of its tasks may have no score."]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _read_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.store.schema import SCHEMA_VERSION, arrow_schema

    try:
        # The file's own handle: pyarrow must not take a path for a data set with partition folders.
        with path.open("rb") as handle:
            table = pq.read_table(handle)
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise ResultSchemaError(f"{path}: not a readable parquet file ({_one_line(error)}). Run again.") from error
    version = (table.schema.metadata or {}).get(b"schema_version")
    if version is not None and version != str(SCHEMA_VERSION).encode():
        shown = version.decode("utf-8", "replace")
        raise ResultSchemaError(
            f"{path}: written with schema version {shown!r}, this program reads {SCHEMA_VERSION}. "
            "Use the version of the program that wrote it, or run again."
        )
    wanted = arrow_schema()
    missing = sorted(set(wanted.names) - set(table.column_names))
    unknown = sorted(set(table.column_names) - set(wanted.names))
    if missing or unknown or len(table.column_names) != len(wanted.names):
        problem = f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        raise ResultSchemaError(f"{path}: columns are not those of the schema ({problem}). Run again.")
    table = table.select(wanted.names)
    for field, column in zip(wanted, table.columns, strict=True):
        if column.type != field.type and not (pa.types.is_large_string(column.type) and pa.types.is_string(field.type)):
            raise ResultSchemaError(
                f"{path}: column {field.name!r} is {column.type}, expected {field.type}. Run again."
            )
        if column.null_count:
            raise ResultSchemaError(f"{path}: column {field.name!r} has {column.null_count} empty values. Run again.")
    return table.replace_schema_metadata(None).cast(pa.schema([field.with_nullable(True) for field in wanted]))
