"""Making sure that every input ends with the token the vector is pooled on.

transformers >= 5 drops `</s>` for Mistral-family repositories whose tokenizer.json adds only `<s>` (mteb issue 5237), and
last-token pooling then silently reads the last word instead.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from harness.errors import ModelLoadError

logger = logging.getLogger(__name__)

_PROBES = ("a", "two words", "line\nbreak", "\u00e9\U0001f600")


def _holds(tokenizer: Any, begin: int | None, end: int) -> bool:
    for probe in _PROBES:
        ids = list(tokenizer(probe)["input_ids"])
        inner = ids[1:-1] if begin is not None else ids[:-1]
        if len(ids) < 2 or ids[-1] != end or (begin is not None and ids[0] != begin):
            return False
        if end in inner or (begin is not None and begin in inner):
            return False
    return True


def token_id(tokenizer: Any, token: str, where: str) -> int:
    """Return the id of a token that must be a single entry of the vocabulary.

    Raises:
        ModelLoadError: the tokenizer does not hold it.
    """
    found = tokenizer.convert_tokens_to_ids(token)
    ids = tokenizer(token, add_special_tokens=False)["input_ids"]
    if found is None or list(ids) != [found] or found == getattr(tokenizer, "unk_token_id", None):
        raise ModelLoadError(
            f"{where}: the tokenizer has no single token {token!r}, which the model's profile needs. "
            "Is this the right model directory, and the right --profile?"
        )
    return int(found)


def ensure_ends(tokenizer: Any, begin_token: str | None, end_token: str, where: str) -> bool:
    """Make the tokenizer put `begin_token` and `end_token` around every input.

    Returns:
        True if the tokenizer had to be repaired.

    Raises:
        ModelLoadError: the tokens are not in the vocabulary, or no repair worked.
    """
    from tokenizers.processors import TemplateProcessing

    begin = None if begin_token is None else token_id(tokenizer, begin_token, where)
    end = token_id(tokenizer, end_token, where)
    if _holds(tokenizer, begin, end):
        return False
    pieces = ([begin_token] if begin_token else []) + ["$A", end_token]
    specials = [(end_token, end)] + ([(begin_token, begin)] if begin_token and begin is not None else [])
    backend = getattr(tokenizer, "backend_tokenizer", None)  # None for a tokenizer in Python alone
    if backend is not None:
        backend.post_processor = TemplateProcessing(single=" ".join(pieces), special_tokens=specials)
    if not _holds(tokenizer, begin, end):
        got = tokenizer.convert_ids_to_tokens(tokenizer("a")["input_ids"])
        raise ModelLoadError(
            f"{where}: inputs do not end with {end_token!r} (got {got}) and the tokenizer could not be repaired. "
            f"The vector would be read from the wrong token."
        )
    logger.warning("%s: the tokenizer left out %s; repaired (every input now ends with it)", where, end_token)
    return True


def check_special_tokens(tokenizer: Any, tokens: Sequence[str], where: str) -> None:
    """Check that every special token of the profile is one id.

    Raises:
        ModelLoadError: one is missing; the message names all that are.
    """
    missing = []
    for token in tokens:
        try:
            token_id(tokenizer, token, where)
        except ModelLoadError:
            missing.append(token)
    if missing:
        raise ModelLoadError(
            f"{where}: the tokenizer lacks {', '.join(missing)} as single tokens, which the model's profile needs. "
            "Is this the right model directory, and the right --profile?"
        )
