"""Which texts are encoded together: sorted by length, bounded by a token budget, the same plan every time."""

from __future__ import annotations

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group texts into batches of similar length.

    The order depends on lengths and positions alone, so that a repeated or resumed run has the same batches and
    with them the same rounding.

    Args:
        lengths: tokens of each text.
        batch_tokens: limit on rows x longest row of a batch; a text longer than it is a batch of its own.

    Returns:
        Lists of positions, longest texts first (an out-of-memory error then comes at the start, not after hours).
    """
    order = sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    return split_batch(order, lengths, batch_tokens)


def split_batch(batch: list[int], lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Split one batch again for a smaller budget, keeping its order."""
    parts: list[list[int]] = []
    for position in batch:
        if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= batch_tokens:
            parts[-1].append(position)
        else:
            parts.append([position])
    return parts
