"""From the frames of scores to one value per leaderboard row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.consistency import NOTES_ATTRIBUTE
from harness.report.table import IDENTITY_COLUMNS, PrintedAverages, RowKey

if TYPE_CHECKING:
    import pandas as pd

    from harness.report.reference import References

Cell = tuple[str, str]
"""(split, hf_subset)."""

COMPARED = ("metric", "dataset_revision")
"""What two scores of one cell must share to be comparable."""
_COLUMNS = ("model_label", "task_name", "task_type", "part_of", "split", "hf_subset", "score", *COMPARED)


class Measurement(NamedTuple):
    """What a run says of one task besides its scores; the fields are columns of scores.parquet."""

    run_id: str
    num_fewshot: int
    prompt_fingerprint: str
    texts: int
    texts_encoded: int
    encode_seconds: float


@dataclass
class RowScores:
    """The main scores of one row of the table."""

    key: RowKey
    labels: set[str] = field(default_factory=set)
    cells: dict[str, dict[Cell, float]] = field(default_factory=lambda: defaultdict(dict))
    """Task name -> (split, subset) -> main score, a fraction."""
    compared: dict[tuple[str, Cell], dict[str, str]] = field(default_factory=dict)
    """Task name and cell -> "metric" and "dataset_revision" of its score."""
    measured: dict[str, dict[str, Measurement]] = field(default_factory=lambda: defaultdict(dict))
    """Task name -> run -> how it was measured; splits of one task may come from several runs."""
    runs: dict[tuple[str, Cell], str] = field(default_factory=dict)
    """Task name and cell -> run that its score is from."""
    printed: dict[str, PrintedAverages] = field(default_factory=dict)
    """Benchmark -> averages that a publication prints; for reference rows without scores of tasks."""

    @property
    def label(self) -> str:
        """The remarks on the model, joined."""
        return ", ".join(sorted(self.labels))

    @property
    def is_reference(self) -> bool:
        """Whether the scores come from elsewhere, not from a run that is reported."""
        return bool(self.key.reference)


class Collected(NamedTuple):
    """All rows, and what the tasks of the deciding ones say of themselves."""

    rows: list[RowScores]
    task_types: dict[str, set[str]]
    """Task name -> types that the deciding rows claim."""
    part_of: dict[str, str]
    """Part -> aggregate task, as the deciding rows claim."""
    variants: dict[str, dict[tuple[str, Cell], set[str]]]
    """"metric" or "dataset_revision" -> task name and cell -> its values in the runs."""
    unscored: list[RowKey]
    """Rows of runs that hold metrics but no main score."""
    notes: list[str]
    """What reading the files found worth saying."""

    @property
    def deciding(self) -> list[RowScores]:
        """The rows whose tasks are shown: those of the runs, or the reference rows where there is no run."""
        return [row for row in self.rows if not row.is_reference] or self.rows


def collect_rows(scores: pd.DataFrame | None, references: References | None = None) -> Collected:
    """Group the main scores by row identity; rows come in the order of their sort key.

    Args:
        scores: what `load_scores` returned; None without runs.
        references: what `load_references` returned.
    """
    rows: dict[RowKey, RowScores] = {}
    task_types: dict[str, set[str]] = defaultdict(set)
    part_of: dict[str, str] = {}
    variants: dict[str, dict[tuple[str, Cell], set[str]]] = {name: defaultdict(set) for name in COMPARED}
    frames = [frame for frame in (scores, references and references.scores) if frame is not None]
    for number, frame in enumerate(frames):
        for key, values in _main_scores(frame):
            task, cell = values["task_name"], (values["split"], values["hf_subset"])
            row = rows.setdefault(key, RowScores(key))
            row.cells[task][cell] = values["score"]
            row.compared[task, cell] = {name: values[name] for name in COMPARED}
            row.measured[task][values["run_id"]] = Measurement(*(values[name] for name in Measurement._fields))
            row.runs[task, cell] = values["run_id"]
            if values["model_label"]:
                row.labels.add(values["model_label"])
            if number == 0:
                task_types[task].add(values["task_type"])
                if values["part_of"]:
                    part_of[task] = values["part_of"]
            if not key.reference:
                # By cell: the splits and subsets of one task may well come from different revisions.
                for name in COMPARED:
                    variants[name][task, cell].add(values[name])
    for key, printed in (references.printed if references else {}).items():
        rows.setdefault(key, RowScores(key)).printed.update(printed)
    unscored = sorted(_identities(scores) - rows.keys()) if scores is not None else []
    notes = [note for frame in frames for note in frame.attrs.get(NOTES_ATTRIBUTE, ())]
    ordered = sorted(rows.values(), key=lambda row: row.key.sort_key)
    return Collected(ordered, dict(task_types), part_of, variants, unscored, notes)


def _main_scores(frame: pd.DataFrame) -> Iterator[tuple[RowKey, dict[str, Any]]]:
    mains = frame[frame["is_main"]]
    names = [*IDENTITY_COLUMNS, *(["reference"] if "reference" in mains else [])]
    columns = (*_COLUMNS, *Measurement._fields)
    for record in zip(*(mains[name].tolist() for name in (*names, *columns)), strict=True):
        yield RowKey(*record[: len(names)]), dict(zip(columns, record[len(names) :], strict=True))


def _identities(frame: pd.DataFrame) -> set[RowKey]:
    known = frame[list(IDENTITY_COLUMNS)].drop_duplicates()
    return {RowKey(*record) for record in zip(*(known[name].tolist() for name in known), strict=True)}


def remarks_of(rows: list[RowScores]) -> dict[RowKey, tuple[str, ...]]:
    """Return what stands in brackets behind each row's model name.

    That is its label, the settings in which rows of equal name and n-shot differ, `limit N` of a partial row, and where
    a reference row comes from.
    """
    alike: dict[tuple[str, str, bool, int, str], list[RowKey]] = defaultdict(list)
    for row in rows:
        alike[_likeness(row.key)].append(row.key)
    remarks = {}
    for row in rows:
        key = row.key
        group = alike[_likeness(key)]
        found = [row.label] if row.label else []
        if len(group) > 1:
            found += _settings(key, group)
        if key.partial:
            found.append(f"partial, limit {key.limit}" if key.limit else "partial")
        if key.reference:
            found.append(f"reference {key.reference}")
        remarks[key] = tuple(found)
    return remarks


def _likeness(key: RowKey) -> tuple[str, str, bool, int, str]:
    return key.model_name, key.configuration, key.partial, key.limit, key.reference


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
