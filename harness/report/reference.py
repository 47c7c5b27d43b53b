"""Reference rows: published scores that ship with the program, and scores from elsewhere (`--reference`).

Shipped rows are named by their row id (`reference_files.py`). A path names a parquet of stored scores, an mteb results
folder, or a run directory (`reference_paths.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ConfigError, TaskNotFoundError
from harness.registry import Registry
from harness.registry.names import suggest
from harness.report.consistency import NOTES_ATTRIBUTE
from harness.report.reference_files import ReferenceRow, ReferenceScore, by_row, list_references, read_reference_files
from harness.report.reference_frame import score_frame, score_row
from harness.report.reference_paths import load_path
from harness.report.table import NO_EXAMPLES, PrintedAverages, RowKey
from harness.report.text import shorten, visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ReferenceRow",
    "ReferenceScore",
    "References",
    "list_references",
    "load_references",
    "read_reference_files",
]

_CONFIGURATIONS = {"0": "k0", "few": "few", "none": NO_EXAMPLES}


class References(NamedTuple):
    """What `--reference` brings into a report."""

    scores: pd.DataFrame
    """Columns of scores.parquet and `reference`."""
    printed: dict[RowKey, dict[str, PrintedAverages]]
    """Row -> benchmark -> averages as printed; for rows that may have no score of a task."""
    training: dict[str, str] = {}  # noqa: RUF012 -- never changed
    """Shipped row -> `full` or `public`, which training data the checkpoint saw; only where it is stated."""
    groups: dict[str, list[ReferenceScore]] = {}  # noqa: RUF012 -- never changed
    """Shipped row -> means over groups of AIR-Bench sets, as printed; `harness.report.air_bench` shows them."""


def load_references(
    names: Sequence[str], *, registry: Registry | None = None, folder: Path | None = None, groups: bool = False
) -> References:
    """Resolve `--reference` values: shipped row ids first, then paths.

    Args:
        names: row ids and paths.
        registry: where types and aggregates of foreign results are looked up; default the shipped one.
        folder: where the shipped files are; default `results/reference/`.
        groups: whether a row that holds only means over groups of AIR-Bench sets can be shown.

    Raises:
        TaskNotFoundError: neither a row id nor a path; the message holds suggestions.
        ConfigError: nothing under a row id can stand in a leaderboard.
        ResultSchemaError: a file is corrupt or not what it claims to be.
    """
    import pandas as pd

    shipped = by_row(read_reference_files(folder))
    registry = Registry.load() if registry is None else registry
    frames: list[pd.DataFrame] = []
    printed: dict[RowKey, dict[str, PrintedAverages]] = {}
    training: dict[str, str] = {}
    grouped: dict[str, list[ReferenceScore]] = {}
    taken: dict[str, Path] = {}
    for name in dict.fromkeys(names):
        if name in shipped:
            frame, averages = _shipped_row(shipped[name], groups=groups)
            grouped[name] = [score for score in shipped[name] if score.level != "task" and score.task_name]
            frames.append(frame)
            printed |= averages
            if shipped[name][0].training_data:
                training[name] = shipped[name][0].training_data
            continue
        path = Path(name)
        if not path.exists():
            raise TaskNotFoundError(
                f"reference {visible(name)!r} is neither a row id nor a path.{suggest(name, shipped)} "
                f"Row ids: {shorten(list(shipped), len(shipped))}."
            )
        path = path.resolve()
        if path in taken.values():
            continue
        # The whole path tells two of equal name apart.
        label = path.name if path.name not in taken and path.name not in shipped else str(path)
        taken[label] = path
        frames.append(load_path(path, label, registry))
    merged = pd.concat(frames, ignore_index=True) if frames else score_frame([], [])
    merged.attrs[NOTES_ATTRIBUTE] = [note for frame in frames for note in frame.attrs.get(NOTES_ATTRIBUTE, ())]
    return References(merged, printed, training, grouped)


def _shipped_row(
    scores: Sequence[ReferenceScore], *, groups: bool
) -> tuple[pd.DataFrame, dict[RowKey, dict[str, PrintedAverages]]]:
    first = scores[0]
    revisions = sorted({score.model_revision for score in scores if score.model_revision})
    row = {
        "reference": first.row_id,
        "model_name": first.model_name,
        "model_revision": "+".join(revisions),
        "configuration": _CONFIGURATIONS[first.num_fewshot_label],
    }
    rows = [
        {
            **row,
            "task_name": score.task_name,
            "task_type": score.task_type,
            "split": score.split,
            "hf_subset": score.hf_subset,
            "metric": score.metric_definition,
            "score": score.score,
            # The versions of AIR-Bench have sets of the same names; a run's revision begins with its version as well.
            "dataset_revision": score.benchmark if score.benchmark.startswith("AIR-Bench_") else "",
        }
        for score in scores
        if score.level == "task"
    ]
    averages: dict[str, PrintedAverages] = {}
    for benchmark in dict.fromkeys(score.benchmark for score in scores):
        whole = [score for score in scores if score.benchmark == benchmark and not score.task_name]
        types = {score.task_type: score.score for score in whole if score.level == "type"}
        means = [score.score for score in whole if score.level == "mean"]
        if types or means:
            averages[benchmark] = PrintedAverages(types, means[0] if means else None)
    blank = score_row(**row)
    key = RowKey(**{field.name: blank[field.name] for field in fields(RowKey)})
    if not rows and not averages:
        if not groups:
            raise ConfigError(
                f"reference {first.row_id!r} holds only averages over groups of AIR-Bench sets. Show it with --benchmark "
                f"{scores[0].benchmark}."
            )
        averages = {scores[0].benchmark: PrintedAverages({}, None)}
    return score_frame(rows, []), {key: averages} if averages else {}
