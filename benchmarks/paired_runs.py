"""Run directories as tables of paired differences: what the embedded model's card and the study of examples are made of.

Scores are times 100; intervals are 95 %, of paired bootstraps over the items of each task (harness/report/paired.py), over seeds by
the mean of each replicate.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.prompts.shots import configuration_name  # noqa: E402
from harness.report.item_files import item_source  # noqa: E402
from harness.report.item_pairs import NotPairedError, compare_cell, item_columns, pair_items  # noqa: E402
from harness.report.load import load_scores  # noqa: E402
from harness.report.resample import interval  # noqa: E402

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SEEDS = (1, 2, 3)


class Run:
    """One model's run directories."""

    def __init__(self, *folders: Path) -> None:
        self.frame: pd.DataFrame = load_scores(folders)
        self.main = self.frame[self.frame["is_main"]]
        self.items = item_source(self.frame)

    def rows(self, task: str, k: int, seed: int | None = None) -> pd.DataFrame:
        """Main scores of a task, or of an aggregate's parts, at k examples in file order or as a seed has chosen them."""
        main = self.main[self.main["configuration"] == configuration_name(k, seed)]
        return main[(main["task_name"] == task) | (main["part_of"] == task)]

    @cache  # noqa: B019  (a program of a minute keeps a handful of runs)
    def tasks(self, k: int, seed: int | None = None) -> list[str]:
        """Names of tasks and aggregates."""
        main = self.main[self.main["configuration"] == configuration_name(k, seed)]
        return sorted({part_of or name for name, part_of in zip(main["task_name"], main["part_of"], strict=True)})

    def score(self, task: str, k: int, seed: int | None = None) -> float:
        """Mean over splits, subsets and parts."""
        return float(self.rows(task, k, seed)["score"].mean())


class Side(NamedTuple):
    """One side of a comparison."""

    run: Run
    k: int
    seed: int | None = None

    def score(self, task: str) -> float:
        """Its score of a task."""
        return self.run.score(task, self.k, self.seed)


class Found(NamedTuple):
    """A difference, times 100."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@cache
def replicates(task: str, base: Side, other: Side) -> np.ndarray | None:
    """Return the resampled differences of a task, mean over its parts; None where items give none."""
    parts = []
    for row in base.run.rows(task, base.k, base.seed).to_dict("records"):
        columns = item_columns(row["metric"], row["task_type"])
        tables = []
        for run, k, seed in (base, other):
            there = run.rows(task, k, seed)
            one = there[(there["task_name"] == row["task_name"]) & (there["hf_subset"] == row["hf_subset"])].iloc[0]
            tables.append(run.items(one["run_id"], one["configuration"], row["task_name"], columns))
        if not columns or any(table is None for table in tables):
            return None
        try:
            cell = compare_cell(
                *pair_items(tables[0], tables[1]),  # type: ignore[arg-type]
                metric=row["metric"],
                task=row["task_name"],
                task_type=row["task_type"],
                split=row["split"],
                subset=row["hf_subset"],
            )
        except NotPairedError:
            return None
        parts.append(cell.outcome.differences)
    return sum(parts[1:], parts[0]) / len(parts)


def difference(task: str, pairs: Sequence[tuple[Side, Side]]) -> Found | str:
    """Return the mean difference over pairs of runs, with its interval; without one where items give none."""
    mean = sum(100 * (other.score(task) - base.score(task)) for base, other in pairs) / len(pairs)
    drawn = [replicates(task, base, other) for base, other in pairs]
    kept = [one for one in drawn if one is not None]
    if len(kept) < len(drawn):
        return f"{mean:+.2f}"
    low, high = interval(sum(kept[1:], kept[0]) / len(kept))
    return Found(mean, 100 * low, 100 * high)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'--|' * len(head)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
