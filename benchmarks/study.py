"""The study of examples: how many, which and in which order, at what cost; its tables into docs/study.md, its page into docs/study/.

    make study                             (the runs, then this)
    python benchmarks/study.py RUN...      (tables and page again)

Each RUN was made with `--num-fewshot 0,1,2,3,5 --fewshot-seed 1,2,3`, or with 8 beside them. The text between `<!-- tables -->` and `<!-- /tables -->` is replaced.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from paired_runs import ROOT, SEEDS, Found, Run, Side, difference, table

from harness.prompts.shots import configuration_name
from harness.registry import Registry  # paired_runs has put the checkout on the path

SHOTS = (1, 2, 3, 5, 8)
SHOWN = 0.05
"""Points; smaller changes are not bold, however sure they are."""
MANY_TEXTS = 1000
"""Fewer say nothing of time."""
DOCUMENT = ROOT / "docs" / "study.md"
PAGES = ROOT / "docs" / "study"
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"


def example_counts(run: Run) -> dict[str, int]:
    """Return how many examples each task, or each part of an aggregate, has: at so many, seeds differ in their order alone."""
    registry = Registry.load()
    return {
        task: min(len(registry.get(str(part)).examples) for part in run.rows(task, 0)["task_name"])
        for task in run.tasks(0)
    }


def how_many(run: Run) -> str:
    """The change by k examples, mean of the seeds."""
    rows = []
    for task in run.tasks(0):
        cells: list[object] = [task, f"{100 * run.score(task, 0):.2f}"]
        for k in SHOTS:
            if task not in run.tasks(k, SEEDS[0]):
                cells.append("-")
                continue
            found = difference(task, [(Side(run, 0), Side(run, k, seed)) for seed in SEEDS])
            clear = isinstance(found, Found) and not found.low <= 0 <= found.high and abs(found.mean) >= SHOWN
            cells.append(f"**{found}**" if clear else found)
        rows.append(cells)
    return table(["task", "k=0", *(f"k={k}" for k in SHOTS)], rows)


def which_and_what_order(run: Run) -> str:
    """How far the seeds lie apart."""
    counts = example_counts(run)
    rows = []
    for task in run.tasks(0):
        cells: list[object] = [task, counts[task]]
        for k in SHOTS:
            if task not in run.tasks(k, SEEDS[0]):
                cells.append("-")
                continue
            scores = [100 * run.score(task, k, seed) for seed in SEEDS]
            spread = f"{max(scores) - min(scores):.2f}"
            cells.append(f"{spread} (order)" if k == counts[task] else spread)
        rows.append(cells)
    return table(["task", "examples there", *(f"k={k}" for k in SHOTS)], rows)


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
    new, found = re.subn(f"{BEGIN}\n.*?{END}", lambda _: f"{BEGIN}\n{block}\n{END}", old, flags=re.DOTALL)
    if found != 1:
        raise SystemExit(f"{DOCUMENT} must hold one {BEGIN} and one {END}, in this order.")
    DOCUMENT.write_text(new, encoding="utf-8")
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
