"""AIR-Bench's 35 metrics, through pytrec_eval as air-benchmark computes them, without its two faults.

air-benchmark 0.1.0 (`evaluation_utils/utils.py`) divides by the number of returned queries, so a missing query *raises* the
mean (MRR alone divides by all); and it rounds to 5 decimals. Here a query without hits counts 0, and nothing is rounded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import ResultSchemaError

K_VALUES = (1, 3, 5, 10, 50, 100, 1000)
"""The board's (leaderboard_backend); `AIRBench.evaluate_dev` takes the same."""
_MEASURES = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}
METRICS = tuple(f"{name}_at_{k}" for name in (*_MEASURES, "mrr") for k in K_VALUES)
"""The names that air-benchmark gives them."""

ITEM_COLUMNS = {
    f"{name}_at_{k}": f"{column}_{k}" for name, column in {**_MEASURES, "mrr": "mrr"}.items() for k in K_VALUES
}
"""Metric -> its column among the per-query outcomes, where retrieval tasks have pytrec_eval's names (docs/results.md)."""

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class AirScores:
    """Scores of one split of one set; all are fractions."""

    per_query: dict[str, dict[str, float]]
    """Query id -> metric -> score, of every query with relevance judgements."""
    mean: dict[str, float]
    """Metric -> mean over all these queries."""
    missing: tuple[str, ...]
    """Queries with judgements and without any hit; they count 0."""
    unjudged: tuple[str, ...]
    """Queries of the run without judgements; they are left out. air-benchmark ends with a KeyError there."""
    tied: int
    """Judged queries that have two equal scores among their first 11 hits, so that the order of ids decides at 10."""

    @property
    def coverage(self) -> float:
        """Share of the judged queries that have hits."""
        return 1.0 - len(self.missing) / len(self.per_query)


def air_metrics(qrels: Qrels, run: Run) -> AirScores:
    """Score retrieved documents.

    Args:
        qrels: query id -> document id -> relevance; 0 marks a hard negative.
        run: query id -> document id -> score. Of equal scores, pytrec_eval prefers the larger id; MRR, as in
            air-benchmark, takes the first in the order of the mapping (in our files that is the larger id as well).

    Raises:
        ResultSchemaError: no judgements at all, or a score that is not finite.
    """
    import pytrec_eval

    if not qrels:
        raise ResultSchemaError("AIR-Bench metrics: no relevance judgements, so there is nothing to score.")
    for query, hits in run.items():
        for document, score in hits.items():
            if not math.isfinite(score):
                raise ResultSchemaError(f"AIR-Bench metrics: query {query!r}, document {document!r}: score {score!r}.")
    judged = {query: dict(run[query]) for query in qrels if run.get(query)}
    measures = {f"{measure}.{','.join(map(str, K_VALUES))}" for measure in _MEASURES.values()}
    evaluator = pytrec_eval.RelevanceEvaluator({query: dict(one) for query, one in qrels.items()}, measures)
    found = evaluator.evaluate(judged)
    per_query = {}
    tied = 0
    for query, relevance in qrels.items():
        if query not in judged:
            per_query[query] = dict.fromkeys(METRICS, 0.0)
            continue
        one = found[query]
        ranked = sorted(judged[query].items(), key=lambda hit: hit[1], reverse=True)
        per_query[query] = {
            **{f"{name}_at_{k}": one[f"{measure}_{k}"] for name, measure in _MEASURES.items() for k in K_VALUES},
            **_reciprocal_ranks([document for document, _ in ranked[: max(K_VALUES)]], relevance),
        }
        top = [score for _, score in ranked[:11]]
        tied += any(left == right for left, right in itertools.pairwise(top))
    mean = {metric: sum(one[metric] for one in per_query.values()) / len(per_query) for metric in METRICS}
    return AirScores(
        per_query=per_query,
        mean=mean,
        missing=tuple(query for query in qrels if query not in judged),
        unjudged=tuple(query for query in run if query not in qrels),
        tied=tied,
    )


def _reciprocal_ranks(ranked: list[str], relevance: Mapping[str, int]) -> dict[str, float]:
    first = next((rank for rank, name in enumerate(ranked, start=1) if relevance.get(name, 0) > 0), None)
    return {f"mrr_at_{k}": 1.0 / first if first is not None and first <= k else 0.0 for k in K_VALUES}
