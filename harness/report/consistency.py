"""What the scores of one or several runs must satisfy before a table is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ResultSchemaError
from harness.report.table import IDENTITY_COLUMNS
from harness.report.text import visible

if TYPE_CHECKING:
    import pandas as pd

PATH_COLUMN = "_path"
"""Column that names the file a row was read from."""
NOTES_ATTRIBUTE = "notes"
"""Key of `DataFrame.attrs` with sentences for the reader of a table."""

FOLDERS_ATTRIBUTE = "folders"
"""Key of `DataFrame.attrs` with the run directories of each `run_id`."""

_TASK_CELL = (*IDENTITY_COLUMNS, "task_name", "split", "hf_subset")
_CELL = (*_TASK_CELL, "metric")
_NOT_EMPTY = ("model_name", "configuration", "task_name", "task_type", "split", "hf_subset", "metric", "run_id")
# Two machines may round differently; a larger difference under one result key is worth a note.
_SAME_SCORE = 1e-6


def check_values(frame: pd.DataFrame) -> None:
    """Refuse scores that no run of this program can have written.

    Headline scores lie in -1..1; other metrics (distance thresholds, nAUC) only have to be finite.
    """
    import numpy as np

    score = frame["score"]
    wrong = {
        "score {score!r} of metric {metric!r} is not finite": ~np.isfinite(score),
        "main score {score!r} of metric {metric!r} is outside -1..1 (scores are fractions, not percentages)": (
            frame["is_main"] & (score.abs() > 1)
        ),
        "negative number of examples or limit": (frame["num_fewshot"] < 0) | (frame["limit"] < 0),
        **{f"{name} is empty": frame[name] == "" for name in _NOT_EMPTY},
        "task is a part of itself": frame["part_of"] == frame["task_name"],
    }
    for problem, mask in wrong.items():
        if mask.any():
            row = frame[mask].iloc[0]
            what = problem.format(score=float(row["score"]), metric=row["metric"])
            raise ResultSchemaError(f"{row[PATH_COLUMN]}: task {row['task_name']!r}: {what}. Run this task again.")


def drop_repeated(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep each result once; refuse two different results for one cell."""
    cell = list(_CELL)
    twice = frame.duplicated([*cell, PATH_COLUMN])
    if twice.any():
        row = frame[twice].iloc[0]
        raise ResultSchemaError(
            f"{row[PATH_COLUMN]}: task {row['task_name']!r}, split {row['split']!r}, subset {row['hf_subset']!r}: "
            f"metric {row['metric']!r} stands there twice. Run this task again."
        )
    repeated = frame[frame.duplicated(cell, keep=False)]
    if repeated.empty:
        return frame
    grouped = repeated.groupby(cell, sort=False)
    clash = repeated[grouped["result_key"].transform("nunique") > 1]
    if not clash.empty:
        raise ResultSchemaError(_describe_clash(clash))
    spread = grouped["score"].agg(lambda scores: scores.max() - scores.min())
    if (spread > _SAME_SCORE).any():
        runs = ", ".join(sorted(set(repeated["run_id"])))
        notes.append(
            f"Runs {runs} repeat the same measurement with scores up to {100 * spread.max():.4f} points apart; "
            "the run named first is shown."
        )
    return frame.drop_duplicates(cell)


def _describe_clash(clash: pd.DataFrame) -> str:
    first = clash.iloc[0]
    same_cell = (clash[list(_CELL)] == first[list(_CELL)]).all(axis=1)
    other = clash[same_cell & (clash["result_key"] != first["result_key"])].iloc[0]
    causes = ("prompt_fingerprint", "num_fewshot", "dataset_revision", "mteb_version", "normalized", "is_main")
    differing = [name for name in causes if first[name] != other[name]] or ["result_key"]
    return visible(
        f"task {first['task_name']!r} of {first['model_name']!r} ({first['configuration']}) has two different results, "
        f"in run {first['run_id']} ({first[PATH_COLUMN]}) and run {other['run_id']} ({other[PATH_COLUMN]}): "
        f"they differ in {', '.join(differing)}. Name only one of the two runs."
    )


def check_one_main_metric(frame: pd.DataFrame) -> None:
    """Refuse a second headline metric for one task, split and subset of a row.

    Raises:
        ResultSchemaError: names the file, the task and the metric.
    """
    mains = frame[frame["is_main"]]
    twice = mains.duplicated(list(_TASK_CELL))
    if twice.any():
        row = mains[twice].iloc[0]
        raise ResultSchemaError(
            f"{row[PATH_COLUMN]}: task {row['task_name']!r}, split {row['split']!r}, subset {row['hf_subset']!r} "
            f"has a second main metric, {row['metric']!r}. Run this task again."
        )
