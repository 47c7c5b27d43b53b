"""Reference scores from a path: a parquet of stored scores, an mteb results folder, or a run directory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, ResultSchemaError
from harness.registry import Registry
from harness.report.air_bench_board import board_files, board_row, read_board_file
from harness.report.consistency import NOTES_ATTRIBUTE
from harness.report.load import SCORES_FILE, load_scores
from harness.report.reference_frame import score_frame
from harness.report.text import shorten, visible
from harness.store.atomic import read_json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

UNKNOWN_TYPE = "Unknown"
"""Task type of a foreign task that the registry lacks; a run that has the task says better."""
MODEL_META_FILE = "model_meta.json"
EXPERIMENTS_FOLDER = "experiments"

_REQUIRED = ("model", "revision", "task", "split", "subset", "metric", "main_score")
_OPTIONAL = ("dataset_revision", "mteb_version", "source_path", "in_mteb_eng_v1")
_MAY_BE_EMPTY = ("dataset_revision", "mteb_version")


def load_path(path: Path, label: str, registry: Registry) -> pd.DataFrame:
    """Read reference scores from a path.

    Args:
        path: a run directory or its scores.parquet; a parquet of the layout of ../shared/reference_scores; an mteb
            results folder: of a revision (`*.json`), of a model (`<revision>/*.json`) or of many; a result file of
            AIR-Bench's board, or a folder of them.
        label: what the rows are marked with.
        registry: where types and aggregates are looked up.

    Returns:
        Columns of scores.parquet and `reference`.

    Raises:
        ConfigError: the path is none of these.
        ResultSchemaError: a file is corrupt or not what it claims to be.
    """
    if path.is_dir():
        if (path / SCORES_FILE).is_file():
            return _run(path, label)
        if files := board_files(path):
            return _board(files, path, label)
        folders = _result_folders(path)
        if not folders:
            raise ConfigError(
                f"{path}: neither a run directory ({SCORES_FILE}) nor an mteb results folder (<model>/<revision>/*.json)."
            )
        notes: list[str] = []
        rows = [row for folder in folders for row in _folder_rows(folder, label, registry, notes)]
        return _checked_frame(rows, path, notes)
    if path.suffix == ".json":
        return _board([path], path, label)
    if path.suffix != ".parquet":
        raise ConfigError(
            f"{path}: a reference is a row id, a .parquet file or a folder, or a result file of AIR-Bench's board (.json)."
        )
    table = _read_parquet(path)
    if "result_key" in table.column_names:
        return _run(path, label)
    return _checked_frame(_stored_rows(table, path, label, registry), path, [])


def _board(files: list[Path], path: Path, label: str) -> pd.DataFrame:
    """Read result files of AIR-Bench's board (`air_bench_board`)."""
    rows = [board_row(score, label) for file in files for score in read_board_file(file)]
    return _checked_frame(rows, path, [])


def _run(path: Path, label: str) -> pd.DataFrame:
    frame = load_scores([path])
    notes = frame.attrs[NOTES_ATTRIBUTE]
    frame = frame.assign(reference=label)
    frame.attrs[NOTES_ATTRIBUTE] = notes
    return frame


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as handle:
            table: pa.Table = pq.read_table(handle)
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResultSchemaError(f"{path}: not a readable parquet file ({reason}).") from error
    return table


def _stored_rows(table: pa.Table, path: Path, label: str, registry: Registry) -> list[dict[str, Any]]:
    """Return one row per model; its tasks may lie in several revision folders, whose names are then joined."""
    import pyarrow as pa

    missing = sorted(set(_REQUIRED) - set(table.column_names))
    unknown = sorted(set(table.column_names) - {*_REQUIRED, *_OPTIONAL})
    if missing or unknown:
        raise ResultSchemaError(
            f"{path}: neither scores of a run nor stored scores "
            f"(missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'})."
        )
    for name in (*_REQUIRED, *(column for column in _MAY_BE_EMPTY if column in table.column_names)):
        column = table.column(name)
        is_right = pa.types.is_floating if name == "main_score" else _is_text
        if not is_right(column.type) and not pa.types.is_null(column.type):
            raise ResultSchemaError(f"{path}: column {name!r} is {column.type}.")
        if name in _REQUIRED and column.null_count:
            raise ResultSchemaError(f"{path}: column {name!r} has {column.null_count} empty values.")
    records = table.to_pylist()
    revisions: dict[str, set[str]] = {}
    for record in records:
        revisions.setdefault(record["model"], set()).add(record["revision"])
    return [
        _row(
            registry,
            record["task"],
            reference=label,
            model_name=record["model"],
            model_revision="+".join(sorted(revisions[record["model"]])),
            split=record["split"],
            hf_subset=record["subset"],
            metric=_metric_of_version(record["metric"], record.get("mteb_version")),
            score=record["main_score"],
            dataset_revision=_known_revision(record.get("dataset_revision")),
        )
        for record in records
    ]


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _metric_of_version(metric: str, version: str | None) -> str:
    """Return what was measured: before mteb 2 (or in authors' files, without a version) reranking had plain `map`."""
    major = re.match(r"\d+", version or "")
    old = major is None or int(major.group()) < 2
    return "map" if old and metric.endswith("map_at_1000") else metric


def _known_revision(revision: str | None) -> str:
    return "" if revision in (None, "None", "external") else str(revision)


def _result_folders(path: Path) -> list[Path]:
    """Return the folders that hold result files, experiments of a revision among them."""
    for pattern in ("*.json", "*/*.json", "*/*/*.json"):
        found = sorted({file.parent for file in path.glob(pattern) if file.name != MODEL_META_FILE})
        if found:
            inner = [file.parent for folder in found for file in folder.glob(f"{EXPERIMENTS_FOLDER}/*/*.json")]
            return sorted({*found, *inner})
    return []


def _folder_rows(folder: Path, label: str, registry: Registry, notes: list[str]) -> Iterator[dict[str, Any]]:
    is_experiment = folder.parent.name == EXPERIMENTS_FOLDER
    revision_dir = folder.parent.parent if is_experiment else folder
    row = {
        "reference": label,
        "model_name": _model_name(folder, revision_dir),
        "model_revision": revision_dir.name,
        "model_label": folder.name if is_experiment else "",
    }
    empty: list[str] = []
    for file in sorted(folder.glob("*.json")):
        if file.name != MODEL_META_FILE:
            yield from _file_rows(file, row, registry, empty)
    if empty:
        notes.append(f"{folder}: without a main score: {shorten(empty)}.")


def _model_name(folder: Path, revision_dir: Path) -> str:
    meta = folder / MODEL_META_FILE
    if meta.is_file():
        content = read_json(meta)
        name = content.get("name") if isinstance(content, dict) else None
        if isinstance(name, str) and name:
            return name
    return revision_dir.parent.name.replace("__", "/")


def _file_rows(file: Path, row: dict[str, Any], registry: Registry, empty: list[str]) -> Iterator[dict[str, Any]]:
    content = read_json(file)
    task = content.get("task_name") if isinstance(content, dict) else None
    splits = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(task, str) or not task or not isinstance(splits, dict):
        raise ResultSchemaError(
            f"{file}: no result of mteb 1.11 or newer (texts `task_name` and `scores`). Load it with mteb and save it again."
        )
    if task != file.stem:
        raise ResultSchemaError(f"{file}: holds the task {visible(task)!r}. Rename one of them.")
    revision = content.get("dataset_revision")
    for split, subsets in splits.items():
        for scores in subsets if isinstance(subsets, list) else [None]:
            if not isinstance(scores, dict) or not isinstance(scores.get("hf_subset"), str):
                raise ResultSchemaError(f"{file}: split {visible(split)!r} is no list of scores per hf_subset.")
            main = scores.get("main_score")
            if main is None:
                empty.append(task)
                continue
            if isinstance(main, bool) or not isinstance(main, int | float):
                raise ResultSchemaError(f"{file}: main_score {main!r} is no number.")
            yield _row(
                registry,
                task,
                **row,
                split=split,
                hf_subset=scores["hf_subset"],
                metric=_metric_of(scores, registry.get(task).main_metric if task in registry else ""),
                score=float(main),
                dataset_revision=_known_revision(revision if isinstance(revision, str) else None),
            )


def _metric_of(scores: dict[str, Any], main_metric: str) -> str:
    """Return the metric that the main score is: today's if it has that value, else one of equal value."""
    equal = [name for name, value in scores.items() if value == scores["main_score"] and name != "main_score"]
    if main_metric in equal:
        return main_metric
    return min(equal, key=lambda name: (len(name), name), default="main_score")


def _row(registry: Registry, task: str, **values: Any) -> dict[str, Any]:
    known = registry.get(task) if task in registry else None
    return {
        "task_name": task,
        "task_type": known.task_type if known else UNKNOWN_TYPE,
        "part_of": (known.part_of if known else None) or "",
        **values,
    }


def _checked_frame(rows: Iterable[dict[str, Any]], path: Path, notes: list[str]) -> pd.DataFrame:
    rows = list(rows)
    seen = set()
    for row in rows:
        where = f"{path}: model {visible(row['model_name'])!r}, task {visible(row['task_name'])!r}"
        if not math.isfinite(row["score"]) or abs(row["score"]) > 1:
            raise ResultSchemaError(f"{where}: score {row['score']!r} is not in -1..1 (fractions, not percentages).")
        identity = ("model_name", "model_revision", "model_label", "task_name", "split", "hf_subset")
        cell = tuple(row.get(name, "") for name in identity)
        if cell in seen:
            raise ResultSchemaError(f"{where}: split {row['split']!r}, subset {row['hf_subset']!r} stands there twice.")
        seen.add(cell)
    if not rows:
        raise ResultSchemaError(f"{path}: holds no score.")
    return score_frame(rows, notes)
