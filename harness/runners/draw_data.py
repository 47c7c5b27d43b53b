"""Rows that may become few-shot examples: a task's train or development split, read through its mteb task object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DatasetUnavailableError, FewShotError
from harness.examples.draw import Candidate
from harness.registry.registry import Registry
from harness.runners.custom_tasks import build_custom_task
from harness.runners.draw_rows import retrieval_candidates, table_candidates
from harness.runners.evaluate import load_task
from harness.runners.tasks import TaskUnit, content_addressed_cache, dataset_revision, make_task, resolve_units

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

DEFAULT_SPLITS = ("train", "dev", "validation")
RETRIEVAL_TYPES = ("Retrieval", "Reranking")
# What mteb's and our own loader say of a split that is not there; anything else is a data set out of reach.
_LACKS_SPLIT = re.compile(r"Split \S+ not found|has neither")


@dataclass(frozen=True)
class DrawData:
    """What `draw` needs to know of a task."""

    task: str
    candidates: list[Candidate]
    evaluation_texts: Callable[[], Iterable[str]]
    split: str
    evaluation_splits: tuple[str, ...]
    subset: str
    dataset: str
    """Hub path, or the folder's name."""
    revision: str
    """Hub revision, or the fingerprint of the folder."""


def load_draw_data(registry: Registry, task_name: str, *, data_dir: Path | None, split: str | None) -> DrawData:
    """Load a task and return its rows outside the evaluation.

    Args:
        registry: the registry of the session.
        task_name: one task (not an aggregate).
        data_dir: folder with local data, a sub-folder per task; None reads from the hub.
        split: split to draw from; None takes train, or else dev or validation.

    Raises:
        FewShotError: the task's type or data has no such rows.
        TaskNotFoundError: unknown task.
        DatasetUnavailableError: the data cannot be loaded.
    """
    units = resolve_units(
        registry, benchmarks=(), tasks=(task_name,), data_dir=data_dir, splits=(), languages=(), zero_shot_only=False
    )
    if len(units) > 1:
        raise FewShotError(
            f"task {task_name!r} is made of {len(units)} parts. Draw from one of them: {units[0].name}, ..."
        )
    unit = units[0]
    if unit.air is not None:
        raise FewShotError(f"task {task_name!r} is of AIR-Bench, which has no train split to draw examples from.")
    wanted: tuple[str, ...] = (split,) if split else DEFAULT_SPLITS
    if unit.task_type == "Summarization" or (unit.task_type == "Clustering" and split is None):
        hint = " Name a split that is not evaluated with --split." if unit.task_type == "Clustering" else ""
        raise FewShotError(f"task {task_name!r} ({unit.task_type}) has no train split to draw examples from.{hint}")
    with content_addressed_cache(unit):
        task: Any = make_task(unit)
        evaluated = tuple(task.eval_splits)
        wanted = _refuse_evaluated(unit, wanted, evaluated, explicit=split is not None)
        loaded, chosen = _load_with_split(unit, task, wanted, evaluated)
        subset, data = _first_subset(loaded)
        if chosen is None or chosen not in data:
            there = ", ".join(sorted(data)) or "none"
            raise FewShotError(
                f"task {unit.name!r} has no split {' or '.join(wanted)} to draw examples from (splits: {there}; "
                f"evaluated: {', '.join(evaluated)})."
            )
        maker = retrieval_candidates if unit.task_type in RETRIEVAL_TYPES else table_candidates
        candidates, evaluation_texts = maker(loaded, unit, data, chosen, evaluated)
        revision = dataset_revision(unit, task)
    return DrawData(
        task=unit.name,
        candidates=candidates,
        evaluation_texts=evaluation_texts,
        split=chosen,
        evaluation_splits=evaluated,
        subset=subset,
        dataset=unit.folder.name if unit.folder is not None else str(task.metadata.dataset["path"]),
        revision=revision,
    )


def _refuse_evaluated(
    unit: TaskUnit, wanted: tuple[str, ...], evaluated: tuple[str, ...], *, explicit: bool
) -> tuple[str, ...]:
    free = tuple(name for name in wanted if name not in evaluated)
    if not free:
        what = f"--split {wanted[0]}" if explicit else f"every split of {', '.join(wanted)}"
        raise FewShotError(f"task {unit.name!r} is evaluated on {what}; examples must come from another split.")
    return free


def _load_with_split(
    unit: TaskUnit, task: AbsTask, wanted: tuple[str, ...], evaluated: tuple[str, ...]
) -> tuple[Any, str | None]:
    """Load the data with the first wanted split that it has; some loaders read only the splits they are told."""
    is_ours = type(task).__module__ == build_custom_task.__module__
    if unit.task_type == "Classification" or not (is_ours or unit.task_type in RETRIEVAL_TYPES):
        load_task(task, unit)
        _, data = _first_subset(task)
        return task, next((name for name in wanted if name in data), None)
    for name in wanted:
        attempt: Any = make_task(replace(unit, splits=(*evaluated, name)) if is_ours else unit)
        attempt._eval_splits = [*evaluated, name]
        try:
            load_task(attempt, unit)
        except DatasetUnavailableError as error:
            if not _LACKS_SPLIT.search(str(error)):
                raise
            continue
        return attempt, name
    raise FewShotError(
        f"task {unit.name!r} has no split {' or '.join(wanted)} to draw examples from (evaluated: {', '.join(evaluated)})."
    )


def _first_subset(task: Any) -> tuple[str, Any]:
    """Return the name and the splits of the first subset of a loaded task."""
    dataset = task.dataset
    subset = next(iter(task.hf_subsets), "default")
    if subset in dataset:
        return str(subset), dataset[subset]
    return "default", dataset
