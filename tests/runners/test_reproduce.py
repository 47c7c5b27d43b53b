"""`reproduce`: the printed command makes the same results, and what differs is said."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.main import main
from harness.cli.run import run_command
from harness.config import RunConfig, build_config
from harness.registry.registry import Registry
from harness.runners.reproduce import command_line, commands, read_run, shell_line
from harness.runners.run import execute
from tests.toy import write_data, write_toy_benchmark

pytestmark = pytest.mark.model


def parsed(words: list[str]) -> RunConfig:
    """Return the settings that the command line takes from the words."""
    assert words[:2] == ["icl-harness", "run"]
    context = run_command.make_context("run", words[2:])
    flags = {key: value for key, value in context.params.items() if key not in ("config", "quiet")}
    return build_config({key: (None if value == () else value) for key, value in flags.items()})


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10).filter(
    lambda text: "," not in text and text == text.strip()
)
settings = st.fixed_dictionaries(
    {"model": words, "num_fewshot": st.lists(st.one_of(st.integers(0, 9), st.just("all")), min_size=1, unique=True)},
    optional={
        "revision": words,
        "profile": words,
        "benchmark": st.lists(words, min_size=1, max_size=3),
        "tasks": st.lists(words, min_size=1, max_size=3),
        "fewshot_seed": st.lists(st.integers(-9, 99), min_size=1, max_size=3, unique=True),
        "examples": words,
        "instructions": words,
        "output_dir": words,
        "data_dir": words,
        "registry_dir": st.lists(words, min_size=1, max_size=2),
        "splits": st.lists(words, min_size=1, max_size=2),
        "offline": st.booleans(),
        "trust_remote_code": st.booleans(),
        "no_cache": st.booleans(),
        "limit": st.integers(1, 9),
        "batch_tokens": st.integers(1, 9),
        "dtype": st.sampled_from(["auto", "float16"]),
        "device": words,
        "tokenization": st.sampled_from(["clean", "official"]),
        "attention": st.sampled_from(["auto", "naive"]),
    },
)


@hypothesis.settings(deadline=None)
@given(values=settings)
def test_command_line_is_read_back_to_the_same_settings(values: dict[str, Any]) -> None:
    config = build_config(values)

    assert parsed(shlex.split(shell_line(command_line(config)))) == config


@pytest.mark.parametrize("name", ["it's", 'a "b"', "$HOME `x` \\ !", "- -x", "ä\u2028b"])
def test_shell_reads_the_printed_line_back(name: str) -> None:
    line = shell_line(command_line(RunConfig(model="a/b", examples=name, benchmark=(name,))))

    script = f'icl-harness() {{ printf "%s\\0" "$@"; }}\n{line.replace("icl-harness", "f", 1)}'
    found = subprocess.run(["sh", "-c", script.replace("icl-harness()", "f()")], capture_output=True, check=True).stdout

    assert found.decode().split("\0")[:-1] == command_line(RunConfig(model="a/b", examples=name, benchmark=(name,)))[1:]


@pytest.fixture
def toy(tmp_path: Path, model_dirs: dict[str, Path]) -> dict[str, Any]:
    """Settings of a small finished run; its directory is `tmp_path / "a run"`."""
    registry, data = write_toy_benchmark(tmp_path, ("STS", "Retrieval"))
    shutil.copytree(model_dirs["bytes"], tmp_path / "bge-en-icl-toy")
    return {
        "model": str(tmp_path / "bge-en-icl-toy"),
        "profile": "bge-en-icl",
        "benchmark": "toy",
        "registry_dir": (registry,),
        "data_dir": data,
        "num_fewshot": "0,2",
        "output_dir": tmp_path / "a run",
        "no_cache": True,
    }


def test_reproduced_run_has_the_keys_and_scores_of_the_first(
    toy: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = execute(build_config(toy)).path
    manifest_alone = path.with_name("published")
    manifest_alone.mkdir()
    shutil.copy(path / "manifest.json", manifest_alone)

    code = main(["reproduce", str(manifest_alone / "manifest.json"), "--run", "--quiet"])

    out = capsys.readouterr().out
    assert code == 0, out
    assert "4 of 4 results have the key that they had." in out
    assert (path.with_name("published-again") / "scores.parquet").is_file()
    assert main(["reproduce", str(path), "-o", str(path.with_name("published-again")), "--run", "--quiet"]) == 0
    assert "Largest difference of a main score x 100: 0" in capsys.readouterr().out


def test_printed_output_is_a_script_that_holds_every_result_of_a_grown_directory(toy: dict[str, Any]) -> None:
    execute(build_config({**toy, "num_fewshot": "1", "tasks": "ToySTS", "benchmark": None}))
    execute(
        build_config({**toy, "num_fewshot": "0,all", "fewshot_seed": "7", "tasks": "ToyRetrieval", "benchmark": None})
    )
    recorded = read_run(toy["output_dir"])

    again = commands(recorded, Registry.load(toy["registry_dir"]), output_dir=toy["output_dir"].with_name("again"))

    assert [(one.tasks, one.num_fewshot, one.fewshot_seed) for one in again] == [
        (("ToyRetrieval",), (0, None), (7,)),
        (("ToySTS",), (1,), ()),
    ]
    for one in again:
        execute(parsed(command_line(one)))
    keys = {(task.configuration, task.task_name, task.result_key) for task in recorded.tasks}
    assert {
        (task.configuration, task.task_name, task.result_key)
        for task in read_run(toy["output_dir"].with_name("again")).tasks
    } == keys
    assert len(keys) == 3


def changed(manifest: dict[str, Any], *keys: str, value: Any) -> None:
    for key in keys[:-1]:
        manifest = manifest[key]
    manifest[keys[-1]] = value


def test_everything_that_differs_is_named_and_what_changes_results_ends_with_4(
    toy: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = execute(build_config(toy)).path
    assert main(["reproduce", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "CHANGES RESULTS" in line] == []
    assert all(line.startswith("#") for line in lines[:-1])

    manifest = json.loads((path / "manifest.json").read_text())
    changed(manifest, "packages", "torch", value="1.0")
    changed(manifest, "machine", "processor", value="Another CPU")
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert main(["reproduce", str(path)]) == 0
    out = capsys.readouterr().out
    assert "torch: 1.0 then, " in out and "processor: Another CPU then, " in out

    changed(manifest, "packages", "mteb", value="2.0.0")
    (path / "manifest.json").write_text(json.dumps(manifest))
    write_data(toy["data_dir"] / "ToySTS", "STS", seed=99)
    example = toy["registry_dir"][0] / "ToyRetrieval.yaml"
    example.write_text(example.read_text().replace("query 1", "query one"))
    weights = Path(toy["model"]) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(bytes(content))
    assert main(["reproduce", str(path)]) == 4
    fatal = [line for line in capsys.readouterr().out.splitlines() if "CHANGES RESULTS" in line]
    assert [line.split(":")[0].removeprefix("#   ") for line in fatal] == [
        "weights",
        "mteb",
        "prompt (instruction, examples or template) of 1 task(s) (k2/ToyRetrieval)",
        "data of 1 task(s) (ToySTS)",
    ]


def test_missing_folders_and_model_are_named(toy: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = execute(build_config(toy)).path
    shutil.rmtree(toy["data_dir"])
    shutil.rmtree(toy["registry_dir"][0])
    shutil.rmtree(toy["model"])

    code = main(["reproduce", str(path)])

    out = capsys.readouterr().out
    assert code == 4
    assert f"--data-dir {toy['data_dir']}: there then, no such folder now" in out
    assert f"--registry-dir {toy['registry_dir'][0]}: there then, no such folder now" in out
    assert f"model {toy['model']}: there then, " in out


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 2, "no manifest.json of a run is here"),
        ("{}", 5, "not a manifest of schema version"),
        ('{"schema_version": 1}', 5, "'config' is missing, so it is no manifest of a run"),
        ("{", 5, "not JSON"),
    ],
)
def test_what_is_no_run_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, code: int, message: str
) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)

    assert main(["reproduce", str(tmp_path)]) == code

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_hub_model_is_pinned_to_its_commit_and_auto_dtype_to_what_it_was(toy: dict[str, Any]) -> None:
    path = execute(build_config(toy)).path
    manifest = json.loads((path / "manifest.json").read_text())
    changed(manifest, "config", "model", value="org/name")
    changed(manifest, "model", "model_revision", value="a" * 40)
    (path / "manifest.json").write_text(json.dumps(manifest))

    recorded = read_run(path)

    assert recorded.config.revision == "a" * 40
    assert recorded.config.dtype == "float32"
