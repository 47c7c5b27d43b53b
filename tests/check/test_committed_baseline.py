"""The baseline of this repository is whole, small, and of the mini benchmark as it is now."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.check.baseline_file import Baseline, read_baseline
from harness.check.tolerance import read_tolerances
from harness.registry import Registry
from harness.report.item_pairs import item_columns

FOLDER = Path(__file__).resolve().parents[2] / "results" / "baselines"


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return read_baseline(FOLDER / "mini.parquet")


def test_it_holds_every_task_of_the_mini_benchmark_without_and_with_examples(baseline: Baseline) -> None:
    tasks = {part for task in Registry.load().benchmark("mini") for part in task.parts or (task.name,)}
    assert {(one["configuration"], one["task_name"]) for one in baseline.records} == {
        (configuration, task) for configuration in ("k0", "k3") for task in tasks
    }


def test_it_is_small_and_holds_what_a_paired_test_needs(baseline: Baseline) -> None:
    assert baseline.path.stat().st_size < 1_000_000
    for record in baseline.records:
        metric, task_type = record["identity"]["protocol"]["main_metric"], record["rows"][0]["task_type"]
        items = baseline.items(record["configuration"], record["task_name"])
        assert items.num_rows > 0
        assert set(item_columns(metric, task_type)) <= set(items.column_names)


def test_every_update_says_who_and_why(baseline: Baseline) -> None:
    for entry in baseline.history:
        assert entry.author
        assert len(entry.reason) > 10


def test_the_committed_tolerances_are_read_and_are_of_mini_tasks(baseline: Baseline) -> None:
    tolerances = read_tolerances(FOLDER / "mini-tolerances.yaml")
    assert tolerances.measured
    assert {one.task for one in tolerances.measured} <= {one["task_name"] for one in baseline.records}
