"""The in-context stage: how responses and query tokens are compared, fitted on token vectors alone, without the decoder.

What layer 2 of the planted model does is a small function of token vectors: the mean of the responses is compared with each of the query's
tokens, and those most like it are added to the query's mean. Its matrices are fitted here, a hundred times cheaper than through the
decoder, and planted then. The function below is the decoder's own, but for the rotary embedding, which hardly turns in the slots used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.train_embedded.episodes import Episode
from tools.train_embedded.model import CONTENT, HEAD_DIM, HIDDEN
from tools.train_embedded.prompts import Encoder

_U = HIDDEN**0.5
_ROOT = HEAD_DIM**0.5
_BLOCK = 1024
"""Queries judged at once."""
_QUERY_SIZE, _VALUE_SIZE = 4.0, 0.15


@dataclass(frozen=True)
class MatchRecipe:
    """Sizes of the stage."""

    episodes: int = 8000
    shots: int = 6
    steps: int = 500
    batch: int = 256
    rate: float = 1e-3
    temperature: float = 0.05
    decay: float = 1.0
    """Pull of the matrices towards their start."""
    blend: float = 0.5
    """Share of the way from the start to the fit that is kept: half of it keeps more of what was not fitted."""


class Matching(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by the type checker
    """The fitted matrices, and the vector of a query behind its examples."""

    def __init__(self, dims: int, mean: float, match: float, found: float, answer: float) -> None:
        """Start where the plain planted model is: comparison on the first axes, what is found handed through.

        Args:
            dims: axes of the comparison.
            mean: see `Plant`.
            match: see `Plant`.
            found: see `Plant`.
            answer: see `Plant`.
        """
        super().__init__()
        self.mean = mean
        self.match, self.found = match, found
        # of size 1 each, or nearly, so that one rate of learning fits all
        self.query = torch.nn.Parameter(_QUERY_SIZE * torch.eye(dims, CONTENT))
        self.key = torch.nn.Parameter(torch.eye(dims, CONTENT))
        self.value = torch.nn.Parameter(_VALUE_SIZE * torch.eye(CONTENT))
        self.answer = torch.nn.Parameter(torch.tensor(answer))
        self.start = [weight.detach().clone() for weight in (self.query, self.key, self.value, self.answer)]

    def planted(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the matrices of query, key and value as they are planted."""
        return self.query * (self.match / _QUERY_SIZE), self.key, self.value * (self.found / _VALUE_SIZE)

    def go_back(self, blend: float) -> None:
        """Keep only a share of the way from the start."""
        with torch.no_grad():
            for weight, start in zip((self.query, self.key, self.value, self.answer), self.start, strict=True):
                weight.copy_(start + blend * (weight - start))

    def pull(self) -> Tensor:
        """Squared distance of the matrices from their start."""
        pairs = zip((self.query, self.key, self.value), self.start[:3], strict=True)
        total: Tensor = sum(((weight - start) ** 2).sum() for weight, start in pairs)  # type: ignore[assignment]
        return total

    def forward(self, tokens: Tensor, present: Tensor, responses: Tensor) -> Tensor:
        """Return the vectors of queries.

        Args:
            tokens: `[B, L, CONTENT]` content of the query's tokens.
            present: `[B, L]` whether a token is there.
            responses: `[B, CONTENT]` mean content over the response tokens and their markers.

        Returns:
            `[B, CONTENT]`, not normalised.
        """
        seen = tokens * _U
        first = self.mean * _U * responses  # what <response> holds behind layer 1
        norm = (1.0 + first.square().sum(-1, keepdim=True)).sqrt()
        query, key, value = self.planted()
        logits = ((first * _U / norm) @ query.T)[:, None] * (seen @ key.T)
        weights = torch.softmax(logits.sum(-1).div(_ROOT).masked_fill(~present, -1e9), dim=-1)
        second = first + (weights[..., None] * seen).sum(1) @ value.T
        norm = (1.0 + second.square().sum(-1, keepdim=True)).sqrt()
        own = self.mean * _U * (tokens * present[..., None]).sum(1) / present.sum(1, keepdim=True)
        return own + self.answer * _U * second / norm


@dataclass(frozen=True)
class Prepared:
    """Queries of episodes as token numbers."""

    tokens: Tensor
    """`[N, L]`, padded with -1."""
    responses: Tensor
    """`[N, CONTENT]`."""
    candidates: Tensor
    """`[N, 8, CONTENT]`, normalised, the right one first."""


def prepare(encode: Encoder, table: np.ndarray, episodes: Sequence[Episode]) -> Prepared:
    """Turn every query with at least one example into numbers.

    Args:
        encode: token ids of texts.
        table: `[V, CONTENT]` content of the token vectors.
        episodes: the episodes.
    """
    texts: list[list[int]] = []
    means: list[np.ndarray] = []
    choices: list[np.ndarray] = []
    known: dict[str, np.ndarray] = {}

    def label_vector(label: str) -> np.ndarray:
        if label not in known:
            mean = table[encode(label)].mean(0)
            known[label] = mean / (np.linalg.norm(mean) + 1e-9)
        return known[label]

    for episode in episodes:
        total, count = np.zeros(CONTENT), 1
        for place, text in enumerate(episode.texts):
            if place:
                ids = encode(episode.labels[place - 1] + "\n\n")
                total = total + table[ids].sum(0)
                count += len(ids) + 1
                texts.append(encode(text + "\n"))
                means.append(total / count)
                choices.append(np.stack([label_vector(label) for label in episode.candidates[place]]))
    longest = max(map(len, texts))
    tokens = np.full((len(texts), longest), -1)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = ids
    return Prepared(
        torch.from_numpy(tokens),
        torch.from_numpy(np.stack(means).astype(np.float32)),
        torch.from_numpy(np.stack(choices).astype(np.float32)),
    )


def _logits(model: Matching, table: Tensor, data: Prepared, rows: Tensor) -> Tensor:
    tokens = data.tokens[rows]
    vectors = model(table[tokens.clamp(min=0)], tokens >= 0, data.responses[rows])
    logits: Tensor = (data.candidates[rows] @ torch.nn.functional.normalize(vectors, dim=-1)[..., None]).squeeze(-1)
    return logits


@torch.no_grad()  # type: ignore[untyped-decorator]
def accuracy(model: Matching, table: np.ndarray, data: Prepared) -> float:
    """Return the share of queries whose right label is the nearest."""
    vectors = torch.from_numpy(table)
    right = 0
    for rows in torch.arange(len(data.tokens)).split(_BLOCK):
        right += int((_logits(model, vectors, data, rows).argmax(1) == 0).sum())
    return right / len(data.tokens)


def fit(
    model: Matching,
    table: np.ndarray,
    data: Prepared,
    recipe: MatchRecipe,
    seed: int,
    log: Callable[[dict[str, float]], None],
) -> None:
    """Fit the matrices in place.

    Args:
        model: see `Matching`.
        table: `[V, CONTENT]` float32 content of the token vectors; it stays as it is.
        data: queries with examples.
        recipe: sizes.
        seed: of the order of queries.
        log: told the figures of every step.
    """
    vectors = torch.from_numpy(table)
    generator = torch.Generator().manual_seed(seed)
    groups = [
        {"params": [model.query, model.key], "lr": recipe.rate},
        {"params": [model.value, model.answer], "lr": recipe.rate * 0.3},
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    for step in range(recipe.steps):
        rows = torch.randint(len(data.tokens), (recipe.batch,), generator=generator)
        logits = _logits(model, vectors, data, rows) / recipe.temperature
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.long))
        optimizer.zero_grad()
        (loss + recipe.decay * model.pull() / CONTENT).backward()
        optimizer.step()
        schedule.step()
        right = float((logits.detach().argmax(1) == 0).float().mean())
        log({"step": float(step), "loss": float(loss.detach()), "accuracy": right})
    model.go_back(recipe.blend)
