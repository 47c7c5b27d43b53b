"""The embedded model's evaluation: tables of its model card, from run directories.

    sh benchmarks/embedded_model.sh DATA_DIR RUNS      (makes the runs: about half an hour on one core)
    python benchmarks/embedded_model.py RUNS           (prints the tables)

RUNS holds `embedded`, `tfidf`, `static-bag`, `bag-of-words`, `all-MiniLM-L6-v2` (k=0), `embedded-seed1..3` (k=3 on all tasks and
k=1, 3, 5, 8 on the probe, examples chosen by seed) and `embedded-precise-seed1..3`. Scores are times 100; intervals are 95 %, of paired
bootstraps over the items of each task (harness/report/paired.py), over seeds by the mean of each replicate.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.report.item_files import item_source  # noqa: E402
from harness.report.item_pairs import NotPairedError, compare_cell, item_columns, pair_items  # noqa: E402
from harness.report.load import load_scores  # noqa: E402
from harness.report.resample import interval  # noqa: E402

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SEEDS = (1, 2, 3)
PROBES = ("MiniProbeSeen", "MiniProbeUnseen")
BASELINES = ("tfidf", "static-bag")
MODELS = ("bag-of-words", "tfidf", "static-bag", "embedded", "all-MiniLM-L6-v2")


class Run:
    """One run directory, and the one called `<name>-offline` beside it if there is one."""

    def __init__(self, folder: Path) -> None:
        beside = folder.with_name(f"{folder.name}-offline")
        self.frame: pd.DataFrame = load_scores([folder, *([beside] if beside.is_dir() else [])])
        self.main = self.frame[self.frame["is_main"]]
        self.items = item_source(self.frame)

    def _at(self, k: int) -> pd.DataFrame:
        """Main scores at k examples, whatever the seed in the configuration's name (`k3-s1`)."""
        return self.main[self.main["configuration"].str.split("-").str[0] == f"k{k}"]

    def rows(self, task: str, k: int) -> pd.DataFrame:
        """Main scores of a task or of an aggregate's parts."""
        main = self._at(k)
        return main[(main["task_name"] == task) | (main["part_of"] == task)]

    def tasks(self, k: int) -> list[str]:
        """Names of tasks and aggregates."""
        main = self._at(k)
        return sorted({part_of or name for name, part_of in zip(main["task_name"], main["part_of"], strict=True)})

    def score(self, task: str, k: int) -> float:
        """Mean over splits, subsets and parts."""
        return float(self.rows(task, k)["score"].mean())


class Found(NamedTuple):
    """A difference, times 100."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def replicates(task: str, base: tuple[Run, int], other: tuple[Run, int]) -> np.ndarray | None:
    """Return the resampled differences of a task, mean over its parts; None where items give none."""
    base_run, base_k = base
    parts = []
    for row in base_run.rows(task, base_k).to_dict("records"):
        columns = item_columns(row["metric"], row["task_type"])
        tables = []
        for run, k in (base, other):
            there = run.rows(task, k)
            one = there[there["task_name"] == row["task_name"]].iloc[0]
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


def difference(task: str, pairs: Sequence[tuple[tuple[Run, int], tuple[Run, int]]]) -> Found | str:
    """Return the mean difference over pairs of runs, with its interval."""
    means = [100 * (other.score(task, k2) - base.score(task, k1)) for (base, k1), (other, k2) in pairs]
    drawn = [replicates(task, base, other) for base, other in pairs]
    mean = sum(means) / len(means)
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


def zero_shot(runs: dict[str, Run]) -> str:
    """Zero-shot scores of all models, and the embedded one's lead."""
    rows = []
    for task in runs["embedded"].tasks(0):
        scores = [
            f"{100 * runs[model].score(task, 0):.2f}" if task in runs[model].tasks(0) else "-" for model in MODELS
        ]
        leads = [difference(task, [((runs[name], 0), (runs["embedded"], 0))]) for name in BASELINES]
        rows.append([task, *scores, *leads])
    return table(["task", *MODELS, *(f"embedded - {name}" for name in BASELINES)], rows)


def few_shot(runs: dict[str, Run]) -> str:
    """Three examples against none, over the seeds."""
    base = runs["embedded"]
    rows = []
    for task in runs["embedded-seed1"].tasks(3):
        if task in PROBES:
            continue
        seeds = [runs[f"embedded-seed{seed}"] for seed in SEEDS]
        each = ", ".join(f"{100 * run.score(task, 3):.2f}" for run in seeds)
        rows.append(
            [task, f"{100 * base.score(task, 0):.2f}", each, difference(task, [((base, 0), (run, 3)) for run in seeds])]
        )
    return table(["task", "k=0", "k=3, seeds 1, 2, 3", "k=3 - k=0"], rows)


def probe(base: Run, seeds: Sequence[Run], shots: Sequence[int]) -> str:
    """The probe at every number of examples."""
    rows = []
    for task in PROBES:
        row: list[object] = [task, f"{100 * base.score(task, 0):.2f}"]
        row += [f"{sum(100 * run.score(task, k) for run in seeds) / len(seeds):.2f}" for k in shots]
        row.append(difference(task, [((base, 0), (run, 5)) for run in seeds]))
        rows.append(row)
    spread = "; ".join(f"{task} {', '.join(f'{100 * run.score(task, 5):.2f}' for run in seeds)}" for task in PROBES)
    return (
        table(["task", "k=0", *(f"k={k}" for k in shots), "k=5 - k=0"], rows) + f"\n\nSeeds 1, 2, 3 at k=5: {spread}."
    )


def main() -> None:
    """Print all tables."""
    folder = Path(sys.argv[1])
    names = [*MODELS, *(f"embedded-seed{seed}" for seed in SEEDS), *(f"embedded-precise-seed{seed}" for seed in SEEDS)]
    runs = {name: Run(folder / name) for name in (*names, "embedded-precise")}
    print("Zero-shot\n\n" + zero_shot(runs))
    print("\nExamples on the other tasks\n\n" + few_shot(runs))
    seeds = [runs[f"embedded-seed{seed}"] for seed in SEEDS]
    print("\nProbe, vague instruction\n\n" + probe(runs["embedded"], seeds, (1, 3, 5, 8)))
    precise = [runs[f"embedded-precise-seed{seed}"] for seed in SEEDS]
    print("\nProbe, precise instruction\n\n" + probe(runs["embedded-precise"], precise, (3, 5)))


if __name__ == "__main__":
    main()
