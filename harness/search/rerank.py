"""Exact scores of given query-document pairs over a stream of document vectors: reranking of candidate lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from harness.errors import ConfigError, EncodingError
from harness.search.topk import COSINE_EPSILON, Scoring, floats

PAIR_BYTES = 64 << 20
"""Memory of the vectors that are multiplied at a time."""


def rerank(
    queries: Any,
    blocks: Iterable[Any],
    candidates: Sequence[Sequence[int]],
    ids: Sequence[str],
    k: int,
    *,
    scoring: Scoring = "cosine",
    device: str = "cpu",
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Score every query's candidates and sort them by score descending, then id descending.

    Args:
        queries: `[Q, D]` array or tensor.
        blocks: arrays or tensors `[B, D]`; together the documents in the order of `ids`.
        candidates: for each query the positions of its candidates among the documents; may be empty.
        ids: ids of all N documents.
        k: number of candidates to keep.
        scoring: "cosine" or "dot".
        device: torch device of the scores.

    Returns:
        For each query the positions (int64) and scores (float32) of its best candidates.

    Raises:
        ConfigError: k below 1.
        EncodingError: a score that is not finite, or another number of documents than of ids.
    """
    if k < 1:
        raise ConfigError(f"reranking with k={k}: at least one document must be kept.")
    on_device = torch.device(device)
    asked = _unit(floats(queries).to(on_device, torch.float32), scoring)
    lengths = np.array([len(row) for row in candidates], dtype=np.int64)
    query = np.repeat(np.arange(len(candidates)), lengths)
    document = np.array([number for row in candidates for number in row], dtype=np.int64)
    scores = np.zeros(len(document), dtype=np.float32)

    by_document = np.argsort(document, kind="stable")
    step = max(1, PAIR_BYTES // (4 * max(1, asked.shape[1])))
    seen = 0
    for block in blocks:
        first, last = np.searchsorted(document, [seen, seen + len(block)], sorter=by_document)
        for start in range(first, last, step):
            pairs = by_document[start : min(start + step, last)]
            left = asked.index_select(0, torch.from_numpy(query[pairs]).to(on_device))
            right = _unit(floats(block[document[pairs] - seen]).to(on_device, torch.float32), scoring)
            scores[pairs] = (left * right).sum(dim=1).cpu().numpy()
        seen += len(block)
    if seen != len(ids):
        raise EncodingError(f"reranking: {seen} document vectors came for {len(ids)} ids.")
    if not np.isfinite(scores).all():
        pair = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise EncodingError(
            f"reranking: the score of query {query[pair]} and document {ids[document[pair]]!r} is not finite. Nothing "
            "was scored."
        )

    place = np.empty(len(ids), dtype=np.int64)
    place[sorted(range(len(ids)), key=ids.__getitem__, reverse=True)] = np.arange(len(ids))
    order = np.lexsort((place[document], -scores, query))
    ends = np.cumsum(lengths)
    return [
        (document[best], scores[best])
        for best in (order[end - length : end][:k] for end, length in zip(ends, lengths, strict=True))
    ]


def _unit(vectors: torch.Tensor, scoring: Scoring) -> torch.Tensor:
    if scoring == "dot":
        return vectors
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min(COSINE_EPSILON)
