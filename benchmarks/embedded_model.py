"""The embedded model's evaluation: tables of its model card, from run directories.

    make study STUDY_DIR=RUNS                        (makes RUNS/mini, tweets, newsgroups)
    sh benchmarks/embedded_model.sh DATA_DIR RUNS    (makes the other runs)
    python benchmarks/embedded_model.py RUNS         (prints the tables)

RUNS holds the study's runs of the embedded model (k=0, and more examples as three seeds chose and ordered them), `embedded-precise` (the probe with the precise
instruction) and, at k=0, `bag-of-words`, `tfidf`, `static-bag` and `all-MiniLM-L6-v2`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from paired_runs import SEEDS, Run, Side, difference, table

PROBES = ("MiniProbeSeen", "MiniProbeUnseen")
BASELINES = ("tfidf", "static-bag")
MODELS = ("bag-of-words", "tfidf", "static-bag", "embedded", "all-MiniLM-L6-v2")


def zero_shot(runs: dict[str, Run]) -> str:
    """Zero-shot scores of all models, and the embedded one's lead."""
    rows = []
    for task in runs["embedded"].tasks(0):
        scores = [
            f"{100 * runs[model].score(task, 0):.2f}" if task in runs[model].tasks(0) else "-" for model in MODELS
        ]
        leads: list[object] = [
            difference(task, [(Side(runs[name], 0), Side(runs["embedded"], 0))]) if task in runs[name].tasks(0) else "-"
            for name in BASELINES
        ]
        rows.append([task, *scores, *leads])
    return table(["task", *MODELS, *(f"embedded - {name}" for name in BASELINES)], rows)


def few_shot(run: Run) -> str:
    """Three examples against none, over the seeds."""
    rows = []
    for task in run.tasks(3, SEEDS[0]):
        if task in PROBES:
            continue
        each = ", ".join(f"{100 * run.score(task, 3, seed):.2f}" for seed in SEEDS)
        pairs = [(Side(run, 0), Side(run, 3, seed)) for seed in SEEDS]
        rows.append([task, f"{100 * run.score(task, 0):.2f}", each, difference(task, pairs)])
    return table(["task", "k=0", "k=3, seeds 1, 2, 3", "k=3 - k=0"], rows)


def probe(run: Run, shots: Sequence[int]) -> str:
    """The probe at every number of examples."""
    rows = []
    for task in PROBES:
        row: list[object] = [task, f"{100 * run.score(task, 0):.2f}"]
        row += [f"{sum(100 * run.score(task, k, seed) for seed in SEEDS) / len(SEEDS):.2f}" for k in shots]
        row.append(difference(task, [(Side(run, 0), Side(run, 5, seed)) for seed in SEEDS]))
        rows.append(row)
    spread = "; ".join(
        f"{task} {', '.join(f'{100 * run.score(task, 5, seed):.2f}' for seed in SEEDS)}" for task in PROBES
    )
    head = ["task", "k=0", *(f"k={k}" for k in shots), "k=5 - k=0"]
    return f"{table(head, rows)}\n\nSeeds 1, 2, 3 at k=5: {spread}."


def main() -> None:
    """Print all tables."""
    folder = Path(sys.argv[1])
    runs = {name: Run(folder / name) for name in (*MODELS, "embedded-precise") if name != "embedded"}
    runs["embedded"] = Run(*(folder / name for name in ("mini", "tweets", "newsgroups")))
    print("Zero-shot\n\n" + zero_shot(runs))
    print("\nExamples on the other tasks\n\n" + few_shot(runs["embedded"]))
    print("\nProbe, vague instruction\n\n" + probe(runs["embedded"], (1, 3, 5, 8)))
    print("\nProbe, precise instruction\n\n" + probe(runs["embedded-precise"], (3, 5)))


if __name__ == "__main__":
    main()
