"""Drawing few-shot examples from rows that are not evaluated: balanced, short enough, and not leaking.

Everything here works on texts; the rows come from `harness.runners.draw_data`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from harness.audit.index import ExampleIndex, ExampleText
from harness.audit.normalise import compact, words
from harness.errors import ConfigError, FewShotError
from harness.examples.files import make_example
from harness.registry.spec import FewShotExample
from harness.registry.tokens import estimate_tokens

MAX_TOKENS = 256
# Mistral's tokenizer takes 3 characters or more of English for a token, and up to 2 tokens for any other character.
_ASCII_CHARACTERS_PER_TOKEN = 3
_TOKENS_PER_OTHER_CHARACTER = 2
_SPARE_ROUNDS = 4


class Candidate(NamedTuple):
    """A row that may become an example."""

    row_id: str
    query: str
    response: str
    label: str
    """What is balanced; empty where there is nothing to balance."""
    response_is_label: bool
    """A label may occur in an evaluation text; it is not compared with them."""


class Drawn(NamedTuple):
    """The examples drawn and what was passed over for them."""

    examples: list[FewShotExample]
    row_ids: list[str]
    too_long: int
    invalid: int
    leaking: int


def approximate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens that errs on the high side and needs no tokenizer."""
    num_ascii = sum(character.isascii() for character in text)
    by_characters = -(-num_ascii // _ASCII_CHARACTERS_PER_TOKEN) + _TOKENS_PER_OTHER_CHARACTER * (len(text) - num_ascii)
    return max(by_characters, estimate_tokens(text))  # the second counts digits and signs one by one, as tokenizers do


def draw(
    candidates: Sequence[Candidate],
    evaluation_texts: Callable[[], Iterable[str]],
    *,
    k: int,
    seed: int,
    origin: str,
) -> Drawn:
    """Draw k examples, decided by the candidates' order, the seed and the evaluation texts alone.

    The labels take turns in a drawn order, so that any first k are as many different labels as can be. A row is passed
    over if a text is longer than 256 tokens (estimated), breaks a rule for examples, repeats an example drawn before, or
    is found among the evaluation texts (equal, near duplicate or contained, as `audit` judges).

    Args:
        candidates: rows in a fixed order.
        evaluation_texts: gives the texts of the evaluation, as often as it is called.
        k: number of examples, at least 1.
        seed: any integer.
        origin: becomes `origin` of each example, followed by its row id.

    Raises:
        FewShotError: fewer than k rows are fit.
    """
    rng = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    by_label: dict[str, list[int]] = {}
    for position, candidate in enumerate(candidates):
        by_label.setdefault(candidate.label, []).append(position)
    labels = sorted(by_label)
    rng.shuffle(labels)
    for label in labels:
        rng.shuffle(by_label[label])

    too_long = invalid = 0
    fit: dict[str, list[tuple[Candidate, FewShotExample]]] = {label: [] for label in labels}
    pending = {label: iter(by_label[label]) for label in labels}
    leaking: set[str] = set()
    rounds = -(-k // len(labels)) + _SPARE_ROUNDS if labels else 0
    seen: set[str] = set()
    while True:
        fresh: list[tuple[Candidate, FewShotExample]] = []
        for label in labels:
            while len(fit[label]) < rounds and (drawn := next(pending[label], None)) is not None:
                candidate = candidates[drawn]
                key = compact(words(candidate.query))
                if max(approximate_tokens(candidate.query), approximate_tokens(candidate.response)) > MAX_TOKENS:
                    too_long += 1
                    continue
                try:
                    example = make_example(candidate.query, candidate.response, f"{origin} {candidate.row_id}")
                except ConfigError:
                    invalid += 1
                    continue
                if key in seen:
                    invalid += 1
                    continue
                seen.add(key)
                fit[label].append((candidate, example))
                fresh.append((candidate, example))
        leaking |= _leaking(fresh, evaluation_texts)
        chosen = _in_turns([[pair for pair in fit[label] if pair[0].row_id not in leaking] for label in labels], k)
        # A label that lost all its rows to the check is refilled before the others give a second one.
        is_balanced = all(
            any(pair[0].row_id not in leaking for pair in fit[label]) or len(fit[label]) < rounds for label in labels
        )
        if len(chosen) == k and is_balanced:
            break
        if not fresh:
            break
        rounds *= 2
    if len(chosen) < k:
        raise FewShotError(
            f"{k} examples were asked for, but only {len(chosen)} of {len(candidates)} rows are fit "
            f"({too_long} longer than {MAX_TOKENS} tokens, {invalid} not usable or repeated, {len(leaking)} found in the "
            "evaluation). Use a smaller --k."
        )
    return Drawn([pair[1] for pair in chosen], [pair[0].row_id for pair in chosen], too_long, invalid, len(leaking))


def _in_turns(groups: list[list[tuple[Candidate, FewShotExample]]], k: int) -> list[tuple[Candidate, FewShotExample]]:
    """Take one of each group in turn until there are k."""
    chosen: list[tuple[Candidate, FewShotExample]] = []
    for turn in range(max((len(group) for group in groups), default=0)):
        for group in groups:
            if turn < len(group) and len(chosen) < k:
                chosen.append(group[turn])
    return chosen


def _leaking(pairs: list[tuple[Candidate, FewShotExample]], evaluation_texts: Callable[[], Iterable[str]]) -> set[str]:
    """Return the row ids of which a text is found in the evaluation."""
    if not pairs:
        return set()
    texts: list[ExampleText] = []
    for position, (candidate, example) in enumerate(pairs):
        texts.append(ExampleText("", "query", position, example.query))
        if not candidate.response_is_label:
            texts.append(ExampleText("", "response", position, example.response))
    index = ExampleIndex(texts)
    found: set[str] = set()
    for text in evaluation_texts():
        for match in index.matches(text):
            found.add(pairs[index.texts[match.position].number][0].row_id)
    return found
