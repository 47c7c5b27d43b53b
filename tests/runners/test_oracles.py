"""Independent libraries make the scores of a run again from its stored outcomes, for all seven task types.

The unrounded value is what mteb's evaluation makes. mteb rounds the means of nDCG, MAP, recall, precision and hit rate of a
retrieval (and so of a reranking) to five decimals in `_evaluators/retrieval_metrics.py`, before any task sees them; MRR and the
scores of all other types are not rounded. So those means are compared with the evaluation's own values per query, which are
caught, and their rounded form with the stored score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from harness.config import build_config
from harness.report.item_pairs import compare_cell
from harness.runners.run import execute
from tests.toy import METRICS, write_toy_benchmark

pytestmark = pytest.mark.model

EXACT = 1e-9
CUTS = (1, 3, 5, 10, 20, 100, 1000)
RANKED = ("Reranking", "Retrieval")
PYTREC = {"ndcg_cut": "ndcg", "map_cut": "map", "recall": "recall", "P": "precision", "success": "hit_rate"}
"""pytrec_eval's measures -> mteb's names."""


class Made(NamedTuple):
    """A run over toy tasks of all types, and what its retrievals returned."""

    run: Path
    data: Path
    results: dict[str, dict[str, dict[str, float]]]
    """Task -> query -> document -> similarity, as the evaluation got them."""
    per_query: dict[str, dict[str, dict[str, float]]]
    """Task -> query -> measure -> value, as the evaluation made them."""

    def items(self, task: str) -> pd.DataFrame:
        return pq.read_table(self.run / "items" / "k1" / f"{task}.parquet").to_pandas()

    def scores(self, task: str) -> dict[str, float]:
        record = json.loads((self.run / "tasks" / "k1" / f"{task}.json").read_text(encoding="utf-8"))
        return {row["metric"]: row["score"] for row in record["rows"]}

    def qrels(self, task: str) -> dict[str, dict[str, int]]:
        """Read the judgements from the task's own data."""
        qrels: dict[str, dict[str, int]] = {}
        for line in (self.data / task / "qrels.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
        return qrels


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model_dirs: dict[str, Path]) -> Made:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    folder = tmp_path_factory.mktemp("oracles")
    registry, data = write_toy_benchmark(folder)
    results: dict[str, Any] = {}
    per_query: dict[str, Any] = {}
    original = AbsTaskRetrieval.task_specific_scores

    def caught(self: Any, scores: Any, qrels: Any, found: Any, **where: Any) -> Any:
        results[self.metadata.name] = {query: dict(one) for query, one in found.items()}
        per_query[self.metadata.name] = {query: dict(one) for query, one in scores.items()}
        return original(self, scores, qrels, found, **where)

    settings = {
        "model": str(model_dirs["bytes"]),
        "profile": "bge-en-icl",
        "benchmark": "toy",
        "registry_dir": (registry,),
        "data_dir": data,
        "num_fewshot": "1",
        "output_dir": folder / "run",
        "no_cache": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbsTaskRetrieval, "task_specific_scores", caught)
        summary = execute(build_config(settings))
    assert summary.exit_code == 0
    return Made(folder / "run", data, results, per_query)


def outside_score(task_type: str, items: pd.DataFrame) -> float:
    """Compute the main score of a type that mteb does not round, with scipy and scikit-learn, from nothing but the items."""
    from scipy.stats import spearmanr
    from sklearn.metrics import average_precision_score, v_measure_score

    if task_type == "Classification":
        right = items["gold"] == items["prediction"]
        return float(
            np.mean(
                [
                    right[items["experiment"] == one].sum() / sum(items["experiment"] == one)
                    for one in set(items["experiment"])
                ]
            )
        )
    if task_type == "Clustering":
        return float(np.mean([v_measure_score(one["gold"], one["cluster"]) for _, one in items.groupby("experiment")]))
    if task_type == "STS":
        return float(spearmanr(items["gold"], items["cosine_scores"]).statistic)
    if task_type == "Summarization":
        documents = [spearmanr(one["gold"], one["cosine_scores"]).statistic for _, one in items.groupby("experiment")]
        return float(np.mean(documents))
    return max(
        float(average_precision_score(items["gold"], sign * items[name]))
        for name, sign in (
            ("similarity_scores", 1),
            ("cosine_scores", 1),
            ("dot_scores", 1),
            ("manhattan_distances", -1),
            ("euclidean_distances", -1),
        )
    )


def test_the_types_are_seven() -> None:
    assert len(METRICS) == 7
    assert set(RANKED) < set(METRICS)


@pytest.mark.parametrize("task_type", sorted(set(METRICS) - set(RANKED)))
def test_an_independent_library_makes_the_main_score_from_the_items(made: Made, task_type: str) -> None:
    score = made.scores(f"Toy{task_type}")[METRICS[task_type]]

    assert 0 < abs(score) < 1, "a score at its bound would hide a wrong formula"
    assert outside_score(task_type, made.items(f"Toy{task_type}")) == pytest.approx(score, abs=EXACT)


@pytest.mark.parametrize("task_type", RANKED)
def test_pytrec_eval_makes_every_measure_of_every_query_from_judgements_and_ranking(made: Made, task_type: str) -> None:
    import pytrec_eval

    task = f"Toy{task_type}"
    measures = {f"{name}.{','.join(map(str, CUTS))}" for name in PYTREC} | {"recip_rank"}
    outside = pytrec_eval.RelevanceEvaluator(made.qrels(task), measures).evaluate(made.results[task])

    items = made.items(task).set_index("item")
    scores = made.scores(task)
    assert sorted(items.index) == sorted(outside) == sorted(made.qrels(task))
    for measure, name in PYTREC.items():
        for k in CUTS:
            column = f"{measure}_{k}"
            expected = np.array([outside[query][column] for query in items.index])
            within = np.array([made.per_query[task][query][column] for query in items.index])
            assert np.abs(items[column] - expected).max() <= EXACT, column
            assert abs(expected.mean() - within.mean()) <= EXACT, column
            # Rounded by mteb (see above): the same five decimals, and nothing further from the unrounded mean than those.
            assert scores[f"{name}_at_{k}"] == pytest.approx(round(float(within.mean()), 5), abs=EXACT), column
    reciprocal = np.array([outside[query]["recip_rank"] for query in items.index])
    for k in CUTS:
        expected = np.where(reciprocal * k >= 1 - EXACT, reciprocal, 0.0)
        assert np.abs(items[f"mrr_{k}"] - expected).max() <= EXACT, k
        assert scores[f"mrr_at_{k}"] == pytest.approx(expected.mean(), abs=EXACT), k
    assert 0 < scores[METRICS[task_type]] < 1


@pytest.mark.parametrize("task_type", sorted(METRICS))
def test_the_paired_test_starts_from_the_score_of_the_run(made: Made, task_type: str) -> None:
    task = f"Toy{task_type}"
    items = pq.read_table(made.run / "items" / "k1" / f"{task}.parquet")
    metrics = [METRICS[task_type]]
    if task_type in RANKED:
        metrics += ["mrr_at_10", "recall_at_3", "precision_at_1", "hit_rate_at_1", "map_at_100"]

    for metric in metrics:
        found = compare_cell(
            items, items, metric=metric, task=task, task_type=task_type, split="test", subset="default", resamples=5
        )
        # Half of mteb's fifth decimal where it rounds.
        rounded = 5.1e-6 if task_type in RANKED and not metric.startswith("mrr") else EXACT
        assert found.outcome.base == pytest.approx(made.scores(task)[metric], abs=rounded), metric
