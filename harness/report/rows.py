"""From the frame of scores to one value per leaderboard row."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from harness.report.consistency import NOTES_ATTRIBUTE
from harness.report.table import IDENTITY_COLUMNS, RowKey

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[str, str]
"""(split, hf_subset)."""

_COMPARED = ("metric", "dataset_revision")


@dataclass
class RowScores:
    """The main scores of one row of the table."""

    key: RowKey
    labels: set[str] = field(default_factory=set)
    cells: dict[str, dict[Cell, float]] = field(default_factory=lambda: defaultdict(dict))
    """Task name -> (split, subset) -> main score, a fraction."""

    @property
    def label(self) -> str:
        """The remarks on the model, joined."""
        return ", ".join(sorted(self.labels))


class Collected(NamedTuple):
    """All rows, and what their tasks say of themselves."""

    rows: list[RowScores]
    task_types: dict[str, set[str]]
    """Task name -> types that the rows claim."""
    part_of: dict[str, str]
    """Part -> aggregate task, as the rows claim."""
    variants: dict[str, dict[tuple[str, Cell], set[str]]]
    """"metric" or "dataset_revision" -> task name and cell -> its values in all rows."""
    unscored: list[RowKey]
    """Rows that hold metrics but no main score."""
    notes: list[str]
    """What reading the files found worth saying."""


def collect_rows(scores: pd.DataFrame) -> Collected:
    """Group the main scores by row identity; rows come in the order of their sort key."""
    rows: dict[RowKey, RowScores] = {}
    task_types: dict[str, set[str]] = defaultdict(set)
    part_of: dict[str, str] = {}
    variants: dict[str, dict[tuple[str, Cell], set[str]]] = {name: defaultdict(set) for name in _COMPARED}
    columns = ["model_label", "task_name", "task_type", "part_of", "split", "hf_subset", "score", *_COMPARED]
    mains = scores[scores["is_main"]]
    width = len(IDENTITY_COLUMNS)
    for record in zip(*(mains[name].tolist() for name in (*IDENTITY_COLUMNS, *columns)), strict=True):
        key = RowKey(*record[:width])
        label, task, task_type, parent, split, subset, score, metric, revision = record[width:]
        row = rows.setdefault(key, RowScores(key))
        row.cells[task][split, subset] = score
        if label:
            row.labels.add(label)
        task_types[task].add(task_type)
        if parent:
            part_of[task] = parent
        # By cell: the splits and subsets of one task may well come from different revisions.
        variants["metric"][task, (split, subset)].add(metric)
        variants["dataset_revision"][task, (split, subset)].add(revision)
    identities = scores[list(IDENTITY_COLUMNS)].drop_duplicates()
    everything = {RowKey(*record) for record in zip(*(identities[name].tolist() for name in identities), strict=True)}
    ordered = sorted(rows.values(), key=lambda row: row.key.sort_key)
    unscored = sorted(everything - rows.keys())
    notes = list(scores.attrs.get(NOTES_ATTRIBUTE, ()))
    return Collected(ordered, dict(task_types), part_of, variants, unscored, notes)


def remarks_of(rows: list[RowScores]) -> dict[RowKey, tuple[str, ...]]:
    """Return what stands in brackets behind each row's model name.

    That is its label, the settings in which rows of equal name and n-shot differ, and `limit N` of a partial row.
    """
    alike: dict[tuple[str, str, bool, int], list[RowKey]] = defaultdict(list)
    for row in rows:
        alike[row.key.model_name, row.key.configuration, row.key.partial, row.key.limit].append(row.key)
    remarks = {}
    for row in rows:
        key = row.key
        group = alike[key.model_name, key.configuration, key.partial, key.limit]
        found = [row.label] if row.label else []
        if len(group) > 1:
            found += _settings(key, group)
        if key.partial:
            found.append(f"partial, limit {key.limit}" if key.limit else "partial")
        remarks[key] = tuple(found)
    return remarks


def _settings(key: RowKey, group: list[RowKey]) -> list[str]:
    revisions = {other.model_revision for other in group}
    short = len({revision[:8] for revision in revisions}) == len(revisions)
    shown = {
        "model_revision": f"revision {key.model_revision[:8] if short else key.model_revision}",
        "examples_set": f"examples {key.examples_set}",
        "instructions": f"instructions {key.instructions}",
        "dtype": key.dtype,
        "tokenization": key.tokenization,
        "query_max_tokens": f"query {key.query_max_tokens} tokens",
        "document_max_tokens": f"document {key.document_max_tokens} tokens",
    }
    return [text for name, text in shown.items() if len({getattr(other, name) for other in group}) > 1]
