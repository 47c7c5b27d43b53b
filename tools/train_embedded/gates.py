"""Validation after every stage: STSBenchmark and Emotion, their validation splits alone, and held-out synthetic attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tools.train_embedded.episodes import Episode
from tools.train_embedded.prompts import Encoder, bare, encode_all, fork

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts to `[N, D]` vectors, as queries of the task or as bare documents."""
EMOTION_TRAIN_PER_LABEL = 16
EMOTION_DRAWS = 8


class Validation(NamedTuple):
    """Scores on validation data, 0 to 1."""

    sts: float
    """Spearman's correlation on STSBenchmark, validation split."""
    emotion: float
    """Accuracy on one half of Emotion's validation split of a logistic regression on few texts of the other half."""


def sts_score(encode: Encode, data: Path) -> float:
    """Return Spearman's correlation on STSBenchmark's validation split."""
    import pandas as pd
    from scipy.stats import spearmanr

    rows = pd.read_parquet(data / "STSBenchmark" / "validation.parquet")
    left, right = encode(rows["sentence1"].tolist()), encode(rows["sentence2"].tolist())
    cosine = (left * right).sum(1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1) + 1e-12)
    return float(spearmanr(cosine, rows["score"]).statistic)


def emotion_score(encode: Encode, data: Path) -> float:
    """Return accuracy on Emotion's validation split: fitted on few texts of its first half, scored on its second."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    rows = pd.read_parquet(data / "EmotionClassification" / "validation.parquet")
    vectors, labels = encode(rows["text"].tolist()), rows["label"].to_numpy()
    half = len(rows) // 2
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(EMOTION_DRAWS):
        chosen = np.concatenate(
            [
                rng.permutation(np.flatnonzero(labels[:half] == label))[:EMOTION_TRAIN_PER_LABEL]
                for label in np.unique(labels)
            ]
        )
        model = LogisticRegression(max_iter=100, random_state=0).fit(vectors[chosen], labels[chosen])
        scores.append(model.score(vectors[half:], labels[half:]))
    return float(np.mean(scores))


def validate(encode: Encode, data: Path) -> Validation:
    """Return both scores."""
    return Validation(sts_score(encode, data), emotion_score(encode, data))


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
