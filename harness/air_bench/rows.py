"""Rows of AIR-Bench's files as Arrow columns, every row checked; large files become memory-mapped Arrow once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from harness.encoder.hashing import cache_dir, remembered_sha256
from harness.errors import DatasetUnavailableError, ResultSchemaError
from harness.store import atomic

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = {"id": str, "text": str}
"""Columns of a corpus and of queries."""
JUDGEMENTS = {"qid": str, "docid": str, "relevance": int}
MAPPED_BYTES = 64 << 20
"""Files above this size are converted to Arrow on disk and mapped, so that msmarco's 8.8 M passages need no memory."""
_BATCH_BYTES = 64 << 20
_BATCH_ROWS = 100_000
_FORMAT = 1
"""Counts changes of the Arrow form of a file."""
_LFS = b"version https://git-lfs"

Columns = Mapping[str, type]


def read_files(paths: Sequence[Path], columns: Columns) -> pa.Table:
    """Read the rows of some files, one after the other.

    Args:
        paths: jsonl or parquet files.
        columns: names and types (str or int) of the columns that every row must have; others are left out.

    Raises:
        DatasetUnavailableError: a file is missing, or only a Git LFS pointer.
        ResultSchemaError: a damaged or foreign file; names the line.
    """
    import pyarrow as pa

    return pa.concat_tables([_read_file(path, columns) for path in paths])


def _read_file(path: Path, columns: Columns) -> pa.Table:
    try:
        with path.open("rb") as handle:
            start, size = handle.read(64), path.stat().st_size
    except OSError as error:
        raise DatasetUnavailableError(f"{path}: cannot be read: {error.strerror}.") from error
    if start.startswith(_LFS):
        raise DatasetUnavailableError(f"{path}: a Git LFS pointer, not the data. In that folder, run: git lfs pull")
    if path.suffix == ".parquet":
        return _read_parquet(path, columns)
    if size > MAPPED_BYTES:
        return _mapped(path, columns)
    import pyarrow as pa

    return pa.Table.from_batches(_batches(path, columns), schema=_schema(columns))


def as_columns(table: pa.Table, columns: Columns, where: str) -> pa.Table:
    """Return the named columns of a table in their types; whole numbers are taken as ids.

    Raises:
        ResultSchemaError: a column is missing, of another kind, or has empty values.
    """
    import pyarrow as pa

    missing = [name for name in columns if name not in table.column_names]
    if missing:
        found = ", ".join(table.column_names) or "none"
        raise ResultSchemaError(f"{where}: column {missing[0]!r} is missing (found: {found}). The data are foreign.")
    table = table.select(list(columns))
    for field in table.schema:
        wanted = columns[field.name]
        is_text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        is_id = field.name in ("id", "qid", "docid") and pa.types.is_integer(field.type)
        if not (is_text or is_id if wanted is str else pa.types.is_integer(field.type)):
            raise ResultSchemaError(f"{where}: column {field.name!r} is {field.type}. The data are foreign.")
        if table[field.name].null_count:
            raise ResultSchemaError(f"{where}: column {field.name!r} has empty values. The data are damaged.")
    return table.cast(_schema(columns))


def _schema(columns: Columns) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.large_string() if kind is str else pa.int64()) for name, kind in columns.items()])


def _read_parquet(path: Path, columns: Columns) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as handle:
            table = pq.read_table(handle)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ResultSchemaError(f"{path}: not a readable parquet file ({reason}). Fetch it again.") from error
    return as_columns(table, columns, str(path))


def _mapped(path: Path, columns: Columns) -> pa.Table:
    import pyarrow as pa

    name = f"{remembered_sha256(path)}-{'-'.join(columns)}-{_FORMAT}.arrow"
    arrow = cache_dir() / "air_bench" / name
    for _ in range(2):
        if arrow.is_file():
            try:
                return pa.ipc.open_file(pa.memory_map(str(arrow))).read_all()
            except (OSError, pa.ArrowException):
                arrow.unlink()
        with (
            atomic.replacing(arrow) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, _schema(columns)) as writer,
        ):
            for batch in _batches(path, columns):
                writer.write_batch(batch)
    raise ResultSchemaError(f"{arrow}: cannot be read back. Is the disk of the cache folder in order?")


def _batches(path: Path, columns: Columns) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema = _schema(columns)
    rows: dict[str, list[Any]] = {name: [] for name in columns}
    held = count = 0
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if line.isspace():
                continue
            row = _parsed(path, number, line)
            for name, kind in columns.items():
                rows[name].append(_value(row, name, kind, path, number))
            held += len(line)
            count += 1
            if held > _BATCH_BYTES or count >= _BATCH_ROWS:
                yield pa.RecordBatch.from_pydict(rows, schema=schema)
                rows = {name: [] for name in columns}
                held = count = 0
    if count:
        yield pa.RecordBatch.from_pydict(rows, schema=schema)


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        mend = "" if line.endswith(b"\n") else " The file ends in the middle of a row."
        raise ResultSchemaError(f"{path}:{number}: not JSON ({error}).{mend} Fetch it again.") from error
    if not isinstance(row, dict):
        raise ResultSchemaError(f"{path}:{number}: an object per line is expected. The file is foreign.")
    return row


def _value(row: dict[str, Any], name: str, kind: type, path: Path, number: int) -> Any:
    value = row.get(name)
    if kind is str and name != "text" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if type(value) is not kind or (value == "" and name != "text"):
        what = "text" if kind is str else "a whole number"
        found = f"has {name} {value!r:.60}" if name in row else f"has no {name} (it has: {', '.join(row) or 'nothing'})"
        raise ResultSchemaError(f"{path}:{number}: {found}; {what} is expected. The file is damaged or foreign.")
    return value
