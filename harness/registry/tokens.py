"""How many tokens a text takes, roughly, without a tokenizer."""

from __future__ import annotations

import re

_PIECES = re.compile(r"[A-Za-z]+|[^A-Za-z\s]|\n")
_CHARS_PER_TOKEN = 4.0
_CHARS_PER_TOKEN_UPPERCASE = 1.7
# Tokens per letter or sign outside ASCII, by the first code point behind a range of scripts.
_TOKENS_PER_SIGN = (
    ("\u0530", 0.5),  # accented Latin, Greek, Cyrillic
    ("\u0780", 1.0),  # Armenian, Hebrew, Arabic
)
_TOKENS_PER_SIGN_BEYOND = 1.3
"""Indic scripts, Hangul, kana, Chinese characters."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a Mistral-style tokenizer makes of a text.

    Measured against Mistral's own tokenizer on the shipped examples of 60 tokens or more: 0.87 to 1.28 times the exact
    count in English, 0.78 to 1.24 times in most other languages, 0.6 times in Indonesian. It tells an author early and
    without a download; the tests hold the shipped files to the limits by exact counts.
    """
    total = 0.0
    for piece in _PIECES.findall(text):
        if not piece.isascii():
            total += next((tokens for end, tokens in _TOKENS_PER_SIGN if piece < end), _TOKENS_PER_SIGN_BEYOND)
        elif not piece.isalpha():
            total += 1
        elif piece.isupper() and len(piece) > 1:
            total += len(piece) / _CHARS_PER_TOKEN_UPPERCASE
        else:
            total += max(1.0, len(piece) / _CHARS_PER_TOKEN)
    return round(total)
