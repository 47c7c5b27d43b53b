"""The paired bootstrap scores a resample exactly as scipy and scikit-learn do, and its intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, v_measure_score

from harness.report import resample

_seeds = st.integers(0, 2**32 - 1)


def _drawn(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One resample as counts `[1, N]` and as places `[N]`."""
    counts = rng.multinomial(size, np.full(size, 1 / size))
    return counts[None].astype(float), np.repeat(np.arange(size), counts)


@settings(deadline=None, max_examples=60)
@given(seed=_seeds, size=st.integers(3, 60), grades=st.integers(2, 6))
def test_spearman_of_counts_is_that_of_the_drawn_pairs(seed: int, size: int, grades: int) -> None:
    rng = np.random.default_rng(seed)
    gold, similarity = (rng.integers(0, grades, size).astype(float) for _ in range(2))
    weights, places = _drawn(rng, size)

    found = resample._correlation(
        weights, resample._Ranking(gold).ranks(weights), resample._Ranking(similarity).ranks(weights)
    )

    constant = len(set(gold[places])) < 2 or len(set(similarity[places])) < 2
    expected = 0.0 if constant else spearmanr(gold[places], similarity[places]).statistic
    assert found[0] == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(seed=_seeds, size=st.integers(2, 60), levels=st.integers(2, 9))
def test_average_precision_of_counts_is_that_of_the_drawn_pairs(seed: int, size: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    gold = (rng.random(size) < 0.4).astype(int)
    gold[0] = 1
    similarity = rng.integers(0, levels, size).astype(float)
    weights, places = _drawn(rng, size)

    found = resample._Precision(np.unique(similarity, return_inverse=True)[1], gold == 1).average(weights)

    expected = average_precision_score(gold[places], similarity[places]) if gold[places].any() else 0.0
    assert found[0] == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(seed=_seeds, size=st.integers(1, 60), classes=st.integers(1, 6), clusters=st.integers(1, 6))
def test_v_measure_is_that_of_scikit_learn(seed: int, size: int, classes: int, clusters: int) -> None:
    rng = np.random.default_rng(seed)
    gold, cluster = rng.integers(0, classes, size), rng.integers(0, clusters, size)

    assert resample.v_measure(gold.astype(str), cluster) == pytest.approx(v_measure_score(gold, cluster), abs=1e-9)


def test_highest_of_several_measures_is_taken_on_every_resample() -> None:
    rng = np.random.default_rng(0)
    gold = np.asarray([1, 0] * 20)
    good, bad = gold + rng.normal(size=40), rng.normal(size=40)

    found = resample.resample_average_precision(gold, [bad, good], [good, bad], resample.generator("t"))

    assert found.base == found.other == max(average_precision_score(gold, one) for one in (good, bad))
    assert not found.differences.any()


def test_alike_items_drawn_as_a_group_give_the_distribution_of_single_draws() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (2, 1, 400))

    found = resample.resample_means(values[0], values[1], resample.generator("t"))

    difference = (values[1] - values[0])[0]
    assert found.other - found.base == pytest.approx(difference.mean())
    assert found.differences.mean() == pytest.approx(difference.mean(), abs=0.005)
    assert found.differences.std() == pytest.approx(difference.std() / 400**0.5, rel=0.1)


def test_experiments_are_drawn_as_well_as_items() -> None:
    # Every item of an experiment moves alike: all spread is between experiments.
    base, other = np.zeros((10, 500)), np.repeat(np.arange(10)[:, None] / 10, 500, axis=1)

    found = resample.resample_means(base, other, resample.generator("t"))

    assert found.differences.std() == pytest.approx(np.arange(10).std() / 10 / 10**0.5, rel=0.1)


def test_draws_depend_on_the_task_alone() -> None:
    one, again, other = (
        resample.generator(*names).random(3) for names in (("A", "test"), ("A", "test"), ("At", "est"))
    )

    assert (one == again).all() and not (one == other).any()


def test_spearman_of_a_constant_has_no_value() -> None:
    assert resample.spearman(np.ones(4), np.arange(4.0)) is None
    assert resample.spearman(np.arange(4.0), np.arange(4.0)) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["mean", "spearman"])
def test_intervals_cover_the_true_difference_about_95_times_of_100(kind: str) -> None:
    rng = np.random.default_rng(1)
    rounds, covered = 150, 0
    for number in range(rounds):
        if kind == "mean":
            base = rng.random((1, 120))
            found = resample.resample_means(
                base, base + rng.normal(0.1, 0.3, base.shape), resample.generator(str(number))
            )
            truth = 0.1
        else:
            gold = rng.normal(size=120)
            base, other = (gold + rng.normal(size=120) for _ in range(2))
            found = resample.resample_spearman(gold, base, other, resample.generator(str(number)))
            truth = 0.0
        low, high = resample.interval(found.differences)
        covered += low <= truth <= high
    assert 0.88 <= covered / rounds <= 0.99
