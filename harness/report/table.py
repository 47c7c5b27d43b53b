"""The leaderboard as a value: what every renderer shows and every file holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import NamedTuple

from harness.report.comparison import CostRow, FewShotRow
from harness.report.text import GAP, percent

RANK_TITLE = "Rank (Borda)"
MODEL_TITLE = "Model"
SHOTS_TITLE = "n-shot"
UNSEEN_TITLE = "Mean (Unseen)"
TRAINED_MARK = "†"
"""Behind a score of a task of whose data the model's training used."""
CAPTION = "Main scores x 100, higher is better; '-' is a missing score."

# Configurations of reference rows: a model that takes no examples, and a number of examples that nobody states.
NO_EXAMPLES = "none"
UNSTATED = "unstated"

ZERO_SHOT = "k0"
_SHOTS = re.compile(r"k(all|[0-9]{1,9})(-s-?[0-9]+)?")
"""`k3`, `kall`, and `k3-s1` for examples chosen and ordered by seed 1 (`harness.prompts.shots.configuration_name`)."""


@dataclass(frozen=True, order=True)
class RowKey:
    """What makes a row of its own: a model, its revision and its configuration (columns of scores.parquet)."""

    model_name: str
    model_revision: str
    configuration: str
    examples_set: str
    instructions: str
    dtype: str
    tokenization: str
    query_max_tokens: int
    document_max_tokens: int
    partial: bool
    limit: int
    reference: str = ""
    """Where the scores of a reference row come from: a row id or the name of a path; empty for a run."""

    @property
    def shots(self) -> str:
        """The "n-shot" entry: 0, 3, 3-s1, all, few, or the configuration's own name; "-" where there is none to state."""
        if self.configuration in (NO_EXAMPLES, UNSTATED):
            return GAP
        return self.configuration[1:] if _SHOTS.fullmatch(self.configuration) else self.configuration

    @property
    def num_shots(self) -> int | None:
        """The number of examples that the configuration names; None for `all` and anything else."""
        match = _SHOTS.fullmatch(self.configuration)
        return int(match.group(1)) if match and match.group(1) != "all" else None

    @property
    def sort_key(self) -> tuple[str, float, str, RowKey]:
        """Order of rows of equal rank: by name, then by number of examples, `all` last."""
        shots = self.num_shots
        return self.model_name, float("inf") if shots is None else shots, self.configuration, self


IDENTITY_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(RowKey) if field.name != "reference")
"""The fields of `RowKey` that are columns of scores.parquet."""


class PrintedAverages(NamedTuple):
    """Averages over a benchmark's tasks as a publication prints them, as fractions."""

    types: dict[str, float]
    """Task type -> mean."""
    mean: float | None
    """Mean (Task)."""


class Task(NamedTuple):
    """A task that the table counts."""

    name: str
    task_type: str


class Column(NamedTuple):
    """A column of scores (fractions), parallel to the table's rows."""

    title: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class LeaderboardRow:
    """One model in one configuration. Scores are fractions; None is a gap."""

    key: RowKey
    label: str
    """Remark that belongs beside every score of the model, such as "untrained"; usually empty."""
    remarks: tuple[str, ...]
    """What stands in brackets behind the name: the label, settings that tell rows apart, `limit N`."""
    rank: int | None
    """None for a reference row that is shown without a rank."""
    points: float | None
    """Borda points, comparable only inside this table."""
    mean_task: float | None
    mean_task_type: float | None
    type_means: tuple[float | None, ...]
    """Parallel to the table's `task_types`."""
    task_scores: tuple[float | None, ...]
    """Parallel to the table's `tasks`."""
    averages_only: bool = False
    """Whether type means and Mean (Task) are printed figures, because no score of a task was published."""
    trained_on: frozenset[str] | None = None
    """Tasks of the table of whose data the model's training used; None where nobody says."""
    mean_unseen: float | None = None
    """Mean over the other tasks; None also where `trained_on` is."""

    @property
    def name(self) -> str:
        """The model's name with its remarks."""
        return f"{self.key.model_name} ({', '.join(self.remarks)})" if self.remarks else self.key.model_name

    @property
    def full_name(self) -> str:
        """The name with the number of examples, and the seed that chose them."""
        if self.key.shots == GAP:
            return self.name
        match = _SHOTS.fullmatch(self.key.configuration)
        seed = match.group(2) if match else None
        return (
            f"{self.name}, {match.group(1)}-shot, seed {seed[2:]}"
            if match and seed
            else f"{self.name}, {self.key.shots}-shot"
        )

    @property
    def rank_text(self) -> str:
        """The rank as it is shown."""
        return GAP if self.rank is None else str(self.rank)


@dataclass(frozen=True)
class LeaderboardTable:
    """A leaderboard; all renderers read the same numbers from it."""

    title: str
    benchmark: str | None
    """Benchmark whose tasks are counted; None for a free list of tasks."""
    tasks: tuple[Task, ...]
    task_types: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]
    """In order of rank."""
    notes: tuple[str, ...]
    """Plain-text sentences that belong under the table."""
    few_shot: tuple[FewShotRow, ...] = ()
    few_shot_notes: tuple[str, ...] = ()
    costs: tuple[CostRow, ...] = ()
    rank_title: str = RANK_TITLE
    """What ranks the rows."""
    average_title: str = ""
    """Name of the only mean, where a benchmark has no other; empty for mteb's three."""

    def mean_columns(self) -> list[Column]:
        """Return "Mean (Task)", "Mean (TaskType)" and, where a model was trained on a task's data, "Mean (Unseen)"."""
        if self.average_title:
            return [Column(self.average_title, tuple(row.mean_task for row in self.rows))]
        columns = [
            Column("Mean (Task)", tuple(row.mean_task for row in self.rows)),
            Column("Mean (TaskType)", tuple(row.mean_task_type for row in self.rows)),
        ]
        if any(row.trained_on for row in self.rows):
            columns.append(Column(UNSEEN_TITLE, tuple(row.mean_unseen for row in self.rows)))
        return columns

    def type_columns(self) -> list[Column]:
        """Return one column of means per task type."""
        return [
            Column(task_type, tuple(row.type_means[index] for row in self.rows))
            for index, task_type in enumerate(self.task_types)
        ]

    def task_columns(self) -> list[Column]:
        """Return one column of scores per task."""
        return [
            Column(task.name, tuple(row.task_scores[index] for row in self.rows))
            for index, task in enumerate(self.tasks)
        ]

    def best(self, column: Column) -> frozenset[int]:
        """Return the rows that show a column's highest value, if there is something to compare.

        Partial rows and unranked reference rows take no part. Equal printed values are equally best. Means over
        different tasks have no best one.
        """
        if (
            column.title == UNSEEN_TITLE
            and len({row.trained_on for row in self.rows if row.mean_unseen is not None}) > 1
        ):
            return frozenset()
        shown = {
            index: float(percent(value))
            for index, (row, value) in enumerate(zip(self.rows, column.values, strict=True))
            if value is not None and not row.key.partial and row.rank is not None
        }
        if len(shown) <= 1:
            return frozenset()
        highest = max(shown.values())
        return frozenset(index for index, value in shown.items() if value == highest)
