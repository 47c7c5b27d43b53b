"""Reading a finished run directory for a comparison: everything in it is verified, nothing is left out in silence."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import ConfigError, IncompleteRunError, ResultSchemaError
from harness.store.records import check_manifest, check_record
from harness.store.run_dir import safe_name
from harness.store.strict_json import one_line, read_file, read_json

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

MAX_ITEMS_BYTES = 1 << 31
MAX_ROWS = 50_000_000
"""Ten undersamplings of a classification of five million texts."""
MANIFEST = "manifest.json"
Key = tuple[str, str]
"""(configuration, task_name)"""


class ResultSet(Protocol):
    """Results with their identity, whatever keeps them: a run directory or a baseline."""

    @property
    def path(self) -> Path:
        """Where it was read."""

    @property
    def manifest(self) -> dict[str, Any]:
        """`run_id`, `status`, `model`, `machine` and more (docs/results.md)."""

    @property
    def records(self) -> tuple[dict[str, Any], ...]:
        """Task records (docs/results.md), sorted by configuration and task."""

    def items(self, configuration: str, task: str) -> pa.Table:
        """Return the per-item outcomes of a task."""


class StoredRun:
    """A run directory; `read_run` makes it."""

    def __init__(self, path: Path, manifest: dict[str, Any], records: tuple[dict[str, Any], ...]) -> None:
        self.path = path
        self.manifest = manifest
        self.records = records
        self._files = {(one["configuration"], one["task_name"]): one["files"] for one in records}

    def items(self, configuration: str, task: str) -> pa.Table:
        """Return the per-item outcomes of a task.

        Raises:
            ConfigError: the run has no such task.
            ResultSchemaError: the file is missing, altered or no parquet.
        """
        files = self._files.get((configuration, task))
        if files is None:
            raise ConfigError(f"{self.path}: no task {task!r} in configuration {configuration!r}.")
        name = next((one for one in files if one.startswith("items/")), None)
        if name is None:
            raise ResultSchemaError(f"{self.path}: the record of {configuration}/{task} names no items. Run it again.")
        return read_table(_verified(self.path / name, files[name]), str(self.path / name))


def read_run(path: Path) -> StoredRun:
    """Read a run directory.

    Whether all its tasks succeeded is in `manifest["status"]`; nothing is refused for that here. The files that a record
    names are hashed, and read when they are asked for.

    Raises:
        ConfigError: there is no such directory.
        IncompleteRunError: the manifest is not there yet, or a finished task has lost its record.
        ResultSchemaError: anything in it is damaged, altered, foreign or a link.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: no such run directory.")
    manifest_path = path / MANIFEST
    if not manifest_path.exists() and not manifest_path.is_symlink():
        raise IncompleteRunError(
            f"{path}: no {MANIFEST} in this directory, so no run was finished in it. Give the run's command again."
        )
    manifest = check_manifest(read_json(manifest_path, follow=False), str(manifest_path))
    records = {}
    for file in sorted((path / "tasks").glob("*/*.json")):
        record = _read_record(path, file)
        records[record["configuration"], record["task_name"]] = record
    _check_complete(manifest, records, path)
    # A set of AIR-Bench that was searched for the board alone has nothing to compare.
    return StoredRun(path, manifest, tuple(records[key] for key in sorted(records) if records[key]["rows"]))


def read_table(raw: bytes, where: str, *, max_rows: int = MAX_ROWS) -> pa.Table:
    """Read a parquet file from its bytes.

    Args:
        raw: the file.
        where: what the message of an error begins with.
        max_rows: greatest number of rows; a small file can claim billions.

    Raises:
        ResultSchemaError: not parquet, not readable to its end, or too large.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(raw))
        if file.metadata.num_rows > max_rows:
            raise ResultSchemaError(f"{where}: {file.metadata.num_rows:,} rows are more than {max_rows:,}; not read.")
        table = file.read()
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise ResultSchemaError(f"{where}: not a readable parquet file ({reason}). Run again.") from error
    return table


def _read_record(root: Path, file: Path) -> dict[str, Any]:
    if file.parent.is_symlink() or file.parent.parent.is_symlink():
        raise ResultSchemaError(f"{file.parent}: is a symbolic link, which is not followed.")
    record = check_record(read_json(file, follow=False), str(file))
    configuration, task = safe_name(record["configuration"]), safe_name(record["task_name"])
    if (file.parent.name, file.stem) != (configuration, task):
        raise ResultSchemaError(
            f"{file}: holds the record of {record['configuration']}/{record['task_name']}, which belongs elsewhere."
        )
    for name in record["files"]:
        parts = PurePosixPath(name).parts
        inside = len(parts) == 3 and parts[1] == configuration and parts[2].rpartition(".")[0] == task
        if not inside or not parts[0].isalpha() or "/".join(parts) != name:
            raise ResultSchemaError(f"{file}: names the file {name[:80]!r}, which is none of this task.")
        _verified(root / name, record["files"][name])
    return record


def _verified(path: Path, digest: str) -> bytes:
    raw = read_file(path, limit=MAX_ITEMS_BYTES, follow=False)
    if hashlib.sha256(raw).hexdigest() != digest:
        raise ResultSchemaError(f"{path}: its content does not match its hash. Run this task again.")
    return raw


def _check_complete(manifest: dict[str, Any], records: dict[Key, dict[str, Any]], path: Path) -> None:
    """Compare the manifest's list of tasks with the records."""
    named = {(one["configuration"], one["task_name"]): one["result_key"] for one in manifest["tasks"]}
    missing = sorted(named.keys() - records.keys())
    if missing:
        raise IncompleteRunError(
            f"{path}: the record of {'/'.join(missing[0])} is missing, which {MANIFEST} names. "
            "Give the run's command again."
        )
    for key in sorted(records.keys() - named.keys()) if manifest["status"] != "running" else ():
        # Left by an earlier command whose model or prompt was another one.
        logger.warning("%s: the record of %s is not of this run and is left out.", path, "/".join(key))
        del records[key]
    changed = next((key for key in sorted(named) if records[key]["result_key"] != named[key]), None)
    if changed and manifest["status"] != "running":
        raise ResultSchemaError(
            f"{path}: the record of {'/'.join(changed)} is not the one that {MANIFEST} names. Run this task again."
        )
