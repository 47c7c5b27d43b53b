"""Texts as the audit compares them: NFKC, case-folded, without punctuation; words, or characters of unspaced scripts."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

# Chinese, Japanese, Korean and Thai: scripts written without blanks, or with blanks that say little (Korean).
_UNSPACED = re.compile("[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
                       "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")  # fmt: skip
_ASCII_WORD = re.compile("[a-z0-9]+")


@functools.cache
def _word_pattern() -> re.Pattern[str]:
    """Letters, digits and the marks that belong to them (vowel signs of Thai or Hindi are no `\\w`)."""
    marks = [code for code in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"]
    ranges: list[list[int]] = []
    for code in marks:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    kept = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(f"(?:[^\\W_]|[{kept}])+")


def words(text: str) -> list[str]:
    """Return the case-folded words of a text; punctuation, symbols and underscores separate words."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _word_pattern().findall(unicodedata.normalize("NFKC", text).casefold())


def unspaced_letters(text: str) -> int:
    """Return how many letters of a text are Chinese, Japanese, Korean or Thai."""
    return 0 if text.isascii() else len(_UNSPACED.findall(text))


def compact(text_words: list[str]) -> str:
    """Return a text's letters and digits without anything between them."""
    return "".join(text_words)
