"""Shingles: the overlapping word triples of a text, or the 5-character pieces of an unspaced one."""

from __future__ import annotations

from typing import NamedTuple

from harness.audit.normalise import compact, unspaced_letters, words

WORDS_PER_SHINGLE = 3
CHARACTERS_PER_SHINGLE = 5
MIN_WORDS = 4
MIN_CHARACTERS = 12
# A whole evaluation text inside an example says something from this length on ("how do i do that" does not).
MIN_CONTAINED_WORDS = 8
MIN_CONTAINED_CHARACTERS = 24

Shingle = tuple[str, ...] | str


class Shingled(NamedTuple):
    """A text in the forms that are compared."""

    compact: str
    """Letters and digits only."""
    by_words: set[Shingle]
    by_characters: set[Shingle]
    """Empty unless the text holds at least 12 letters of an unspaced script."""
    num_words: int
    num_unspaced: int

    @property
    def is_unspaced(self) -> bool:
        """Whether most letters are of an unspaced script, so that characters are compared and not words."""
        return self.num_unspaced >= MIN_CHARACTERS and 2 * self.num_unspaced >= len(self.compact)

    @property
    def is_short(self) -> bool:
        """Whether the text is too short to tell copying from coincidence."""
        return self.num_words < MIN_WORDS and self.num_unspaced < MIN_CHARACTERS


def shingled(text: str) -> Shingled:
    """Return the forms of a text that are compared."""
    found = words(text)
    joined = compact(found)
    num_unspaced = unspaced_letters(text)
    by_characters: set[Shingle] = set()
    if num_unspaced >= MIN_CHARACTERS:
        last = len(joined) - CHARACTERS_PER_SHINGLE
        by_characters = {joined[start : start + CHARACTERS_PER_SHINGLE] for start in range(last + 1)}
    return Shingled(
        joined, set(zip(found, found[1:], found[2:], strict=False)), by_characters, len(found), num_unspaced
    )
