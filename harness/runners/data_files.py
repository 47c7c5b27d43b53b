"""Strict reading of a custom task's data files: every row has every column, of the right kind, or the row is named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import DatasetUnavailableError, ResultSchemaError

Kind = Callable[[Any], Any]
"""Returns the value as it is stored, or raises ValueError saying what was expected."""


def text(value: Any) -> str:
    """Accept a string."""
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def optional_text(value: Any) -> str:
    """Accept a string or nothing."""
    return "" if value is None else text(value)


def identifier(value: Any) -> str:
    """Accept a string or a whole number; ids are strings everywhere else."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError("an id (text or whole number)")
    return str(value)


def number(value: Any) -> float:
    """Accept a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("a number")
    return float(value)


def whole_number(value: Any) -> int:
    """Accept a whole number."""
    if number(value) != int(value):
        raise ValueError("a whole number")
    return int(value)


def label(value: Any) -> str | int:
    """Accept a label: a whole number or a name."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError("a label (whole number or name)")
    return value


def binary(value: Any) -> int:
    """Accept 0 or 1."""
    if isinstance(value, bool) or value not in (0, 1):
        raise ValueError("0 or 1")
    return int(value)


def list_of(kind: Kind) -> Kind:
    """Accept a list of at least one value of a kind."""

    def check(value: Any) -> list[Any]:
        try:
            if not isinstance(value, list) or not value:
                raise ValueError
            return [kind(one) for one in value]
        except ValueError as error:
            raise ValueError(f"a list, each of it {error or 'of the right kind'}") from error

    return check


def exists(folder: Path, stem: str) -> bool:
    """Whether the folder has `<stem>.jsonl` or `<stem>.parquet`."""
    return any((folder / f"{stem}.{ending}").is_file() for ending in ("jsonl", "parquet"))


def read_rows(folder: Path, stem: str, columns: dict[str, Kind]) -> list[dict[str, Any]]:
    """Read `<stem>.parquet` or `<stem>.jsonl`; other columns than the named ones are left out.

    Raises:
        DatasetUnavailableError: neither file is there.
        ResultSchemaError: no rows, or a row that cannot be parsed or lacks a right value; names file and row.
    """
    rows: list[dict[str, Any]] = []
    for where, row in _raw_rows(folder, stem):
        if not isinstance(row, dict):
            raise ResultSchemaError(f"{where}: an object with {', '.join(columns)} is expected. See docs/data-dir.md.")
        checked = {}
        for name, kind in columns.items():
            if name not in row and kind is not optional_text:
                found = ", ".join(row) or "none"
                raise ResultSchemaError(f"{where}: column {name} is missing (found: {found}). See docs/data-dir.md.")
            try:
                checked[name] = kind(row.get(name))
            except ValueError as error:
                raise ResultSchemaError(f"{where}: {name} is {row[name]!r:.60}; {error} is expected.") from error
        rows.append(checked)
    if not rows:
        raise ResultSchemaError(f"{folder}/{stem}: the file holds no rows.")
    return rows


def _raw_rows(folder: Path, stem: str) -> Iterator[tuple[str, Any]]:
    parquet, jsonl = folder / f"{stem}.parquet", folder / f"{stem}.jsonl"
    if parquet.is_file():
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(parquet)
        except (pa.ArrowInvalid, OSError) as error:
            raise ResultSchemaError(f"{parquet}: not a parquet file ({' '.join(str(error).split())[:120]}).") from error
        for position, row in enumerate(table.to_pylist()):
            yield f"{parquet} row {position}", row
    elif jsonl.is_file():
        try:
            lines = jsonl.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise ResultSchemaError(f"{jsonl}: not UTF-8 (byte {error.start}).") from error
        for line_number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield f"{jsonl}:{line_number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise ResultSchemaError(
                    f"{jsonl}:{line_number}: not JSON ({error.msg}). One object per line is expected."
                ) from error
    else:
        raise DatasetUnavailableError(
            f"data folder {folder} has neither {stem}.jsonl nor {stem}.parquet. "
            "The files of each task type are listed in docs/data-dir.md."
        )
