"""Scores of given pairs against all scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.search.rerank as module
from harness.errors import ConfigError, EncodingError
from harness.search.rerank import rerank

pytestmark = pytest.mark.unit


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 30),
    cut=st.integers(0, 60),
    pair_bytes=st.sampled_from([1, 200, 1 << 20]),
)
def test_equals_a_sort_of_the_candidates(seed: int, k: int, cut: int, pair_bytes: int) -> None:
    rng = np.random.default_rng(seed)
    count, queries = int(rng.integers(1, 60)), int(rng.integers(0, 9))
    documents = rng.integers(-2, 3, (count, 3)).astype(np.float32)
    asked = rng.integers(-2, 3, (queries, 3)).astype(np.float32)
    ids = [f"d{number}" for number in rng.permutation(count)]
    candidates = [rng.integers(0, count, rng.integers(0, 25)).tolist() for _ in range(queries)]

    before, module.PAIR_BYTES = module.PAIR_BYTES, pair_bytes
    try:
        found = rerank(asked, [documents[:cut], documents[cut:]], candidates, ids, k, scoring="dot")
    finally:
        module.PAIR_BYTES = before

    scores = asked @ documents.T
    for number, (positions, values) in enumerate(found):
        expected = sorted(((scores[number, one], ids[one]) for one in candidates[number]), reverse=True)[:k]
        assert [(value, ids[one]) for one, value in zip(positions, values, strict=True)] == expected


def test_cosine_needs_no_normalised_vectors() -> None:
    [(positions, scores)] = rerank(
        np.array([[2.0, 0.0]]), [np.array([[3.0, 0.0], [3.0, 4.0]])], [[0, 1]], ["a", "b"], 5
    )
    assert positions.tolist() == [0, 1]
    np.testing.assert_allclose(scores, [1.0, 0.6], atol=1e-7)


def test_equal_candidates_get_equal_scores_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    documents = np.repeat(rng.standard_normal((1, 100)).astype(np.float32), 50, axis=0)
    found = rerank(rng.standard_normal((1, 100)), [documents], [list(range(50))], [str(n) for n in range(50)], 50)
    assert len(set(found[0][1].tolist())) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(EncodingError, match="query 0 and document 'b'"):
        rerank(np.ones((1, 2)), [np.array([[1.0, 1.0], [bad, 1.0]])], [[0, 1]], ["a", "b"], 2)


def test_wrong_numbers_are_refused() -> None:
    rows: Any = np.ones((2, 2))
    with pytest.raises(ConfigError, match="k=0"):
        rerank(rows, [rows], [[0], []], ["a", "b"], 0)
    with pytest.raises(EncodingError, match="2 document vectors came for 3"):
        rerank(rows, [rows], [[0], []], ["a", "b", "c"], 1)
