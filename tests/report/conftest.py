"""Synthetic runs and a small registry for the report's tests."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.registry import Registry, TaskSpec
from harness.registry.load import LoadedFile
from harness.registry.strict_yaml import LocatedData
from harness.store.schema import ScoreRow, arrow_schema

_DEFAULTS: dict[str, Any] = {
    "model_name": "org/model",
    "model_revision": "0123456789abcdef",
    "model_label": "",
    "configuration": "k0",
    "num_fewshot": 0,
    "examples_set": "none",
    "instructions": "default",
    "prompt_fingerprint": "f" * 64,
    "task_name": "A",
    "task_type": "STS",
    "part_of": "",
    "split": "test",
    "hf_subset": "default",
    "metric": "cosine_spearman",
    "score": 0.5,
    "is_main": True,
    "dataset_revision": "d1",
    "partial": False,
    "limit": 0,
    "dtype": "float32",
    "tokenization": "official",
    "query_max_tokens": 512,
    "document_max_tokens": 512,
    "normalized": True,
    "texts": 10,
    "texts_encoded": 10,
    "encode_seconds": 1.0,
    "evaluation_seconds": 0.5,
    "mteb_version": "2.26.24",
    "result_key": "key",
    "run_id": "run1",
}


def _row(**values: Any) -> dict[str, Any]:
    return ScoreRow(**{**_DEFAULTS, **values}).model_dump()


def _scores(model: str, scores: dict[str, float], **values: Any) -> list[dict[str, Any]]:
    """Rows of one model for the toy tasks, with their types and aggregates."""
    rows = []
    for name, score in scores.items():
        task_type = _TOY_TYPES.get(name, "STS")
        part_of = "Q" if name in ("Q1", "Q2", "Q3") else ""
        known = {"task_type": task_type, "part_of": part_of, **values}
        rows.append(_row(model_name=model, task_name=name, score=score, **known))
    return rows


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(ScoreRow.model_fields))


def _write_run(folder: Path, rows: list[dict[str, Any]], **manifest: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()), folder / "scores.parquet")
    (folder / "manifest.json").write_text(json.dumps({"run_id": folder.name, **manifest}), encoding="utf-8")
    return folder


def _items(run: Path, configuration: str, task: str, columns: dict[str, Any]) -> Path:
    """Write the per-item outcomes of a task; split, subset, experiment and item are filled in where they are missing."""
    count = len(next(iter(columns.values())))
    keys = {
        "split": ["test"] * count,
        "hf_subset": ["default"] * count,
        "experiment": [0] * count,
        "item": [str(item) for item in range(count)],
    }
    path = run / "items" / configuration / f"{task}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**keys, **columns}), path)
    return path


_TOY_TYPES = {"A": "STS", "B": "STS", "C": "Classification", "Q": "Retrieval"}
_TOY_TYPES |= dict.fromkeys(("Q1", "Q2", "Q3"), "Retrieval")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Makers of rows, frames and run directories (`make.row(score=0.5)`)."""
    return SimpleNamespace(row=_row, scores=_scores, frame=_frame, run=_write_run, items=_items)


@pytest.fixture(scope="session")
def toy_registry() -> Registry:
    """Benchmark `toy`: A, B (STS), C (Classification), Q = mean of Q1-Q3 (Retrieval); `toy2`: A and Q1."""

    def spec(task: str, benchmarks: list[str], **values: Any) -> LoadedFile:
        content = {
            "task": task,
            "type": _TOY_TYPES[task],
            "benchmarks": benchmarks,
            "main_metric": "m",
            "instruction": {"text": "Do it.", "source": "test"},
            **values,
        }
        return LoadedFile(Path(f"{task}.yaml"), TaskSpec.model_validate(content), LocatedData({}, {}))

    parts = [{"name": "Q1", "benchmarks": ["toy2"]}, {"name": "Q2"}, {"name": "Q3"}]
    return Registry(
        [spec("A", ["toy", "toy2"]), spec("B", ["toy"]), spec("C", ["toy"]), spec("Q", ["toy"], parts=parts)]
    )
