"""Paired bootstrap of the difference between two runs' scores of one task, from their per-item outcomes.

`N` items, `E` experiments of a protocol with repeats, `P` groups of alike items, `B` resamples. A resample is a vector of
counts: how often each group was drawn. Both runs are scored on the same counts, which is what makes the difference paired.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

RESAMPLES = 1000
SEED = 20240924
LEVEL = 0.95
_CHUNK_CELLS = 500_000
"""Numbers per array of a chunk of resamples; bounds the memory."""


class Resampled(NamedTuple):
    """Two runs on one set of items: their scores, and the difference on each resample."""

    base: float
    other: float
    differences: Floats
    """`[B]`: other minus base."""
    units: Floats | None = None
    """`[N]`: other minus base per item (or per experiment), for a score that is the mean of these."""


class PairedCell(NamedTuple):
    """Two runs on one split and subset of a task."""

    resampled: str
    """What was drawn with replacement."""
    outcome: Resampled


Scores = tuple["Floats", "Floats"]
"""Base and other score per resample, `[B]` each."""


def generator(*names: str) -> np.random.Generator:
    """Return the random numbers of a task, split and subset: the same in every report and for every model."""
    import numpy as np

    return np.random.default_rng([SEED, zlib.crc32("\0".join(names).encode("utf-8", "backslashreplace"))])


def interval(differences: Floats) -> tuple[float, float]:
    """Return the percentile interval of level 0.95."""
    import numpy as np

    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resample_means(
    base: NDArray[Any], other: NDArray[Any], rng: np.random.Generator, resamples: int = RESAMPLES
) -> Resampled:
    """Resample a score that is a mean over items and experiments.

    Items are drawn with replacement and, where there are several, experiments too, independently of each other.

    Args:
        base: item values `[E, N]`.
        other: those of the other run, same items in the same places.
        rng: source of the draws.
        resamples: how many.
    """
    import numpy as np

    experiments, items = base.shape
    difference = np.asarray(other, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    # Items whose differences are alike are drawn as one group: a few hundred instead of, say, 400,000.
    patterns, counts = np.unique(difference.T, axis=0, return_counts=True)
    means = []
    for weights in _counts(rng, counts, resamples):
        by_experiment = weights @ patterns / items
        drawn = rng.multinomial(experiments, np.full(experiments, 1 / experiments), size=len(weights))
        means.append((by_experiment * drawn).sum(axis=1) / experiments)
    return Resampled(float(base.mean()), float(other.mean()), np.concatenate(means), difference.mean(axis=0))


def resample_spearman(
    gold: Floats, base: Floats, other: Floats, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Resampled:
    """Resample pairs of texts; the score is Spearman's correlation of `gold` with the similarities, all `[N]`."""
    import numpy as np

    truth, first, second = _Ranking(gold), _Ranking(base), _Ranking(other)

    def score(weights: Floats) -> Scores:
        ranks = truth.ranks(weights)
        return _correlation(weights, ranks, first.ranks(weights)), _correlation(weights, ranks, second.ranks(weights))

    return _bootstrap(score, np.ones(len(gold), dtype=np.int64), rng, resamples)


def resample_average_precision(
    gold: Integers,
    base: Sequence[Floats],
    other: Sequence[Floats],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Resampled:
    """Resample pairs of texts; the score is the highest average precision of several similarity measures.

    Args:
        gold: 1 for a positive pair, 0 for another, `[N]`.
        base: similarities, one `[N]` per measure; higher is more alike.
        other: those of the other run.
        rng: source of the draws.
        resamples: how many.
    """
    import numpy as np

    positive = gold == 1
    # How many of the positives' distinct similarities a pair reaches: all that average precision depends on.
    levels = [np.searchsorted(np.unique(s[positive]), s, side="right") for s in (*base, *other)]
    patterns, multiplicity = np.unique(np.stack([gold, *levels], axis=1), axis=0, return_counts=True)
    truth = patterns[:, 0] == 1
    # Most measures of normalised vectors order the pairs alike.
    distinct = {patterns[:, place].tobytes(): place for place in range(1, patterns.shape[1])}
    precisions = {key: _Precision(patterns[:, place], truth) for key, place in distinct.items()}
    keys = [patterns[:, place].tobytes() for place in range(1, patterns.shape[1])]

    def score(weights: Floats) -> Scores:
        found = {key: precision.average(weights) for key, precision in precisions.items()}
        sides = keys[: len(base)], keys[len(base) :]
        first, second = (np.max([found[key] for key in side], axis=0) for side in sides)
        return first, second

    return _bootstrap(score, multiplicity, rng, resamples)


def spearman(gold: Floats, similarity: Floats) -> float | None:
    """Return Spearman's correlation of `[N]` with `[N]`; None where either is constant."""
    import numpy as np

    if len(np.unique(gold)) < 2 or len(np.unique(similarity)) < 2:
        return None
    weights = np.ones((1, len(gold)))
    return float(_correlation(weights, _Ranking(gold).ranks(weights), _Ranking(similarity).ranks(weights))[0])


def v_measure(gold: NDArray[Any], cluster: NDArray[Any]) -> float:
    """Return the V-measure (beta 1) of a clustering, both `[N]`, as scikit-learn defines it."""
    import numpy as np

    _, classes = np.unique(gold, return_inverse=True)
    _, clusters = np.unique(cluster, return_inverse=True)
    table = np.zeros((classes.max() + 1, clusters.max() + 1))
    np.add.at(table, (classes, clusters), 1 / len(classes))

    def entropy(shares: Floats) -> float:
        return float(-np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))))

    of_classes, of_clusters = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    information = of_classes + of_clusters - entropy(table)
    homogeneity = information / of_classes if of_classes else 1.0
    completeness = information / of_clusters if of_clusters else 1.0
    total = homogeneity + completeness
    return 2 * homogeneity * completeness / total if total > 0 else 0.0


def _bootstrap(
    score: Callable[[Floats], Scores], multiplicity: Integers, rng: np.random.Generator, resamples: int
) -> Resampled:
    import numpy as np

    base, other = score(multiplicity[None].astype(np.float64))
    differences = []
    for weights in _counts(rng, multiplicity, resamples):
        first, second = score(weights)
        differences.append(second - first)
    return Resampled(float(base[0]), float(other[0]), np.concatenate(differences))


def _counts(rng: np.random.Generator, multiplicity: Integers, resamples: int) -> Iterator[Floats]:
    """Yield counts of `resamples` draws of as many items as there are, in chunks `[C, P]`."""
    import numpy as np

    groups, items = len(multiplicity), int(multiplicity.sum())
    step = max(_CHUNK_CELLS // groups, 1)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if groups < items:
            yield rng.multinomial(items, multiplicity / items, size=size).astype(np.float64)
        else:
            drawn = rng.integers(groups, size=(size, groups)) + groups * np.arange(size)[:, None]
            yield np.bincount(drawn.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)


class _Ranking:
    """An order of items with ties, from which ranks under any counts follow without sorting again."""

    def __init__(self, values: Floats) -> None:
        import numpy as np

        _, self.group = np.unique(values, return_inverse=True)
        self.order = np.argsort(self.group, kind="stable")
        self.starts = np.searchsorted(self.group[self.order], np.arange(self.group.max() + 1))

    def sums(self, weights: Floats) -> Floats:
        """Return the counts of items of equal value, lowest value first."""
        import numpy as np

        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def ranks(self, weights: Floats) -> Floats:
        """Return each item's average rank among the drawn items, less the mean rank, `[C, N]`."""
        import numpy as np

        sums = self.sums(weights)
        middle = np.cumsum(sums, axis=1) - sums / 2 - weights.sum(axis=1, keepdims=True) / 2
        return np.asarray(middle[:, self.group])


class _Precision:
    """Average precision of one order of groups of pairs (ties counted as scikit-learn does)."""

    def __init__(self, levels: Integers, positive: NDArray[np.bool_]) -> None:
        self.ranking = _Ranking(-levels.astype(float))
        self.positive = positive

    def average(self, weights: Floats) -> Floats:
        """Return it for counts `[C, P]`; 0 where no positive pair was drawn."""
        import numpy as np

        hits = self.ranking.sums(weights * self.positive)
        retrieved = np.cumsum(self.ranking.sums(weights), axis=1)
        precision = np.cumsum(hits, axis=1) / np.maximum(retrieved, 1)
        return np.asarray((hits * precision).sum(axis=1) / np.maximum(hits.sum(axis=1), 1))


def _correlation(weights: Floats, first: Floats, second: Floats) -> Floats:
    """Return the correlation of centred ranks under counts; 0 where all drawn values are equal."""
    import numpy as np

    covariance = np.einsum("ci,ci,ci->c", weights, first, second)
    spread = np.einsum("ci,ci,ci->c", weights, first, first) * np.einsum("ci,ci,ci->c", weights, second, second)
    return np.asarray(np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0))
