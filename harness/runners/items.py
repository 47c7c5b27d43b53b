"""Per-item outcomes of an evaluation (per query, pair, text), so that two runs can be compared pair by pair later.

mteb keeps only aggregates in its results. What its tasks would save as predictions is caught here in memory, joined with the
gold labels, and turned into one flat table per task.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from mteb.abstasks import AbsTask

Key = tuple[str, str]
"""(split, hf_subset)"""


@dataclass
class Recording:
    """What one evaluation handed over, by split and subset."""

    predictions: dict[Key, Any] = field(default_factory=dict)
    query_scores: dict[Key, dict[str, dict[str, float]]] = field(default_factory=dict)
    clusterings: dict[Key, list[tuple[list[str], list[int]]]] = field(default_factory=dict)


@contextlib.contextmanager
def record(task: AbsTask) -> Iterator[Recording]:
    """Catch the outcomes of a task object while it is evaluated.

    The task must be evaluated with a prediction folder (nothing is written there).
    """
    import mteb.abstasks.clustering as clustering

    recording = Recording()
    pending: list[tuple[list[str], list[int]]] = []

    def keep_predictions(predictions: Any, *_args: object, hf_split: str, hf_subset: str, **_kwargs: object) -> None:
        recording.predictions[hf_split, hf_subset] = predictions
        if pending:  # mteb hands its predictions over when the clusterings of a subset are done
            recording.clusterings[hf_split, hf_subset] = list(pending)
            pending.clear()

    instance: Any = task
    instance._save_task_predictions = keep_predictions
    specific = getattr(task, "task_specific_scores", None)
    if specific is not None:

        def keep_query_scores(scores: Any, qrels: Any, results: Any, hf_split: str, hf_subset: str) -> Any:
            recording.query_scores[hf_split, hf_subset] = _with_reciprocal_ranks(scores, qrels, results)
            return specific(scores, qrels, results, hf_split=hf_split, hf_subset=hf_subset)

        instance.task_specific_scores = keep_query_scores

    original = clustering.v_measure_score

    def keep_clustering(labels: Any, clusters: Any) -> float:
        pending.append(([str(label) for label in labels], [int(one) for one in clusters]))
        return float(original(labels, clusters))

    clustering.v_measure_score = keep_clustering
    try:
        yield recording
    finally:
        clustering.v_measure_score = original
        for name in ("_save_task_predictions", "task_specific_scores"):
            instance.__dict__.pop(name, None)


def item_table(task: AbsTask, recording: Recording) -> pa.Table:
    """Return the outcomes as a table; its columns depend on the task type (docs/results.md).

    Always there: `split`, `hf_subset`, `experiment` (0 where the protocol has no repeats), `item`.
    """
    import pyarrow as pa

    task_type = str(task.metadata.type)
    rows: list[dict[str, Any]] = []
    if recording.query_scores:
        for (split, subset), scores in recording.query_scores.items():
            for query_id in sorted(scores):
                rows.append({**_where(split, subset, 0, query_id), **scores[query_id]})
    elif recording.clusterings:
        for (split, subset), clusterings in recording.clusterings.items():
            for experiment, (labels, clusters) in enumerate(clusterings):
                for item, (label, cluster) in enumerate(zip(labels, clusters, strict=True)):
                    rows.append({**_where(split, subset, experiment, str(item)), "gold": label, "cluster": cluster})
    else:
        for (split, subset), predictions in recording.predictions.items():
            data = _data_split(task, split, subset)
            rows += list(_rows(task, task_type, data, predictions, split, subset))
    return pa.Table.from_pylist(rows)


def _where(split: str, subset: str, experiment: int, item: str) -> dict[str, Any]:
    return {"split": split, "hf_subset": subset, "experiment": experiment, "item": item}


def _with_reciprocal_ranks(
    scores: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]], results: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Return the scores of each query with `mrr_k`, which mteb makes beside pytrec_eval and hands on as means only.

    Of equal scores the larger id comes first, as in pytrec_eval and in mteb's own MRR.
    """
    extended = {}
    for query, one in scores.items():
        ranked = sorted(results[query].items(), key=lambda hit: (hit[1], hit[0]), reverse=True)
        first = next((rank for rank, (name, _) in enumerate(ranked, 1) if qrels[query].get(name, 0) > 0), None)
        cuts = [int(name.removeprefix("ndcg_cut_")) for name in one if name.startswith("ndcg_cut_")]
        extended[query] = {**one, **{f"mrr_{k}": 1 / first if first and first <= k else 0.0 for k in cuts}}
    return extended


def _data_split(task: AbsTask, split: str, subset: str) -> Any:
    dataset: Any = task.dataset
    return dataset[subset][split] if subset in dataset else dataset[split]


def _rows(task: Any, task_type: str, data: Any, predictions: Any, split: str, subset: str) -> Iterator[dict[str, Any]]:
    if task_type in ("Classification", "MultilabelClassification", "Regression"):
        gold = list(data[task.label_column_name])
        for experiment, predicted in enumerate(predictions):
            for item, (one, label) in enumerate(zip(predicted, gold, strict=False)):
                yield {
                    **_where(split, subset, experiment, str(item)),
                    "gold": str(label),
                    "prediction": str(one),
                    "correct": str(one) == str(label),
                }
    elif task_type == "Clustering":
        for experiment, (clusters, row) in enumerate(zip(predictions, data, strict=False)):
            labels = row[task.label_column_name]
            for item, (cluster, label) in enumerate(zip(clusters, labels, strict=True)):
                yield {
                    **_where(split, subset, experiment, str(item)),
                    "gold": str(label),
                    "cluster": int(cluster),
                }
    elif task_type == "Summarization":
        for experiment, scores in enumerate(
            zip(predictions["human_scores"], predictions["cosine_scores"], strict=True)
        ):
            for item, (gold, cosine) in enumerate(zip(*scores, strict=True)):
                yield {
                    **_where(split, subset, experiment, str(item)),
                    "gold": float(gold),
                    "cosine_scores": float(cosine),
                }
    elif task_type in ("STS", "PairClassification") and isinstance(predictions, dict):
        column = "score" if task_type == "STS" else task.label_column_name
        gold = list(data[column])
        if len(gold) == 1 and isinstance(gold[0], list):
            gold = gold[0]  # mteb v1 data sets hold all pairs in one row
        measures = {name: values for name, values in predictions.items() if values is not None}
        for item, label in enumerate(gold):
            yield {
                **_where(split, subset, 0, str(item)),
                "gold": float(label),
                **{name: float(values[item]) for name, values in measures.items()},
            }
