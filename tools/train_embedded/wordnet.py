"""Reading WordNet 3.0's data files: synsets, their glosses, their hypernyms and how often their words are used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
_TYPE_NUMBER = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}  # senseidx(5WN)
_EXAMPLE = re.compile(r'"([^"]+)"')


@dataclass(frozen=True)
class Synset:
    """One meaning and the words for it."""

    key: tuple[str, int]
    """Part of speech (n, v, a, r) and byte offset in the data file."""
    words: tuple[str, ...]
    counts: tuple[int, ...]
    """How often each word has this meaning in WordNet's tagged corpora."""
    parents: tuple[tuple[str, int], ...]
    """Hypernyms; of adjectives the head of the cluster."""
    attributes: tuple[tuple[str, int], ...]
    """Nouns that an adjective is a value of (heavy: weight)."""
    definition: str
    examples: tuple[str, ...]

    @property
    def frequency(self) -> int:
        """Uses of the meaning in the tagged corpora, whatever the word."""
        return sum(self.counts)


class WordNet:
    """All synsets by key."""

    def __init__(self, directory: Path) -> None:
        """Read `data.*` and `cntlist.rev` of a dict folder (Debian package wordnet-base: /usr/share/wordnet)."""
        counts: dict[str, int] = {}
        for line in (directory / "cntlist.rev").read_text(encoding="ascii").splitlines():
            sense, _, count = line.split(" ")
            counts[sense] = int(count)
        self.synsets: dict[tuple[str, int], Synset] = {}
        for part in PARTS:
            for line in (directory / f"data.{part}").read_text(encoding="ascii").splitlines():
                if not line.startswith("  "):
                    synset = _parse(line, counts)
                    self.synsets[synset.key] = synset

    def __iter__(self) -> Iterator[Synset]:
        return iter(self.synsets.values())

    @cached_property
    def children(self) -> dict[tuple[str, int], list[Synset]]:
        """Direct hyponyms and instances of each synset."""
        found: dict[tuple[str, int], list[Synset]] = defaultdict(list)
        for synset in self:
            for parent in synset.parents:
                found[parent].append(synset)
        return found

    def below(self, synset: Synset) -> list[Synset]:
        """Return all hyponyms at any depth, in the order of a breadth-first walk."""
        seen = {synset.key}
        queue = [synset]
        for current in queue:
            for child in self.children.get(current.key, ()):
                if child.key not in seen:
                    seen.add(child.key)
                    queue.append(child)
        return queue[1:]


def _parse(line: str, counts: dict[str, int]) -> Synset:
    """Parse one line of a data file; its form is wndb(5WN)."""
    data, _, gloss = line.partition(" | ")
    fields = data.split(" ")
    kind, lex_file = fields[2], fields[1]
    total = int(fields[3], 16)
    words: list[str] = []
    used: list[int] = []
    place = 4
    for _ in range(total):
        word = re.sub(r"\((?:a|p|ip)\)$", "", fields[place])
        sense = f"{word.lower()}%{_TYPE_NUMBER[kind]}:{lex_file}:{int(fields[place + 1], 16):02d}:"
        words.append(word.replace("_", " "))
        used.append(counts.get(sense + ":", 0))
        place += 2
    parents: list[tuple[str, int]] = []
    attributes: list[tuple[str, int]] = []
    pointers = int(fields[place])
    for index in range(pointers):
        symbol, offset, part = fields[place + 1 + 4 * index : place + 4 + 4 * index]
        if symbol in ("@", "@i") or (symbol == "&" and kind == "s"):
            parents.append((part, int(offset)))
        elif symbol == "=" and kind in "as":
            attributes.append((part, int(offset)))
    examples = tuple(found.strip() for found in _EXAMPLE.findall(gloss))
    definition = _EXAMPLE.sub("", gloss).strip(" ;\n")
    return Synset(
        ("a" if kind == "s" else kind, int(fields[0])),
        tuple(words),
        tuple(used),
        tuple(parents),
        tuple(attributes),
        definition,
        examples,
    )
