"""Rows of the tables beside the leaderboard: few-shot against zero-shot, and what encoding took."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """Few-shot minus zero-shot, as fractions, and its 95 % paired bootstrap interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    resampled: str = ""
    """What was drawn with replacement (`pairs`, `queries`, ...); empty without an interval."""


class FewShotRow(NamedTuple):
    """A row with examples against the row without any of the same model in the same setting."""

    row: int
    """Place in the table's rows."""
    zero_shot: int
    """Place of the other."""
    prompt_fingerprint: str
    """SHA-256 of the prompt; over several tasks, of their fingerprints."""
    mean: Difference
    """Of Mean (Task)."""
    types: tuple[Difference, ...]
    """Parallel to the table's `task_types`."""
    tasks: tuple[Difference, ...]
    """Parallel to the table's `tasks`."""
    fingerprints: tuple[str, ...]
    """The same per task; of an aggregate, over its parts."""
    num_fewshot: tuple[int | None, ...]
    """Examples per task; None where the parts of an aggregate differ."""


class CostRow(NamedTuple):
    """What encoding took."""

    row: int
    """Place in the table's rows."""
    texts_encoded: int
    encode_seconds: float
    texts_per_second: float
    """Of all texts that went through the model."""
    zero_shot: int | None
    """Place of the row without examples that it is compared with."""
    compared_tasks: int
    """Tasks of which both rows encoded equally many texts; only these are compared."""
    seconds_per_text: float | None
    """In the compared tasks."""
    zero_shot_seconds_per_text: float | None
    relative: float | None
    """Seconds per text, as a multiple of zero-shot."""
