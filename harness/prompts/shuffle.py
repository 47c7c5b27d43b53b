"""A seeded choice and order of a task's examples, to study how much both matter."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.errors import FewShotError
from harness.registry.spec import FewShotExample


def shuffled_examples(examples: Sequence[FewShotExample], seed: int, k: int | None) -> tuple[FewShotExample, ...]:
    """Return k of the examples, chosen and ordered by a seed.

    A smaller k of the same seed is the beginning of a larger one, so that number and choice can be told apart.

    Args:
        examples: the examples of a task in their own order.
        seed: any integer; the same one gives the same result on every machine.
        k: how many; None for all.

    Raises:
        FewShotError: more than there are, or fewer than none.
    """
    if k is None:
        k = len(examples)
    if not 0 <= k <= len(examples):
        raise FewShotError(f"{k} examples were asked for, but there are {len(examples)}. Use a smaller --num-fewshot.")
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)  # noqa: S311 -- reproducible, not secret
    return tuple(examples[position] for position in order[:k])
