"""Our scores are air-benchmark's: equal to pytrec_eval unrounded, to `Evaluator.compute_metrics` after its rounding."""

from __future__ import annotations

import pytest
import pytrec_eval
from air_benchmark.evaluation_utils import Evaluator
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.air_bench.metrics import K_VALUES, METRICS, air_metrics

QUERIES = [f"q-{n}" for n in range(6)]
DOCUMENTS = [f"doc-{n}" for n in range(14)]
Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]

_JUDGED = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 2), min_size=1, max_size=8)
"""Hard negatives are 0; a query may have nothing else."""
_SCORES = st.one_of(st.sampled_from([0.0, 0.5, 0.25, -0.5]), st.floats(-1, 1, width=32))
"""Few values, so that scores repeat and tie."""
_HITS = st.dictionaries(st.sampled_from(DOCUMENTS), _SCORES, min_size=1)
QRELS = st.dictionaries(st.sampled_from(QUERIES), _JUDGED, min_size=1)


def in_our_order(run: Run) -> Run:
    """Score descending, then id descending: the order of every ranking that this program writes."""
    return {
        query: dict(sorted(hits.items(), key=lambda hit: (hit[1], hit[0]), reverse=True)) for query, hits in run.items()
    }


@st.composite
def judged_and_found(draw: st.DrawFn) -> tuple[Qrels, Run]:
    """Every judged query has hits."""
    qrels = draw(QRELS)
    return qrels, in_our_order({query: draw(_HITS) for query in qrels})


@settings(deadline=None)
@given(judged_and_found())
def test_means_are_those_of_air_benchmark_after_its_rounding(made: tuple[Qrels, Run]) -> None:
    qrels, run = made

    ours = air_metrics(qrels, run).mean
    theirs = Evaluator.compute_metrics(qrels, run, list(K_VALUES))

    assert list(theirs) == list(METRICS)
    # Sums in another order may round a tie at the sixth decimal the other way.
    assert {name: round(score, 5) for name, score in ours.items()} == pytest.approx(theirs, abs=1.001e-5)
    different = [name for name, score in ours.items() if round(score, 5) != theirs[name]]
    assert all(abs(ours[name] * 1e5 % 1 - 0.5) < 1e-6 for name in different)


@settings(deadline=None)
@given(judged_and_found())
def test_scores_of_each_query_are_those_of_pytrec_eval_to_1e_12(made: tuple[Qrels, Run]) -> None:
    qrels, run = made
    cuts = ",".join(map(str, K_VALUES))
    measures = {f"ndcg_cut.{cuts}", f"map_cut.{cuts}", f"recall.{cuts}", f"P.{cuts}", "recip_rank"}

    ours = air_metrics(qrels, run).per_query
    theirs = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)

    for query in qrels:
        for name, measure in (("ndcg", "ndcg_cut"), ("map", "map_cut"), ("recall", "recall"), ("precision", "P")):
            for k in K_VALUES:
                assert ours[query][f"{name}_at_{k}"] == pytest.approx(theirs[query][f"{measure}_{k}"], abs=1e-12)
        # In our order of equal scores MRR's rank is that of pytrec_eval; in air-benchmark's they may contradict each other.
        assert ours[query]["mrr_at_1000"] == pytest.approx(theirs[query]["recip_rank"], abs=1e-12)


@settings(deadline=None)
@given(judged_and_found(), st.data())
def test_a_missing_query_raises_air_benchmarks_means_and_counts_0_in_ours(
    made: tuple[Qrels, Run], data: st.DataObject
) -> None:
    qrels, run = made
    gone = data.draw(st.sets(st.sampled_from(sorted(qrels)), min_size=0, max_size=len(qrels) - 1))
    partial = {query: hits for query, hits in run.items() if query not in gone}

    ours = air_metrics(qrels, partial)
    theirs = Evaluator.compute_metrics(qrels, partial, list(K_VALUES))

    assert set(ours.missing) == gone and ours.coverage == pytest.approx(len(partial) / len(qrels))
    for name in METRICS:
        # Only its MRR divides by all judged queries.
        factor = 1.0 if name.startswith("mrr") else len(partial) / len(qrels)
        assert ours.mean[name] == pytest.approx(theirs[name] * factor, abs=1.001e-5)
        assert ours.mean[name] <= theirs[name] + 1e-5


def test_leaving_the_hardest_query_away_doubles_air_benchmarks_ndcg() -> None:
    qrels = {"q-0": {"doc-0": 1}, "q-1": {"doc-1": 1}}
    run = {"q-0": {"doc-0": 0.9}, "q-1": {"doc-0": 0.9}}

    whole, partial = (Evaluator.compute_metrics(qrels, each, [10])["ndcg_at_10"] for each in (run, {"q-0": run["q-0"]}))

    assert (whole, partial) == (0.5, 1.0)
    assert air_metrics(qrels, {"q-0": run["q-0"]}).mean["ndcg_at_10"] == 0.5


def test_of_equal_scores_air_benchmarks_own_metrics_disagree_and_ours_do_not() -> None:
    qrels = {"q": {"a": 1}}
    tied = {"q": {"a": 0.5, "b": 0.5}}

    theirs = Evaluator.compute_metrics(qrels, tied, [1])
    ours = air_metrics(qrels, in_our_order(tied)).mean

    assert (theirs["ndcg_at_1"], theirs["mrr_at_1"]) == (0.0, 1.0)
    assert (ours["ndcg_at_1"], ours["mrr_at_1"]) == (0.0, 0.0)
