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
        return max(
            difflib.SequenceMatcher(None, wanted, folded).ratio(),
            difflib.SequenceMatcher(None, wanted, folded[: len(wanted)]).ratio() - 0.05,
        )

    scored = sorted(((likeness(candidate), candidate) for candidate in set(known)), reverse=True)
    close = [candidate for value, candidate in scored[:limit] if value >= 0.6]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
