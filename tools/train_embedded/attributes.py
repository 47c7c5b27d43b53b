"""Attributes that an episode can ask for: word classes of WordNet, and own ones. Each has values, stated or implied by other words."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tools.train_embedded.families import Families
from tools.train_embedded.wordnet import Synset, WordNet

MIN_VALUES = 6
MAX_VALUES = 60
MAX_IMPLIED = 8
# Attribute nouns of adjectives that belong to an unseen family.
_BANNED_ADJECTIVES = frozenset(
    [
        "quantity",
        "number",
        "numerousness",
        "amount",
        "duration",
        "timing",
        "time",
        "frequency",
        "sufficiency",
        "adequacy",
        "multiplicity",
        "magnitude",
        "handedness",
        "laterality",
        "sex",
        "gender",
    ]
)
# Held out for validation, values and all.
HELD_OUT_ADJECTIVES = frozenset({"temperature", "age", "speed", "weight", "distance", "wetness"})
# Own lists: label -> words that imply it. The labels are the seen values of the probe's list.
OWN: dict[str, dict[str, str]] = {
    "animal": {
        "dog": "terrier puppy hound poodle spaniel beagle",
        "cat": "kitten tabby siamese tomcat",
        "horse": "mare pony stallion foal gelding",
        "cow": "heifer calf bull cattle",
        "bird": "sparrow eagle owl robin crow parrot",
        "fish": "trout salmon herring carp tuna",
        "sheep": "lamb ewe ram flock",
        "mouse": "rodent vole dormouse",
    },
    "color": {
        "red": "scarlet crimson ruby cherry",
        "blue": "navy azure turquoise indigo",
        "green": "emerald olive lime",
        "yellow": "golden lemon amber",
        "white": "snowy ivory pale milky",
        "black": "ebony jet inky",
        "brown": "chestnut tan hazel beige",
        "purple": "violet lilac mauve lavender",
    },
    "place": {
        "kitchen": "stove oven sink pantry",
        "school": "classroom blackboard pupils playground",
        "hospital": "ward clinic patients surgery",
        "beach": "shore seaside dunes sand",
        "forest": "woods trees jungle thicket",
        "station": "platform terminal depot",
        "church": "chapel altar cathedral pews",
        "market": "stalls bazaar vendors",
    },
    "weather": {
        "rain": "drizzle shower downpour",
        "snow": "blizzard snowflakes sleet",
        "wind": "breeze gale gust",
        "fog": "mist haze",
        "sunshine": "sun sunlight sunny",
        "thunder": "storm lightning",
        "frost": "ice icy freezing",
        "heat": "hot scorching sweltering",
    },
    "profession": {
        "doctor": "physician surgeon medic",
        "teacher": "schoolmaster tutor instructor professor",
        "farmer": "rancher grower ploughman",
        "soldier": "infantryman sergeant trooper corporal",
        "painter": "watercolorist portraitist artist",
        "lawyer": "attorney solicitor barrister",
        "actor": "actress performer comedian",
        "sailor": "seaman mariner boatswain",
    },
    "food": {
        "bread": "loaf toast baguette bun",
        "cheese": "cheddar brie mozzarella",
        "soup": "broth chowder bouillon",
        "cake": "sponge gateau cupcake pastry",
        "meat": "beef pork steak lamb_chop",
        "fruit": "apple pear banana grapes",
        "rice": "risotto pilaf paella",
        "egg": "omelette yolk scrambled_eggs",
    },
    "vehicle": {
        "car": "sedan limousine taxi automobile",
        "train": "locomotive railway express",
        "ship": "ferry vessel liner steamer",
        "bicycle": "bike tandem pedals",
        "plane": "jet airliner aircraft",
        "bus": "coach minibus",
        "truck": "lorry van pickup",
        "motorcycle": "motorbike moped scooter",
    },
    "clothing": {
        "hat": "cap bonnet beret",
        "coat": "jacket parka overcoat",
        "shoes": "boots sandals sneakers",
        "dress": "gown frock",
        "gloves": "mittens mitts",
        "scarf": "shawl muffler",
        "trousers": "jeans pants slacks",
        "shirt": "blouse t-shirt",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Attribute:
    """What an episode asks for."""

    name: str
    kind: str
    """noun, adjective or own."""
    values: dict[str, tuple[str, ...]]
    """Label -> words that imply it; the label itself is not among them."""


def own_attributes() -> list[Attribute]:
    """Return the attributes with hand-written words."""
    return [
        Attribute(
            name,
            "own",
            {value: tuple(word.replace("_", " ") for word in words.split()) for value, words in values.items()},
        )
        for name, values in OWN.items()
    ]


class WordClasses:
    """Word classes of WordNet, without the unseen families; held-out ones apart."""

    def __init__(self, wordnet: WordNet, families: Families) -> None:
        self.wordnet = wordnet
        self.families = families
        totals: dict[str, int] = defaultdict(int)
        for synset in wordnet:
            for word, count in zip(synset.words, synset.counts, strict=True):
                totals[word.lower()] += count
        self._totals = totals

    def _label(self, synset: Synset, minimum: int) -> str | None:
        """Return the word whose main meaning this is, if there is one in use."""
        best: tuple[int, str] | None = None
        for word, count in zip(synset.words, synset.counts, strict=True):
            if count < minimum or not word.isalpha() or 2 * count < self._totals[word.lower()]:
                continue
            if best is None or count > best[0]:
                best = (count, word.lower())
        return best[1] if best else None

    def _implied(self, synset: Synset, label: str) -> tuple[str, ...]:
        words: dict[str, int] = {}
        for below in [synset, *self.wordnet.below(synset)]:
            for word, count in zip(below.words, below.counts, strict=True):
                lower = word.lower()
                unclear = self._totals[lower] > 2 * count  # mostly means something else
                if lower != label and label not in lower and len(lower) > 2 and word.count(" ") < 2 and not unclear:
                    words[lower] = max(count, words.get(lower, 0))
        return tuple(sorted(words, key=lambda word: (-words[word], len(word), word)))[:MAX_IMPLIED]

    def _attribute(self, name: str, members: list[Synset], allowed: set[str] | None) -> Attribute | None:
        values: dict[str, tuple[str, ...]] = {}
        for synset in sorted(members, key=lambda s: (-s.frequency, s.key)):
            label = self._label(synset, 1)
            if label is None or label in values or label in self.families.banned_words:
                continue
            if (label in allowed) if allowed is not None else (label not in self.families.held_out_words):
                implied = [word for word in self._implied(synset, label) if word not in self.families.banned_words]
                values[label] = tuple(implied)
            if len(values) == MAX_VALUES:
                break
        # a word that is a label itself implies no other
        values = {label: tuple(w for w in implied if w not in values) for label, implied in values.items()}
        return Attribute(name, "noun", values) if len(values) >= MIN_VALUES else None

    def nouns(self) -> list[Attribute]:
        """Return the classes that training may ask for."""
        held_out = set().union(*self.families.held_out_synsets.values())
        skip = self.families.banned_synsets | held_out
        found: list[Attribute] = []
        for root in self.wordnet:
            if root.key[0] != "n" or root.key in skip:
                continue
            members = [s for s in self.wordnet.below(root) if s.frequency and s.key not in skip]
            if MIN_VALUES <= len(members) <= 400:
                attribute = self._attribute(root.words[0].lower(), members, None)
                if attribute is not None and root.words[0].lower() not in self.families.banned_words:
                    found.append(attribute)
        return _without_repeats(found)

    def held_out(self) -> list[Attribute]:
        """Return the validation classes; training knows none of their values."""
        found = []
        for name, keys in self.families.held_out_synsets.items():
            members = [self.wordnet.synsets[key] for key in sorted(keys) if self.wordnet.synsets[key].frequency]
            attribute = self._attribute(name, members, self.families.held_out_words)
            if attribute is not None:
                found.append(attribute)
        return found

    def adjectives(self, *, held_out: bool = False) -> list[Attribute]:
        """Return attributes with adjectives as values (beauty: beautiful, ugly), heads of WordNet's clusters.

        Args:
            held_out: those of validation; else those of training, without any value of validation.
        """
        found = self._adjectives()
        kept = [attribute for attribute in found if attribute.name in HELD_OUT_ADJECTIVES]
        if held_out:
            return kept
        barred = {value for attribute in kept for value in attribute.values}
        return [
            attribute
            for attribute in found
            if attribute.name not in HELD_OUT_ADJECTIVES and not barred & set(attribute.values)
        ]

    def _adjectives(self) -> list[Attribute]:
        members: dict[tuple[str, int], list[Synset]] = defaultdict(list)
        for synset in self.wordnet:
            for noun in synset.attributes:
                if noun in self.wordnet.synsets:
                    members[noun].append(synset)
        found: list[Attribute] = []
        for noun, synsets in sorted(members.items()):
            name = self.wordnet.synsets[noun].words[0].lower()
            values: dict[str, tuple[str, ...]] = {}
            for synset in synsets:
                label = synset.words[0].lower()
                if label.isalpha() and label not in self.families.banned_words and synset.frequency:
                    implied = self._implied(synset, label)
                    values[label] = tuple(word for word in implied if word not in self.families.banned_words)
            if len(values) >= 2 and name not in _BANNED_ADJECTIVES:
                found.append(Attribute(name, "adjective", values))
        return found


def _without_repeats(attributes: list[Attribute]) -> list[Attribute]:
    """Drop a class whose values are those of another."""
    found: dict[tuple[str, ...], Attribute] = {}
    for attribute in attributes:
        found.setdefault(tuple(sorted(attribute.values)), attribute)
    return list(found.values())
