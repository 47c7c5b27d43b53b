"""The shipped files of published scores, `results/reference/*.csv`: read strictly (see the README there)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from harness import paths
from harness.errors import ResultSchemaError
from harness.types import TASK_TYPES

LEVELS = ("task", "domain", "type", "mean")
NOT_EMPTY = ("row_id", "model_name", "benchmark", "metric", "metric_definition", "source", "source_url_or_ref")
SHOT_LABELS = ("0", "few", "none")
TRAINING_DATA = ("full", "public", "")


class ReferenceScore(NamedTuple):
    """One line of a file of `results/reference/`; the fields are its columns, in order."""

    row_id: str
    model_name: str
    model_revision: str
    """Result folder of the source; empty where the source names none."""
    benchmark: str
    level: str
    """What the score is of: a `task`, or the mean of a `domain`, a task `type` or everything (`mean`)."""
    task_name: str
    """Registered name; of a domain or mean of AIR-Bench what its tasks' names begin with; else empty."""
    task_type: str
    split: str
    hf_subset: str
    metric: str
    """Today's main metric of the task, as mteb calls it."""
    metric_definition: str
    """What the source really measured: equal to `metric`, or an older rule such as `cos_sim_ap`."""
    score: float
    """Fraction."""
    num_fewshot_label: str
    """0, few, or none for a model that takes no examples."""
    training_data: str
    """full, public, or empty where it is not stated."""
    source: str
    source_url_or_ref: str
    note: str


class ReferenceRow(NamedTuple):
    """A row id and what the shipped files hold under it."""

    row_id: str
    model_name: str
    num_fewshot_label: str
    training_data: str
    benchmarks: tuple[str, ...]
    tasks: int
    """Scores of single tasks."""
    averages: int
    """Printed means of domains, task types and everything."""
    source: str


def read_reference_files(folder: Path | None = None) -> list[ReferenceScore]:
    """Read every shipped reference score, strictly.

    Args:
        folder: where the CSV files are; default the shipped ones.

    Raises:
        ResultSchemaError: a line is not what the columns promise, stands there twice, or contradicts another line of its
            row id; names file and line.
    """
    folder = paths.reference_dir() if folder is None else folder
    scores: list[ReferenceScore] = []
    seen: dict[tuple[str, ...], str] = {}
    models: dict[str, tuple[str, ...]] = {}
    for file in sorted(folder.glob("*.csv")):
        for line, score in _read_file(file):
            where = f"{file}:{line}"
            task = (score.level, score.task_name, score.task_type, score.split, score.hf_subset)
            cell = (score.row_id, score.benchmark, *task)
            if cell in seen:
                raise ResultSchemaError(f"{where}: this score stands at {seen[cell]} already. Keep one of them.")
            seen[cell] = where
            model = (score.model_name, score.num_fewshot_label, score.training_data)
            if models.setdefault(score.row_id, model) != model:
                raise ResultSchemaError(
                    f"{where}: row id {score.row_id!r} is {models[score.row_id]} elsewhere and {model} here. "
                    "Give the second model or setting a row id of its own."
                )
            scores.append(score)
    return scores


def _read_file(file: Path) -> Iterable[tuple[int, ReferenceScore]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultSchemaError(f"{file}: cannot be read as UTF-8 text: {error}.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if next(reader, None) != list(ReferenceScore._fields):
            raise ResultSchemaError(f"{file}:1: the columns must be {','.join(ReferenceScore._fields)}.")
        for fields in reader:
            yield reader.line_num, _parse_line(fields, f"{file}:{reader.line_num}")
    except csv.Error as error:
        raise ResultSchemaError(f"{file}:{reader.line_num}: not CSV: {error}.") from error


def _parse_line(fields: list[str], where: str) -> ReferenceScore:
    if len(fields) != len(ReferenceScore._fields):
        raise ResultSchemaError(f"{where}: {len(fields)} fields, expected {len(ReferenceScore._fields)}.")
    values: dict[str, Any] = dict(zip(ReferenceScore._fields, fields, strict=True))
    try:
        values["score"] = float(values["score"])
    except ValueError as error:
        raise ResultSchemaError(f"{where}: score {values['score']!r} is no number.") from error
    score = ReferenceScore(**values)
    is_task = score.level == "task"
    problems = {
        f"score {score.score!r} is not in -1..1 (scores are fractions, not percentages)": (
            not math.isfinite(score.score) or abs(score.score) > 1
        ),
        f"level {score.level!r} is none of {', '.join(LEVELS)}": score.level not in LEVELS,
        f"num_fewshot_label {score.num_fewshot_label!r} is none of {', '.join(SHOT_LABELS)}": (
            score.num_fewshot_label not in SHOT_LABELS
        ),
        f"training_data {score.training_data!r} is none of full, public and empty": (
            score.training_data not in TRAINING_DATA
        ),
        **{f"{name} is empty": not getattr(score, name) for name in NOT_EMPTY},
        "a task needs task_name, split and hf_subset": is_task
        and not (score.task_name and score.split and score.hf_subset),
        f"task_type {score.task_type!r} is none of mteb's": (is_task or score.level == "type")
        and score.task_type not in TASK_TYPES,
        "leading or trailing blanks": any(field != field.strip() for field in fields),
    }
    for problem, found in problems.items():
        if found:
            raise ResultSchemaError(f"{where}: {problem}.")
    return score


def list_references(folder: Path | None = None) -> list[ReferenceRow]:
    """Return the shipped row ids in the order of the files, with what stands under each."""
    return [
        ReferenceRow(
            row_id,
            scores[0].model_name,
            scores[0].num_fewshot_label,
            scores[0].training_data,
            tuple(dict.fromkeys(score.benchmark for score in scores)),
            sum(score.level == "task" for score in scores),
            sum(score.level != "task" for score in scores),
            scores[0].source,
        )
        for row_id, scores in by_row(read_reference_files(folder)).items()
    ]


def by_row(scores: Iterable[ReferenceScore]) -> dict[str, list[ReferenceScore]]:
    """Group scores by row id, in order."""
    rows: dict[str, list[ReferenceScore]] = {}
    for score in scores:
        rows.setdefault(score.row_id, []).append(score)
    return rows
