"""Names and numbers as text: nothing that a model or task is called can act as markup or terminal control."""

from __future__ import annotations

import re
import unicodedata

GAP = "-"
"""What stands where a score is missing."""

_LAST_SHORT = 0xFFFF
# Cc control, Cf format (bidi overrides, zero width), Cs lone surrogate, Zl/Zp line and paragraph separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Character references are literal in every markdown dialect; backslashes before `|` are not.
_MARKUP = re.compile(r"[&<>|`\\*\[\]~$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def visible(text: str) -> str:
    r"""Return the text on one line, control and bidi characters written as `\uXXXX`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if unicodedata.category(char) in _HIDDEN_CATEGORIES else char for char in text)


def _escape(char: str) -> str:
    return _SHORT_ESCAPES.get(char) or (f"\\u{ord(char):04x}" if ord(char) <= _LAST_SHORT else f"\\U{ord(char):08x}")


def escape_markdown(text: str) -> str:
    """Return the text so that GitHub markdown shows exactly these characters, also in a table cell."""
    return _MARKUP.sub(lambda match: f"&#{ord(match.group())};", visible(text))


def percent(score: float | None) -> str:
    """Return a score (fraction) times 100 with two decimals, or "-" for a gap."""
    if score is None:
        return GAP
    shown = f"{100 * score:.2f}"
    return "0.00" if shown == "-0.00" else shown


def points(difference: float | None) -> str:
    """Return a difference of scores (fractions) times 100 with its sign and two decimals, or "-" for a gap."""
    if difference is None:
        return GAP
    shown = f"{100 * difference:+.2f}"
    return "0.00" if shown in ("-0.00", "+0.00") else shown


def points_interval(low: float | None, high: float | None) -> str:
    """Return an interval of a difference as "[-0.35, +2.81]", or "-" where there is none."""
    return GAP if low is None or high is None else f"[{points(low)}, {points(high)}]"


def plural(count: int, noun: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def shorten(names: list[str], limit: int = 5, separator: str = ", ") -> str:
    """Return the names joined, the ones after the limit only counted."""
    more = len(names) - limit
    return separator.join(names[:limit]) + (f" and {more} more" if more > 0 else "")
