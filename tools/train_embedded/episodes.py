"""Episodes: sentences that carry several attributes at once, and examples that tell which of them is asked for."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tools.train_embedded.attributes import Attribute

CANDIDATES = 8
VAGUE = (
    "Find the label that fits.", "Give the right label.", "Retrieve the word that belongs to the text.", "Which label is it?",
    "Return the label.", "Choose the answer that is wanted.", "Find the answer.", "Retrieve the fitting word.",
    "Pick the label as in the examples.", "Find what is asked for.", "Name it.", "Give the label of the sentence.",
    "Retrieve the label of this text.", "Select the proper tag.", "Find the right tag.", "Say which one it is.",
    "Match the text with its label.", "Give the answer.", "Find a label for the text.", "Look up the label.",
)  # fmt: skip
PRECISE = (
    "Name the {}.", "Which {} is mentioned?", "Find the {} of the text.", "Retrieve the {} that the text speaks of.",
    "What {} is it about?", "Tell the {} in this text.", "Give the {}.", "Identify the {}.", "Return the kind of {}.",
)  # fmt: skip
PRECISE_SHARE = 0.2
STATED_SHARE = 0.5
_START = (
    "yesterday {who} stood", "in the end {who} was seen", "last year {who} came by", "{who} was waiting", "everyone noticed that {who} sat",
    "{who} slowly walked on", "nobody knew why {who} stayed", "after a while {who} turned up", "{who} smiled and went off",
    "on the old photo {who} appears", "in this story {who} travels", "{who} had to stop", "as usual {who} arrived late",
    "we heard that {who} got lost", "it so happened that {who} returned", "{who} told us a long tale", "as i remember {who} left",
)  # fmt: skip
_WHO = (
    "she",
    "he",
    "somebody",
    "the visitor",
    "a stranger",
    "they",
    "my neighbour",
    "the guest",
    "one of them",
    "a friend",
)
_NOUN = (
    "next to the {x}", "with a {x}", "talking about a {x}", "thinking of the {x}", "beside a picture of a {x}", "because of the {x}",
    "while the {x} could be seen", "not far from a {x}", "having paid for the {x}", "asking for another {x}", "without the {x}",
    "in spite of a {x}", "to look for the {x}", "and mentioned a {x}", "where a {x} had been", "after the {x}", "before some {x}",
    "as the {x} was there", "just like a {x}", "and the {x} was the reason", "though the {x} was gone", "and praised the {x}",
)  # fmt: skip
_ADJECTIVE = (
    "and it seemed {x}", "which was rather {x}", "in a {x} way", "looking {x}", "on a {x} path", "holding something {x}",
    "in the {x} one", "and everything felt {x}", "with a {x} bag", "near a {x} thing", "as {x} as ever", "though it was quite {x}",
)  # fmt: skip
_OWN = {
    "animal": ("and the {x} ran away", "feeding a {x}", "followed by a {x}", "to see the {x}", "with the {x} of the house"),
    "color": ("in {x} paint", "under a {x} roof", "by the {x} door", "carrying a {x} bag", "with {x} flowers", "and all was {x}"),
    "place": ("in the {x}", "near the {x}", "on the way to the {x}", "outside the {x}", "behind the {x}", "close to the {x}"),
    "weather": ("in the {x}", "despite the {x}", "because of the {x}", "as the {x} began", "hoping that the {x} would end"),
    "profession": ("with the {x}", "and the {x} agreed", "as a {x} would", "helped by the {x}", "where the {x} works", "to meet a {x}"),
    "food": ("eating {x}", "with a plate of {x}", "buying some {x}", "and tasted the {x}", "to share the {x}", "smelling of {x}"),
    "vehicle": ("getting out of the {x}", "beside the {x}", "having missed the {x}", "to repair a {x}", "on board of the {x}"),
    "clothing": ("wearing the {x}", "with a new {x}", "holding the {x}", "who had lost the {x}", "without {x}", "in the old {x}"),
}  # fmt: skip
_ARTICLE = re.compile(r"\ba(?= [aeio])")
_WORD = re.compile(r"[a-z][a-z'-]+")


@dataclass(frozen=True)
class Labelled:
    """A text and what it says of some attributes."""

    text: str
    labels: dict[int, str]
    """Number of the attribute -> label."""


@dataclass(frozen=True)
class Episode:
    """A prompt's examples and query, all asking for one attribute."""

    instruction: str
    precise: bool
    """Whether the instruction names the attribute."""
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    """The response to each text."""
    candidates: tuple[tuple[str, ...], ...]
    """For each text `CANDIDATES` labels, the right one first."""


class EpisodeMaker:
    """Draws episodes over a set of attributes."""

    def __init__(
        self,
        attributes: Sequence[Attribute],
        natural: Sequence[str],
        rng: random.Random,
        targets: Sequence[int] | None = None,
    ) -> None:
        """Take the attributes.

        Args:
            attributes: what sentences say something of.
            natural: sentences of another source, in which the attributes' words are looked for.
            rng: every draw comes from it.
            targets: numbers of the attributes that are asked for; None for all.
        """
        self._targets = None if targets is None else list(targets)
        self.attributes = list(attributes)
        self.rng = rng
        self._by_kind: dict[str, list[int]] = defaultdict(list)
        for number, attribute in enumerate(self.attributes):
            self._by_kind[attribute.kind].append(number)
        self._natural = self._tag(natural)
        self._with: dict[int, list[int]] = defaultdict(list)
        for row, labelled in enumerate(self._natural):
            for number in labelled.labels:
                self._with[number].append(row)
        self._natural_attributes = [
            number for number, rows in sorted(self._with.items())
            if len({self._natural[row].labels[number] for row in rows}) >= 4 and (targets is None or number in targets)
        ]  # fmt: skip

    def _tag(self, texts: Sequence[str]) -> list[Labelled]:
        of_word: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for number, attribute in enumerate(self.attributes):
            for label, implied in attribute.values.items():
                for word in {label, *implied}:
                    of_word[word].append((number, label))
        found = []
        for text in texts:
            labels: dict[int, str] = {}
            for word in _WORD.findall(text.lower()):
                for number, label in of_word.get(word, ()):
                    labels.setdefault(number, label)
            if labels:
                found.append(Labelled(text, labels))
        return found

    def draw(self, shots: int, *, natural_share: float = 0.4, precise_share: float = PRECISE_SHARE) -> Episode:
        """Return an episode of `shots` examples and a query."""
        while True:
            natural = bool(self._natural_attributes) and self.rng.random() < natural_share
            episode = self._episode(shots, natural, precise_share)
            if episode is not None:
                return episode

    def _episode(self, shots: int, natural: bool, precise_share: float) -> Episode | None:
        rng = self.rng
        target = rng.choice(self._natural_attributes) if natural else self._target()
        attribute = self.attributes[target]
        rows = [self._sentence_with(target) if natural else self._sentence(target) for _ in range(shots + 1)]
        if len(attribute.values) > shots:
            seen: set[str] = set()
            for place in range(len(rows)):
                for _ in range(4):  # other values than the examples before show, where that is easy
                    if rows[place].labels[target] not in seen:
                        break
                    rows[place] = self._sentence_with(target) if natural else self._sentence(target)
                seen.add(rows[place].labels[target])
        candidates = [self._candidates(row, target) for row in rows]
        if any(len(one) < CANDIDATES for one in candidates):
            return None
        precise = rng.random() < precise_share
        instruction = rng.choice(PRECISE).format(attribute.name) if precise else rng.choice(VAGUE)
        return Episode(
            instruction,
            precise,
            tuple(r.text for r in rows),
            tuple(r.labels[target] for r in rows),
            tuple(map(tuple, candidates)),
        )

    def _target(self) -> int:
        if self._targets is not None:
            return self.rng.choice(self._targets)
        kinds = [kind for kind in ("own", "noun", "noun", "noun", "adjective") if self._by_kind[kind]]
        return self.rng.choice(self._by_kind[self.rng.choice(kinds)])

    def _candidates(self, row: Labelled, target: int) -> list[str]:
        """The right label, those of the text's other attributes, and wrong values of all of them."""
        rng = self.rng
        right = row.labels[target]
        own_values = self.attributes[target].values
        present = set(row.labels.values())
        found = [right]
        others = [number for number in row.labels if number != target and row.labels[number] not in own_values]
        rng.shuffle(others)
        for number in others[:3]:
            if row.labels[number] not in found:
                found.append(row.labels[number])
        wrong = [value for value in own_values if value not in present and value not in found]
        if not wrong:
            return []
        found.append(rng.choice(wrong))
        pool = others[:3] or [rng.randrange(len(self.attributes))]
        for _ in range(40):
            if len(found) == CANDIDATES:
                break
            number = rng.choice(pool) if rng.random() < 0.7 else rng.randrange(len(self.attributes))
            value = rng.choice(list(self.attributes[number].values))
            if value not in found and value not in present and value not in own_values:
                found.append(value)
        return found

    def _sentence_with(self, target: int) -> Labelled:
        """One or two natural sentences, the first of which says something of the attribute."""
        first = self._natural[self.rng.choice(self._with[target])]
        if self.rng.random() < 0.5:
            second = self._natural[self.rng.randrange(len(self._natural))]
            if target not in second.labels:
                pair = [first.text, second.text]
                self.rng.shuffle(pair)
                return Labelled(
                    self.rng.choice((" and ", "; ", ", while ")).join(pair), {**second.labels, **first.labels}
                )
        return first

    def _sentence(self, target: int) -> Labelled:
        """A sentence of four attributes, put together from phrases."""
        rng = self.rng
        chosen = [target]
        taken = set(self.attributes[target].values)
        while len(chosen) < 4:
            kinds = [kind for kind in ("own", "own", "noun", "adjective") if self._by_kind[kind]]
            number = rng.choice(self._by_kind[rng.choice(kinds)])
            values = set(self.attributes[number].values)
            if not values & taken:
                chosen.append(number)
                taken |= values
            elif rng.random() < 0.05:
                break
        labels: dict[int, str] = {}
        parts: list[str] = []
        for number in chosen:
            attribute = self.attributes[number]
            label = rng.choice(list(attribute.values))
            implied = attribute.values[label]
            word = label if not implied or rng.random() < STATED_SHARE else rng.choice(implied)
            labels[number] = label
            phrases = _OWN.get(attribute.name, _NOUN) if attribute.kind == "own" else _NOUN
            if attribute.kind == "adjective":
                phrases = _ADJECTIVE
            parts.append(rng.choice(phrases).format(x=word))
        rng.shuffle(parts)
        start = rng.choice(_START).format(who=rng.choice(_WHO))
        return Labelled(_ARTICLE.sub("an", " ".join([start, *parts])), labels)
