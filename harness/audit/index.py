"""An exact inverted index over the shingles of the examples; evaluation texts are streamed past it.

Memory is that of the examples, whatever the number of evaluation texts: nothing of a text is kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness.audit.shingles import (
    MIN_CONTAINED_CHARACTERS,
    MIN_CONTAINED_WORDS,
    Shingle,
    shingled,
)

NEAR_DUPLICATE_JACCARD = 0.7
CONTAINMENT_SHARE = 0.8

Kind = Literal["exact", "normalised", "near duplicate", "containment", "text inside example"]
KINDS: tuple[Kind, ...] = ("exact", "normalised", "near duplicate", "containment", "text inside example")


class ExampleText(NamedTuple):
    """One side of one few-shot example."""

    task: str
    side: Literal["query", "response"]
    number: int
    """Position of the example in its task, from 0."""
    text: str


class Match(NamedTuple):
    """An example text that an evaluation text repeats."""

    position: int
    """Position of the example text in the index."""
    kind: Kind
    similarity: float
    """1 for equal texts, the Jaccard index of a near duplicate, else the contained share of the shingles."""


class ExampleIndex:
    """The examples, ready to be compared with any number of texts."""

    def __init__(self, texts: Sequence[ExampleText]) -> None:
        self.texts = tuple(texts)
        self.short: set[int] = set()
        """Positions of texts too short to tell copying from coincidence: labels, fewer than 4 words."""
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._compact: dict[str, list[int]] = defaultdict(list)
        self._postings: dict[Shingle, list[int]] = defaultdict(list)
        self._sizes: dict[int, int] = {}
        for position, item in enumerate(self.texts):
            self._add(position, item.text)

    def _add(self, position: int, text: str) -> None:
        forms = shingled(text)
        self._exact[text.strip()].append(position)
        if forms.compact:
            self._compact[forms.compact].append(position)
        # A label in snake_case or with dots has many words but is still one name.
        if forms.is_short or (len(text.split()) == 1 and not forms.num_unspaced):
            self.short.add(position)
            return
        shingles = forms.by_characters if forms.is_unspaced else forms.by_words
        if not shingles:
            return
        self._sizes[position] = len(shingles)
        for shingle in shingles:
            self._postings[shingle].append(position)

    def matches(self, text: str) -> list[Match]:
        """Return the example texts that a text repeats, each with the strongest kind that applies.

        A short example text matches by equality only (`exact`, `normalised`); see `short`.
        """
        found: dict[int, Match] = {}
        for position in self._exact.get(text.strip(), ()):
            found[position] = Match(position, "exact", 1.0)
        forms = shingled(text)
        for position in self._compact.get(forms.compact, ()):
            found.setdefault(position, Match(position, "normalised", 1.0))
        groups = (
            (forms.by_words, forms.num_words >= MIN_CONTAINED_WORDS),
            (forms.by_characters, forms.num_unspaced >= MIN_CONTAINED_CHARACTERS),
        )
        for shingles, is_telling in groups:
            common: Counter[int] = Counter()
            for shingle in self._postings.keys() & shingles:
                common.update(self._postings[shingle])
            for position, count in common.items():
                if position not in found:
                    match = self._judge(position, count, len(shingles), is_telling)
                    if match is not None:
                        found[position] = match
        return [found[position] for position in sorted(found)]

    def _judge(self, position: int, count: int, text_size: int, text_is_telling: bool) -> Match | None:
        size = self._sizes[position]
        jaccard = count / (size + text_size - count)
        if jaccard >= NEAR_DUPLICATE_JACCARD:
            return Match(position, "near duplicate", jaccard)
        if count / size >= CONTAINMENT_SHARE:
            return Match(position, "containment", count / size)
        if text_is_telling and count / text_size >= CONTAINMENT_SHARE:
            return Match(position, "text inside example", count / text_size)
        return None
