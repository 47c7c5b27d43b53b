"""Complete run directories with made-up items, written as `run` writes them; their scores follow from the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness.store.run_dir import RunDir, canonical_sha256
from harness.store.schema import ScoreRow

TASKS = {
    "MadeSTS": ("STS", "cosine_spearman"),
    "MadeTopics": ("Classification", "accuracy"),
    "MadeSearch": ("Retrieval", "ndcg_at_10"),
    "MadeClusters": ("Clustering", "v_measure"),
}
MANIFEST: dict[str, Any] = {
    "run_id": "0123456789ab",
    "status": "complete",
    "configuration": {"model": "made", "limit": None},
    "config": {},
    "failures": {},
    "seeds": {"mteb_task_seed": 42},
    "started": "2026-01-01T00:00:00+00:00",
    "finished": "2026-01-01T00:01:00+00:00",
    "git": {},
    "packages": {"mteb": "2.26.24"},
    "machine": {"platform": "test", "processor": "a processor", "cpu_count": 2},
}


def make_run(
    folder: Path,
    *,
    tasks: Sequence[str] = tuple(TASKS),
    configurations: Mapping[str, int] | None = None,
    quality: float = 0.5,
    seed: int = 0,
    limit: int = 0,
    subject: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    batch_tokens: int = 1024,
    shift: float = 0.0,
) -> Path:
    """Write a run directory.

    Args:
        folder: where.
        tasks: some of TASKS.
        configurations: names and their numbers of examples.
        quality: how good the outcomes are, 0 to 1.
        seed: of the outcomes.
        limit: of a partial run.
        subject: changes of the subject half.
        protocol: changes of the protocol half.
        manifest: changes of the manifest.
        batch_tokens: as recorded.
        shift: added to every score, as rounding would.
    """
    run = RunDir(folder)
    records = []
    run_id = str({**MANIFEST, **(manifest or {})}["run_id"])
    model = {
        "model_name": "org/made",
        "model_revision": "0" * 16,
        "weights_sha": "a" * 64,
        "tokenizer_sha": "b" * 64,
        "profile": "made",
        "dtype": "float32",
        "tokenization": "official",
        **{name: value for name, value in (subject or {}).items() if name in ("weights_sha", "dtype", "model_name")},
    }
    for configuration, shots in (configurations or {"k0": 0}).items():
        for task in tasks:
            task_type, metric = TASKS[task]
            identity = {
                "subject": {
                    **model,
                    "prompt_fingerprint": canonical_sha256([task, shots]),
                    "num_fewshot": shots,
                    "examples_set": "curated" if shots else "none",
                    "instructions": "default",
                    "query_max_tokens": 512,
                    "document_max_tokens": 512,
                    "normalized": True,
                    **(subject or {}),
                },
                "protocol": {
                    "task_name": task,
                    "dataset_revision": f"local:{canonical_sha256(task)[:16]}",
                    "main_metric": metric,
                    "splits": ["test"],
                    "subsets": ["default"],
                    "limit": limit,
                    "seed": 42,
                    "mteb_version": "2.26.24",
                    **(protocol or {}),
                },
            }
            score, items = made_items(task_type, quality=quality, seed=seed + shots)
            rows = score_rows(identity, configuration, task_type, metric, score + shift, run_id)
            details = {"instruction": "Do it.", "texts": 10, "texts_encoded": 10, "batch_tokens": batch_tokens}
            records.append(
                run.write_task(
                    configuration, task, identity=identity, rows=rows, items=items, mteb_result={}, details=details
                )
            )
    run.write_scores(records)
    tasks_named = [
        {name: record[name] for name in ("configuration", "task_name", "result_key", "details")} for record in records
    ]
    run.write_manifest(
        {**MANIFEST, "model": {**model, "device": "cpu", "label": ""}, "tasks": tasks_named, **(manifest or {})}
    )
    return folder


def score_rows(
    identity: Mapping[str, Any], configuration: str, task_type: str, metric: str, score: float, run_id: str
) -> list[ScoreRow]:
    """Return the main row of a task and one of another metric."""
    subject, protocol = identity["subject"], identity["protocol"]
    common = {
        **{name: subject[name] for name in ScoreRow.model_fields if name in subject},
        "model_label": "",
        "configuration": configuration,
        "task_name": protocol["task_name"],
        "task_type": task_type,
        "part_of": "",
        "split": "test",
        "hf_subset": "default",
        "dataset_revision": protocol["dataset_revision"],
        "partial": bool(protocol["limit"]),
        "limit": protocol["limit"],
        "texts": 10,
        "texts_encoded": 10,
        "encode_seconds": 0.5,
        "evaluation_seconds": 1.0,
        "mteb_version": protocol["mteb_version"],
        "result_key": canonical_sha256(identity),
        "run_id": run_id,
    }
    return [
        ScoreRow(**common, metric=metric, score=score, is_main=True),
        ScoreRow(**common, metric="other", score=score / 2, is_main=False),
    ]


def made_items(task_type: str, *, quality: float, seed: int, count: int = 60) -> tuple[float, pa.Table]:
    """Return a score and the items that it is made of."""
    from harness.report.resample import spearman, v_measure

    rng = np.random.default_rng(seed)
    columns: dict[str, Any]
    experiments = 1
    if task_type == "STS":
        gold = rng.integers(0, 6, count).astype(float)
        cosine = quality * gold / 5 + (1 - quality) * rng.random(count)
        columns = {"gold": gold, "cosine_scores": cosine}
        score = spearman(gold, cosine)
        assert score is not None
    elif task_type == "Classification":
        experiments = 3
        labels = rng.integers(0, 4, count)
        gold = np.tile(labels, experiments)
        correct = rng.random(len(gold)) < quality
        predicted = np.where(correct, gold, (gold + 1) % 4)
        columns = {"gold": gold.astype(str), "prediction": predicted.astype(str), "correct": correct}
        score = float(correct.mean())
    elif task_type == "Retrieval":
        values = np.where(rng.random(count) < quality, 1.0, rng.random(count))
        columns = {"ndcg_cut_10": values, "recall_10": values}
        score = float(values.mean())
    else:
        experiments = 10
        gold = rng.integers(0, 4, count * experiments)
        cluster = np.where(rng.random(len(gold)) < quality, gold, rng.integers(0, 4, len(gold)))
        columns = {"gold": np.char.add("topic", gold.astype(str)), "cluster": cluster}
        parts = [slice(start, start + count) for start in range(0, len(gold), count)]
        score = float(np.mean([v_measure(gold[part], cluster[part]) for part in parts]))
    keys = {
        "split": ["test"] * count * experiments,
        "hf_subset": ["default"] * count * experiments,
        "experiment": np.repeat(np.arange(experiments), count),
        "item": np.tile(np.arange(count), experiments).astype(str),
    }
    return float(score), pa.table({**keys, **columns})
