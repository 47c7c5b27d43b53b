"""What must be equal before two scores may be compared: the protocol always, the subject unless a change is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

SUBJECT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "weights": ("weights_sha", "model_name", "model_revision"),
    "tokenizer": ("tokenizer_sha", "tokenization", "begin_token", "end_token", "transformers"),
    "instruction": ("instruction_sha", "instructions"),
    "examples": ("examples_sha", "examples_set", "fewshot_seed", "num_fewshot"),
    "prompt": ("prompt_fingerprint", "profile", "prompted"),
    "pooling": ("pooling", "normalized"),
    "lengths": ("query_max_tokens", "document_max_tokens"),
    "dtype": ("dtype",),
    "encoder": ("encoder_version",),
}
"""Name of --allow-change -> the fields of a record's subject (docs/results.md) that it stands for."""
PROTOCOL = "protocol"
OTHER = "other"
_PROMPT_PARTS = ("instruction_sha", "examples_sha", "profile")
_GROUP_OF = {field: group for group, fields in SUBJECT_GROUPS.items() for field in fields}


class Change(NamedTuple):
    """One part of the identity in which two results differ."""

    group: str
    """`protocol`, or the name under which --allow-change allows it."""
    field: str
    baseline: Any
    candidate: Any


def changes(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[Change]:
    """Return all differences between the identities of two records, protocol first.

    The prompt fingerprint is a hash over instruction, examples and template. It stands in the list only where none of its
    parts explains its difference.
    """
    found = [
        Change(PROTOCOL, field, *values)
        for field, values in _differing(baseline["protocol"], candidate["protocol"])
        if field != "mteb_version" or _minor(values[0]) != _minor(values[1])
    ]
    before, after = baseline["subject"], candidate["subject"]
    subject = _differing(before, after)
    explained = any(field in _PROMPT_PARTS for field, _ in subject)
    found += [
        Change(_GROUP_OF.get(field, OTHER), field, *values)
        for field, values in subject
        if not (field == "prompt_fingerprint" and explained)
    ]
    return found


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, tuple[Any, Any]]]:
    return [
        (field, (first.get(field), second.get(field)))
        for field in sorted({*first, *second})
        if first.get(field) != second.get(field)
    ]


def _minor(version: object) -> str:
    """Return major and minor of a version: a scorer's bug fix release measures the same thing."""
    return ".".join(str(version).split(".")[:2])


def refused(found: list[Change], allowed: frozenset[str]) -> list[Change]:
    """Return the changes that make two results incomparable."""
    return [change for change in found if change.group == PROTOCOL or change.group not in allowed]


def shown(value: object, width: int = 40) -> str:
    """Return one side of a change as text; hashes keep their beginning."""
    text = "none" if value in (None, "", []) else str(value)
    is_hash = len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)
    return text[:12] if is_hash else (text if len(text) <= width else text[: width - 3] + "...")
