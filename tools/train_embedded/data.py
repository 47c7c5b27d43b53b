"""All texts of the distillation in one fixed order."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path

from tools.train_embedded.grammar import sentences
from tools.train_embedded.texts import clean, docstrings, word_glosses, wordnet_texts
from tools.train_embedded.wordnet import WordNet

DATA_SEED = 7
"""Of the texts; the same for every training seed, so that teacher vectors are computed once."""


EXCLUDED = Path(__file__).with_name("excluded.txt")
"""Hashes of the texts that an evaluation repeats (made by `overlap --write`): STS12 and STS14 hold WordNet glosses."""


def text_hash(text: str) -> str:
    """Return the name of a text in the list of excluded ones."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def excluded() -> frozenset[str]:
    """Hashes of the excluded texts."""
    return frozenset(EXCLUDED.read_text(encoding="ascii").split())


def allowed(text: str) -> bool:
    """Whether no evaluation at hand, when the list was made, held the text."""
    return text_hash(text) not in excluded()


def distillation_texts(wordnet: WordNet, *, rare_glosses: int, own_sentences: int) -> list[str]:
    """Return the distinct texts, shuffled.

    Args:
        wordnet: the database.
        rare_glosses: how many glosses of meanings without counted use are added.
        own_sentences: how many sentences of the grammar are added.
    """
    found = [
        *wordnet_texts(wordnet, DATA_SEED, rare_glosses),
        *word_glosses(wordnet),
        *docstrings(9000),
        *sentences(own_sentences, DATA_SEED),
    ]
    texts = list(dict.fromkeys(text for text in map(clean, found) if text and allowed(text)))
    random.Random(DATA_SEED).shuffle(texts)
    return texts
