"""The in-context stage: episodes, ordinary prompts and bare texts together, from the planted weights on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.train_embedded.bag import similarity_loss
from tools.train_embedded.episodes import Episode, EpisodeMaker
from tools.train_embedded.model import CONTENT
from tools.train_embedded.ordinary import OrdinaryMaker
from tools.train_embedded.plant import keep_norms, trainable
from tools.train_embedded.prompts import Encoder, bare, encode_all, fork, forward, in_batches


@dataclass(frozen=True)
class Recipe:
    """Sizes and weights of the stage."""

    steps: int = 400
    episodes: int = 12
    """Episodes of a step."""
    ordinary: int = 8
    """Ordinary prompts of a step."""
    bare: int = 96
    """Bare texts of a step."""
    max_shots: int = 8
    rates: tuple[tuple[str, float], ...] = (
        ("embed_tokens", 5e-5),
        ("q_proj", 2e-4),
        ("k_proj", 2e-4),
        ("v_proj", 5e-5),
        ("o_proj", 1e-5),
        ("mlp", 2e-5),
    )
    """Learning rate of each kind of weight: the planted ones have very different sizes."""
    scale: float = 1.0
    """Of all rates."""
    warmup: int = 20
    temperature: float = 0.05
    anchor: float = 2.0
    """Weight of ordinary prompts."""
    distil: float = 2.0
    """Weight of bare texts."""
    zero_shot: float = 0.2
    """Weight of a vague query without examples, which no model can answer but by chance."""
    batch_tokens: int = 4096
    """Tokens of one forward pass, padding included."""
    refresh: int = 50
    """Steps between two encodings of the candidates."""


class Candidates:
    """Vectors of all labels, encoded as documents every now and then and held fixed between."""

    def __init__(self, encode: Encoder, labels: Sequence[str]) -> None:
        self.index = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        self._sequences = [bare(encode, label) for label in self.index]
        self.vectors = torch.zeros(0)

    def refresh(self, model: Any) -> None:
        """Encode all labels with the model as it is."""
        self.vectors = torch.from_numpy(np.stack([found[0] for found in encode_all(model, self._sequences)]))


def episode_loss(states: Tensor, episodes: Sequence[Episode], candidates: Candidates, recipe: Recipe) -> tuple[Tensor, float]:
    """Return the weighted cross-entropy over each query's candidates, and the accuracy of the last queries.

    Args:
        states: `[F, D]` of all queries of the episodes, in order.
        episodes: the episodes.
        candidates: vectors of all labels.
        recipe: temperature and weights.
    """
    rows = [[candidates.index[label] for label in one] for episode in episodes for one in episode.candidates]
    choices = candidates.vectors[torch.tensor(rows)]  # [F, 8, D]
    logits = (choices @ torch.nn.functional.normalize(states, dim=-1)[..., None]).squeeze(-1) / recipe.temperature
    losses = torch.nn.functional.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.long), reduction="none")
    weights = torch.tensor(
        [
            recipe.zero_shot if place == 0 and not episode.precise else 1.0
            for episode in episodes
            for place in range(len(episode.texts))
        ]
    )
    ends = np.cumsum([len(episode.texts) for episode in episodes]) - 1
    right = (logits.detach().argmax(1) == 0).numpy()[ends]
    return (losses * weights).sum() / weights.sum(), float(right.mean())


def _groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the weights that are trained, by kind; hooks keep the others as they are."""
    masks = trainable(model)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in masks)
        if name in masks:
            weight.register_hook(lambda gradient, mask=masks[name]: gradient * mask)
    named = [(name, weight) for name, weight in model.named_parameters() if name in masks]
    return [
        {"params": [weight for name, weight in named if part in name], "lr": rate * recipe.scale, "weight_decay": 0.0}
        for part, rate in recipe.rates
    ]


def train_in_context(
    model: Any,
    encode: Encoder,
    texts: Sequence[str],
    targets: np.ndarray,
    episodes: EpisodeMaker,
    ordinary: OrdinaryMaker,
    recipe: Recipe,
    seed: int,
    log: Callable[[dict[str, float]], None],
) -> None:
    """Train the model in place.

    Args:
        model: planted model.
        encode: token ids of texts.
        texts: the distillation texts.
        targets: `[N, CONTENT]` float16, normalised: their vectors.
        episodes: draws episodes.
        ordinary: draws ordinary prompts.
        recipe: sizes and weights.
        seed: of the draws.
        log: told the losses of every step.
    """
    rng = random.Random(seed)
    labels = [label for attribute in episodes.attributes for label in attribute.values]
    candidates = Candidates(encode, labels)
    optimizer = torch.optim.AdamW(_groups(model, recipe), betas=(0.9, 0.98))
    peaks = [group["lr"] for group in optimizer.param_groups]
    for step in range(recipe.steps):
        factor = _rate(step, recipe)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        if step % recipe.refresh == 0:
            candidates.refresh(model)
        drawn = [episodes.draw(1 + rng.randrange(recipe.max_shots)) for _ in range(recipe.episodes)]
        prompts = [ordinary.draw(rng.randrange(6)) for _ in range(recipe.ordinary)]
        rows = [rng.randrange(len(texts)) for _ in range(recipe.bare)]
        asked = [fork(encode, one.instruction, one.texts, one.labels) for one in drawn]
        plain = [fork(encode, one.instruction, [texts[row] for row in one.rows], one.responses) for one in prompts]
        documents = [bare(encode, texts[row]) for row in rows]
        optimizer.zero_grad()
        entry = {"step": float(step), "rate": factor, "episodes": 0.0, "accuracy": 0.0, "ordinary": 0.0}
        for batch in in_batches(asked, recipe.batch_tokens):
            share = len(batch) / len(asked)
            loss, right = episode_loss(
                forward(model, [asked[i] for i in batch]), [drawn[i] for i in batch], candidates, recipe
            )
            (loss * share).backward()
            entry["episodes"] += float(loss.detach()) * share
            entry["accuracy"] += right * share
        for batch in in_batches(plain, recipe.batch_tokens):
            share = len(batch) / len(plain)
            wanted = torch.from_numpy(targets[[row for i in batch for row in prompts[i].rows]].astype(np.float32))
            states = torch.nn.functional.normalize(forward(model, [plain[i] for i in batch])[:, :CONTENT], dim=-1)
            loss = (1 - (states * wanted).sum(-1)).mean()
            (loss * share * recipe.anchor).backward()
            entry["ordinary"] += float(loss.detach()) * share
        states = torch.cat([forward(model, [documents[i] for i in batch]) for batch in in_batches(documents, 10**6)])
        order = [i for batch in in_batches(documents, 10**6) for i in batch]
        loss = similarity_loss(states[:, :CONTENT], torch.from_numpy(targets[[rows[i] for i in order]].astype(np.float32)))
        (loss * recipe.distil).backward()
        entry["bare"] = float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        keep_norms(model)
        log(entry)


def _rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def shots_accuracy(model: Any, encode: Encoder, episodes: Sequence[Episode]) -> np.ndarray:
    """Return the share of right answers for each number of examples, over episodes of the same number.

    Returns:
        `[K + 1]`.
    """
    labels = sorted({label for episode in episodes for one in episode.candidates for label in one})
    found = encode_all(model, [bare(encode, label) for label in labels])
    vectors = {label: vector[0] for label, vector in zip(labels, found, strict=True)}
    asked = encode_all(model, [fork(encode, one.instruction, one.texts, one.labels) for one in episodes])
    right = np.zeros(len(episodes[0].texts))
    for episode, states in zip(episodes, asked, strict=True):
        for place, (state, choices) in enumerate(zip(states, episode.candidates, strict=True)):
            right[place] += int(np.argmax([state @ vectors[label] for label in choices])) == 0
    return right / len(episodes)
