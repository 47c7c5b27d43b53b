"""A campaign that is killed goes on and ends with the files of an undisturbed one."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.runners.stable import stable_contents
from tests.toy import write_data, write_registry

pytestmark = pytest.mark.model

TYPES = ("STS", "Retrieval")
RECORDS = 2 * 3 * len(TYPES)  # models x k x tasks
KILLS = 3


def write_campaign(folder: Path, models: dict[str, Path]) -> Path:
    """Write 2 models x 3 k x 2 benchmarks of a toy task each."""
    registry, data = folder / "registry", folder / "data"
    for seed, task_type in enumerate(TYPES):
        file = write_registry(registry, task_type)
        write_data(data / f"Toy{task_type}", task_type, seed)
        name = "first" if seed < 1 else "second"
        file.write_text(file.read_text().replace("benchmarks: [toy]", f"benchmarks: [{name}]"))
    for style, model in models.items():
        shutil.copytree(model, folder / f"bge-en-icl-{style}")
    path = folder / "nightly.yaml"
    path.write_text(
        "models:\n"
        "  - {model: bge-en-icl-bytes, profile: bge-en-icl}\n"
        "  - {model: bge-en-icl-llama, profile: bge-en-icl}\n"
        "benchmarks: [first, second]\n"
        "num_fewshot: [0, 2, all]\n"
        "registry_dir: registry\n"
        "data_dir: data\n"
        "offline: true\n"
        "dtype: float32\n"
    )
    return path


def records(folder: Path) -> int:
    return len(list(folder.glob("results/campaigns/nightly/*/tasks/*/*.json")))


def run_to_the_end(folder: Path, cache: Path) -> None:
    from tests.campaign_child import start

    process = start(["run", "--quiet", "--config", "nightly.yaml"], cache=cache, folder=folder)
    process.join(900)
    assert process.exitcode == 0, (folder / "stderr.txt").read_text()[-2000:]


def run_and_kill(folder: Path, cache: Path, *, at_record: int, delay_seconds: float) -> None:
    """Start the campaign and kill it some time after the given number of finished tasks."""
    from tests.campaign_child import start

    process: Any = start(["run", "--quiet", "--config", "nightly.yaml"], cache=cache, folder=folder)
    deadline = time.monotonic() + 900
    while records(folder) < at_record and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay_seconds)
    process.kill()
    process.join(30)
    assert process.exitcode == -9, (folder / "stderr.txt").read_text()[-2000:]


class Workshop(NamedTuple):
    """One folder in which the campaign is done again and again: names of run directories depend on paths."""

    folder: Path
    undisturbed: dict[str, bytes]
    """Files of the campaign done in one go."""

    def assert_kills_leave_no_trace(self, rng: random.Random) -> None:
        shutil.rmtree(self.folder / "results")
        with tempfile.TemporaryDirectory() as cache:
            for at_record in sorted(rng.sample(range(1, RECORDS - 4), KILLS)):
                run_and_kill(self.folder, Path(cache), at_record=at_record, delay_seconds=rng.uniform(0, 0.25))
            run_to_the_end(self.folder, Path(cache))

        found = stable_contents(self.folder / "results")
        assert sorted(found) == sorted(self.undisturbed)
        assert [name for name in found if found[name] != self.undisturbed[name]] == []
        assert [path for path in (self.folder / "results").rglob(".*") if path.name != ".lock"] == []


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, model_dirs: dict[str, Path]) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    write_campaign(folder, model_dirs)
    run_to_the_end(folder, tmp_path_factory.mktemp("cache"))
    assert records(folder) == RECORDS
    return Workshop(folder, stable_contents(folder / "results"))


def test_campaign_killed_three_times_ends_with_the_files_of_an_undisturbed_one(workshop: Workshop) -> None:
    workshop.assert_kills_leave_no_trace(random.Random(20))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_campaign_killed_three_times_at_many_random_moments(workshop: Workshop, seed: int) -> None:
    workshop.assert_kills_leave_no_trace(random.Random(seed))


def test_stable_contents_show_a_changed_score_and_hide_a_changed_time(tmp_path: Path) -> None:
    from harness.store.atomic import write_json

    record = {"rows": [{"score": 0.5, "encode_seconds": 1.0}], "details": {"load_seconds": 1.0}}
    write_json(tmp_path / "a" / "record.json", record)
    write_json(tmp_path / "b" / "record.json", json.loads(json.dumps(record).replace("1.0", "2.0")))
    write_json(tmp_path / "c" / "record.json", json.loads(json.dumps(record).replace("0.5", "0.6")))

    first, second, third = (stable_contents(tmp_path / name) for name in "abc")

    assert first == second
    assert first != third
