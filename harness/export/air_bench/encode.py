"""AIR-Bench's result file, byte for byte as `json.dump(..., indent=4)` writes it, a query at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from harness.errors import ResultSchemaError
from harness.registry.air_bench import AirBenchSet
from harness.registry.air_bench_layout import HEAD_FIELDS, MAX_HITS, NO_RERANKER

_PLAIN_FROM, _PLAIN_BELOW = 1e-4, 1e16
"""Python writes floats of this size without an exponent."""


class Ranking(NamedTuple):
    """The documents found for one query, best first."""

    query_id: str
    document_ids: Sequence[str]
    scores: Sequence[float]
    """Parallel to the documents."""


def result_file(rankings: Iterable[Ranking], air_set: AirBenchSet, split: str, *, model: str) -> Iterator[bytes]:
    """Yield the pieces of a result file.

    Args:
        rankings: one per query.
        air_set: what was searched.
        split: `dev` or `test`.
        model: `model_name` of the file.

    Raises:
        ResultSchemaError: a score that is not finite, a document or query twice, more than 1000 hits, or no query.
    """
    values = (
        model, NO_RERANKER, air_set.version, air_set.task_type, air_set.domain, air_set.language, air_set.dataset, split,
    )  # fmt: skip
    head = dict(zip(HEAD_FIELDS, values, strict=True))
    lines = "".join(f"    {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    yield f'{{\n{lines}    "search_results": {{'.encode()
    seen: set[str] = set()
    keys = _Keys()
    for ranking in rankings:
        where = f"{air_set.name}, {split}, query {ranking.query_id!r}"
        if ranking.query_id in seen:
            raise ResultSchemaError(f"{where}: stands there twice.")
        _check(ranking, where)
        separator = "," if seen else ""
        seen.add(ranking.query_id)
        yield f"{separator}\n        {json.dumps(ranking.query_id)}: {_hits(ranking, keys)}".encode()
    if not seen:
        raise ResultSchemaError(f"{air_set.name}, {split}: no query at all.")
    yield b"\n    }\n}"


def _check(ranking: Ranking, where: str) -> None:
    if len(ranking.document_ids) != len(ranking.scores):
        raise ResultSchemaError(f"{where}: {len(ranking.document_ids)} documents, {len(ranking.scores)} scores.")
    if len(ranking.scores) > MAX_HITS:
        raise ResultSchemaError(f"{where}: {len(ranking.scores)} hits; AIR-Bench takes {MAX_HITS}.")
    if len(set(ranking.document_ids)) != len(ranking.document_ids):
        raise ResultSchemaError(f"{where}: a document stands there twice.")
    if not all(map(math.isfinite, ranking.scores)):
        raise ResultSchemaError(f"{where}: a score is not finite.")


class _Keys(dict[str, str]):
    """The beginning of a hit's line, by document; ids repeat from query to query."""

    def __missing__(self, document_id: str) -> str:
        line = self[document_id] = f",\n            {json.dumps(document_id)}: "
        return line


def _hits(ranking: Ranking, keys: _Keys) -> str:
    """Return the JSON object of one query's documents."""
    if not len(ranking.scores):
        return "{}"
    parts = [""] * (2 * len(ranking.scores))
    parts[::2] = map(keys.__getitem__, ranking.document_ids)
    parts[1::2] = _numbers(list(map(float, ranking.scores)))
    return f"{{{''.join(parts)[1:]}\n        }}"


def _numbers(scores: list[float]) -> list[str]:
    """Return the scores as Python writes floats.

    orjson writes the same shortest digits five times faster, but others than Python where an exponent begins.
    """
    if all(_PLAIN_FROM <= abs(score) < _PLAIN_BELOW or score == 0 for score in scores):
        return orjson.dumps(scores).decode()[1:-1].split(",")
    return list(map(repr, scores))
