"""The study of examples: how many, which and in which order, at what cost; its tables into docs/study.md, its page into docs/study/.

    make study                             (the runs, then this)
    python benchmarks/study.py RUN...      (tables and page again)

Each RUN was made with `--num-fewshot 0,1,2,3,5 --fewshot-seed 1,2,3`, or with 8 beside them. The text between `<!-- tables -->` and `<!-- /tables -->` is replaced.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from paired_runs import ROOT, SEEDS, Found, Run, Side, difference, table

from harness.prompts.shots import configuration_name
from harness.registry import Registry  # paired_runs has put the checkout on the path
from tools.leaderboard import replace_block

SHOTS = (1, 2, 3, 5, 8)
SHOWN = 0.05
"""Points; smaller changes are not bold, however sure they are."""
MANY_TEXTS = 1000
"""Fewer say nothing of time."""
DOCUMENT = ROOT / "docs" / "study.md"
PAGES = ROOT / "docs" / "study"
MARKS = ("<!-- tables -->", "<!-- /tables -->")


def example_counts(run: Run) -> dict[str, int]:
    """Return how many examples each task, or each part of an aggregate, has: at so many, seeds differ in their order alone."""
    registry = Registry.load()
    return {
        task: min(len(registry.get(str(part)).examples) for part in run.rows(task, 0)["task_name"])
        for task in run.tasks(0)
    }


def by_shots(run: Run, second: str, first_cell: Callable[[str], object], cell: Callable[[str, int], object]) -> str:
    """Return a table of a row per task and a column per number of examples; `-` where a task was not run at it."""
    rows = [
        [task, first_cell(task), *(cell(task, k) if task in run.tasks(k, SEEDS[0]) else "-" for k in SHOTS)]
        for task in run.tasks(0)
    ]
    return table(["task", second, *(f"k={k}" for k in SHOTS)], rows)


def how_many(run: Run) -> str:
    """The change by k examples, mean of the seeds."""

    def cell(task: str, k: int) -> object:
        found = difference(task, [(Side(run, 0), Side(run, k, seed)) for seed in SEEDS])
        clear = isinstance(found, Found) and not found.low <= 0 <= found.high and abs(found.mean) >= SHOWN
        return f"**{found}**" if clear else found

    return by_shots(run, "k=0", lambda task: f"{100 * run.score(task, 0):.2f}", cell)


def which_and_what_order(run: Run) -> str:
    """How far the seeds lie apart."""
    counts = example_counts(run)

    def cell(task: str, k: int) -> str:
        scores = [100 * run.score(task, k, seed) for seed in SEEDS]
        spread = f"{max(scores) - min(scores):.2f}"
        return f"{spread} (order)" if k == counts[task] else spread

    return by_shots(run, "examples there", counts.__getitem__, cell)


def cost(run: Run) -> str:
    """Encoding time per text against zero-shot: median over tasks and seeds, of tasks in which both encoded many texts."""
    seconds, texts = {}, {}
    for row in run.main.to_dict("records"):
        key = (row["configuration"], row["task_name"], row["run_id"])
        seconds[key], texts[key] = row["encode_seconds"], row["texts_encoded"]
    rows = []
    for k in SHOTS:
        names = {configuration_name(k, seed) for seed in SEEDS}
        ratios = [
            (seconds[key] / texts[key]) / (seconds[base] / texts[base])
            for key in seconds
            if key[0] in names and min(texts[key], texts[base := ("k0", *key[1:])]) >= MANY_TEXTS
        ]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rows.append([k, f"{middle:.2f}", f"{low:.2f} to {high:.2f}", len(ratios)])
    return table(["examples", "time per text, zero-shot = 1", "middle half", "tasks x seeds"], rows)


def main() -> None:
    """Write tables and page."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    run = Run(*folders)
    parts = {
        "How many": how_many(run),
        "Which, and in which order": which_and_what_order(run),
        "At what cost": cost(run),
    }
    block = "\n\n".join(f"### {title}\n\n{text}" for title, text in parts.items())
    old = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(replace_block(old, block, marks=MARKS, where=str(DOCUMENT)), encoding="utf-8")
    subprocess.run(
        [
            Path(sys.executable).with_name("icl-harness"),
            "report",
            *map(str, folders),
            "--output-dir",
            str(PAGES),
            "--format",
            "md,html",
        ],
        check=True,
        cwd=ROOT,
    )


if __name__ == "__main__":
    main()
