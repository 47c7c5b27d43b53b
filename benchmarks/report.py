"""`report` on a full-size set of runs: seconds, imported packages, sizes of the page.

    python benchmarks/report.py [--models 50] [--keep DIR]

Makes runs of 50 models on the 56 tasks of MTEB(eng, v1), each with 0 and with 3 examples and with per-item files of realistic
size, then times `icl-harness report` in fresh processes: without intervals, with them for the first time (every resample
computed), and again (read from the memo below HARNESS_CACHE). Prints a markdown table. The page of 200 models is made
from scores alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.registry import RegisteredTask, Registry  # noqa: E402
from harness.store.schema import ScoreRow, arrow_schema  # noqa: E402

BENCHMARK = "MTEB(eng, v1)"
# Items of one evaluation: experiments x items. Typical of the benchmark's tasks; its largest (AmazonPolarity: 400,000 texts
# in 10 experiments) are left out, as the files of 100 rows would not fit.
SIZES = {
    "Classification": (10, 2000),
    "Clustering": (10, 500),
    "PairClassification": (1, 10_000),
    "Reranking": (1, 1000),
    "Retrieval": (1, 1000),
    "STS": (1, 2000),
    "Summarization": (100, 16),
}
RANKED = [
    f"{name}_{k}" for name in ("ndcg_cut", "map_cut", "recall", "P", "success") for k in (1, 3, 5, 10, 20, 100, 1000)
]
METRICS = 20
"""Metrics of a task beside the main one."""


def items(task: RegisteredTask, rng: np.random.Generator, scale: float) -> tuple[pa.Table, float]:
    """Return the items of one evaluation and the main score that they give."""
    from harness.report.resample import spearman, v_measure

    experiments, count = SIZES[task.task_type]
    count = max(16, int(count * scale))
    experiment, item = np.repeat(np.arange(experiments), count), np.tile(np.arange(count), experiments)
    size = experiments * count
    gold_rng = np.random.default_rng(len(task.name))  # the same for every model
    columns: dict[str, Any] = {}
    if task.task_type == "Classification":
        gold = gold_rng.integers(0, 10, count)[item]
        correct = rng.random(size) < 0.7
        columns = {"gold": gold.astype(str), "prediction": gold.astype(str), "correct": correct}
        score = float(correct.mean())
    elif task.task_type == "Clustering":
        gold = gold_rng.integers(0, 10, size)
        cluster = np.where(rng.random(size) < 0.5, gold, rng.integers(0, 10, size))
        columns = {"gold": gold.astype(str), "cluster": cluster}
        places = [experiment == one for one in range(experiments)]
        score = float(np.mean([v_measure(gold[place], cluster[place]) for place in places]))
    elif task.task_type in ("Retrieval", "Reranking"):
        columns = {name: rng.random(size).round(5) for name in RANKED}
        # The other metric of these types, a maximum over sub-queries, is not among the items.
        metric = task.main_metric.replace("ndcg_at", "ndcg_cut").replace("map_at", "map_cut")
        score = float(columns.get(metric, columns["map_cut_1000"]).mean())
    elif task.task_type == "PairClassification":
        from sklearn.metrics import average_precision_score

        gold = (gold_rng.random(size) < 0.3).astype(float)
        cosine = gold + rng.normal(size=size)
        columns = {"gold": gold, **{f"{one}_scores": cosine for one in ("similarity", "cosine", "dot")}}
        columns |= {f"{one}_distances": -cosine for one in ("manhattan", "euclidean")}
        score = float(average_precision_score(gold, cosine))
    else:
        gold = gold_rng.normal(size=size)
        cosine = gold + rng.normal(size=size)
        columns = {"gold": gold, "cosine_scores": cosine}
        places = [experiment == one for one in range(experiments)]
        score = float(np.mean([spearman(gold[place], cosine[place]) for place in places]))
    keys = {
        "split": pa.array([task.splits[0]] * size),
        "hf_subset": pa.array([task.subsets[0]] * size),
        "experiment": pa.array(experiment),
        "item": pa.array(item.astype(str)),
    }
    return pa.table({**keys, **columns}), score


def units(registry: Registry) -> list[RegisteredTask]:
    """Return the evaluations of the benchmark: its tasks, and the parts of CQADupstack instead of the whole."""
    return [registry.get(name) for task in registry.benchmark(BENCHMARK) for name in (task.parts or (task.name,))]


def write_run(folder: Path, model: int, registry: Registry, *, scale: float | None) -> None:
    """Write a run of one model with 0 and with 3 examples; without a scale it has no items."""
    rows = []
    for shots in (0, 3):
        for number, task in enumerate(units(registry)):
            rng = np.random.default_rng([model, shots, number])
            score = float(rng.random())
            if scale is not None:
                table, score = items(task, rng, scale)
                path = folder / "items" / f"k{shots}" / f"{task.name}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table, path, compression="zstd")
            for metric in (task.main_metric, *(f"metric_{place}" for place in range(METRICS))):
                rows += [
                    ScoreRow(
                        model_name=f"org/model-{model:03d}",
                        model_revision=f"{model:040x}",
                        model_label="",
                        configuration=f"k{shots}",
                        num_fewshot=shots,
                        examples_set="curated" if shots else "none",
                        instructions="default",
                        prompt_fingerprint=f"{shots}{number:063x}",
                        task_name=task.name,
                        task_type=task.task_type,
                        part_of=task.part_of or "",
                        split=split,
                        hf_subset=subset,
                        metric=metric,
                        score=score,
                        is_main=metric == task.main_metric,
                        dataset_revision="0" * 40,
                        partial=False,
                        limit=0,
                        dtype="float32",
                        tokenization="official",
                        query_max_tokens=512,
                        document_max_tokens=512,
                        normalized=True,
                        texts=4000,
                        texts_encoded=4000,
                        encode_seconds=10.0 + shots,
                        evaluation_seconds=12.0 + shots,
                        mteb_version="2.26.24",
                        result_key=f"{model:08x}{shots:08x}{number:048x}",
                        run_id=f"run{model}",
                    ).model_dump()
                    for split in task.splits[:1]
                    for subset in task.subsets[:1]
                ]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()), folder / "scores.parquet")
    (folder / "manifest.json").write_text(f'{{"run_id": "run{model}", "status": "complete"}}', encoding="utf-8")


def report(runs: list[Path], out: Path, cache: Path, *more: str) -> tuple[float, float, list[str]]:
    """Run `report` in a fresh process; return its seconds, those of the processor, and the heavy packages it imported."""
    code = (
        "import sys; from harness.cli.main import main; code = main(sys.argv[1:]); "
        "print('IMPORTED', *[name for name in ('torch', 'mteb', 'transformers', 'datasets') if name in sys.modules]); "
        "raise SystemExit(code)"
    )
    command = [sys.executable, "-c", code, "report", *map(str, runs), "--output-dir", str(out), *more]
    started, before = time.perf_counter(), _processor_seconds()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "HARNESS_CACHE": str(cache)}, cwd=ROOT, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return seconds, _processor_seconds() - before, done.stdout.rsplit("IMPORTED", 1)[1].split()


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--page-models", type=int, default=200)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the items; a report from the memo reads none")
    parser.add_argument("--keep", type=Path, help="folder for the runs; kept and used again")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    registry = Registry.load()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        runs = [folder / f"run-{model:03d}" for model in range(arguments.models)]
        for model, run in enumerate(runs):
            if not (run / "manifest.json").is_file():
                write_run(run, model, registry, scale=arguments.scale)
        size = sum(path.stat().st_size for run in runs for path in run.rglob("*.parquet"))
        cache, out = Path(temporary) / "cache", Path(temporary) / "out"
        all_formats = ("--format", "md,parquet,csv,latex,html")
        cases = {
            "without intervals": (*all_formats, "--no-intervals"),
            "with intervals, first report": all_formats,
            "with intervals, again": all_formats,
        }
        print(
            f"{arguments.models} models x {len(registry.benchmark(BENCHMARK))} tasks x 2 rows, items x {arguments.scale:g}, {size / 1e6:,.0f} MB of parquet\n"
        )
        print("| report | seconds (best of runs) | of the processor | page, kB | torch, mteb imported |")
        print("|--|--:|--:|--:|--|")
        for name, more in cases.items():
            repeats = 1 if "first" in name else arguments.repeats
            found = [report(runs, out, cache, *more) for _ in range(repeats)]
            page = (out / "leaderboard.html").stat().st_size
            print(
                f"| {name} | {min(one[0] for one in found):.2f} | {min(one[1] for one in found):.2f} | {page / 1e3:,.0f} "
                f"| {', '.join(found[0][2]) or 'no'} |",
                flush=True,
            )
        many = []
        for model in range(arguments.page_models):
            many.append(Path(temporary) / "many" / f"run-{model:03d}")
            write_run(many[-1], model, registry, scale=None)
        seconds, processor, _ = report(many, out, cache, "--format", "html", "--no-intervals")
        page = (out / "leaderboard.html").stat().st_size
        print(f"| {arguments.page_models} models, page only | {seconds:.2f} | {processor:.2f} | {page / 1e3:,.0f} | |")


if __name__ == "__main__":
    main()
