"""The only writer of baselines: from a complete run, with an author and a reason, behind what was there before."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from harness.check.baseline_file import (
    Baseline,
    Change,
    Entry,
    Source,
    read_baseline,
    rows_sha256,
    task_score,
    write_baseline,
)
from harness.errors import (
    ConfigError,
    IncomparableRunsError,
    IncompleteRunError,
    ResultSchemaError,
    RunLockedError,
    StorageError,
)
from harness.report.item_files import KEYS
from harness.report.item_pairs import item_columns
from harness.store.records import first_problem

if TYPE_CHECKING:
    from harness.store.stored_run import StoredRun

# What a baseline keeps of a record and of its details; costs differ in every run.
_RECORD = ("schema_version", "configuration", "task_name", "identity", "result_key")
_DETAILS = ("instruction", "texts", "truncated_texts", "empty_texts", "batch_tokens")
_COSTS = {"texts_encoded": 0, "encode_seconds": 0.0, "evaluation_seconds": 0.0}
# Parts of the subject that all tasks of one run share.
_ONE_PER_RUN = ("weights_sha", "tokenizer_sha", "model_name", "model_revision", "dtype", "profile", "tokenization")


class Updated(NamedTuple):
    """What an update did."""

    entry: Entry
    """The new entry of the history, or the last one when nothing changed."""
    written: bool
    size_bytes: int


def update_baseline(
    run: StoredRun, path: Path, *, reason: str, author: str, created: str, remove_missing: bool = False
) -> Updated:
    """Make a run the content of a baseline; the history grows by one entry.

    A run whose scores, identities and outcomes are those of the baseline leaves the file as it is.

    Args:
        run: a complete run.
        path: the baseline; made if it does not exist.
        reason: why the scores may change, for the reader of the history.
        author: who says so.
        created: the time, ISO 8601 UTC.
        remove_missing: whether tasks of the baseline that the run does not have go.

    Raises:
        ConfigError: an empty or unprintable reason or author; a task would go.
        IncompleteRunError: the run is not complete, or was limited.
        IncomparableRunsError: the run mixes models or settings.
        ResultSchemaError: the run or the baseline is damaged.
        RunLockedError: another update writes in this folder.
        StorageError: the file cannot be written; the old one is kept.
    """
    _check_text("--reason", reason, 1000)
    _check_text("author", author, 200)
    check_run(run)
    with _folder_lock(path.parent):
        old = read_baseline(path) if path.exists() or path.is_symlink() else None
        new = Baseline(
            path,
            manifest=_source(run),
            records=[_kept(record) for record in run.records],
            items={(one["configuration"], one["task_name"]): _items(run, one) for one in run.records},
            history=(),
        )
        changes = changes_between(old.records if old else (), new.records)
        gone = [f"{one.configuration}/{one.task_name}" for one in changes if one.new is None]
        if gone and not remove_missing:
            raise ConfigError(
                f"{run.path} has no {', '.join(gone[:3])}{' ...' if len(gone) > 3 else ''}, which the baseline has. "
                "Run these tasks too, or say --remove-missing."
            )
        digest = rows_sha256(new.rows())
        if old is not None and digest == old.history[-1].rows_sha256:
            return Updated(old.history[-1], False, path.stat().st_size)
        entry = Entry(
            author=author,
            reason=reason,
            created=created,
            run_id=run.manifest["run_id"],
            parent_sha256=old.content_sha256 if old else "",
            rows_sha256=digest,
            changes=changes,
        )
        new.history = (*(old.history if old else ()), entry)
        return Updated(entry, True, write_baseline(new))


def check_run(run: StoredRun) -> None:
    """Refuse a run that must not become a reference.

    Raises:
        IncompleteRunError: not complete, empty, or limited.
        IncomparableRunsError: its tasks are of different models or settings.
    """
    status = run.manifest["status"]
    if status != "complete" or run.manifest["failures"] or not run.records:
        raise IncompleteRunError(
            f"{run.path}: the run is {status!r} with {len(run.records)} finished tasks, and only a complete run can be a "
            "baseline. Give its command again."
        )
    limited = [one["task_name"] for one in run.records if one["identity"]["protocol"]["limit"]]
    if limited:
        raise IncompleteRunError(f"{run.path}: {limited[0]} was run with --limit. A baseline needs whole tasks.")
    for name in _ONE_PER_RUN:
        values = {str(one["identity"]["subject"].get(name)) for one in run.records}
        values.add(str(run.manifest["model"].get(name)))
        if len(values) > 1:
            raise IncomparableRunsError(
                f"{run.path}: its tasks do not share one {name} ({' and '.join(sorted(values)[:2])}). Run again in an empty "
                "directory."
            )
    versions = {str(one["identity"]["protocol"].get("mteb_version")) for one in run.records}
    if len(versions) > 1:
        raise IncomparableRunsError(
            f"{run.path}: its tasks were scored by different versions of mteb ({', '.join(sorted(versions))}). Run again."
        )


def changes_between(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[Change]:
    """Return the old-to-new table: every task, with what differs in its identity."""
    before = {(one["configuration"], one["task_name"]): one for one in old}
    after = {(one["configuration"], one["task_name"]): one for one in new}
    return [
        Change(
            configuration=key[0],
            task_name=key[1],
            old=task_score(before[key]) if key in before else None,
            new=task_score(after[key]) if key in after else None,
            changed=_differing(before[key], after[key]) if key in before and key in after else [],
        )
        for key in sorted(before.keys() | after.keys())
    ]


def check_descent(baseline: Baseline, parent: Baseline) -> None:
    """Refuse a baseline that does not go on from another one.

    Raises:
        ResultSchemaError: an entry of the older history was changed or taken out.
    """
    size = len(parent.history)
    if [one.sha256() for one in baseline.history[:size]] != [one.sha256() for one in parent.history]:
        raise ResultSchemaError(
            f"{baseline.path}: its history does not go on from that of {parent.path}. A baseline only grows: "
            "restore it and use icl-harness baseline update."
        )


def git_author(folder: Path) -> str:
    """Return `Name <mail>` from git's configuration; empty without one."""

    def read(key: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), "config", key], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()

    name, mail = read("user.name"), read("user.email")
    return f"{name} <{mail}>" if name and mail else name


def _differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    for half in ("protocol", "subject"):
        before, after = old["identity"][half], new["identity"][half]
        found += [f"{half}.{name}" for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return found


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what differs in every run and without the metrics that are not compared."""
    return {
        **{name: record[name] for name in _RECORD},
        "rows": [{**row, **_COSTS, "run_id": "baseline"} for row in record["rows"] if row["is_main"]],
        "files": {},
        "details": {name: record["details"][name] for name in _DETAILS if name in record["details"]},
    }


def _items(run: StoredRun, record: dict[str, Any]) -> bytes:
    """Return the columns of a task's outcomes that its main metric is made of, as parquet bytes."""
    import pyarrow.parquet as pq

    table = run.items(record["configuration"], record["task_name"])
    columns = item_columns(record["identity"]["protocol"]["main_metric"], record["rows"][0]["task_type"])
    wanted = [name for name in (*KEYS, "gold", *columns) if name in table.column_names]
    sink = io.BytesIO()
    pq.write_table(table.select(list(dict.fromkeys(wanted))), sink, compression="zstd", compression_level=19)
    return sink.getvalue()


def _source(run: StoredRun) -> dict[str, Any]:
    try:
        return Source.model_validate({name: run.manifest[name] for name in Source.model_fields}).model_dump()
    except (KeyError, ValidationError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else f"no {error}"
        raise ResultSchemaError(f"{run.path}: manifest.json: {reason}. Run again.") from error


def _check_text(what: str, text: str, limit: int) -> None:
    if not text.strip():
        raise ConfigError(f"{what} is empty. Say who changes the baseline and why: the history shows it.")
    if len(text) > limit or not text.isprintable():
        raise ConfigError(f"{what} {text[:40]!r}: one line of at most {limit} printable characters is expected.")


@contextlib.contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder against other updates, without leaving a file in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made or read: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunLockedError(f"{folder}: another update of a baseline goes on there. Try again.") from error
        yield
    finally:
        os.close(descriptor)


__all__ = ["Updated", "changes_between", "check_descent", "check_run", "git_author", "update_baseline"]
