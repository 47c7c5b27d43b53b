"""Names that people mistype."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Return " Did you mean ...?" for the known names nearest to a mistyped one, or ""."""
    wanted = name.casefold()

    def likeness(candidate: str) -> float:
        folded = candidate.casefold()
        # A shortened name ("Banking77") should find the long one, so its beginning is compared as well.
        # The same letters in another order (STS21) are the likeliest slip of all.
        return max(
            0.95 * (sorted(wanted) == sorted(folded)),
            difflib.SequenceMatcher(None, wanted, folded).ratio(),
            difflib.SequenceMatcher(None, wanted, folded[: len(wanted)]).ratio() - 0.05,
        )

    scored = sorted((-likeness(candidate), candidate) for candidate in set(known))
    close = [candidate for distance, candidate in scored[:limit] if distance <= -0.6]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
