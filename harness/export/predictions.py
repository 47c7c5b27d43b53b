"""`export predictions`: the per-item outcomes of a run as files that stand by themselves.

<configuration>/<task>.parquet or .jsonl   one row per item: who and what (SUBJECT_COLUMNS), then the columns of docs/results.md
<configuration>/<task>_predictions.json    mteb's own form, for the types whose outcomes hold all of it
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import ConfigError
from harness.export.files import Written, write_all
from harness.export.source import FinishedRun, Result
from harness.store.run_dir import safe_name

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "jsonl", "mteb"]
SUBJECT_COLUMNS = (
    "model_name", "model_revision", "configuration", "num_fewshot", "prompt_fingerprint", "task_name", "task_type",
    "dataset_revision", "result_key",
)  # fmt: skip
_WHERE = ("split", "hf_subset", "experiment", "item")


@dataclass(frozen=True)
class PredictionsExport:
    """What was written."""

    tasks: int
    rows: int
    written: Written
    left_out: dict[str, str]
    """`configuration/task` -> why it has no file."""


def export_predictions(
    run: FinishedRun, directory: Path, *, form: Format, configurations: tuple[str, ...] = (), overwrite: bool = False
) -> PredictionsExport:
    """Write the per-item outcomes of a run.

    Args:
        run: the run.
        directory: folder to write into.
        form: `parquet`, `jsonl`, or `mteb`.
        configurations: which ones; empty for all.
        overwrite: replace files that exist with other content.

    Raises:
        ConfigError: an unknown configuration, or a file that must not be overwritten; nothing was written.
    """
    import pyarrow.parquet as pq

    run.check_target(directory)
    chosen = [run.configuration(name) for name in configurations] or list(run.results)
    files: dict[Path, bytes] = {}
    left_out: dict[str, str] = {}
    rows = 0
    for configuration in chosen:
        for result in run.results[configuration]:
            table = pq.read_table(run.path / result.file("items"))
            if not table.num_rows:
                left_out[f"{configuration}/{result.task}"] = "its type has no per-item outcomes"
                continue
            stem = directory / safe_name(configuration) / safe_name(result.task)
            if form == "mteb":
                content = _mteb_json(run, result, table)
                if content is None:
                    left_out[f"{configuration}/{result.task}"] = (
                        f"{_task_type(result)}: outcomes hold scores, not predictions"
                    )
                    continue
                files[stem.with_name(f"{stem.name}_predictions.json")] = content
            else:
                whole = _with_subject(run, configuration, result, table)
                files[stem.with_name(f"{stem.name}.{form}")] = _bytes(whole, form)
            rows += table.num_rows
    if not files:
        raise ConfigError(f"{run.path}: nothing to export as {form}; {next(iter(left_out.values()), 'no task')}.")
    return PredictionsExport(len(files), rows, write_all(files, overwrite=overwrite), left_out)


def _task_type(result: Result) -> str:
    return str(result.record["rows"][0]["task_type"])


def _with_subject(run: FinishedRun, configuration: str, result: Result, table: pa.Table) -> pa.Table:
    import pyarrow as pa

    values: dict[str, Any] = {
        "model_name": run.model_name,
        "model_revision": run.revision,
        "configuration": configuration,
        "num_fewshot": result.subject["num_fewshot"],
        "prompt_fingerprint": result.subject["prompt_fingerprint"],
        "task_name": result.task,
        "task_type": _task_type(result),
        "dataset_revision": result.dataset_revision,
        "result_key": result.record["result_key"],
    }
    columns = {name: pa.array([values[name]] * table.num_rows) for name in SUBJECT_COLUMNS}
    return pa.table({**columns, **{name: table[name] for name in table.column_names}})


def _bytes(table: pa.Table, form: Format) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        return bytes(sink.getvalue().to_pybytes())
    # Strict JSON has no NaN: an outcome that is none is null.
    lines = (
        json.dumps(
            {name: None if isinstance(value, float) and value != value else value for name, value in row.items()},
            ensure_ascii=False,
        )
        for row in table.to_pylist()
    )
    return ("\n".join(lines) + "\n").encode()


def _mteb_json(run: FinishedRun, result: Result, table: pa.Table) -> bytes | None:
    """Return mteb's `<Task>_predictions.json`, or None for a type whose predictions the outcomes do not hold."""
    shape = _MTEB_SHAPES.get(_task_type(result))
    if shape is None:
        return None
    content: dict[str, Any] = {"mteb_model_meta": {"model_name": run.model_name, "revision": run.revision}}
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault((row["hf_subset"], row["split"]), []).append(row)
    for (subset, split), rows in groups.items():
        content.setdefault(subset, {})[split] = shape(rows)
    return json.dumps(content).encode()


def _classification(rows: list[dict[str, Any]]) -> list[list[Any]]:
    """Return the predicted labels, a list per experiment; labels that are whole numbers as numbers, as mteb has them."""
    experiments: dict[int, list[Any]] = {}
    for row in rows:
        label = row["prediction"]
        experiments.setdefault(row["experiment"], []).append(int(label) if label.lstrip("-").isdecimal() else label)
    return [experiments[number] for number in sorted(experiments)]


def _pair_scores(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    measures = [name for name in rows[0] if name not in (*_WHERE, "gold")]
    return {name: [row[name] for row in rows] for name in measures}


_MTEB_SHAPES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "Classification": _classification,
    "STS": _pair_scores,
    "PairClassification": _pair_scores,
}
