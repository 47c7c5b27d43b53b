"""The static bag: one vector for each token, whose mean over a text is the text's vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

BATCH = 2048
LEARNING_RATE = 3e-3
SIF = 1e-3
"""Smoothing of the start: a token of probability p starts with weight SIF / (SIF + p)."""
SIMILARITY_WEIGHT = 5.0


def principal_axes(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Return the `[D, dim]` main axes of `[N, D]` vectors, without centring, so that cosines are kept."""
    sample = vectors.astype(np.float64)
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = axes[:, ::-1][:, :dim]
    # an eigenvector's sign is free: fix it, so that every library gives the same axes
    return np.ascontiguousarray(axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(dim)])).astype(np.float32)


class Ragged:
    """Token ids of many texts in one array."""

    def __init__(self, ids: Sequence[Sequence[int]]) -> None:
        lengths = np.array([len(one) for one in ids])
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        self.flat = np.concatenate([np.asarray(one, np.int64) for one in ids])

    def take(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the ids of some texts end to end, and where each begins."""
        parts = [self.flat[self.starts[row] : self.starts[row + 1]] for row in rows]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])[:-1]])
        return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(offsets)


def token_weights(ids: Ragged, vocab: int) -> np.ndarray:
    """Return the starting weight of each token: rare ones near 1, the commonest near 0."""
    counts = np.bincount(ids.flat, minlength=vocab).astype(np.float64)
    return SIF / (SIF + counts / counts.sum())


def similarity_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """1 - cosine to the target, plus the squared difference of all similarities of the batch."""
    own = torch.nn.functional.normalize(vectors, dim=-1)
    return (1 - (own * targets).sum(-1)).mean() + SIMILARITY_WEIGHT * ((own @ own.T - targets @ targets.T) ** 2).mean()


def train_bag(
    ids: Ragged,
    targets: np.ndarray,
    token_vectors: np.ndarray,
    *,
    epochs: int,
    seed: int,
    log: Callable[[int, float], None],
) -> np.ndarray:
    """Train the token vectors.

    Args:
        ids: tokens of N texts.
        targets: `[N, D]` float16 target vectors, normalised.
        token_vectors: `[V, D]` teacher vectors of the token strings, the start.
        epochs: passes over the texts.
        seed: of their order.
        log: told step and loss.

    Returns:
        `[V, D]` float32.
    """
    weights = token_weights(ids, len(token_vectors))
    table = torch.nn.Parameter(torch.from_numpy((token_vectors * weights[:, None]).astype(np.float32)))
    steps = epochs * (len(targets) // BATCH or 1)
    optimizer = torch.optim.Adam([table], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(seed)
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(targets))
        for start in range(0, max(len(order) - BATCH + 1, 1), BATCH):
            rows = order[start : start + BATCH]
            flat, offsets = ids.take(rows)
            # index_select has a deterministic backward pass on a CPU; embedding_bag need not be asked
            owner = torch.bucketize(torch.arange(len(flat)), offsets, right=True) - 1
            summed = torch.zeros(len(rows), table.shape[1]).index_add(0, owner, table[flat])
            loss = similarity_loss(summed, torch.from_numpy(targets[rows].astype(np.float32)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step < steps - 1:
                schedule.step()
            log(step, float(loss.detach()))
            step += 1
    return table.detach().numpy()


def most_common(ids: Ragged, count: int) -> list[int]:
    """Return the commonest tokens."""
    return [token for token, _ in Counter(ids.flat.tolist()).most_common(count)]
