"""The paired tests agree with exact enumeration and with scipy, and are the same on every call."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.check.significance import (
    MIN_FLIPPED,
    bootstrap_p,
    holm,
    normal_p,
    paired_test,
    sign_flip_p,
    student,
)
from harness.report.item_pairs import NotPairedError
from tests.check.made import TASKS, made_items

pytestmark = pytest.mark.unit


def exact_p(units: np.ndarray) -> float:
    """Return the share of all sign patterns whose sum is at least as extreme."""
    observed = abs(units.sum()) - 1e-12
    sums = [abs(np.dot(signs, units)) for signs in itertools.product((-1, 1), repeat=len(units))]
    return float(np.mean([one >= observed for one in sums]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=10), st.booleans())
def test_sign_flips_approach_exact_enumeration(values: list[float], grouped: bool) -> None:
    units = np.sign(values) if grouped else np.asarray(values, dtype=float)
    resamples = 4000

    found = sign_flip_p(units, np.random.default_rng(1), resamples)

    expected = exact_p(units)
    assert abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / resamples) + 2 / resamples


def test_grouped_and_single_flips_agree() -> None:
    rng = np.random.default_rng(2)
    units = rng.choice([-0.1, 0.0, 0.1, 0.2], size=400, p=[0.3, 0.3, 0.2, 0.2])
    jittered = units + rng.normal(0, 1e-9, 400)  # no two alike: takes the other path

    grouped = sign_flip_p(units, np.random.default_rng(3))

    assert abs(grouped - sign_flip_p(jittered, np.random.default_rng(4))) < 0.02
    assert grouped == sign_flip_p(units, np.random.default_rng(3))


def test_no_difference_has_p_one() -> None:
    assert sign_flip_p(np.zeros(50), np.random.default_rng(0)) == 1.0
    assert bootstrap_p(np.zeros(50)) == 1.0
    assert student(0.0, np.zeros(10)).p == 1.0
    assert normal_p(0.0, 0.0) == 1.0


def test_without_an_extreme_permutation_p_is_bounded_from_above() -> None:
    few, many = np.full(12, 0.5), np.full(60, 0.5)
    # The exact value is 2 / 2^12; Hoeffding's bound, 2 exp(-6), is the larger of the two and is not used.
    assert sign_flip_p(few, np.random.default_rng(4), 99_999) >= 1 / 100_000
    assert sign_flip_p(few, np.random.default_rng(4), 999) in [one / 1000 for one in (1, 2, 3)]
    p = sign_flip_p(many, np.random.default_rng(0), 999)
    assert 2 / 2.0**60 <= p <= 1 / 1000
    assert p == pytest.approx(2 * np.exp(-30))


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12).filter(any), st.integers(1, 50))
def test_the_bound_is_never_below_the_exact_p(values: list[float], resamples: int) -> None:
    units = np.asarray(values, dtype=float)

    found = sign_flip_p(units, np.random.default_rng(1), resamples)

    assert found >= min(exact_p(units), 1 / (1 + resamples)) - 1e-12


def test_a_bootstrap_without_a_replicate_beyond_zero_takes_the_normal_tail() -> None:
    replicates = np.random.default_rng(1).normal(0.06, 0.01, 1000)

    assert bootstrap_p(replicates, 0.06) == pytest.approx(normal_p(0.06, float(replicates.std())))
    assert bootstrap_p(replicates, 0.06) < 2 / 1001
    assert bootstrap_p(np.full(1000, 0.1), 0.1) == 2 / 1001, "no spread gives no tail"
    assert bootstrap_p(replicates - 0.06, 0.0) > 0.5


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_large_drop_survives_the_adjustment_over_thousands_of_tests(name: str) -> None:
    _, good = made_items(TASKS[name][0], quality=0.9, seed=1, count=300)
    _, bad = made_items(TASKS[name][0], quality=0.2, seed=1, count=300)

    assert paired_test(record_of(name), good, bad, resamples=1000).p * 3000 < 0.05


@given(st.lists(st.floats(-0.25, 0.25), min_size=3, max_size=15).filter(lambda one: np.std(one) > 1e-4))
def test_student_equals_scipy(values: list[float]) -> None:
    units = np.asarray(values, dtype=float)
    expected = stats.ttest_1samp(units, 0.0)

    found = student(float(units.mean()), units)

    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-15)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9, abs=1e-12)


def test_repeats_that_all_moved_alike_are_judged_by_their_number() -> None:
    assert student(0.1, np.full(10, 0.1)).p == 0.5**9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_is_monotone_and_never_below_the_raw_values(values: list[float]) -> None:
    adjusted = holm(values)

    order = sorted(range(len(values)), key=lambda place: values[place])
    assert all(one >= raw for one, raw in zip(adjusted, values, strict=True))
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(order))
    assert max(adjusted) <= 1.0


def test_holm_equals_the_published_procedure() -> None:
    # Holm (1979): the ordered p are multiplied by 4, 3, 2, 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def record_of(name: str) -> dict[str, object]:
    task_type, metric = TASKS[name]
    row = {"metric": metric, "task_type": task_type, "split": "test", "hf_subset": "default", "is_main": True}
    return {"task_name": name, "rows": [row, {**row, "metric": "other", "is_main": False}]}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_kind_of_task_is_tested_and_a_clear_drop_is_found(name: str) -> None:
    score, good = made_items(TASKS[name][0], quality=0.8, seed=1, count=200)
    worse_score, bad = made_items(TASKS[name][0], quality=0.4, seed=1, count=200)

    found = paired_test(record_of(name), good, bad, resamples=2000)

    assert found.difference == pytest.approx(worse_score - score, abs=1e-9)
    assert found.low <= found.difference <= found.high < 0
    assert found.p < 0.01
    assert found == paired_test(record_of(name), good, bad, resamples=2000), "the same bits on every call"


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_same_outcomes_differ_by_nothing(name: str) -> None:
    _, items = made_items(TASKS[name][0], quality=0.6, seed=1)

    found = paired_test(record_of(name), items, items, resamples=500)

    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_few_units_are_judged_by_student_and_many_by_flips() -> None:
    methods = {}
    for name in TASKS:
        _, first = made_items(TASKS[name][0], quality=0.6, seed=1)
        _, second = made_items(TASKS[name][0], quality=0.5, seed=1)
        methods[name] = paired_test(record_of(name), first, second, resamples=300).method

    assert methods == {
        "MadeSTS": "paired bootstrap",
        "MadeTopics": "sign-flip permutation",
        "MadeSearch": "sign-flip permutation",
        "MadeClusters": f"Student's t over {10} repeats",
    }
    assert MIN_FLIPPED > 10


def test_one_item_is_no_sample() -> None:
    items = pa.table(
        {"split": ["test"], "hf_subset": ["default"], "experiment": [0], "item": ["q"], "ndcg_cut_10": [0.5]}
    )
    other = items.set_column(4, "ndcg_cut_10", pa.array([0.25]))

    with pytest.raises(NotPairedError, match="one item gives no spread"):
        paired_test(record_of("MadeSearch"), items, other)


def test_outcomes_that_are_not_numbers_are_not_paired() -> None:
    _, items = made_items("Retrieval", quality=0.8, seed=1)
    values = items["ndcg_cut_10"].to_numpy().copy()
    values[3] = np.nan
    damaged = items.set_column(items.schema.get_field_index("ndcg_cut_10"), "ndcg_cut_10", pa.array(values))

    with pytest.raises(NotPairedError, match="not every experiment has every item"):
        paired_test(record_of("MadeSearch"), items, damaged)


def test_other_items_and_other_gold_labels_are_not_paired() -> None:
    _, items = made_items("STS", quality=0.6, seed=1)
    other_gold = items.set_column(items.schema.get_field_index("gold"), "gold", pa.array(np.zeros(items.num_rows)))

    with pytest.raises(NotPairedError, match="different items"):
        paired_test(record_of("MadeSTS"), items, items.slice(0, 10))
    with pytest.raises(NotPairedError, match="different gold labels"):
        paired_test(record_of("MadeSTS"), items, other_gold)
    with pytest.raises(NotPairedError, match="one of the two runs has no gold labels"):
        paired_test(record_of("MadeSTS"), items, items.drop_columns(["gold"]))


def test_false_alarms_come_at_the_stated_rate() -> None:
    """Two subjects of equal quality on one task: about one test in twenty is below 0.05."""
    rng = np.random.default_rng(5)
    below = 0
    for _ in range(400):
        base = rng.random(80) < 0.6
        other = np.where(rng.random(80) < 0.5, base, rng.random(80) < 0.6)
        below += sign_flip_p(other.astype(float) - base, rng, 500) < 0.05

    assert below <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)
