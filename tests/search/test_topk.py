"""Streaming top-k against a sort of all scores: ties, block and tile sizes, degenerate shapes, refusals, memory."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, EncodingError
from harness.search.topk import StreamingTopK, TopK, search

pytestmark = pytest.mark.unit


def ranked(scores: np.ndarray, ids: list[str], k: int) -> TopK:
    """Sort all scores: score descending, then id descending as a string."""
    # Places of the ids in descending order; equal ids in their own order.
    place = np.empty(len(ids), dtype=np.int64)
    place[sorted(range(len(ids)), key=lambda number: ids[number], reverse=True)] = np.arange(len(ids))
    order = [np.lexsort((place, -row))[:k] for row in scores]
    shape = (len(scores), min(k, len(ids)))
    indices = np.array(order, dtype=np.int64).reshape(shape)
    return TopK(indices, np.take_along_axis(scores, indices, axis=1))


def blocks_of(documents: np.ndarray, cuts: list[int]) -> Iterator[np.ndarray]:
    """Cut documents at the given rows; equal cuts give empty blocks."""
    bounds = [0, *sorted(min(cut, len(documents)) for cut in cuts), len(documents)]
    for start, stop in itertools.pairwise(bounds):
        yield documents[start:stop]


def assert_same(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.scores, expected.scores)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Small integer vectors, whose products are exact, with many equal documents and hardly comparable ids."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    count, dim, queries = draw(st.integers(0, 300)), draw(st.integers(1, 9)), draw(st.integers(0, 40))
    distinct = draw(st.integers(1, 60))
    pool = rng.integers(-2, 3, (distinct, dim)).astype(np.float32)
    names = draw(st.sampled_from(["d{}", "{:04d}", "é{}", "\U0001f600{}", "{}-\ud7ff"]))
    return {
        "documents": pool[rng.integers(0, distinct, count)],
        "queries": rng.integers(-2, 3, (queries, dim)).astype(np.float32),
        "ids": [names.format(number) for number in rng.permutation(count)],
        "k": draw(st.integers(1, 320)),
        "cuts": draw(st.lists(st.integers(0, 300), max_size=6)),
        "tile_bytes": draw(st.sampled_from([1, 1 << 12, 1 << 14, None])),
    }


@settings(deadline=None, max_examples=150)
@given(case=cases(), by_numpy=st.booleans())
def test_equals_a_sort_of_all_scores_ties_by_id_descending(case: dict[str, Any], by_numpy: bool) -> None:
    expected = ranked(case["queries"] @ case["documents"].T, case["ids"], case["k"])
    best = StreamingTopK(case["queries"], case["ids"], case["k"], scoring="dot", tile_bytes=case["tile_bytes"])
    best._by_numpy = by_numpy  # False: the operations that a GPU runs
    for block in blocks_of(case["documents"], case["cuts"]):
        best.add(block)
    assert_same(best.result(), expected)


@pytest.mark.parametrize("by_numpy", [True, False])
@pytest.mark.parametrize("order", ["falling", "rising", "equal", "equal but a few", "random"])
@pytest.mark.parametrize(("k", "tile"), [(50, 64), (7, 1024), (400, 512)])
def test_reservoirs_stay_exact_in_every_order_of_scores(order: str, by_numpy: bool, k: int, tile: int) -> None:
    count = 6000
    values = {
        "falling": np.arange(count)[::-1],
        "rising": np.arange(count),
        "equal": np.ones(count),
        "equal but a few": np.ones(count) + (np.arange(count) // 10 == 150),
        "random": np.random.default_rng(0).integers(0, 500, count),
    }[order].astype(np.float32)
    ids = [str(number) for number in range(count)]
    queries = np.array([[1.0], [-1.0], [0.0], [0.5]], dtype=np.float32)
    best = StreamingTopK(queries, ids, k, scoring="dot", tile_bytes=tile * 16 * 4)
    best._by_numpy = by_numpy
    best.add(values[:, None])
    assert best.tile == tile
    assert_same(best.result(), ranked(queries @ values[None], ids, k))


@pytest.mark.parametrize(
    ("count", "k", "queries"), [(3000, 10, 1), (3000, 1000, 7), (2500, 2500, 3), (900, 1000, 1500)]
)
def test_cosine_of_random_vectors_is_near_float64(count: int, k: int, queries: int) -> None:
    rng = np.random.default_rng(count + k)
    documents, asked = rng.standard_normal((count, 33)) * 7, rng.standard_normal((queries, 33)) * 0.1
    ids = [f"d{number}" for number in rng.permutation(count)]

    found = search(asked.astype(np.float32), [documents.astype(np.float32)], ids, k, tile_bytes=1 << 16)

    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (asked, documents)]
    exact = unit[0] @ unit[1].T
    np.testing.assert_allclose(found.scores, np.take_along_axis(exact, found.indices, axis=1), atol=1e-6)
    np.testing.assert_allclose(found.scores, -np.sort(-exact, axis=1)[:, :k], atol=1e-6)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in found.indices.tolist())


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, 700), max_size=9), queries=st.sampled_from([1, 2, 5, 70]))
def test_cutting_the_stream_elsewhere_changes_no_bit(cuts: list[int], queries: int) -> None:
    rng = np.random.default_rng(1)
    documents = rng.standard_normal((700, 48)).astype(np.float32)
    asked = rng.standard_normal((queries, 48)).astype(np.float32)
    ids = [f"d{number}" for number in range(700)]
    whole = search(asked, [documents], ids, 40, tile_bytes=1 << 14)

    assert_same(search(asked, blocks_of(documents, cuts), ids, 40, tile_bytes=1 << 14), whole)


@pytest.mark.parametrize("queries", [1, 3, 100])
@pytest.mark.parametrize("dim", [32, 100, 384])
def test_equal_documents_get_equal_scores_wherever_they_stand(queries: int, dim: int) -> None:
    rng = np.random.default_rng(dim)
    documents = np.repeat(rng.standard_normal((1, dim)).astype(np.float32), 1237, axis=0)
    ids = [f"d{number}" for number in range(1237)]

    found = search(rng.standard_normal((queries, dim)).astype(np.float32), [documents], ids, 1237, tile_bytes=1 << 16)

    assert (found.scores == found.scores[:, :1]).all()
    assert [ids[number] for number in found.indices[0]] == sorted(ids, reverse=True)


def test_negative_zero_ties_with_zero() -> None:
    documents = np.array([[0.0, 0.0], [-0.0, -0.0], [0.0, 0.0]], dtype=np.float32)
    found = search(np.ones((2, 2), dtype=np.float32), [documents], ["a", "b", "c"], 2, scoring="dot")
    assert found.indices.tolist() == [[2, 1], [2, 1]]


def test_blocks_may_be_half_precision_memory_maps_or_tensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    documents = rng.integers(-4, 5, (600, 8)).astype(np.float16)
    queries, ids = rng.integers(-4, 5, (5, 8)).astype(np.float32), [f"d{number}" for number in range(600)]
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    expected = search(queries, [documents.astype(np.float32)], ids, 9, scoring="dot")

    for blocks in (
        [mapped],
        [documents.astype(np.float64)],
        torch.from_numpy(documents).to(torch.bfloat16).split(77),
        torch.from_numpy(documents).requires_grad_(True).split(500),
    ):
        assert_same(search(torch.from_numpy(queries), blocks, ids, 9, scoring="dot"), expected)


def test_inputs_are_left_alone() -> None:
    documents, queries = np.full((40, 3), 2.0, dtype=np.float32), np.full((2, 3), 5.0, dtype=np.float32)
    search(queries, [documents], [str(number) for number in range(40)], 3)
    search(torch.from_numpy(queries), [torch.from_numpy(documents)], [str(number) for number in range(40)], 3)
    assert (documents == 2.0).all()
    assert (queries == 5.0).all()


def test_scores_are_fp32_whatever_precision_the_process_allows() -> None:
    rng = np.random.default_rng(3)
    documents, queries = rng.standard_normal((500, 64)), rng.standard_normal((20, 64))
    ids = [str(number) for number in range(500)]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = search(queries, [documents], ids, 500, scoring="dot")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    exact = np.take_along_axis(queries @ documents.T, found.indices, axis=1)
    np.testing.assert_allclose(found.scores, exact, atol=2e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scoring", ["cosine", "dot"])
def test_vectors_that_are_not_finite_are_refused_by_name(bad: float, scoring: Any) -> None:
    documents = np.ones((600, 4), dtype=np.float32)
    documents[437, 2] = bad
    ids = [f"doc-{number}" for number in range(600)]
    with pytest.raises(EncodingError, match=r"document 'doc-437' is not finite"):
        search(np.ones((2, 4), dtype=np.float32), [documents], ids, 5, scoring=scoring, tile_bytes=1 << 12)
    with pytest.raises(EncodingError, match="query 1 is not finite"):
        search(np.array([[1.0], [bad]]), [], [], 5, scoring=scoring)


def test_vectors_whose_scores_could_overflow_are_refused() -> None:
    ids = ["a", "b", "c"]
    with pytest.raises(EncodingError, match="document 'a' is not finite, or too long"):
        search(np.full((1, 4), 1e18), [np.full((3, 4), -1e19)], ids, 2, scoring="dot")
    assert np.isfinite(search(np.full((1, 4), 4e18), [np.full((3, 4), 4e18)], ids, 2, scoring="dot").scores).all()


def test_wrong_numbers_are_refused() -> None:
    rows = np.ones((3, 4), dtype=np.float32)
    with pytest.raises(ConfigError, match="k=0"):
        search(rows, [rows], ["a", "b", "c"], 0)
    with pytest.raises(ConfigError, match="scoring"):
        search(rows, [rows], ["a", "b", "c"], 1, scoring="l2")  # type: ignore[arg-type]
    with pytest.raises(EncodingError, match=r"\(3, 4\) for queries of 2"):
        search(rows[:, :2], [rows], ["a", "b", "c"], 1)
    with pytest.raises(EncodingError, match="more document vectors than the 2"):
        search(rows, [rows], ["a", "b"], 1)
    with pytest.raises(EncodingError, match="3 document vectors came for 4"):
        search(rows, [rows], ["a", "b", "c", "d"], 1)
    with pytest.raises(EncodingError, match=r"\[Q, D\]"):
        search(rows[0], [rows], ["a", "b", "c"], 1)


def test_zero_vectors_score_zero_under_the_cosine_as_in_mteb() -> None:
    found = search(np.eye(2, dtype=np.float32), [np.array([[0.0, 0.0], [0.0, 3.0]])], ["a", "b"], 2)
    assert found.as_dicts(["x", "y"], ["a", "b"]) == {"x": {"b": 0.0, "a": 0.0}, "y": {"b": 1.0, "a": 0.0}}


def test_of_documents_with_one_id_the_best_counts() -> None:
    best = TopK(np.array([[2, 0, 1]]), np.array([[0.75, 0.5, 0.25]], dtype=np.float32))
    assert best.as_dicts(["q"], ["a", "b", "a"]) == {"q": {"a": 0.75, "b": 0.25}}


MEMORY = """
import resource
import numpy as np, torch
from harness.search.topk import search
torch.set_num_threads(1)
rng = np.random.default_rng(0)
asked = rng.standard_normal((100, 384), dtype=np.float32)

def peak_growth(rows):
    ids = [f"d{number}" for number in range(rows)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blocks = (rng.standard_normal((4000, 384), dtype=np.float32) for _ in range(0, rows, 4000))
    search(asked, blocks, ids, 100)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

peak_growth(8_000)
print(peak_growth(200_000))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is counted in kB on Linux")
def test_memory_is_bounded_by_the_block_and_not_by_the_corpus() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    # All vectors would be 293 MiB and all scores 76 MiB; the order of 200,000 ids alone takes 14 MiB.
    assert float(done.stdout) < 40


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("tile_bytes", [1 << 16, None])
def test_the_gpu_finds_what_the_cpu_finds(tile_bytes: int | None) -> None:
    rng = np.random.default_rng(5)
    pool = rng.integers(-2, 3, (5000, 24)).astype(np.float32)
    documents, queries = pool[rng.integers(0, 5000, 30_000)], rng.integers(-2, 3, (300, 24)).astype(np.float32)
    ids = [f"d{number}" for number in rng.permutation(30_000)]
    blocks = list(blocks_of(documents, [7000, 20_000]))
    found = search(queries, blocks, ids, 1000, scoring="dot", device="cuda", tile_bytes=tile_bytes)
    assert_same(found, ranked(queries @ documents.T, ids, 1000))
