"""What the texts of a benchmark task look like, as data of ours: no data set, no network, no mteb.

`statistics.json` is made by `tools/plan_statistics.py` from the descriptive statistics that mteb ships, from
air-benchmark's own table, and, for the tasks whose data was at hand, from counting the texts themselves.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.plan.lengths import TokenCurve, lognormal_cut
from harness.plan.tokenizers import TokenCounter
from harness.registry.registry import RegisteredTask
from harness.types import SYMMETRIC_TYPES

STATISTICS_FILE = Path(__file__).with_name("statistics.json")


@dataclass(frozen=True, eq=False)
class TextGroup:
    """Texts of one task that are encoded alike. A group equals itself alone."""

    side: str
    """mteb's prompt type: `query`, `document`, or "" for the texts of a symmetric task."""
    split: str
    subset: str
    texts: int
    """Texts that mteb asks vectors for."""
    distinct: int
    """Of these, texts that no earlier group of the task has and that go through the model; see `exact`."""
    exact: bool
    """False: `distinct` is an upper bound, as texts common to both sides of a pair cannot be known from statistics."""
    calls: int
    """Calls in which they come; a common prefix is computed once per call."""
    mean_chars: float
    max_chars: int
    curves: dict[str, TokenCurve]
    """Tokenizer family -> counted tokens of the distinct texts; empty where only characters are known."""
    mean_tokens: float | None = None
    max_tokens: float | None = None
    """Known instead of characters for AIR-Bench."""

    def tokens(self, limit: float, family: str, scale: float, chars_per_token: float) -> float:
        """Return the tokens of the distinct texts, each cut at a limit, without begin, end and prompt.

        Args:
            limit: most tokens of one text.
            family: tokenizer family whose counts are taken.
            scale: tokens of the tokenizer in question per token of that family.
            chars_per_token: of that family, for groups of which only characters are known.
        """
        curve = self.curves.get(family)
        if curve is not None:
            return curve.cut(limit, scale) * (self.distinct / curve.texts if curve.texts else 0.0)
        mean = self.mean_tokens if self.mean_tokens is not None else self.mean_chars / chars_per_token
        longest = self.max_tokens if self.max_tokens is not None else self.max_chars / chars_per_token
        return lognormal_cut(self.distinct, mean * scale, longest * scale, limit)


@dataclass(frozen=True)
class TaskStatistics:
    """The texts of one task."""

    name: str
    counted: bool
    """Whether its texts were counted one by one (distinct texts and tokens), not taken from statistics."""
    splits: tuple[str, ...]
    groups: tuple[TextGroup, ...]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Texts that several counted tasks have, and no other counted task. Under equal prompts a run encodes them once."""

    side: str
    """`query` (texts of symmetric tasks included) or `document`."""
    tasks: frozenset[str]
    curves: dict[str, TokenCurve]
    """Tokenizer family -> counted tokens."""

    @property
    def texts(self) -> int:
        """How many they are."""
        return next(iter(self.curves.values())).texts


@dataclass(frozen=True)
class Statistics:
    """The content of the statistics file."""

    sources: dict[str, str]
    tasks: dict[str, TaskStatistics]
    overlaps: tuple[Overlap, ...]
    air_bench: dict[str, dict[str, Any]]
    """Version -> set -> longest texts: `corpus` and `queries` (split -> tokens)."""
    examples: dict[str, dict[str, tuple[int, int]]]
    """Tokenizer family -> `task/side` -> tokens and characters of the task's examples; "" for all together."""
    families: dict[str, str]
    """Profile -> tokenizer family."""
    embed_dims: dict[str, int]
    """Hub id -> D, of the models that profiles name."""

    def family_of(self, profile: str) -> str:
        """Return the tokenizer family of a profile; an unknown one is taken for the commonest, `mistral`."""
        return self.families.get(profile, "mistral")

    def chars_per_token(self, family: str, task: str, side: str) -> float:
        """Return characters per token of a family for the texts of one side of a task: that of its examples."""
        sizes = self.examples[family]
        tokens, chars = sizes.get(f"{task}/{side}", sizes[""])
        return chars / tokens

    def scale(self, family: str, task: str, side: str, texts: Sequence[str], counter: TokenCounter) -> float:
        """Return tokens of another tokenizer per token of a family, as the task's examples show it.

        Args:
            family: tokenizer family.
            task: task.
            side: side of the task.
            texts: examples of that side in the session's registry.
            counter: the other tokenizer; an estimate is worth nothing here and gives 1.
        """
        size = self.examples[family].get(f"{task}/{side}")
        if not counter.exact or size is None or sum(map(len, texts)) != size[1]:
            return 1.0  # other examples than those that were counted
        return sum(counter.lengths(texts)) / size[0]


def example_texts(entry: RegisteredTask) -> dict[str, list[str]]:
    """Return the example texts that resemble the texts of each side of a task: queries, and responses for documents."""
    queries = [example.query for example in entry.examples]
    if entry.task_type in SYMMETRIC_TYPES:
        return {"": queries}
    return {"query": queries, "document": [example.response for example in entry.examples]}


def group_from_json(row: dict[str, Any]) -> TextGroup:
    """Read one group of the file."""
    return TextGroup(
        side=row["side"],
        split=row["split"],
        subset=row["subset"],
        texts=row["texts"],
        distinct=row["distinct"],
        exact=row["exact"],
        calls=row["calls"],
        mean_chars=row["mean_chars"],
        max_chars=row["max_chars"],
        curves=_curves(row.get("tokens", {})),
    )


def _curves(tokens: dict[str, dict[str, Any]]) -> dict[str, TokenCurve]:
    return {
        family: TokenCurve(values["texts"], values["total"], tuple(values["at"])) for family, values in tokens.items()
    }


@functools.cache
def load_statistics(path: Path = STATISTICS_FILE) -> Statistics:
    """Read the packaged statistics."""
    data = json.loads(path.read_text(encoding="utf-8"))
    tasks = {
        name: TaskStatistics(
            name=name,
            counted=task["counted"],
            splits=tuple(task["splits"]),
            groups=tuple(group_from_json(row) for row in task["groups"]),
        )
        for name, task in data["tasks"].items()
    }
    return Statistics(
        sources=data["sources"],
        tasks=tasks,
        overlaps=tuple(
            Overlap(row["side"], frozenset(row["tasks"]), _curves(row["tokens"])) for row in data["overlaps"]
        ),
        air_bench=data["air_bench"],
        examples={
            family: {key: (tokens, chars) for key, (tokens, chars) in sizes.items()}
            for family, sizes in data["examples"].items()
        },
        families=data["families"],
        embed_dims=data["embed_dims"],
    )
