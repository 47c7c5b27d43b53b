"""The file of a baseline: stored scores with their identity, the outcomes that a paired test needs, and their history.

One parquet file. A row is one task of one configuration: its record (docs/results.md) without the costs and without the
metrics that are not compared, as canonical JSON, and its per-item outcomes as parquet bytes. The metadata hold what was
run, and a chain of entries, one per `baseline update`: each has the hash of the rows and that of the entry before it, so
an edit of the scores, of a reason or of the order is found. docs/ci.md has the table of columns.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.errors import ConfigError, ResultSchemaError
from harness.store.atomic import write_bytes
from harness.store.records import FileName, Scalar, Sha256, check_content, first_problem
from harness.store.run_dir import canonical_sha256
from harness.store.schema import SCHEMA_VERSION
from harness.store.stored_run import read_table
from harness.store.strict_json import parse_json, read_file

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "icl-harness-baseline"
VERSION = 1
MAX_BYTES = 1 << 30
MAX_ROWS = 10_000
_COLUMNS = ("configuration", "task_name", "task_type", "score", "result_key", "record", "items")

Reason = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Change(BaseModel):
    """One line of an update's old-to-new table."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    configuration: FileName
    task_name: FileName
    old: float | None
    """Main score before, as a fraction; None for a new task."""
    new: float | None
    """Main score after; None for a task that was taken out."""
    changed: list[str]
    """Parts of the identity that differ: `subject.weights_sha`."""


class Entry(BaseModel):
    """One `baseline update`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    author: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    reason: Reason
    created: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """UTC."""
    run_id: FileName
    parent_sha256: Sha256 | Literal[""]
    """Hash of the entry before; empty in the first."""
    rows_sha256: Sha256
    """Hash of all rows of the file as this update left it."""
    changes: list[Change]

    def sha256(self) -> str:
        """Return the hash that the next entry names as its parent."""
        return canonical_sha256(self.model_dump())


class Source(BaseModel):
    """What was run: the part of the run's manifest that a comparison reads."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: Literal[1]
    run_id: FileName
    status: Literal["complete"]
    configuration: dict[str, Any]
    model: dict[str, Scalar]
    machine: dict[str, Scalar]
    packages: dict[str, str]


class _Metadata(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal["icl-harness-baseline"]
    version: Literal[1]
    source: Source
    history: Annotated[list[Entry], Field(min_length=1)]
    content_sha256: Sha256
    """Hash of the last entry, so that an edit of the last reason is found as well."""


class Baseline:
    """A baseline that was read and verified, or is about to be written."""

    def __init__(
        self,
        path: Path,
        *,
        manifest: dict[str, Any],
        records: Sequence[dict[str, Any]],
        items: dict[tuple[str, str], bytes],
        history: Sequence[Entry],
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.records = tuple(sorted(records, key=lambda one: (one["configuration"], one["task_name"])))
        self.history = tuple(history)
        self._items = items

    @property
    def content_sha256(self) -> str:
        """The hash of the whole: of the last entry, which names that of the rows and of the entry before."""
        return self.history[-1].sha256()

    def items_bytes(self, configuration: str, task: str) -> bytes:
        """Return the per-item outcomes of a task as a parquet file's bytes."""
        try:
            return self._items[configuration, task]
        except KeyError:
            raise ConfigError(f"{self.path}: no task {task!r} in configuration {configuration!r}.") from None

    def items(self, configuration: str, task: str) -> pa.Table:
        """Return the per-item outcomes of a task.

        Raises:
            ConfigError: the baseline has no such task.
        """
        return read_table(self.items_bytes(configuration, task), f"{self.path}: items of {configuration}/{task}")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the file."""
        return [
            {
                "configuration": one["configuration"],
                "task_name": one["task_name"],
                "task_type": one["rows"][0]["task_type"],
                "score": task_score(one),
                "result_key": one["result_key"],
                "record": _canonical(one),
                "items": self.items_bytes(one["configuration"], one["task_name"]),
            }
            for one in self.records
        ]


def task_score(record: dict[str, Any]) -> float:
    """Return a task's score: the mean of its main scores over splits and subsets, a fraction."""
    scores = [row["score"] for row in record["rows"] if row["is_main"]]
    return float(sum(scores) / len(scores))


def rows_sha256(rows: Sequence[dict[str, Any]]) -> str:
    """Return the hash of the rows of a baseline, whatever the parquet library makes of them."""
    return canonical_sha256([{**row, "items": hashlib.sha256(row["items"]).hexdigest()} for row in rows])


def write_baseline(baseline: Baseline) -> int:
    """Write a baseline atomically; return the size in bytes.

    Raises:
        StorageError: the file cannot be written; an old one is kept.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = baseline.rows()
    if rows_sha256(rows) != baseline.history[-1].rows_sha256:
        raise ValueError("the last entry is not of these rows")
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "source": baseline.manifest,
        "history": [entry.model_dump() for entry in baseline.history],
        "content_sha256": baseline.content_sha256,
    }
    schema = _schema().with_metadata({FORMAT: _canonical(metadata)})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd", use_dictionary=False)
    write_bytes(baseline.path, sink.getvalue())
    return len(sink.getvalue())


def read_baseline(path: Path) -> Baseline:
    """Read a baseline and verify all its hashes.

    Raises:
        ConfigError: there is no such file.
        ResultSchemaError: no baseline, of another version, or altered since `baseline update` wrote it.
    """
    if not path.exists() and not path.is_symlink():
        raise ConfigError(f"{path}: no such baseline. Make it: icl-harness baseline update RUN --baseline {path}")
    table = _read(path)
    metadata = _metadata(table, path)
    if table.schema.names != list(_COLUMNS):
        raise ResultSchemaError(f"{path}: columns are not those of a baseline ({', '.join(_COLUMNS)}).")
    for field, column in zip(_schema(), table.columns, strict=True):
        if column.type != field.type or column.null_count:
            raise ResultSchemaError(f"{path}: column {field.name!r} is not {field.type} without empty values.")
    rows = table.to_pylist()
    _check_history(metadata, rows, path)
    records, items = [], {}
    for row in rows:
        where = f"{path}: {row['configuration'][:80]}/{row['task_name'][:80]}"
        record = parse_json(row["record"].encode(), where)
        if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
            raise ResultSchemaError(f"{where}: not a record of schema version {SCHEMA_VERSION}.")
        check_content(record, where)
        if not record["rows"]:
            raise ResultSchemaError(f"{where}: has no score. Take the file from version control.")
        shown = {name: row[name] for name in ("configuration", "task_name", "task_type", "score", "result_key")}
        kept = {"task_type": record["rows"][0]["task_type"], "score": task_score(record)}
        if shown != {**{name: record[name] for name in ("configuration", "task_name", "result_key")}, **kept}:
            raise ResultSchemaError(f"{where}: the columns of this row contradict its record.")
        key = (record["configuration"], record["task_name"])
        if key in items:
            raise ResultSchemaError(f"{where}: stands there twice.")
        if record["identity"]["protocol"]["limit"]:
            raise ResultSchemaError(f"{where}: is of a --limit run, which is no baseline.")
        read_table(row["items"], f"{where}: items")
        records.append(record)
        items[key] = row["items"]
    if not records:
        raise ResultSchemaError(f"{path}: holds no result. Take the file from version control.")
    return Baseline(path, manifest=metadata.source.model_dump(), records=records, items=items, history=metadata.history)


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = {"score": pa.float64(), "items": pa.binary()}
    return pa.schema([pa.field(name, types.get(name, pa.string()), nullable=False) for name in _COLUMNS])


def _read(path: Path) -> pa.Table:
    return read_table(read_file(path, limit=MAX_BYTES, follow=False), str(path), max_rows=MAX_ROWS)


def _metadata(table: pa.Table, path: Path) -> _Metadata:
    stored = (table.schema.metadata or {}).get(FORMAT.encode())
    if stored is None:
        raise ResultSchemaError(f"{path}: a parquet file, but no baseline. Make one with icl-harness baseline update.")
    value = parse_json(stored, f"{path}: metadata")
    version = value.get("version") if isinstance(value, dict) else None
    if version != VERSION or isinstance(version, bool):
        raise ResultSchemaError(
            f"{path}: a baseline of version {str(version)[:20]!r}, this program reads {VERSION}. "
            "Use the version of the program that wrote it."
        )
    try:
        return _Metadata.model_validate(value)
    except ValidationError as error:
        raise ResultSchemaError(f"{path}: metadata: {first_problem(error)}. The file is damaged or foreign.") from error


def _check_history(metadata: _Metadata, rows: list[dict[str, Any]], path: Path) -> None:
    parent = ""
    for number, entry in enumerate(metadata.history, start=1):
        if entry.parent_sha256 != parent:
            raise _altered(path, f"entry {number} of its history does not follow the one before")
        parent = entry.sha256()
    if metadata.content_sha256 != parent:
        raise _altered(path, "the last entry of its history does not match its hash")
    if metadata.history[-1].rows_sha256 != rows_sha256(rows):
        raise _altered(path, "its scores are not those of the last entry of its history")


def _altered(path: Path, what: str) -> ResultSchemaError:
    return ResultSchemaError(
        f"{path}: {what}. Only icl-harness baseline update writes baselines; take the file from version control."
    )


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


__all__ = ["Baseline", "Change", "Entry", "Source", "read_baseline", "rows_sha256", "task_score", "write_baseline"]
