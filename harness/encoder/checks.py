"""What must hold of texts before encoding and of vectors before anybody scores them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.errors import EncodingError, InputTextError


def check_texts(texts: Sequence[object], where: str) -> list[str]:
    """Return the texts as a list of str.

    Args:
        texts: what a task handed over.
        where: task and side, for the message.

    Raises:
        InputTextError: an element is no string or holds a lone surrogate (it has no UTF-8 form).
    """
    checked: list[str] = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputTextError(
                f"{where}: text {index} is {type(text).__name__} ({text!r:.40}), not a string. Mend the data set."
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputTextError(
                f"{where}: text {index} holds the lone surrogate {text[error.start]!r} at character "
                f"{error.start}. Mend the data set."
            ) from error
        checked.append(text)
    return checked


def check_vectors(vectors: np.ndarray, texts: Sequence[str], embed_dim: int, where: str) -> None:
    """Refuse vectors that would be scored without meaning anything.

    Args:
        vectors: `[N, D]` float32.
        texts: the N texts they belong to.
        embed_dim: D of the model.
        where: task and side, for the message.

    Raises:
        EncodingError: wrong count or dimension, a NaN or infinity, or a zero vector; names the text.
    """
    if vectors.shape != (len(texts), embed_dim):
        raise EncodingError(
            f"{where}: the model returned an array of shape {vectors.shape} for {len(texts)} texts; "
            f"({len(texts)}, {embed_dim}) was expected. Nothing was scored."
        )
    squared = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(squared) | (squared == 0.0))
    if bad.size:
        index = int(bad[0])
        kind = "zero" if squared[index] == 0.0 else "not finite"
        raise EncodingError(
            f"{where}: the vector of text {index} ({texts[index][:60]!r}) is {kind} "
            f"({bad.size} of {len(texts)} such vectors). Nothing was scored; try --dtype float32."
        )
