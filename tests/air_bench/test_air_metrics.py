"""AIR-Bench's metrics: those of pytrec_eval and air-benchmark where they are right, and right where they are not."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.air_bench.metrics import K_VALUES, METRICS, air_metrics
from harness.errors import ResultSchemaError

DOCUMENTS = [f"d{number}" for number in range(12)]
SCORES = st.sampled_from([0.1, 0.25, 0.5, 0.5, 0.75, -0.2, 0.0])  # few values, so that ties are common
QRELS = st.dictionaries(
    st.sampled_from(["q0", "q1", "q2", "q3", "q4"]),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 2), min_size=1, max_size=6),
    min_size=1,
)
HITS = st.dictionaries(st.sampled_from(DOCUMENTS), SCORES, min_size=1)

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("air_benchmark") is None,
    reason="AIR-BENCH'S METRICS NOT COMPARED: air-benchmark is not installed (extra `air`)",
)


def theirs(qrels: Any, run: Any) -> dict[str, float]:
    from air_benchmark.evaluation_utils.evaluator import Evaluator

    scores: dict[str, float] = Evaluator.compute_metrics(qrels, run, list(K_VALUES))
    return scores


@needs_package
@pytest.mark.reference
@settings(max_examples=150, deadline=None)
@given(qrels=QRELS, data=st.data())
def test_all_35_metrics_are_those_of_the_package_for_complete_runs(qrels: Any, data: st.DataObject) -> None:
    run = {query: data.draw(HITS) for query in qrels}

    ours = air_metrics(qrels, run)

    assert len(METRICS) == 35
    assert {metric: round(score, 5) for metric, score in ours.mean.items()} == pytest.approx(
        theirs(qrels, run), abs=1.0000001e-5
    )
    assert (ours.missing, ours.coverage) == ((), 1.0)


@settings(max_examples=150, deadline=None)
@given(qrels=QRELS, data=st.data())
def test_unrounded_scores_are_those_of_pytrec_eval(qrels: Any, data: st.DataObject) -> None:
    import pytrec_eval

    run = {query: data.draw(HITS) for query in qrels}
    measures = {f"{name}.{','.join(map(str, K_VALUES))}" for name in ("ndcg_cut", "map_cut", "recall", "P")}
    expected = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)

    ours = air_metrics(qrels, run)

    for name, measure in (("ndcg", "ndcg_cut"), ("map", "map_cut"), ("recall", "recall"), ("precision", "P")):
        for k in K_VALUES:
            mean = math.fsum(one[f"{measure}_{k}"] for one in expected.values()) / len(qrels)
            assert ours.mean[f"{name}_at_{k}"] == pytest.approx(mean, abs=1e-12)


@needs_package
@pytest.mark.reference
def test_missing_query_raises_the_package_score_and_lowers_ours() -> None:
    qrels = {"good": {"d1": 1}, "bad": {"d2": 1}}
    complete = {"good": {"d1": 1.0}, "bad": {"d3": 1.0}}
    partial = {"good": {"d1": 1.0}}

    assert (theirs(qrels, complete)["ndcg_at_10"], theirs(qrels, partial)["ndcg_at_10"]) == (0.5, 1.0)
    assert theirs(qrels, partial)["mrr_at_10"] == 0.5  # divided by all queries, unlike the others

    ours = air_metrics(qrels, partial)

    assert ours.mean["ndcg_at_10"] == ours.mean["recall_at_10"] == ours.mean["mrr_at_10"] == 0.5
    assert (ours.missing, ours.coverage) == (("bad",), 0.5)


@settings(max_examples=100, deadline=None)
@given(qrels=QRELS, data=st.data())
def test_dropping_queries_never_raises_a_score(qrels: Any, data: st.DataObject) -> None:
    run = {query: data.draw(HITS) for query in qrels}
    kept = {query: hits for query, hits in run.items() if data.draw(st.booleans())}

    before, after = air_metrics(qrels, run).mean, air_metrics(qrels, kept).mean

    assert all(after[metric] <= before[metric] + 1e-12 for metric in METRICS)


def test_query_with_hard_negatives_alone_counts_zero() -> None:
    scores = air_metrics({"a": {"d1": 0, "d2": 0}, "b": {"d1": 1}}, {"a": {"d1": 1.0}, "b": {"d1": 1.0}})

    assert scores.per_query["a"] == dict.fromkeys(METRICS, 0.0)
    assert scores.mean["ndcg_at_1"] == 0.5


def test_empty_hits_and_queries_without_judgements_are_told() -> None:
    scores = air_metrics({"a": {"d1": 1}, "b": {"d1": 1}}, {"a": {}, "b": {"d1": 1.0}, "other": {"d1": 1.0}})

    assert (scores.missing, scores.unjudged) == (("a",), ("other",))


def test_ties_at_the_top_are_counted() -> None:
    far = {f"d{number}": 20.0 - number for number in range(11)}
    scores = air_metrics(
        {"tie": {"d1": 1}, "far": {"d1": 1}, "none": {"d1": 1}},
        {"tie": {"d1": 1.0, "d2": 1.0}, "far": {**far, "x": 1.0, "y": 1.0}, "none": {"d1": 2.0, "d2": 1.0}},
    )

    assert scores.tied == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_score_that_is_not_finite_is_refused_with_query_and_document(value: float) -> None:
    with pytest.raises(ResultSchemaError, match="query 'a', document 'd1'"):
        air_metrics({"a": {"d1": 1}}, {"a": {"d1": value}})


def test_no_judgements_are_no_score() -> None:
    with pytest.raises(ResultSchemaError, match="nothing to score"):
        air_metrics({}, {"a": {"d1": 1.0}})
