"""Prompts as token ids, with a fork at every query: one sequence trains every number of examples at once.

Behind each `<response>` stands a `</s>` of its own, at the position that it would have if the prompt ended there, seen by no
other token. Its state is that of the plain prompt with the examples so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.train_embedded.tokenizer import BOS, EOS, INSTRUCT, QUERY, RESPONSE

MAX_RESPONSE = 64


class Encoder:
    """Token ids of pieces of text, kept."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a piece, without special tokens."""
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found


@dataclass(frozen=True)
class Forked:
    """One sequence with forks."""

    ids: list[int]
    positions: list[int]
    forks: list[int]
    """Places of the forked `</s>`, one for each number of examples."""


def fork(encode: Encoder, instruction: str, texts: Sequence[str], responses: Sequence[str]) -> Forked:
    """Return the sequence of a prompt whose queries are all asked, each behind those before it."""
    ids, positions, forks = [BOS], [0], []
    here = 1

    def put(tokens: Sequence[int]) -> None:
        nonlocal here
        ids.extend(tokens)
        positions.extend(range(here, here + len(tokens)))
        here += len(tokens)

    last = len(texts) - 1
    for number, (text, response) in enumerate(zip(texts, responses, strict=True)):
        put([INSTRUCT, *encode(instruction + "\n"), QUERY, *encode(text + "\n"), RESPONSE])
        forks.append(len(ids))
        ids.append(EOS)
        positions.append(here)
        if number < last:
            put(encode(response + "\n\n")[-MAX_RESPONSE:])
    return Forked(ids, positions, forks)


def bare(encode: Encoder, text: str) -> Forked:
    """Return the sequence of a document."""
    ids = [BOS, *encode(text), EOS]
    return Forked(ids, list(range(len(ids))), [len(ids) - 1])


def forward(model: Any, batch: Sequence[Forked]) -> Tensor:
    """Return the states of all forks, sequence by sequence: `[F, HIDDEN]` float32."""
    longest = max(len(one.ids) for one in batch)
    ids = np.zeros((len(batch), longest), np.int64)
    positions = np.zeros((len(batch), longest), np.int64)
    hidden = np.zeros((len(batch), longest), bool)
    rows: list[int] = []
    places: list[int] = []
    for row, one in enumerate(batch):
        ids[row, : len(one.ids)] = one.ids
        positions[row, : len(one.ids)] = one.positions
        hidden[row, one.forks] = True
        rows += [row] * len(one.forks)
        places += one.forks
    later = np.triu(np.ones((longest, longest), bool), 1)
    # padding stands behind every fork, so that causality hides it
    barred = later[None] | (hidden[:, None, :] & ~np.eye(longest, dtype=bool)[None])
    mask = torch.zeros(len(batch), 1, longest, longest).masked_fill_(torch.from_numpy(barred)[:, None], -1e9)
    states = model(
        input_ids=torch.from_numpy(ids), position_ids=torch.from_numpy(positions), attention_mask=mask, use_cache=False
    ).last_hidden_state
    picked: Tensor = states[torch.tensor(rows), torch.tensor(places)].float()
    return picked


def in_batches(sequences: Sequence[Forked], tokens: int) -> list[list[int]]:
    """Group sequences of like length, so that a batch holds at most about `tokens` tokens."""
    order = sorted(range(len(sequences)), key=lambda index: (len(sequences[index].ids), index))
    batches: list[list[int]] = []
    for index in order:
        size = len(sequences[index].ids)
        if batches and (len(batches[-1]) + 1) * size <= tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


@torch.no_grad()  # type: ignore[untyped-decorator]
def encode_all(model: Any, sequences: Sequence[Forked], tokens: int = 8192) -> list[np.ndarray]:
    """Return the normalised states of each sequence's forks, `[forks, HIDDEN]` each."""
    found: list[np.ndarray] = [np.zeros(0)] * len(sequences)
    for batch in in_batches(sequences, tokens):
        states = torch.nn.functional.normalize(forward(model, [sequences[index] for index in batch]), dim=-1).numpy()
        start = 0
        for index in batch:
            size = len(sequences[index].forks)
            found[index] = states[start : start + size]
            start += size
    return found
