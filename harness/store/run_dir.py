"""The layout of a run directory, its lock, and what may be reused of it.

manifest.json                       identity and provenance of the run; written last
scores.parquet                      one row per model, configuration, task, split, subset and metric
config.yaml                         the settings of the last command, readable by `run --config`
leaderboard.md                      the table
tasks/<configuration>/<task>.json   one finished task: identity, score rows, hashes of its companions
items/<configuration>/<task>.parquet  per-item outcomes
mteb/<configuration>/<task>.json    mteb's TaskResult; not of AIR-Bench's sets
devhits/, testhits/<configuration>/<task>.parquet  retrieved documents of AIR-Bench's sets
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from harness.errors import ConfigError, ResultSchemaError, RunLockedError, StorageError
from harness.store import atomic
from harness.store.hits import hits_folder, write_hits
from harness.store.schema import SCHEMA_VERSION, ScoreRow, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

_LEFT_BEHIND = re.compile(r"^\..+\.[a-z0-9_]{8}$")
"""Names that `atomic.replacing` gives to temporary files (tempfile.mkstemp)."""
_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")
_AIR_BENCH = re.compile(r"^air-bench(-mini)?/")


def canonical_sha256(value: Any) -> str:
    """Return the SHA-256 (hex) of a value's canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def safe_name(name: str) -> str:
    """Return a name as a file name; refuse one that could leave its folder.

    The names of AIR-Bench's sets hold slashes: `air-bench/qa/law/en` becomes `air-bench__qa__law__en`.

    Raises:
        ConfigError: the name holds a path or control characters.
    """
    if _AIR_BENCH.match(name):
        name = name.replace("/", "__")
    candidate = name.replace(" ", "_").replace(",", "").replace("(", "").replace(")", "")
    if not _FILE_NAME.match(candidate) or ".." in candidate:
        raise ConfigError(f"{name!r} cannot be used as a file name.")
    return candidate


class RunDir:
    """One run directory. All writes are atomic; a task counts as finished when its record is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Records by identity, held so that their identity stays theirs.
        self._scores: dict[int, tuple[dict[str, Any], pa.Table]] = {}

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory against other processes.

        Raises:
            RunLockedError: another process has it.
            StorageError: the directory cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.path / ".lock", timeout=0.5)
            held.acquire()
        except Timeout as error:
            raise RunLockedError(
                f"{self.path}: another process is writing to this run. Wait for it, or choose another --output-dir."
            ) from error
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be made or written: {error.strerror}.") from error
        try:
            self._sweep()
            yield
        finally:
            held.release()

    def _sweep(self) -> None:
        """Remove the temporary files that killed processes left; the lock is held, so none of them is in use.

        Run directories below (of a campaign) have locks of their own and are left to their own commands.
        """
        for folder, inner, names in os.walk(self.path):
            inner[:] = [name for name in inner if not (Path(folder) / name / ".lock").exists()]
            for name in names:
                if _LEFT_BEHIND.match(name):
                    (Path(folder) / name).unlink(missing_ok=True)

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest, or None for a new directory.

        Raises:
            ResultSchemaError: the manifest is damaged or of another version.
        """
        path = self.path / "manifest.json"
        if not path.exists():
            return None
        content = atomic.read_json(path)
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            raise ResultSchemaError(
                f"{path}: not a manifest of schema version {SCHEMA_VERSION}. Use another --output-dir."
            )
        return content

    def open_for(self, configuration: dict[str, Any]) -> None:
        """Check that the directory is new or holds a run of the same configuration.

        Raises:
            ConfigError: it holds another configuration; names what differs, or foreign files.
        """
        manifest = self.manifest()
        if manifest is None:
            foreign = sorted(
                entry.name for entry in self.path.glob("*") if not entry.name.startswith(".") and entry.name != "tasks"
            )
            known = {"tasks", "items", "mteb", "devhits", "testhits", "scores.parquet", "leaderboard.md", "config.yaml"}
            if set(foreign) - known:
                raise ConfigError(
                    f"--output-dir {self.path} holds files that are no run ({', '.join(foreign[:3])}). Use an empty one."
                )
            return
        old = manifest.get("configuration", {})
        differing = [
            f"{key} (there {old.get(key)!r}, now {configuration.get(key)!r})"
            for key in sorted({*old, *configuration})
            if old.get(key) != configuration.get(key)
        ]
        if differing:
            raise ConfigError(
                f"--output-dir {self.path} holds a run of another configuration: {'; '.join(differing)}. "
                "Use another directory, or remove this one."
            )

    def _record_path(self, configuration: str, task: str) -> Path:
        return self.path / "tasks" / safe_name(configuration) / f"{safe_name(task)}.json"

    def finished(self, configuration: str, task: str, result_key: str) -> dict[str, Any] | None:
        """Return the record of a finished task if it is whole and was made under the same identity.

        A damaged record or companion is set aside (`.corrupt`) with a warning, and the task counts as unfinished.
        """
        path = self._record_path(configuration, task)
        if not path.exists():
            return None
        try:
            record = self._verified(path)
        except ResultSchemaError as error:
            logger.warning("%s It is set aside and the task runs again.", error)
            path.replace(path.with_suffix(".json.corrupt"))
            return None
        return record if record["result_key"] == result_key else None

    def records(self) -> list[dict[str, Any]]:
        """Return all whole records of finished tasks, sorted by configuration and task; damaged ones are left out."""
        found = []
        for path in sorted((self.path / "tasks").glob("*/*.json")):
            try:
                found.append(self._verified(path))
            except ResultSchemaError as error:
                logger.warning("%s It is left out.", error)
        return found

    def verified_records(self) -> list[dict[str, Any]]:
        """Return all records of finished tasks, sorted by configuration and task.

        Raises:
            ResultSchemaError: one of them, or a companion, is damaged.
        """
        return [self._verified(path) for path in sorted((self.path / "tasks").glob("*/*.json"))]

    def _verified(self, path: Path) -> dict[str, Any]:
        record = atomic.read_json(path)
        if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
            raise ResultSchemaError(f"{path}: not a task record of schema version {SCHEMA_VERSION}.")
        content_sha = record.pop("content_sha256", None)
        if content_sha != canonical_sha256(record):
            raise ResultSchemaError(f"{path}: its content does not match its hash.")
        if record.get("result_key") != canonical_sha256(record.get("identity")):
            raise ResultSchemaError(f"{path}: its identity does not match its key.")
        for name, digest in record.get("files", {}).items():
            companion = self.path / name
            try:
                found = hashlib.sha256(companion.read_bytes()).hexdigest()
            except OSError as error:
                raise ResultSchemaError(f"{companion}: cannot be read: {error.strerror}.") from error
            if found != digest:
                raise ResultSchemaError(f"{companion}: its content does not match its hash in {path.name}.")
        return record

    def write_task(
        self,
        configuration: str,
        task: str,
        *,
        identity: dict[str, Any],
        rows: list[ScoreRow],
        items: pa.Table,
        mteb_result: dict[str, Any] | None,
        details: dict[str, Any],
        hits: Mapping[str, pa.Table] | None = None,
    ) -> dict[str, Any]:
        """Write one finished task: companions first, the record that makes it count last.

        Args:
            configuration: name of the configuration.
            task: name of the task.
            identity: everything that the result depends on.
            rows: its scores.
            items: per-item outcomes.
            mteb_result: mteb's TaskResult, of a task that mteb knows.
            details: what else is worth keeping; not part of the identity.
            hits: split -> retrieved documents, of a task that keeps them.
        """
        import pyarrow.parquet as pq

        files: dict[str, str] = {}
        items_path = self.path / "items" / safe_name(configuration) / f"{safe_name(task)}.parquet"
        with atomic.replacing(items_path) as temporary:
            pq.write_table(items, temporary, compression="zstd")
        files[items_path.relative_to(self.path).as_posix()] = hashlib.sha256(items_path.read_bytes()).hexdigest()
        if mteb_result is not None:
            mteb_path = self.path / "mteb" / safe_name(configuration) / f"{safe_name(task)}.json"
            files[mteb_path.relative_to(self.path).as_posix()] = atomic.write_json(mteb_path, mteb_result)
        for split, table in (hits or {}).items():
            hits_path = self.path / hits_folder(split) / safe_name(configuration) / f"{safe_name(task)}.parquet"
            write_hits(hits_path, table)
            files[hits_path.relative_to(self.path).as_posix()] = hashlib.sha256(hits_path.read_bytes()).hexdigest()
        record: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "configuration": configuration,
            "task_name": task,
            "identity": identity,
            "result_key": canonical_sha256(identity),
            "rows": [row.model_dump() for row in rows],
            "files": files,
            "details": details,
        }
        record = json.loads(atomic.dump_json(record))
        atomic.write_json(
            self._record_path(configuration, task), {**record, "content_sha256": canonical_sha256(record)}
        )
        return record

    def write_scores(self, records: list[dict[str, Any]]) -> int:
        """Write scores.parquet from finished task records; return the number of rows.

        A run calls it after every task: a record that was there before is not checked and converted again, or a campaign of
        many configurations would spend its time here.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        known, self._scores = self._scores, {}
        for record in records:
            kept = known.get(id(record))
            if kept is None:
                rows = [ScoreRow.model_validate(row).model_dump() for row in record["rows"]]
                kept = record, pa.Table.from_pylist(rows, schema=arrow_schema())
            self._scores[id(record)] = kept
        table = pa.concat_tables([arrow_schema().empty_table(), *(table for _, table in self._scores.values())])
        order = [(name, "ascending") for name in ("configuration", "task_type", "task_name", "split", "hf_subset")]
        table = table.sort_by([*order, ("is_main", "descending"), ("metric", "ascending")]).combine_chunks()
        with atomic.replacing(self.path / "scores.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return int(table.num_rows)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest; its presence with `status: complete` says that everything else is there."""
        atomic.write_json(self.path / "manifest.json", {"schema_version": SCHEMA_VERSION, **manifest})
