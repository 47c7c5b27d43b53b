"""`run`: resuming, reuse, refusals and what is written."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.config import RunConfig, build_config
from harness.encoder.decoder import DecoderEncoder
from harness.errors import ConfigError, FewShotError, RunLockedError, TaskNotFoundError
from harness.runners.run import RunHooks, RunSummary, execute
from harness.store.run_dir import RunDir
from tests.toy import write_data, write_registry, write_toy_benchmark

pytestmark = pytest.mark.model

PAIR = ("STS", "Retrieval")


@dataclass
class Toy:
    """A toy benchmark and a model of one test."""

    folder: Path
    model: Path
    registry: Path
    data: Path

    def config(self, **changes: Any) -> RunConfig:
        """Return the settings of a run over the toy benchmark."""
        settings: dict[str, Any] = {
            "model": str(self.model),
            "profile": "bge-en-icl",
            "benchmark": "toy",
            "registry_dir": (self.registry,),
            "data_dir": self.data,
            "num_fewshot": "0,2",
            "output_dir": self.folder / "out",
            "no_cache": True,
        }
        return build_config({**settings, **changes})

    def run(self, **changes: Any) -> RunSummary:
        """Run it."""
        return execute(self.config(**changes))


@pytest.fixture
def toy(tmp_path: Path, model_dirs: dict[str, Path]) -> Toy:
    """Two toy tasks and a copy of a tiny model."""
    registry, data = write_toy_benchmark(tmp_path, PAIR)
    model = tmp_path / "bge-en-icl-toy"
    shutil.copytree(model_dirs["bytes"], model)
    return Toy(tmp_path, model, registry, data)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path / "scores.parquet").to_pylist()


def main_scores(path: Path) -> dict[tuple[str, str], float]:
    return {(row["configuration"], row["task_name"]): row["score"] for row in rows_of(path) if row["is_main"]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_same_command_again_evaluates_and_encodes_nothing(toy: Toy) -> None:
    first = toy.run()
    before = main_scores(first.path)

    again = toy.run()

    assert (first.evaluated, first.reused, first.exit_code) == (4, 0, 0)
    assert (again.evaluated, again.reused, again.encoded) == (0, 4, 0)
    assert main_scores(again.path) == before


def test_the_leaderboard_is_made_once_when_all_scores_are_there(toy: Toy) -> None:
    seen: list[int] = []
    hooks = RunHooks(render=lambda path: seen.append(len(main_scores(path))))

    execute(toy.config(num_fewshot="0"), hooks)
    execute(toy.config(), hooks)
    execute(toy.config(), hooks)

    assert seen == [2, 4, 4]


def test_the_command_prints_the_leaderboard_that_it_wrote_without_making_it_again(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli.main import main
    from harness.report import files, leaderboard

    made: list[str] = []

    def counted(*args: Any, **names: Any) -> Any:
        made.append("leaderboard")
        return leaderboard.build_leaderboards(*args, **names)

    monkeypatch.setattr(files, "build_leaderboards", counted)
    command = ["run", "--model", str(toy.model), "--profile", "bge-en-icl", "--benchmark", "toy", "--num-fewshot", "0"]
    command += ["--registry-dir", str(toy.registry), "--data-dir", str(toy.data), "--no-cache"]
    command += ["--output-dir", str(toy.folder / "out")]

    assert main(command) == 0

    assert made == ["leaderboard"]
    assert "toy (2 tasks)" in capsys.readouterr().out
    assert "# toy (2 tasks)" in (toy.folder / "out" / "leaderboard.md").read_text(encoding="utf-8")


def test_interrupted_run_goes_on_with_the_first_unfinished_task(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.runners import evaluate as module

    calls = 0
    original = module.evaluate_unit

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "evaluate_unit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy.run()
    after_kill = rows_of(toy.folder / "out")
    monkeypatch.setattr(module, "evaluate_unit", original)

    rest = toy.run()
    straight = toy.run(output_dir=toy.folder / "straight")

    assert len({(row["configuration"], row["task_name"]) for row in after_kill}) == 2
    assert (rest.evaluated, rest.reused) == (2, 2)
    assert main_scores(rest.path) == main_scores(straight.path)


def test_changed_example_repeats_exactly_the_tasks_that_use_it(toy: Toy) -> None:
    toy.run()

    edit(toy.registry / "ToySTS.yaml", "STS query 1", "STS query one")
    again = toy.run()

    # k0 shows no example, so only STS at k2 has another prompt.
    assert (again.evaluated, again.reused) == (1, 3)


def test_example_beyond_k_is_not_part_of_the_identity(toy: Toy) -> None:
    toy.run()

    edit(toy.registry / "ToySTS.yaml", "STS query 5", "STS query five")

    assert toy.run().evaluated == 0


def test_changed_instruction_repeats_the_task_at_every_k(toy: Toy) -> None:
    toy.run()

    edit(toy.registry / "ToyRetrieval.yaml", "Work on the toy", "Search the toy")
    again = toy.run()

    assert (again.evaluated, again.reused) == (2, 2)


def test_changed_weight_repeats_everything(toy: Toy) -> None:
    first = toy.run()
    revision = rows_of(first.path)[0]["model_revision"]
    weights = toy.model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(bytes(content))

    again = toy.run()

    assert (again.evaluated, again.reused) == (4, 0)
    assert {row["model_revision"] for row in rows_of(again.path)} != {revision}


def test_changed_data_repeats_the_task_and_changes_the_dataset_revision(toy: Toy) -> None:
    first = toy.run()
    before = {row["task_name"]: row["dataset_revision"] for row in rows_of(first.path)}

    write_data(toy.data / "ToySTS", "STS", seed=99)
    again = toy.run()

    after = {row["task_name"]: row["dataset_revision"] for row in rows_of(again.path)}
    assert (again.evaluated, again.reused) == (2, 2)
    assert after["ToySTS"] != before["ToySTS"]
    assert after["ToyRetrieval"] == before["ToyRetrieval"]


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "bfloat16"},
        {"query_max_tokens": 64},
        {"document_max_tokens": 16},
        {"tokenization": "clean"},
        {"instructions": "mteb"},
        {"limit": 4},
        {"splits": "dev"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_output_directory_of_another_configuration_is_refused(toy: Toy, change: dict[str, Any]) -> None:
    config = toy.config()
    run = RunDir(config.run_path())
    run.write_manifest({"configuration": config.configuration(), "run_id": "x"})

    with pytest.raises(ConfigError, match=r"holds a run of another configuration") as caught:
        run.open_for(toy.config(**change).configuration())

    assert next(iter(change)) in str(caught.value)


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"query_max_tokens": 64}, {"tokenization": "clean"}])
def test_result_key_changes_with_dtype_length_and_tokenization(toy: Toy, change: dict[str, Any]) -> None:
    plain = toy.run(tasks="ToySTS", benchmark=None, num_fewshot="0")
    other = toy.run(tasks="ToySTS", benchmark=None, num_fewshot="0", output_dir=toy.folder / "other", **change)

    assert rows_of(plain.path)[0]["result_key"] != rows_of(other.path)[0]["result_key"]


def test_run_directory_grows_by_further_tasks_and_k(toy: Toy) -> None:
    toy.run(tasks="ToySTS", benchmark=None, num_fewshot="0")

    grown = toy.run(num_fewshot="0,1")

    assert (grown.evaluated, grown.reused) == (3, 1)
    assert set(main_scores(grown.path)) == {(k, f"Toy{name}") for k in ("k0", "k1") for name in PAIR}


def test_tasks_of_an_earlier_command_stay_in_the_scores(toy: Toy) -> None:
    toy.run(tasks="ToySTS", benchmark=None, num_fewshot="0")

    second = toy.run(tasks="ToyRetrieval", benchmark=None, num_fewshot="0")

    assert set(main_scores(second.path)) == {("k0", "ToySTS"), ("k0", "ToyRetrieval")}


def test_documents_are_encoded_once_for_all_k(toy: Toy) -> None:
    toy.run(tasks="ToyRetrieval", benchmark=None, num_fewshot="0,1,3,all")

    texts = {row["configuration"]: row["texts_encoded"] for row in rows_of(toy.folder / "out") if row["is_main"]}

    assert texts["k0"] == 39  # 30 documents and 9 queries
    assert texts["k1"] == texts["k3"] == texts["kall"] == 9


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that no other test has filled."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_second_run_in_a_new_directory_encodes_nothing(toy: Toy, own_cache: Path) -> None:
    first = toy.run(no_cache=False)

    second = toy.run(no_cache=False, output_dir=toy.folder / "second")

    assert first.encoded > 0
    assert (second.evaluated, second.encoded) == (4, 0)
    assert main_scores(second.path) == main_scores(first.path)
    assert list((own_cache / "embeddings").rglob("*.safetensors"))


def test_no_cache_neither_uses_nor_fills_the_store(toy: Toy, own_cache: Path) -> None:
    toy.run(no_cache=True)

    again = toy.run(no_cache=True, output_dir=toy.folder / "second")

    assert again.encoded > 0
    assert not list(own_cache.rglob("*.safetensors"))


def test_store_misses_what_another_example_or_weight_changes(toy: Toy, own_cache: Path) -> None:
    toy.run(no_cache=False)
    edit(toy.registry / "ToySTS.yaml", "STS query 1", "STS query one")

    other_example = toy.run(no_cache=False, output_dir=toy.folder / "second")
    weights = toy.model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(bytes(content))
    other_weight = toy.run(no_cache=False, output_dir=toy.folder / "third")

    assert other_example.encoded == 48  # the 24 pairs of STS at k2; everything else came from the store
    assert other_weight.encoded == other_weight.texts - 30  # only the documents are shared, by the two k


def test_more_examples_than_there_are_is_refused_naming_all(toy: Toy) -> None:
    with pytest.raises(FewShotError, match=r"'ToySTS' has 6 examples .* --num-fewshot 7 .*Use --num-fewshot all"):
        toy.run(num_fewshot="7")

    assert not (toy.folder / "out").exists()


def test_all_uses_every_example_of_each_task(toy: Toy) -> None:
    write_registry(toy.registry, "STS", examples=3)

    toy.run(num_fewshot="all")

    shots = {row["task_name"]: row["num_fewshot"] for row in rows_of(toy.folder / "out")}
    assert shots == {"ToySTS": 3, "ToyRetrieval": 6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": "ToySTSS", "benchmark": None}, r"'ToySTSS' is not in the registry\. Did you mean 'ToySTS'"),
        ({"benchmark": "toyy"}, r"benchmark 'toyy' is not known\. Did you mean 'toy'"),
        ({"profile": "bge-en-icll"}, r"profile 'bge-en-icll' is not known\. Did you mean 'bge-en-icl'"),
        ({"model": "embeded"}, r"model 'embeded' is no directory.* Did you mean 'embedded'"),
        ({"benchmark": None}, r"nothing to run: give --benchmark or --tasks"),
        ({"data_dir": Path("nowhere")}, r"--data-dir 'nowhere' is no folder"),
        ({"num_fewshot": "three"}, r"--num-fewshot 'three': a whole number"),
        ({"num_fewshot": "1,1"}, r"names a value twice"),
        ({"dtype": "float8"}, r"--dtype 'float8' is not one of"),
        ({"limit": 0}, r"--limit 0"),
    ],
)
def test_wrong_settings_are_one_line_before_anything_loads(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(DecoderEncoder, "__init__", lambda *_, **__: pytest.fail("weights were loaded"))

    with pytest.raises(ConfigError, match=message) as caught:
        toy.run(**change)

    assert len(str(caught.value).splitlines()) == 1


def test_task_outside_the_registry_runs_only_zero_shot(toy: Toy) -> None:
    from harness.runners.run import plan_run

    with pytest.raises(TaskNotFoundError, match="runs with --num-fewshot 0"):
        toy.run(tasks="NFCorpus-PL", benchmark=None)

    units, _ = plan_run(toy.config(tasks="NFCorpus-PL", benchmark=None, num_fewshot="0"))
    assert units[0].entry is None


def test_bad_vectors_fail_one_task_and_the_others_finish(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    original = DecoderEncoder.encode

    def poisoned(self: Any, texts: Any, prompt: Any, side: str, *args: Any) -> Any:
        vectors, truncated = original(self, texts, prompt, side, *args)
        if "STS" in prompt.instruction:
            vectors[0] = np.nan
        return vectors, truncated

    monkeypatch.setattr(DecoderEncoder, "encode", poisoned)
    summary = toy.run(num_fewshot="0")

    assert summary.exit_code == 5
    assert list(summary.failures) == ["k0/ToySTS"]
    assert "is not finite" in str(summary.failures["k0/ToySTS"])
    assert set(main_scores(summary.path)) == {("k0", "ToyRetrieval")}
    assert json.loads((summary.path / "manifest.json").read_text())["status"] == "incomplete"


def test_damaged_record_is_set_aside_and_repeated(toy: Toy) -> None:
    first = toy.run(num_fewshot="0")
    record = first.path / "tasks" / "k0" / "ToySTS.json"
    text = record.read_text()
    digit = next(at for at, char in enumerate(text) if char.isdigit() and char not in "01")
    record.write_text(text[:digit] + "1" + text[digit + 1 :])

    again = toy.run(num_fewshot="0")

    assert (again.evaluated, again.reused) == (1, 1)
    assert record.with_suffix(".json.corrupt").exists()


def test_damaged_items_repeat_the_task(toy: Toy) -> None:
    first = toy.run(num_fewshot="0")
    (first.path / "items" / "k0" / "ToySTS.parquet").write_bytes(b"PAR1")

    assert toy.run(num_fewshot="0").evaluated == 1


def test_locked_run_directory_is_a_temporary_failure(toy: Toy) -> None:
    with RunDir(toy.folder / "out").lock(), pytest.raises(RunLockedError, match="another process") as caught:
        toy.run()

    assert caught.value.exit_code == 75


def test_foreign_folder_is_refused(toy: Toy) -> None:
    out = toy.folder / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("x")

    with pytest.raises(ConfigError, match=r"holds files that are no run \(thesis\.tex\)"):
        toy.run()


def test_limit_marks_every_row_partial(toy: Toy) -> None:
    summary = toy.run(limit=3, num_fewshot="0")

    assert {(row["partial"], row["limit"]) for row in rows_of(summary.path)} == {(True, 3)}
    retrieval = next(row for row in rows_of(summary.path) if row["task_name"] == "ToyRetrieval")
    assert retrieval["texts"] < 39


def test_manifest_holds_identity_and_provenance(toy: Toy) -> None:
    manifest = json.loads((toy.run(num_fewshot="1").path / "manifest.json").read_text())

    assert manifest["status"] == "complete"
    assert manifest["model"]["weights_sha"] and manifest["model"]["tokenizer_sha"]
    assert {"torch", "transformers", "mteb"} <= set(manifest["packages"])
    assert {task["task_name"] for task in manifest["tasks"]} == {"ToySTS", "ToyRetrieval"}
    assert all(len(task["prompt_fingerprint"]) == 64 for task in manifest["tasks"])
    assert manifest["machine"]["python"] and manifest["started"] and manifest["finished"]


def test_mteb_result_files_load_in_mteb(toy: Toy) -> None:
    from mteb import TaskResult

    summary = toy.run(num_fewshot="0")

    for (_, task), score in main_scores(summary.path).items():
        loaded = TaskResult.from_disk(summary.path / "mteb" / "k0" / f"{task}.json")
        assert loaded.task_name == task
        assert loaded.scores["test"][0]["main_score"] == pytest.approx(score, abs=1e-6)


def test_temporary_files_of_a_killed_process_are_removed_but_not_those_of_another_run(tmp_path: Path) -> None:
    inner = tmp_path / "campaign" / "run"
    (inner / "tasks").mkdir(parents=True)
    left = [tmp_path / "campaign" / ".leaderboard.md.ab12_x9z", inner / "tasks" / ".ToySTS.json.abcdefgh"]
    for path in left:
        path.write_text("torn")
    with RunDir(inner).lock():
        assert [path.exists() for path in left] == [True, False]
    left[1].write_text("another process writes")
    with RunDir(tmp_path / "campaign").lock():
        assert [path.exists() for path in left] == [False, True]
