"""Batches keep the token budget and hold every text exactly once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.encoder.batching import plan_batches, split_batch

pytestmark = pytest.mark.unit

LENGTHS = st.lists(st.integers(min_value=1, max_value=700), max_size=200)
BUDGET = st.integers(min_value=1, max_value=5000)


@given(lengths=LENGTHS, budget=BUDGET)
def test_every_text_is_in_one_batch_and_no_batch_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)

    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(batches)
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) * longest <= budget or len(batch) == 1


@given(lengths=LENGTHS, budget=BUDGET)
def test_longest_texts_come_first_and_equal_ones_in_input_order(lengths: list[int], budget: int) -> None:
    order = [position for batch in plan_batches(lengths, budget) for position in batch]

    assert order == sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))


@given(lengths=LENGTHS, budget=BUDGET, smaller=BUDGET)
def test_a_split_batch_keeps_order_and_the_smaller_budget(lengths: list[int], budget: int, smaller: int) -> None:
    for batch in plan_batches(lengths, budget):
        parts = split_batch(batch, lengths, smaller)

        assert [position for part in parts for position in part] == batch
        for part in parts:
            assert len(part) * max(lengths[position] for position in part) <= smaller or len(part) == 1


def test_equal_lengths_fill_the_budget() -> None:
    assert plan_batches([10] * 7, 30) == [[0, 1, 2], [3, 4, 5], [6]]
