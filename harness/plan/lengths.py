"""How many tokens a set of texts has when each is cut at a limit.

Notation: N texts with lengths x_i in tokens; cut(L) = sum over i of min(x_i, L).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

# Dense where length limits of 256 and 512 tokens leave room for begin, end and instruction.
LIMITS = (16, 32, 48, 64, 96, 128, 192, 254, 256, 320, 384, 448, 480, 510, 512, 1022, 1024, 2046, 2048, 4096, 8192)
_MIN_SIGMA, _MAX_SIGMA = 0.05, 2.0


@dataclass(frozen=True)
class TokenCurve:
    """Counted lengths, kept as cut(L) at LIMITS and without a limit."""

    texts: int
    total: float
    at: tuple[float, ...]

    @classmethod
    def of(cls, lengths: Sequence[int]) -> TokenCurve:
        """Summarise counted lengths."""
        return cls(len(lengths), sum(lengths), tuple(sum(min(one, limit) for one in lengths) for limit in LIMITS))

    def cut(self, limit: float, scale: float = 1.0) -> float:
        """Return the sum at one limit if every text had `scale` times its counted tokens; linear between the counted limits."""
        wanted = limit / scale
        if wanted >= LIMITS[-1]:
            return (self.at[-1] if wanted == LIMITS[-1] else self.total) * scale
        points = ((0.0, 0.0), *zip(LIMITS, self.at, strict=True))
        place = bisect_right([at for at, _ in points], wanted)
        (left, low), (right, high) = points[place - 1], points[place]
        return (low + (high - low) * (wanted - left) / (right - left)) * scale


def lognormal_cut(texts: int, mean: float, longest: float, limit: float) -> float:
    """Return the expected cut(limit) of texts of which only number, mean and longest length are known.

    Lengths are taken as log-normal. Their spread follows from the longest of N: it lies z = Phi^-1(1 - 1/N) standard
    deviations above the median of the logarithms, so that ln(longest / mean) = sigma z - sigma^2 / 2.
    """
    if texts <= 0 or mean <= 0:
        return 0.0
    if longest <= limit:
        return texts * mean
    normal = NormalDist()
    z = normal.inv_cdf(1 - 1 / max(texts, 3))
    inside = z * z - 2 * math.log(max(longest / mean, 1.0))
    sigma = min(max(z - math.sqrt(max(inside, 0.0)), _MIN_SIGMA), _MAX_SIGMA)
    mu = math.log(mean) - sigma * sigma / 2
    at = (math.log(limit) - mu) / sigma
    return texts * (mean * normal.cdf(at - sigma) + limit * (1 - normal.cdf(at)))
