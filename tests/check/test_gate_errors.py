"""The gate tested as it tests others: how often it alarms without a reason, and what it lets through.

Outcomes and noise are those of real runs: the committed baseline of the mini benchmark and the committed repeats' spread. The long
form (`make soak`) runs the models itself; benchmarks/results/gate-error-rates.md has its figures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gate import check_code, decide
from benchmarks.gate_faults import FAULTS
from benchmarks.gate_rates import Rate, drops, equal_quality, noise_real, noise_simulated, structural
from benchmarks.gate_simulation import MemoryResults, TaskPair, in_memory, pair_up, score
from harness.check.baseline_file import Baseline, read_baseline, task_score
from harness.store.stored_run import StoredRun, read_run

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "results" / "baselines" / "mini.parquet"
QUICK = ("MiniIntentClassification", "MiniRetrieval", "MiniSTS", "MiniTopicClustering")
quick = partial(decide, resamples=500)
SPREAD = {"MiniIntentClassification": 2e-4, "MiniReviewAspectClassification": 2e-4, "MiniTopicClustering": 5e-5}
"""Standard deviations of the embedded model's scores over batch plans, float32; other tasks did not move."""


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return read_baseline(BASELINE)


@pytest.fixture(scope="module")
def pairs(baseline: Baseline) -> list[TaskPair]:
    """Zero-shot and three-shot outcomes: two subjects that differ on many items."""
    found = pair_up(baseline, baseline, configurations=("k0", "k3"))
    return [pair for pair in found if pair.key[1] in QUICK]


def test_scores_follow_from_the_items_of_the_baseline(baseline: Baseline) -> None:
    for pair in pair_up(baseline, baseline):
        assert score(pair.metric, pair.task_type, pair.first) == pytest.approx(task_score(pair.record), abs=1e-5)


def test_rounding_alone_does_not_alarm(baseline: Baseline) -> None:
    rng = np.random.default_rng(0)
    repeats = []
    for number in range(6):
        noise = {name: sigma * (-1) ** number * np.sqrt(5 / 6) for name, sigma in SPREAD.items()}
        records = [
            {**one, "rows": [{**row, "score": row["score"] + noise.get(one["task_name"], 0)} for row in one["rows"]]}
            for one in baseline.records
        ]
        items = {
            (one["configuration"], one["task_name"]): baseline.items(one["configuration"], one["task_name"])
            for one in records
        }
        repeats.append(MemoryResults(baseline.manifest, records, items))
    rate = noise_simulated(quick, repeats, rng, 60, Rate("", ""))
    assert rate.gate <= 1
    assert rate.runs == 60


def test_a_changed_subject_of_equal_quality_seldom_alarms_where_a_flat_rule_always_does(
    baseline: Baseline, pairs: list[TaskPair]
) -> None:
    rate = equal_quality(quick, baseline.manifest, pairs, np.random.default_rng(1), 20, Rate("", ""))
    assert rate.gate <= 3  # five per cent of 20, and what chance adds to it in one of fifty campaigns
    assert rate.flat >= 18


def test_drops_of_five_standard_errors_are_found(baseline: Baseline, pairs: list[TaskPair]) -> None:
    rate = drops(quick, baseline.manifest, pairs, np.random.default_rng(2), 16, Rate("", ""), precise=False)
    assert rate.runs == 16
    assert rate.gate >= 13


def test_every_structural_fault_is_found(baseline: Baseline) -> None:
    found = list(structural(partial(check_code, baseline=BASELINE), baseline, [0]))
    assert [one.fault for one in found] == [fault.name for fault in FAULTS]
    assert [(one.fault, one.exit_code) for one in found if not one.found] == []


# The long form: real runs, made here.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., StoredRun]:
    """Maker of runs of all-MiniLM-L6-v2 on the mini benchmark."""
    from harness.config import build_config
    from harness.runners.run import execute

    folder = tmp_path_factory.mktemp("real")

    def run(name: str, **settings: Any) -> StoredRun:
        config = {
            "benchmark": "mini",
            "num_fewshot": "0",
            "offline": True,
            "no_cache": True,
            "output_dir": folder / name,
        }
        execute(build_config({"model": "all-MiniLM-L6-v2", **config, **settings}))
        return read_run(folder / name)

    return run


@pytest.mark.soak
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_at_most_one_clean_run_in_a_hundred_alarms(dtype: str, tmp_path: Path) -> None:
    from harness.config import build_config
    from harness.runners.repeats import run_repeats
    from harness.runners.run import RunHooks

    config = build_config(
        {"model": "all-MiniLM-L6-v2", "benchmark": "mini", "num_fewshot": "0", "offline": True, "dtype": dtype}
    )
    repeats = [in_memory(run) for run in run_repeats(config, 12, tmp_path, RunHooks())]
    rng = np.random.default_rng(3)
    assert noise_simulated(decide, repeats, rng, 1000, Rate("", "")).share <= 0.01
    if dtype == "float32":
        # In bfloat16 a batch plan that no repeat had can move k-means further than any bound (docs/ci.md).
        assert noise_real(decide, repeats, rng, 200, Rate("", "")).share <= 0.01


@pytest.mark.soak
def test_changed_subjects_of_equal_quality_and_drops_over_all_types(
    real: Callable[..., StoredRun], tmp_path: Path
) -> None:
    profile = tmp_path / "wrong-prompt.yaml"
    text = (ROOT / "harness" / "profiles" / "all-minilm-l6-v2.yaml").read_text(encoding="utf-8")
    profile.write_text(
        text.replace("name: all-minilm-l6-v2", "name: wrong-prompt").replace(
            '"{text}"', '"Instruct: {instruction}\\nQuery: {text}"'
        ),
        encoding="utf-8",
    )
    first, second = real("plain"), real("prompted", profile=str(profile))
    pairs = pair_up(first, second)
    assert len({pair.task_type for pair in pairs}) == 7
    rng = np.random.default_rng(4)
    equal = equal_quality(decide, first.manifest, pairs, rng, 200, Rate("", ""))
    assert equal.share <= 0.05
    dropped = drops(decide, first.manifest, pairs, rng, 200, Rate("", ""))
    assert dropped.share >= 0.95


@pytest.mark.soak
def test_every_structural_fault_is_found_in_tasks_of_all_kinds(baseline: Baseline) -> None:
    places = range(0, len(baseline.records), 5)
    found = list(structural(partial(check_code, baseline=BASELINE), baseline, places))
    assert len(found) == len(FAULTS) * len(places)
    assert [(one.fault, one.task, one.exit_code) for one in found if not one.found] == []
