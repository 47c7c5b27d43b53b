"""Each malformed file is refused with one line that says why and with the documented exit code."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness.check.baseline_file import read_baseline
from harness.check.baseline_update import update_baseline
from harness.check.tolerance import read_tolerances
from harness.errors import HarnessError
from harness.report.load import load_scores
from harness.store.stored_run import read_run
from tests.check.made import make_run
from tests.check.malformed import CASES, GOOD_TOLERANCES, Case

CREATED = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sound files of every kind; the baseline has three updates."""
    folder = tmp_path_factory.mktemp("sound")
    run = make_run(folder / "run")
    baseline = folder / "baseline.parquet"
    for number in range(3):
        other = make_run(folder / f"other{number}", seed=number)
        update_baseline(read_run(other), baseline, reason=f"update {number}", author="tester", created=CREATED)
    tolerances = folder / "tolerances.yaml"
    tolerances.write_text(GOOD_TOLERANCES, encoding="utf-8")
    return {"run": run, "scores": run, "baseline": baseline, "tolerances": tolerances}


def read(kind: str, path: Path) -> None:
    """Read everything there is, as `check` would."""
    if kind == "run":
        run = read_run(path)
        for record in run.records:
            run.items(record["configuration"], record["task_name"])
    elif kind == "scores":
        load_scores([path])
    elif kind == "baseline":
        read_baseline(path)
    else:
        read_tolerances(path)


def copy(kind: str, sound: dict[str, Path], folder: Path) -> Path:
    """Copy a sound file or directory."""
    source = sound[kind]
    (folder / "inner").mkdir(parents=True)
    target = folder / "inner" / source.name
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target


@pytest.mark.parametrize("kind", ["run", "scores", "baseline", "tolerances"])
def test_the_sound_file_that_all_cases_start_from_is_read(kind: str, sound: dict[str, Path], tmp_path: Path) -> None:
    read(kind, copy(kind, sound, tmp_path))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_file_is_refused_with_its_reason_and_exit_code(
    case: Case, sound: dict[str, Path], tmp_path: Path
) -> None:
    path = copy(case.kind, sound, tmp_path)
    case.spoil(path)
    with pytest.raises(HarnessError) as refused:
        read(case.kind, path)
    message = str(refused.value)
    assert refused.value.exit_code == case.code, message
    assert case.message in message
    assert str(path.parent) in message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 600


def test_the_corpus_has_the_promised_size_and_no_case_twice() -> None:
    assert len(CASES) >= 120
    assert not [name for name, count in Counter(case.name for case in CASES).items() if count > 1]
