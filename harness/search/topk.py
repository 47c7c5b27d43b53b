"""Exact search over a stream of document vectors: the k best documents of every query, in memory bounded by a tile.

Documents pass in tiles of a fixed shape. All scores of a tile come from one fp32 matrix product; what reaches a query's
threshold (its k-th best score so far) goes, as one 64-bit key, into that query's reservoir; a full reservoir is cut back
to its k best, which raises the threshold. A key holds the score above the document's place by id, so that comparing keys
is the whole order: score descending, then id descending as a string, which is the order of mteb's heap and of pytrec_eval.

Every product has the same shape, whatever blocks the documents come in and how many they are: equal documents get equal
scores, and cutting the stream in other places changes no bit of the result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from harness.errors import ConfigError, EncodingError

Scoring = Literal["cosine", "dot"]

CPU_TILE_BYTES = 4 << 20
"""Scores of a tile; near the second-level cache, where comparing costs least."""
GPU_TILE_BYTES = 256 << 20
MAX_QUERY_ROWS = 1024
MIN_SPARE = 256
ALIGNMENT = 16
"""Tiles have at least this many rows: a product with one row takes another kernel, which rounds differently."""
LONGEST = 1e19
"""No score or partial sum exceeds the product of two lengths: below this one, scores are finite and need no look."""
_EMPTY = torch.iinfo(torch.int64).max
COSINE_EPSILON = 1e-12
"""As torch.nn.functional.normalize, which mteb uses."""


@dataclass(frozen=True)
class TopK:
    """The best documents of every query, best first."""

    indices: np.ndarray
    """`[Q, K]` int64 positions of documents in the stream; K is the smaller of k and the number of documents."""
    scores: np.ndarray
    """`[Q, K]` float32."""

    def as_dicts(self, query_ids: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return query id -> document id -> score, as mteb and pytrec_eval want it.

        Args:
            query_ids: ids of the Q queries.
            ids: ids of all documents; of documents with the same id the best score counts.
        """
        return as_dicts(zip(self.indices, self.scores, strict=True), query_ids, ids)


def as_dicts(
    best: Iterable[tuple[np.ndarray, np.ndarray]], query_ids: Sequence[str], ids: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return query id -> document id -> score of (positions, scores) per query, each best first."""
    names = np.empty(len(ids), dtype=object)
    names[:] = ids
    results: dict[str, dict[str, float]] = {}
    for query_id, (positions, scores) in zip(query_ids, best, strict=True):
        row, values = names.take(positions).tolist(), scores.tolist()
        scored = dict(zip(row, values, strict=True))
        if len(scored) < len(row):
            scored = dict(zip(reversed(row), reversed(values), strict=True))
        results[query_id] = scored
    return results


def search(
    queries: Any,
    blocks: Iterable[Any],
    ids: Sequence[str],
    k: int,
    *,
    scoring: Scoring = "cosine",
    device: str = "cpu",
    tile_bytes: int | None = None,
) -> TopK:
    """Return the k best documents of every query; the arguments are those of `StreamingTopK`.

    Args:
        queries: `[Q, D]` array or tensor.
        blocks: arrays or tensors `[B, D]`, B may vary and be 0; together the documents in the order of `ids`.
        ids: ids of all N documents.
        k: number of documents to keep.
        scoring: "cosine", or "dot" for vectors that are normalised already or must not be.
        device: torch device of the search.
        tile_bytes: memory of the scores of one tile.
    """
    best = StreamingTopK(queries, ids, k, scoring=scoring, device=device, tile_bytes=tile_bytes)
    for block in blocks:
        best.add(block)
    return best.result()


class StreamingTopK:
    """Running top-k of queries that stay in memory over documents that pass by."""

    def __init__(
        self,
        queries: Any,
        ids: Sequence[str],
        k: int,
        *,
        scoring: Scoring = "cosine",
        device: str = "cpu",
        tile_bytes: int | None = None,
    ) -> None:
        """Prepare the search.

        Args:
            queries: `[Q, D]` array or tensor of any floating type.
            ids: ids of all N documents, in the order in which their vectors will come.
            k: number of documents to keep.
            scoring: "cosine" or "dot".
            device: torch device of the search.
            tile_bytes: memory of the scores of one tile; the whole needs about four times it and 16 bytes per query and
                kept document.

        Raises:
            ConfigError: k below 1, or an unknown scoring.
            EncodingError: queries that are no matrix, or a query vector that gives no finite score.
        """
        if k < 1:
            raise ConfigError(f"top-k search with k={k}: at least one document must be kept.")
        if scoring not in ("cosine", "dot"):
            raise ConfigError(f"scoring {scoring!r} is neither 'cosine' nor 'dot'.")
        self.scoring = scoring
        self.device = torch.device(device)
        self._by_numpy = self.device.type == "cpu"
        self._ids = ids
        vectors = floats(queries).to(self.device, torch.float32)
        if vectors.ndim != 2:
            raise EncodingError(f"search: queries of shape {tuple(vectors.shape)}; [Q, D] was expected.")
        self.num_queries, self.dim = vectors.shape
        self.num_documents = len(ids)
        self.k = min(k, self.num_documents)

        self._budget = tile_bytes or (CPU_TILE_BYTES if self._by_numpy else GPU_TILE_BYTES)
        passes = max(1, _ceil(self.num_queries, MAX_QUERY_ROWS))
        rows = _aligned(_ceil(self.num_queries, passes))
        widest = max(ALIGNMENT, self._budget // (4 * max(rows, self.dim)))
        self._tile_bits = min(widest.bit_length() - 1, (_aligned(self.num_documents) - 1).bit_length())
        self.tile = 1 << self._tile_bits
        # A reservoir that would pass the limit is cut back to k first; then it has room for a whole tile.
        self._limit = self.k + max(self.k, MIN_SPARE)
        self._room = min(self.num_documents, self.k + max(self.k, MIN_SPARE, self.tile))

        self._queries = torch.zeros((passes * rows, self.dim), device=self.device)
        self._query_rows = rows
        self._prepare(vectors, 0, "query", None)
        self._queries[: self.num_queries] = vectors
        self._tile = torch.zeros((self.tile, self.dim), device=self.device)
        self._scores = torch.empty((rows, self.tile), device=self.device)
        self._hit = torch.empty((rows, self.tile), dtype=torch.bool, device=self.device)
        self._numbers = torch.arange(rows + 1, device=self.device)
        self._keys = torch.full((self.num_queries, self._room), _EMPTY, dtype=torch.int64, device=self.device)
        self._count = torch.zeros(self.num_queries, dtype=torch.int64, device=self.device)
        self._threshold = torch.full((self.num_queries, 1), -torch.inf, device=self.device)
        # The document at place 0 has the largest id.
        order = sorted(range(self.num_documents), key=ids.__getitem__, reverse=True)
        self._order = np.array(order, dtype=np.int64)
        place = np.empty(self.num_documents, dtype=np.int64)
        place[self._order] = np.arange(self.num_documents)
        self._place = torch.from_numpy(place).to(self.device)
        self._seen = 0
        self._filled = 0

    def add(self, vectors: Any) -> None:
        """Take the next documents.

        Args:
            vectors: `[B, D]` array or tensor of any floating type; read in slices, so a memory map is fine.

        Raises:
            EncodingError: a vector that gives no finite score, another dimension, or more documents than ids.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise EncodingError(
                f"search: documents of shape {tuple(vectors.shape)} for queries of {self.dim} dimensions."
            )
        if self._seen + self._filled + len(vectors) > self.num_documents:
            raise EncodingError(f"search: more document vectors than the {self.num_documents} ids.")
        start = 0
        while start < len(vectors):
            piece = vectors[start : start + self.tile - self._filled]
            free = self._tile[self._filled : self._filled + len(piece)]
            if self._by_numpy and isinstance(piece, np.ndarray):
                free.numpy()[...] = piece
            else:
                free.copy_(floats(piece))
            self._filled += len(piece)
            start += len(piece)
            if self._filled == self.tile:
                self._flush()

    def result(self) -> TopK:
        """Return the best documents of every query.

        Raises:
            EncodingError: fewer documents came than there are ids.
        """
        if self._filled:
            self._flush()
        if self._seen != self.num_documents:
            raise EncodingError(f"search: {self._seen} document vectors came for {self.num_documents} ids.")
        indices = np.zeros((self.num_queries, self.k), dtype=np.int64)
        scores = np.zeros((self.num_queries, self.k), dtype=np.float32)
        for first in range(0, self.num_queries if self.k else 0, self._query_rows):
            rows = slice(first, first + self._query_rows)
            keys = self._partition(self._keys[rows]).cpu()
            keys.numpy().sort(axis=1)
            scores[rows] = _score_of(keys).numpy()
            indices[rows] = self._order[(keys & 0xFFFFFFFF).numpy()]
        return TopK(indices, scores)

    def _prepare(self, vectors: torch.Tensor, offset: int, what: str, ids: Sequence[str] | None) -> None:
        """Check vectors and, under the cosine, normalise them in place."""
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        bad = ~(lengths < LONGEST)
        if bool(bad.any()):
            number = offset + int(bad.nonzero()[0, 0])
            name = repr(ids[number]) if ids is not None else number
            raise EncodingError(
                f"search: the vector of {what} {name} is not finite, or too long for a finite score. Nothing was scored."
            )
        if self.scoring == "cosine":
            vectors.div_(lengths.clamp_min(COSINE_EPSILON))

    def _flush(self) -> None:
        """Score the tile and empty it."""
        filled = self._filled
        self._tile[filled:] = 0.0
        self._prepare(self._tile[:filled], self._seen, "document", self._ids)
        places = self._place[self._seen : self._seen + filled]
        with _full_precision():
            for first in range(0, self.num_queries, self._query_rows):
                torch.mm(self._queries[first : first + self._query_rows], self._tile.T, out=self._scores)
                self._keep(first, places)
        self._seen += filled
        self._filled = 0

    def _keep(self, first: int, places: torch.Tensor) -> None:
        """Put those of the tile's scores that reach the threshold into the reservoirs of their queries.

        Args:
            first: first query of the tile.
            places: places by id of the documents in the tile, `[F]`; the other columns are padding.
        """
        rows = slice(first, min(first + self._query_rows, self.num_queries))
        keys, count, threshold = self._keys[rows], self._count[rows], self._threshold[rows]
        if self._seen == 0 and len(places) >= 2 * self.k:
            threshold.copy_(self._kth_best(self._scores[: len(keys), : len(places)]))
        hits, starts = self._reaching(len(keys), len(places), threshold)
        new = starts.diff()
        full = ((count > self.k) & (count + new > self._limit)).nonzero().squeeze(1)
        if len(full):
            self._cut_back(keys, count, threshold, full)
        row = hits >> self._tile_bits
        key = _key_of(self._scores.view(-1).index_select(0, hits), places.index_select(0, hits & (self.tile - 1)))
        # Hits lie row by row: the n-th hit of all belongs behind what its row holds.
        shift = self._numbers[: len(keys)] * self._room + count - starts[:-1]
        slot = torch.arange(len(hits), device=self.device)
        slot += shift.index_select(0, row)
        keys.view(-1).scatter_(0, slot, key)
        count += new

    def _reaching(self, rows: int, filled: int, threshold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the tile's scores that reach their row's threshold `[R, 1]`; on the CPU numpy is twice as fast as torch.

        Returns:
            Their flat positions in the tile, ascending, and where in these each row begins, `[R + 1]`.
        """
        scores, hit, edges = self._scores[:rows], self._hit[:rows], self._numbers[: rows + 1] * self.tile
        if self._by_numpy:
            np.greater_equal(scores.numpy(), threshold.numpy(), out=hit.numpy())
        else:
            torch.ge(scores, threshold, out=hit)
        hit[:, filled:] = False
        if self._by_numpy:
            found = np.flatnonzero(hit.numpy())
            return torch.from_numpy(found), torch.from_numpy(np.searchsorted(found, edges.numpy()))
        hits = hit.view(-1).nonzero().squeeze(1)
        return hits, torch.searchsorted(hits, edges)

    def _kth_best(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the k-th largest score of every row, `[R, 1]`."""
        if self._by_numpy:
            position = scores.shape[1] - self.k
            return torch.from_numpy(np.partition(scores.numpy(), position, axis=1)[:, position : position + 1])
        return scores.topk(self.k, dim=1).values[:, -1:]

    def _partition(self, keys: torch.Tensor) -> torch.Tensor:
        """Put the k smallest of every row in front, the k-th last of them, and return `[R, k]`; `keys` is changed."""
        if self._by_numpy:
            keys.numpy().partition(self.k - 1, axis=1)  # with vector instructions
        else:
            keys[:, : self.k] = keys.topk(self.k, dim=1, largest=False, sorted=True).values
        return keys[:, : self.k]

    def _cut_back(self, keys: torch.Tensor, count: torch.Tensor, threshold: torch.Tensor, full: torch.Tensor) -> None:
        """Leave only the k best in the reservoirs `full` and raise their thresholds."""
        step = max(1, self._budget // (8 * self._room))
        for some in full.split(step):
            held = keys.index_select(0, some)
            best = self._partition(held)
            held[:, self.k :] = _EMPTY
            keys.index_copy_(0, some, held)
            count[some] = self.k
            threshold[some] = _score_of(best[:, -1:])


def _ceil(number: int, by: int) -> int:
    return -(-number // by)


def _aligned(number: int) -> int:
    return max(1, _ceil(number, ALIGNMENT)) * ALIGNMENT


def floats(vectors: Any) -> torch.Tensor:
    """Return a copy of an array (as fp32) or tensor as a tensor."""
    if isinstance(vectors, np.ndarray):
        # A copy: torch warns of arrays that it must not write to, such as memory maps.
        return torch.from_numpy(np.array(vectors, dtype=np.float32))
    return torch.as_tensor(vectors).detach().clone()


def _key_of(scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return int64 keys whose ascending order is score descending, then place ascending; 0.0 and -0.0 are equal."""
    keys = _ordered((0.0 - scores).view(torch.int32)).to(torch.int64)
    keys <<= 32
    keys |= places
    return keys


def _score_of(keys: torch.Tensor) -> torch.Tensor:
    return 0.0 - _ordered((keys >> 32).to(torch.int32)).view(torch.float32)


def _ordered(bits: torch.Tensor) -> torch.Tensor:
    """Turn the bits of floats into integers of the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Multiply in fp32 proper, whatever TF32 or bf16 setting the process has."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # set through torch's newer interface
        before = "highest"
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
