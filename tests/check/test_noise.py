"""Noise: bounds hold for what they were measured on, and nothing that is no repeat is taken for one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.check.noise import FALSE_ALARMS, TASKS, bound_factor, measure_noise
from harness.check.tolerance import (
    SMALLEST_BOUND,
    START_POINTS,
    Measured,
    Tolerances,
    hardware_class,
    read_tolerances,
    write_tolerances,
)
from harness.cli.main import main
from harness.errors import ConfigError, HarnessError, IncomparableRunsError, IncompleteRunError
from harness.registry import Registry
from harness.store.stored_run import StoredRun, read_run
from tests.check.made import make_run

SHIFTS = (0.0, 0.0004, -0.0004, 0.0002, -0.0001, 0.0003)


def repeats(folder: Path, shifts: tuple[float, ...] = SHIFTS, **values: Any) -> list[StoredRun]:
    """Runs that differ by known amounts, as rounding would make them."""
    return [
        read_run(
            make_run(
                folder / f"r{number}",
                **{
                    "tasks": ["MadeSTS", "MadeTopics"],
                    "batch_tokens": 100 + number,
                    "shift": shift,
                    "manifest": {"run_id": f"run{number}"},
                    **values,
                },
            )
        )
        for number, shift in enumerate(shifts)
    ]


def test_the_bound_is_a_multiple_of_the_spread(tmp_path: Path) -> None:
    noise = measure_noise(repeats(tmp_path))
    assert [one.task for one in noise.measured] == ["MadeSTS", "MadeTopics"]
    for one in noise.measured:
        assert one.sigma == pytest.approx(100 * np.std(SHIFTS, ddof=1), rel=5e-3)
        least = 100 * 2 / 180 if one.task == "MadeTopics" else 0
        assert one.bound == pytest.approx(max(bound_factor(6) * one.sigma, least), rel=1e-2)
        assert (one.repeats, one.model, one.dtype, one.hardware) == (6, "org/made", "float32", "cpu: a processor")


def test_equal_scores_give_the_smallest_bound_and_a_warning(tmp_path: Path) -> None:
    noise = measure_noise(repeats(tmp_path, (0.0,) * 5))
    by_task = {one.task: one.bound for one in noise.measured}
    assert by_task["MadeSTS"] == 100 * SMALLEST_BOUND
    # Two of the 60 texts in three experiments, although no repeat has shown one turn over.
    assert by_task["MadeTopics"] == pytest.approx(100 * 2 / 180, rel=1e-2)
    assert {one.sigma for one in noise.measured} == {0}
    assert len(noise.warnings) == 1
    assert "equal scores" in noise.warnings[0]


@pytest.mark.parametrize("count", [5, 8, 20])
def test_a_further_difference_of_normal_noise_leaves_the_bound_as_seldom_as_promised(count: int) -> None:
    rng = np.random.default_rng(3)
    draws = 400_000
    spread = rng.standard_normal((draws // 20, count)).std(axis=1, ddof=1)
    difference = math.sqrt(2) * rng.standard_normal((draws // 20, 20))
    alarms = float((np.abs(difference) > bound_factor(count) * spread[:, None]).mean())
    assert alarms <= 2 * FALSE_ALARMS / TASKS


def test_the_multiples_are_those_that_the_page_names() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    assert "19 *s* for five repeats, 10 *s* for eight, 7 *s* for twenty and 5 *s* for very many" in page
    assert [round(bound_factor(count)) for count in (5, 8, 20, 10_000)] == [19, 10, 7, 5]


def test_the_start_values_are_those_that_the_page_names() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    for task_type, points in START_POINTS.items():
        lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
        assert [line[1] for line in lines if task_type in line[0].split(", ")] == [f"{points:.2f}"]


def test_the_configuration_with_the_most_noise_decides(tmp_path: Path) -> None:
    runs = repeats(tmp_path, configurations={"k0": 0, "k3": 3}, tasks=["MadeSTS"])
    for number, run in enumerate(runs):
        for record in run.records:
            if record["configuration"] == "k3":
                for row in record["rows"]:
                    row["score"] += 0.01 * number
    (one,) = measure_noise(runs).measured
    assert one.sigma > 1


def test_noise_of_more_than_half_a_point_gives_a_warning(tmp_path: Path) -> None:
    noise = measure_noise(repeats(tmp_path, (0, 0.006, 0, 0, 0)))
    assert "Look at padding and masks first" in noise.warnings[0]


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda runs: runs[:4], ConfigError, "4 runs; at least 5"),
        (lambda runs: [*runs, runs[0]], ConfigError, "named twice"),
        (lambda _: [], ConfigError, "no run was given"),
    ],
)
def test_too_few_repeats_are_refused(
    spoil: Callable[[list[StoredRun]], list[StoredRun]], error: type[HarnessError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        measure_noise(spoil(repeats(tmp_path)))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"batch_tokens": 512}, ConfigError, "same batch plan"),
        ({"manifest": {"status": "running", "run_id": "a"}}, IncompleteRunError, "'running'"),
        ({"manifest": {"machine": {}, "run_id": "a"}}, ConfigError, "on which hardware"),
    ],
)
def test_runs_that_say_nothing_about_rounding_are_refused(
    values: dict[str, Any], error: type[HarnessError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        measure_noise(repeats(tmp_path, **values))


def test_runs_of_other_weights_are_no_repeats(tmp_path: Path) -> None:
    runs = repeats(tmp_path / "a")
    runs[2] = repeats(tmp_path / "b", subject={"weights_sha": "c" * 64})[2]
    with pytest.raises(IncomparableRunsError, match="weights_sha is 'cccc"):
        measure_noise(runs)


def test_vectors_from_the_store_are_no_repeat(tmp_path: Path) -> None:
    runs = repeats(tmp_path)
    for record in runs[1].records:
        for row in record["rows"]:
            row["texts_encoded"] = 0
    with pytest.raises(ConfigError, match="--no-cache"):
        measure_noise(runs)


def test_each_dtype_is_measured_by_itself(tmp_path: Path) -> None:
    half = repeats(tmp_path / "b", tuple(10 * one for one in SHIFTS), subject={"dtype": "bfloat16"})
    by_dtype = {one.dtype: one.sigma for one in measure_noise([*repeats(tmp_path / "a"), *half]).measured}
    assert by_dtype["bfloat16"] == pytest.approx(10 * by_dtype["float32"], rel=1e-2)


# The file and its lookup.


def entry(**values: Any) -> Measured:
    return Measured(**{"task": "T", "model": "m", "dtype": "float32", "hardware": "cpu: x", "repeats": 8, "sigma": 0.001, "bound": 0.02, **values})  # fmt: skip


def test_a_tolerance_file_gives_back_what_was_written_and_is_valid_json_too(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    entries = [
        entry(),
        entry(dtype="bfloat16", sigma=1e-05, bound=3.0),
        entry(task="U", model="a: b # c", hardware="cuda: 'H'"),
    ]
    write_tolerances(path, Tolerances(entries))
    assert list(read_tolerances(path).measured) == entries
    (tmp_path / "t.json").write_text(json.dumps(yaml.safe_load(path.read_text())))
    assert list(read_tolerances(tmp_path / "t.json").measured) == entries


def test_a_measured_bound_is_for_its_model_dtype_and_hardware_alone() -> None:
    tolerances = Tolerances([entry()])
    found = tolerances.bound("T", "STS", model="m", dtype="float32", hardware="cpu: x")
    assert found.measured
    assert found.value == pytest.approx(0.0002)
    assert found.source == "measured: 8 repeats, cpu: x, float32"
    for other in ({"model": "n"}, {"dtype": "bfloat16"}, {"hardware": "cpu: y"}, {"hardware": ""}):
        start = tolerances.bound("T", "STS", **{"model": "m", "dtype": "float32", "hardware": "cpu: x", **other})
        assert not start.measured
        assert start.value == pytest.approx(0.0003)
        assert start.source == "start value, not measured: STS"


def test_every_task_type_of_the_registry_has_a_start_value() -> None:
    assert {str(task.task_type) for task in Registry.load()} <= set(START_POINTS)


def test_a_new_measurement_takes_the_place_of_the_old_one_alone() -> None:
    merged = Tolerances([entry(), entry(task="U")]).updated([entry(bound=0.5)])
    assert [(one.task, one.bound) for one in merged.measured] == [("T", 0.5), ("U", 0.02)]


def test_the_hardware_class_is_the_device_with_its_name() -> None:
    machine = {"processor": "AMD EPYC", "gpu": "NVIDIA H100"}
    assert hardware_class({"machine": machine, "model": {"device": "cpu"}}) == "cpu: AMD EPYC"
    assert hardware_class({"machine": machine, "model": {"device": "cuda:1"}}) == "cuda: NVIDIA H100"
    assert hardware_class({"machine": {}, "model": {"device": "cpu"}}) == ""
    assert hardware_class({}) == ""


# The command.


def test_the_command_measures_runs_and_keeps_other_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    write_tolerances(path, Tolerances([entry(task="Other")]))
    runs = [str(run.path) for run in repeats(tmp_path)]
    assert main(["noise", *runs, "--tolerance-file", str(path)]) == 0
    assert "6 repeats" in capsys.readouterr().out
    assert {one.task for one in read_tolerances(path).measured} == {"Other", "MadeSTS", "MadeTopics"}
    assert main(["noise", *runs, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give run directories"),
        (["nowhere", "--model", "embedded"], 2, "not both"),
        (["nowhere"], 2, "no such run directory"),
        (["--model", "embedded", "--repeats", "2"], 2, "repeats"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["noise", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_damaged_tolerance_file_is_told_before_anything_runs(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("x: 1\n")
    assert main(["noise", "--model", "embedded", "--benchmark", "mini", "--tolerance-file", str(path)]) == 5
    assert "not a tolerance file" in capsys.readouterr().err
    assert path.read_text() == "x: 1\n"
