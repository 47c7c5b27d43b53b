"""A result file read in one pass: each query's hits are reduced to what the check needs while the parser is at them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

_KEPT_PAIRS = 64
"""Objects with more members are hits; of these only the summary is kept."""
Scalar = str | float | bool | None


@dataclass
class Hits:
    """One JSON object, as the hits of a query and as fields."""

    count: int
    repeated: str | None = None
    """A key that stands there twice."""
    not_numbers: str | None = None
    """A key whose value is no number."""
    not_finite: str | None = None
    not_float: str | None = None
    """A key whose value is an integer or a truth value."""
    unknown: int = 0
    """Keys that are no documents of the set."""
    first_unknown: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    """The object's members; empty for one with many plain values."""


class NotJsonError(ValueError):
    """The file is not what `json.load` takes; the message says why."""


def parse(content: bytes, documents: Set[str] | None) -> Any:
    """Parse a result file; every object in it comes as `Hits`.

    Args:
        content: the file.
        documents: ids of the set's documents, where they are known.

    Raises:
        NotJsonError: not UTF-8, truncated, or otherwise not JSON.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_reducer(documents))
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise NotJsonError("nested too deeply") from error
    except ValueError as error:
        reason = (
            f"{error.msg} at byte {error.pos:,} of {len(content):,}"
            if isinstance(error, json.JSONDecodeError)
            else error
        )
        raise NotJsonError(str(reason)) from error


def _reducer(documents: Set[str] | None) -> Callable[[list[tuple[str, Any]]], Hits]:
    def reduce(pairs: list[tuple[str, Any]]) -> Hits:
        members = dict(pairs)
        hits = Hits(len(pairs))
        if len(members) < len(pairs):
            hits.repeated = _first_repeated(pairs)
        kinds = set(map(type, members.values()))
        if kinds <= {float}:
            if not math.isfinite(math.fsum(map(abs, members.values())) if members else 0.0):
                hits.not_finite = next((key for key, value in members.items() if not math.isfinite(value)), None)
        else:
            _look_closer(members, hits)
        if documents is not None and not members.keys() <= documents:
            unknown = members.keys() - documents
            hits.unknown, hits.first_unknown = len(unknown), min(unknown)
        if len(pairs) <= _KEPT_PAIRS or Hits in kinds:
            hits.fields = members
        return hits

    return reduce


def _look_closer(members: dict[str, Any], hits: Hits) -> None:
    for key, value in members.items():
        if not isinstance(value, int | float):
            hits.not_numbers = hits.not_numbers or key
        elif not isinstance(value, float):
            # An integer beyond the range of floats is no number to pytrec_eval.
            if abs(value) > 1 << 1023:
                hits.not_numbers = hits.not_numbers or key
            hits.not_float = hits.not_float or key
        elif not math.isfinite(value):
            hits.not_finite = hits.not_finite or key


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return ""
