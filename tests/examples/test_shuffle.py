"""A seeded choice and order of examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import FewShotError
from harness.prompts.shuffle import shuffled_examples
from harness.registry.spec import FewShotExample

EXAMPLES = tuple(FewShotExample(query=f"query {n}", response=f"response {n}", origin="test") for n in range(8))


def test_seed_decides_choice_and_order() -> None:
    first = shuffled_examples(EXAMPLES, 1, 4)

    assert first == shuffled_examples(list(EXAMPLES), 1, 4)
    assert len(first) == 4
    assert len({shuffled_examples(EXAMPLES, seed, 4) for seed in range(30)}) > 20


def test_order_of_a_seed_never_changes_between_versions() -> None:
    assert [EXAMPLES.index(item) for item in shuffled_examples(EXAMPLES, 1, None)] == [3, 6, 1, 5, 7, 0, 4, 2]


@given(st.integers(), st.integers(0, 8))
def test_fewer_examples_are_the_beginning_of_more(seed: int, k: int) -> None:
    everything = shuffled_examples(EXAMPLES, seed, None)

    assert sorted(everything, key=lambda item: item.query) == list(EXAMPLES)
    assert shuffled_examples(EXAMPLES, seed, k) == everything[:k]


@pytest.mark.parametrize("k", [9, -1])
def test_more_than_there_are_is_an_error(k: int) -> None:
    with pytest.raises(FewShotError, match=f"{k} examples were asked for, but there are 8"):
        shuffled_examples(EXAMPLES, 1, k)
