"""Ordinary prompts: tasks whose examples must do no harm. Every query is to keep the vector of its bare text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIKE = (
    "Find texts that mean the same.", "Retrieve text with a similar meaning.", "Given a sentence, find one that says the same.",
    "Retrieve similar sentences.", "Find sentences close in meaning to this one.", "Retrieve paraphrases of the text.",
    "Given a text, retrieve its rewording.", "Find an equivalent statement.", "Retrieve a duplicate of the message.",
    "Given a summary, find other summaries of the same event.",
)  # fmt: skip
ANSWERS = (
    "Given a question, find the text that answers it.", "Retrieve the entry that explains the words.", "Given a search, find useful documents.",
    "Given a claim, find evidence for or against it.", "Find the paragraph that helps with this request.", "Retrieve related documents.",
    "Given a word, retrieve its definition.", "Find the manual page for this need.", "Given a title, retrieve related titles.",
)  # fmt: skip
SORTING = (
    "Sort the message by what its writer wants.", "Classify the text by its topic.", "Identify the category of the text.",
    "Classify the request.", "Tell which group the statement belongs to.", "Identify the subject of the post.",
    "Classify how the writer feels.", "Classify the sentence by the aspect that it is about.", "Identify the theme of the article.",
    "Decide whether the statement is a wish or a fact.",
)  # fmt: skip


@dataclass(frozen=True)
class Prompted:
    """A prompt of an ordinary task: rows of the distillation texts, and a response for each."""

    instruction: str
    rows: tuple[int, ...]
    responses: tuple[str, ...]


def neighbours(vectors: np.ndarray, pool: np.ndarray, block: int = 2048) -> np.ndarray:
    """Return for each row of `pool` the row of `pool` most like it (not itself, and no near copy).

    Args:
        vectors: `[N, D]` float16, normalised.
        pool: row numbers.
        block: rows compared at once.
    """
    chosen = vectors[pool].astype(np.float32)
    found = np.zeros(len(pool), np.int64)
    for start in range(0, len(pool), block):
        alike = chosen[start : start + block] @ chosen.T
        alike[alike > 0.97] = -1.0
        found[start : start + block] = pool[alike.argmax(1)]
    return found


class OrdinaryMaker:
    """Draws ordinary prompts."""

    def __init__(self, texts: Sequence[str], vectors: np.ndarray, rng: random.Random, pool_size: int = 20_000) -> None:
        """Find for some texts the one most like them, as their responses.

        Args:
            texts: the distillation texts.
            vectors: their target vectors.
            rng: every draw comes from it.
            pool_size: how many texts are queries.
        """
        self.texts = texts
        self.rng = rng
        long_enough = [row for row, text in enumerate(texts) if text.count(" ") >= 3]
        self.pool = np.array(long_enough[:pool_size])
        self.like = neighbours(vectors, self.pool)

    def draw(self, shots: int) -> Prompted:
        """Return a prompt of `shots` examples and a query."""
        rng = self.rng
        places = [rng.randrange(len(self.pool)) for _ in range(shots + 1)]
        rows = tuple(int(self.pool[place]) for place in places)
        partners = [self.texts[int(self.like[place])] for place in places]
        kind = rng.random()
        if kind < 0.4:
            return Prompted(rng.choice(ALIKE), rows, tuple(partners))
        if kind < 0.7:
            longer = [" ".join([one, *(self.texts[int(rng.choice(self.pool))] for _ in range(rng.randrange(3)))]) for one in partners]
            return Prompted(rng.choice(ANSWERS), rows, tuple(longer))
        return Prompted(rng.choice(SORTING), rows, tuple(self._tag(one) for one in partners))

    def _tag(self, text: str) -> str:
        words = [word.strip(".,;:!?()") for word in text.split() if len(word) > 4] or text.split()
        size = min(len(words), self.rng.choice((1, 2, 2, 3)))
        return " ".join(self.rng.sample(words, size))
