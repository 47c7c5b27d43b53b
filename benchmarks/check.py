"""Measure `compare` and `check`: 50 configurations x 56 tasks, and the paired tests at 10,000 items.

    python benchmarks/check.py            (or --quick: a tenth of everything, nothing written)

Every command runs in a process of its own, imports included. Writes benchmarks/results/check-cpu.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(ROOT))
from measure import RESULTS, machine  # noqa: E402

KINDS = (
    ("STS", "cosine_spearman"),
    ("Classification", "accuracy"),
    ("Retrieval", "ndcg_at_10"),
    ("Clustering", "v_measure"),
)


def write_run(folder: Path, configurations: int, tasks: int, shift: float) -> Path:
    """Write a run directory of many configurations, as `run` writes one."""
    from harness.store.run_dir import RunDir, canonical_sha256
    from tests.check.made import MANIFEST, made_items, score_rows

    run = RunDir(folder)
    model = {"model_name": "org/made", "model_revision": "0" * 16, "weights_sha": "a" * 64, "dtype": "float32"}
    model["tokenization"] = "official"
    records = []
    items = {kind: made_items(kind, quality=0.6, seed=1) for kind, _ in KINDS}
    for number in range(configurations):
        for place in range(tasks):
            kind, metric = KINDS[place % len(KINDS)]
            name = f"Task{place:02d}"
            subject = {
                **model,
                "prompt_fingerprint": canonical_sha256([name, number]),
                "num_fewshot": number,
                "examples_set": "curated",
                "instructions": "default",
                "tokenization": "official",
                "query_max_tokens": 512,
                "document_max_tokens": 512,
                "normalized": True,
            }
            protocol = {
                "task_name": name,
                "dataset_revision": "r",
                "main_metric": metric,
                "splits": ["test"],
                "subsets": ["default"],
                "limit": 0,
                "seed": 42,
                "mteb_version": "2.26.24",
            }
            identity = {"subject": subject, "protocol": protocol}
            score, table = items[kind]
            rows = score_rows(identity, f"k{number}", kind, metric, score + shift, "0123456789ab")
            # mteb gives dozens of metrics a task; the main one is the first.
            rows += [rows[1].model_copy(update={"metric": f"other_{one}"}) for one in range(30)]
            records.append(
                run.write_task(
                    f"k{number}", name, identity=identity, rows=rows, items=table, mteb_result={}, details={}
                )
            )
    named = [{key: one[key] for key in ("configuration", "task_name", "result_key", "details")} for one in records]
    run.write_manifest({**MANIFEST, "model": {**model, "device": "cpu", "label": ""}, "tasks": named})
    return folder


def command_seconds(*arguments: str) -> tuple[float, float, int]:
    """Return the CPU seconds, the wall seconds and the exit code of a command in a fresh process."""
    started, before = time.perf_counter(), os.times()
    command = [sys.executable, str(ROOT / "run_eval.py"), *arguments]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - started, done.returncode


def cpu_seconds(call: Any) -> float:
    """Return the CPU seconds of the second of two equal calls, whose results must be equal bit for bit."""
    first = call()
    started = time.process_time()
    second = call()
    took = time.process_time() - started
    if first != second:
        raise SystemExit("two equal calls gave different results; nothing was written")
    return took


def paired_tests(items: int, resamples: int) -> list[dict[str, Any]]:
    """Time the paired test of each kind of task."""
    from harness.check.significance import paired_test

    rng = np.random.default_rng(0)
    keys = {
        "split": ["test"] * items,
        "hf_subset": ["default"] * items,
        "experiment": np.zeros(items, dtype=np.int64),
        "item": np.arange(items).astype(str),
    }
    gold = rng.integers(0, 26, items) / 5.0
    label = (rng.random(items) < 0.3).astype(float)
    found = []
    for what, task_type, metric, make in (
        ("sign flips, every difference another", "Retrieval", "ndcg_at_10", lambda: {"ndcg_cut_10": rng.random(items)}),
        ("sign flips, right or wrong", "Classification", "accuracy", lambda: {"correct": rng.random(items) < 0.7}),
        (
            "bootstrap, Spearman",
            "STS",
            "cosine_spearman",
            lambda: {"gold": gold, "cosine_scores": gold / 5 + rng.normal(0, 0.3, items)},
        ),
        (
            "bootstrap, average precision",
            "PairClassification",
            "cosine_ap",
            lambda: {"gold": label, "cosine_scores": label + rng.normal(0, 1, items)},
        ),
    ):
        sides = [pa.table({**keys, **make()}) for _ in range(2)]
        row = {"metric": metric, "task_type": task_type, "split": "test", "hf_subset": "default", "is_main": True}
        record = {"task_name": "Made", "rows": [row]}
        took = cpu_seconds(lambda record=record, sides=sides: paired_test(record, *sides, resamples=resamples))  # type: ignore[misc]
        found.append({"what": f"{what}, {items:,} items x {resamples:,}", "cpu_seconds": took})
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    scale = 10 if parser.parse_args().quick else 1
    tests = paired_tests(10_000 // scale, 10_000 // scale)
    lines = []
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        count = 50 // scale
        base = write_run(Path(folder) / "base", count, 56, 0.0)
        other = write_run(Path(folder) / "other", count, 56, 0.0001)
        baseline = Path(folder) / "base.parquet"
        reason = ["--reason", "made", "--author", "nobody"]
        command_seconds("baseline", "update", str(base), "--baseline", str(baseline), *reason)
        for what, arguments in (
            ("check", ["check", str(other), "--baseline", str(baseline)]),
            ("compare", ["compare", str(base), str(other)]),
        ):
            took = [command_seconds(*arguments) for _ in range(3)]
            cpu, wall, code = sorted(took)[1]
            title = f"{what}, {count} configurations x 56 tasks"
            lines.append({"what": title, "cpu_seconds": cpu, "wall_seconds": wall, "exit": code})
            print(lines[-1], flush=True)
    if scale == 1:
        about = machine(1, "cpu")
        text = [
            "# Speed of compare and check",
            "",
            f"{about['date']}, {about['processor']}, load {about['load']}. Command: `{about['command']}`. CPU seconds. Commands: "
            "median of three processes, start and imports included. Tests: a second call gave the same bits.",
            "",
            "| | CPU seconds | target |",
            "|--|--|--|",
            *(f"| {one['what']} | {one['cpu_seconds']:.2f} | < 3 |" for one in lines),
            *(
                f"| {one['what']} | {one['cpu_seconds']:.2f} | {'< 2' if one['what'].startswith('sign') else '< 10'} |"
                for one in tests
            ),
        ]
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "check-cpu.md").write_text("\n".join(text) + "\n", encoding="utf-8")
        document = {"machine": about, "commands": lines, "tests": tests}
        (RESULTS / "check-cpu.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
