"""Paired tests of the difference between two runs of a task, from their per-item outcomes.

Scores that are means over items: sign-flip permutation (Smucker et al., CIKM 2007). Spearman and average precision: paired
bootstrap. Scores over fewer than MIN_FLIPPED units (the ten clusterings of a protocol): Student's t over the units, because so few
signs cannot give a small probability. Several tasks: Holm's step-down procedure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.item_pairs import NotPairedError, compare_cell, item_columns, pair_items
from harness.report.resample import LEVEL, generator, interval

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 10_000
MIN_FLIPPED = 20
SIGNIFICANCE = 0.05
_CHUNK_CELLS = 4_000_000


class PairedTest(NamedTuple):
    """A paired comparison of one task; scores are fractions."""

    difference: float
    """Candidate minus baseline, from the items."""
    low: float
    high: float
    """95 % interval of the difference."""
    standard_error: float
    p: float
    """Two-sided, not adjusted."""
    method: str


def paired_test(
    record: dict[str, Any], baseline: pa.Table, candidate: pa.Table, *, resamples: int = RESAMPLES
) -> PairedTest:
    """Test two runs of a task on the same items.

    Args:
        record: the baseline's record of the task: its main rows name metric, splits and subsets.
        baseline: per-item outcomes.
        candidate: per-item outcomes of the same items.
        resamples: permutations and bootstrap resamples; the smallest p is about one over it.

    Raises:
        NotPairedError: the items differ or do not give the main metric.
    """
    import numpy as np

    rows = [row for row in record["rows"] if row["is_main"]]
    columns = item_columns(rows[0]["metric"], rows[0]["task_type"])
    if not columns:
        raise NotPairedError(f"items do not give the metric {rows[0]['metric']}")
    first, second = pair_items(baseline, candidate)
    cells = [
        compare_cell(
            first,
            second,
            metric=row["metric"],
            task=record["task_name"],
            task_type=row["task_type"],
            split=row["split"],
            subset=row["hf_subset"],
            resamples=resamples,
        )
        for row in rows
    ]
    replicates = np.mean([cell.outcome.differences for cell in cells], axis=0)
    difference = float(np.mean([cell.outcome.other - cell.outcome.base for cell in cells]))
    units = [cell.outcome.units for cell in cells]
    rng = generator("flip", record["task_name"])
    if any(one is None for one in units):
        low, high = interval(replicates)
        error = float(replicates.std())
        return PairedTest(difference, low, high, error, bootstrap_p(replicates, difference), "paired bootstrap")
    weighted = np.concatenate([one / (len(one) * len(cells)) for one in units if one is not None])
    if len(weighted) < 2:
        raise NotPairedError("one item gives no spread to judge by")
    if len(weighted) < MIN_FLIPPED:
        return student(difference, weighted * len(weighted))
    low, high = interval(replicates)
    return PairedTest(
        difference, low, high, float(replicates.std()), sign_flip_p(weighted, rng, resamples), "sign-flip permutation"
    )


def sign_flip_p(units: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """Return the two-sided p of the sum of `[N]` paired differences under exchange of the two runs, unit by unit.

    Where no permutation is as extreme, Hoeffding's bound on the probability of one stands in for 1 / (1 + resamples) if it is
    smaller: else no drop would survive the adjustment over a thousand tests.
    """
    import numpy as np

    units = units[units != 0]
    if not len(units):
        return 1.0
    observed = abs(float(units.sum()))
    sizes, counts = np.unique(np.abs(units), return_counts=True)
    # Rounding of sums in another order must not decide whether a permutation is as extreme as what was observed.
    least = observed - 1e-12 * float(np.abs(units).sum())
    extreme = 0
    if len(sizes) * 4 <= len(units):
        # Equal differences are flipped as one group: the number of positive signs among them is binomial.
        positives = rng.binomial(counts, 0.5, size=(resamples, len(sizes)))
        extreme = int(np.sum(np.abs((2.0 * positives - counts) @ sizes) >= least))
    else:
        step = max(_CHUNK_CELLS // len(units), 1)
        for start in range(0, resamples, step):
            size = min(step, resamples - start)
            bits = np.frombuffer(rng.bytes(size * ((len(units) + 7) // 8)), dtype=np.uint8).reshape(size, -1)
            positive: NDArray[Any] = np.unpackbits(bits, axis=1, count=len(units)).astype(np.float64)
            extreme += int(np.sum(np.abs(2 * np.asarray(positive @ units) - float(units.sum())) >= least))
    if not extreme:
        # P(|sum| >= t) <= 2 exp(-t^2 / (2 sum of squares)) for independent signs (Hoeffding 1963, theorem 2).
        scaled = units / np.abs(units).max()
        bound = 2 * math.exp(-(float(scaled.sum()) ** 2) / (2 * float(scaled @ scaled)))
        return min(1 / (1 + resamples), bound)
    return (1 + extreme) / (1 + resamples)


def bootstrap_p(replicates: Floats, difference: float = 0.0) -> float:
    """Return the two-sided p of a difference from its bootstrap replicates `[B]`: twice the smaller tail beyond zero.

    Where no replicate lies beyond zero, the normal tail with the replicates' standard deviation stands in for
    2 / (1 + B) if it is smaller.
    """
    import numpy as np

    if not np.any(replicates):
        return 1.0
    tail = min(int(np.sum(replicates <= 0)), int(np.sum(replicates >= 0)))
    p = min(1.0, 2 * (1 + tail) / (1 + len(replicates)))
    spread = float(replicates.std())
    return p if tail or spread <= 1e-12 * abs(difference) else min(p, normal_p(difference, spread))


def student(difference: float, units: Floats) -> PairedTest:
    """Test the mean of a few paired differences `[N]`, N >= 2, with Student's t."""
    import numpy as np
    from scipy.special import stdtr, stdtrit

    count = len(units)
    error = float(units.std(ddof=1)) / math.sqrt(count)
    method = f"Student's t over {count} repeats"
    if error <= 1e-12 * max(1e-3, float(np.abs(units).max())):
        # All repeats moved alike: no spread to judge by, only that every one of them went the same way.
        return PairedTest(
            difference, difference, difference, 0.0, 1.0 if difference == 0 else 0.5 ** (count - 1), method
        )
    p = 2 * float(stdtr(count - 1, -abs(difference) / error))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    return PairedTest(difference, difference - half, difference + half, error, p, method)


def normal_p(difference: float, error: float) -> float:
    """Return the two-sided p of a difference with a known standard error."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number (Holm 1979), in the order given."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        adjusted[place] = highest
    return adjusted
