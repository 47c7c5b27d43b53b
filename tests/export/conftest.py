"""Run directories with chosen scores, written by the store itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.registry.registry import RegisteredTask, Registry
from harness.store.run_dir import RunDir
from harness.store.schema import ScoreRow

COMMIT = "971c7e1445cc86656ca0bd85ed770b8675a40bb5"
MakeRun = Callable[..., Path]


def leaves(registry: Registry, benchmark: str) -> list[tuple[RegisteredTask, str]]:
    """Return the tasks of a benchmark that are run by themselves, each with the aggregate it belongs to."""
    found: list[tuple[RegisteredTask, str]] = []
    for entry in registry.benchmark(benchmark):
        found += [(registry.get(part), entry.name) for part in entry.parts] or [(entry, "")]
    return found


def _write(
    path: Path,
    scores: Mapping[str, Mapping[str, float]],
    *,
    registry: Registry,
    part_of: Mapping[str, str] | None = None,
    model: str = "BAAI/bge-en-icl",
    revision: str = COMMIT,
    limit: int | None = None,
    dataset_revision: str = "d" * 40,
    label: str = "",
) -> Path:
    run = RunDir(path)
    for configuration, tasks in scores.items():
        shots = 0 if configuration == "k0" else 3
        for name, score in tasks.items():
            entry = registry.get(name)
            subject = {
                "model_name": model,
                "model_revision": revision,
                "prompt_fingerprint": f"{shots}" * 64,
                "num_fewshot": shots,
                "examples_set": "curated" if shots else "none",
                "fewshot_seed": None,
                "instructions": "default",
                "dtype": "bfloat16",
                "tokenization": "official",
                "query_max_tokens": 512,
                "document_max_tokens": 512,
            }
            identity = {"subject": subject, "protocol": {"task_name": name, "dataset_revision": dataset_revision}}
            places = [(split, subset) for split in entry.splits for subset in entry.subsets]
            rows = [
                _row(entry, configuration, shots, split, subset, score, part_of, model, revision)
                for split, subset in places
            ]
            blocks: dict[str, list[dict[str, Any]]] = {}
            for split, subset in places:
                block = {"main_score": score, entry.main_metric: score, "hf_subset": subset, "languages": ["eng-Latn"]}
                blocks.setdefault(split, []).append(block)
            result = {
                "dataset_revision": "hub",
                "task_name": name,
                "mteb_version": "2.26.24",
                "scores": blocks,
                "evaluation_time": 1.5,
                "kg_co2_emissions": None,
                "date": 1_790_000_000.0,
                "evaluation_phases": None,
            }
            items = [
                {"split": "test", "hf_subset": "default", "experiment": 0, "item": str(n), "gold": "1", "prediction": str(n % 2),
                 "correct": n % 2 == 1}
                for n in range(3)
            ]  # fmt: skip
            run.write_task(
                configuration,
                name,
                identity=identity,
                rows=rows,
                items=pa.Table.from_pylist(items),
                mteb_result=result,
                details={"instruction": "Do it."},
            )
    run.write_scores(run.records())
    run.write_manifest(
        {
            "run_id": path.name,
            "status": "complete",
            "configuration": {"limit": limit},
            "model": {"model_name": model, "model_revision": revision, "label": label, "embed_dim": 4096},
            "packages": {"mteb": "2.26.24", "torch": "2.13.0", "icl-embed-harness": "0.1.0"},
        }
    )
    return path


def _row(
    entry: RegisteredTask,
    configuration: str,
    shots: int,
    split: str,
    subset: str,
    score: float,
    part_of: Mapping[str, str] | None,
    model: str,
    revision: str,
) -> ScoreRow:
    return ScoreRow(
        model_name=model,
        model_revision=revision,
        model_label="",
        configuration=configuration,
        num_fewshot=shots,
        examples_set="curated" if shots else "none",
        instructions="default",
        prompt_fingerprint=f"{shots}" * 64,
        task_name=entry.name,
        task_type=entry.task_type,
        part_of=(part_of or {}).get(entry.name, ""),
        split=split,
        hf_subset=subset,
        metric=entry.main_metric,
        score=score,
        is_main=True,
        dataset_revision="d" * 40,
        partial=False,
        limit=0,
        dtype="bfloat16",
        tokenization="official",
        query_max_tokens=512,
        document_max_tokens=512,
        normalized=True,
        texts=10,
        texts_encoded=10,
        encode_seconds=1.0,
        evaluation_seconds=1.0,
        mteb_version="2.26.24",
        result_key=f"{entry.name}{configuration}",
        run_id="run",
    )


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The shipped registry."""
    return Registry.load()


@pytest.fixture
def make_run(registry: Registry) -> MakeRun:
    """Write a run directory: `make_run(path, {"k0": {"STS16": 0.8}})`."""

    def make(path: Path, scores: Mapping[str, Mapping[str, float]], **settings: Any) -> Path:
        return _write(path, scores, registry=registry, **settings)

    return make
