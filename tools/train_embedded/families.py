"""What training must not ask for: the families of the probe's unseen attributes, and the held-out classes of validation.

The families were fixed with the probe, before any model was trained (docs/mini-probe.md). Their words may stand in ordinary text,
but no episode asks for them and none is a label, a response or a candidate.
"""

from __future__ import annotations

from functools import cached_property

from tools.train_embedded.wordnet import Synset, WordNet

UNSEEN_VALUES = frozenset(
    [
        "piano",
        "guitar",
        "drum",
        "violin",
        "flute",
        "trumpet",
        "harp",
        "bell",
        "wood",
        "metal",
        "glass",
        "paper",
        "leather",
        "stone",
        "wool",
        "plastic",
        "football",
        "tennis",
        "swimming",
        "golf",
        "boxing",
        "skiing",
        "rowing",
        "basketball",
        "hand",
        "foot",
        "head",
        "eye",
        "ear",
        "tooth",
        "back",
        "nose",
        "mother",
        "father",
        "grandmother",
        "grandfather",
        "wife",
        "husband",
        "daughter",
        "son",
        "cooking",
        "cleaning",
        "singing",
        "sleeping",
        "reading",
        "dancing",
        "writing",
        "running",
        "morning",
        "noon",
        "evening",
        "night",
        "half",
        "two",
        "three",
        "four",
        "six",
        "ten",
        "twelve",
        "hundred",
    ]
)
# Roots whose whole subtree is banned: (a word of the synset, a piece of its definition).
UNSEEN_ROOTS = (
    ("musical instrument", "devices or contrivances"),
    ("sound property", "an attribute of sound"),
    ("musician", "someone who plays a musical instrument"),
    ("material", "tangible substance"),
    ("substance", "real physical matter"),
    ("fabric", "artifact made by weaving"),
    ("building material", "material used for constructing"),
    ("sport", "active diversion"),
    ("game", "a contest with rules"),
    ("diversion", "an activity that diverts"),
    ("sports equipment", "equipment needed"),
    ("athlete", "trained to compete"),
    ("body part", "any part of an organism"),
    ("body covering", "any covering for the body"),
    ("relative", "a person related by blood"),
    ("family", "primary social group"),
    ("kinship", "relatedness or connection by blood"),
    ("act", "something that people do"),
    ("process", "a particular course of action"),
    ("time period", "an amount of time"),
    ("time unit", "a unit for measuring time"),
    ("point", "an instant of time"),
    ("clock time", "a reading of a point in time"),
    ("date", "the specified day"),
    ("measure", "how much there is or how many"),
    ("definite quantity", "a specific measure"),
    ("number", "a concept of quantity"),
    ("magnitude", "the property of relative size"),
    ("chemical", "material produced by or used"),
)
# WordNet's own parts of the lexicon, by file number: act, body, food is allowed, quantity, substance, time.
_BANNED_LEX = frozenset({"04", "08", "23", "27", "28"})
# Held-out classes of validation: training asks for none of their values either.
HELD_OUT_ROOTS = (
    ("weapon", "any instrument or instrumentality used in fighting"),
    ("furniture", "furnishings that make a room"),
    ("beverage", "any liquid suitable for drinking"),
    ("disease", "an impairment of health"),
    ("tree", "a tall perennial woody plant"),
    ("insect", "small air-breathing arthropod"),
    ("feeling", "the experiencing of affective"),
    ("publication", "a copy of a printed work"),
)


def find(wordnet: WordNet, word: str, piece: str) -> Synset | None:
    """Return the noun synset with this word whose definition holds `piece`."""
    for synset in wordnet:
        if synset.key[0] == "n" and word in synset.words and piece in synset.definition:
            return synset
    return None


class Families:
    """Which words may be labels of training, and which belong to validation."""

    def __init__(self, wordnet: WordNet) -> None:
        self.wordnet = wordnet

    def _subtrees(self, roots: tuple[tuple[str, str], ...]) -> dict[str, set[tuple[str, int]]]:
        found: dict[str, set[tuple[str, int]]] = {}
        for word, piece in roots:
            root = find(self.wordnet, word, piece)
            if root is not None:
                found[word] = {root.key, *(synset.key for synset in self.wordnet.below(root))}
        return found

    @cached_property
    def banned_synsets(self) -> set[tuple[str, int]]:
        """Keys of all synsets of the unseen families."""
        return set().union(*self._subtrees(UNSEEN_ROOTS).values())

    @cached_property
    def held_out_synsets(self) -> dict[str, set[tuple[str, int]]]:
        """Keys of the held-out classes of validation, by class name."""
        return self._subtrees(HELD_OUT_ROOTS)

    @cached_property
    def banned_words(self) -> set[str]:
        """Words that are no label: the unseen values, and every word with an often used meaning in an unseen family."""
        return UNSEEN_VALUES | self._words_of(self.banned_synsets)

    @cached_property
    def held_out_words(self) -> set[str]:
        """Words that validation asks for and training does not."""
        return self._words_of(set().union(*self.held_out_synsets.values()))

    def _words_of(self, keys: set[tuple[str, int]]) -> set[str]:
        """Words whose use lies to at least a fifth in the given noun synsets, or of which one of them is the only meaning."""
        inside: dict[str, int] = {}
        total: dict[str, int] = {}
        for synset in self.wordnet:
            for word, count in zip(synset.words, synset.counts, strict=True):
                total[word.lower()] = total.get(word.lower(), 0) + count + 1
                if synset.key in keys:
                    inside[word.lower()] = inside.get(word.lower(), 0) + count + 1
        return {word for word, count in inside.items() if count >= 0.2 * total[word]}
