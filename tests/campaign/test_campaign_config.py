"""Campaign files: what they expand to, and what is wrong with one, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.campaign import Campaign, load_config
from harness.cli.main import main
from harness.config import RunConfig, build_config
from harness.config_file import dump_settings
from harness.errors import ConfigError


def campaign(tmp_path: Path, text: str, **flags: Any) -> Campaign:
    path = tmp_path / "nightly.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load_config(flags, path)
    assert isinstance(loaded, Campaign)
    return loaded


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "nightly.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config({}, path)
    return [line.removeprefix(f"{tmp_path / 'nightly.yaml'}:") for line in str(caught.value).splitlines()]


GRID = """\
models:
  - embedded
  - model: org/big
    profile: bge-en-icl
    dtype: bfloat16
benchmarks: [mini, "MTEB(eng, v2)"]
num-fewshot: [0, 3, all]
examples: [curated, sets/paper]
fewshot_seed: [1, 2]
limit: 5
"""


def test_every_model_and_example_set_is_a_run_with_all_benchmarks_k_and_seeds(tmp_path: Path) -> None:
    found = campaign(tmp_path, GRID)

    cells = [(run.model, run.examples, run.num_fewshot, run.dtype) for run in found.runs]
    assert cells == [
        ("embedded", "curated", (0, 3, None), "auto"),
        ("embedded", "sets/paper", (3, None), "auto"),
        ("org/big", "curated", (0, 3, None), "bfloat16"),
        ("org/big", "sets/paper", (3, None), "bfloat16"),
    ]
    assert all(run.benchmark == ("mini", "MTEB(eng, v2)") and run.fewshot_seed == (1, 2) for run in found.runs)
    assert all(run.limit == 5 for run in found.runs)
    assert found.folder == Path("results/campaigns/nightly")
    assert len({run.output_dir for run in found.runs}) == 4


def test_flags_replace_the_values_of_the_file_in_every_run(tmp_path: Path) -> None:
    found = campaign(tmp_path, GRID, dtype="float32", num_fewshot="0", output_dir=tmp_path / "out")

    assert {(run.dtype, run.num_fewshot) for run in found.runs} == {("float32", (0,))}
    assert [run.model for run in found.runs] == ["embedded", "org/big"]  # zero-shot shows no example set
    assert found.folder == tmp_path / "out"


def test_model_flag_keeps_the_settings_of_the_entry_it_names(tmp_path: Path) -> None:
    assert {(run.model, run.profile) for run in campaign(tmp_path, GRID, model="org/big").runs} == {
        ("org/big", "bge-en-icl")
    }
    assert {run.model for run in campaign(tmp_path, GRID, model="org/new").runs} == {"org/new"}


def test_file_without_campaign_keys_is_one_run(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("model: embedded\nbenchmark: mini\nnum-fewshot: 0,3\n")

    loaded = load_config({"limit": 2}, path)

    assert isinstance(loaded, RunConfig)
    assert (loaded.benchmark, loaded.num_fewshot, loaded.limit) == (("mini",), (0, 3), 2)


def test_resolved_copy_gives_the_same_runs_again(tmp_path: Path) -> None:
    found = campaign(tmp_path, GRID, limit=7)
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(found.resolved())

    again = load_config({}, copy)

    assert isinstance(again, Campaign)
    assert (again.runs, again.folder) == (found.runs, found.folder)


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """\
models:
  - embedded
  - model: org/big
    profle: bge-en-icl
  - dtype: float32
benchmark: mini
benchmarks: [mini]
num_fewshot: [0, three]
dtype: float8
batch_token: 12
"""

    assert problems(tmp_path, text) == [
        "10: 'batch_token' is no setting. Did you mean 'batch_tokens'?",
        "6: 'benchmark' and 'benchmarks' are one setting: give one of them.",
        "4: 'profle' is no setting. Did you mean 'profile' or 'offline'?",
        "5: an entry of 'models' needs the key 'model'.",
        "8: --num-fewshot 'three': a whole number of examples or 'all' is expected.",
        "9: --dtype 'float8' is not one of auto, float32, bfloat16, float16.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models: []\n", "1: models: a list with at least one model is expected."),
        ("models: embedded\n", "1: models: a list with at least one model is expected."),
        ("model: a/b\nbenchmarks: [mini]\n", "2: 'benchmarks' is no setting. Did you mean 'benchmark'?"),
        ("model: a/b\nmodels: [a/b]\n", "1: 'model' and 'models' exclude each other: put it into the list."),
        ("models: [a/b]\nlimit: 0\n", "2: --limit 0: Input should be greater than or equal to 1."),
        ("models: [a/b]\nlimit: 1\nlimit: 2\n", "3: key 'limit' occurs twice."),
        ("models: [3]\n", "1: --model 3: Input should be a valid string."),
        ("- a\n", "1: a mapping of settings (`key: value`) is expected."),
    ],
)
def test_malformed_campaign_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


def test_model_listed_twice_is_refused_unless_the_second_adds_something(tmp_path: Path) -> None:
    twice = problems(tmp_path, "models:\n  - embedded\n  - {model: embedded, batch_tokens: 64}\nbenchmarks: [mini]\n")
    assert len(twice) == 1
    assert twice[0].startswith("3: model 'embedded' is listed twice with settings that give the same results")

    more = campaign(tmp_path, "models:\n  - embedded\n  - {model: embedded, num_fewshot: 5}\nbenchmarks: [mini]\n")
    assert len({run.output_dir for run in more.runs}) == 1


def test_names_nobody_knows_are_told_with_their_lines_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nightly.yaml").write_text(
        "models:\n  - embeded\n  - {model: a/b, profile: bge-en-icll}\n  - embedded\n"
        "benchmarks:\n  - mini\n  - minni\ntasks: STS99\nnum_fewshot: 0\n"
    )

    code = main(["run", "--config", "nightly.yaml"])

    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert not Path("results").exists()
    assert [line.split(" ")[1] for line in lines] == [
        "nightly.yaml:2:", "nightly.yaml:7:", "nightly.yaml:8:", "nightly.yaml:3:",
    ]  # fmt: skip
    assert "Did you mean 'embedded'?" in lines[0]
    assert "Did you mean 'mini' or 'mini-probe'?" in lines[1]


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: text.strip()
)
settings = st.fixed_dictionaries(
    {"model": texts},
    optional={
        "revision": texts,
        "benchmark": st.lists(texts, max_size=3),
        "tasks": st.lists(texts, max_size=3),
        "num_fewshot": st.lists(st.one_of(st.integers(0, 9), st.just("all")), min_size=1, max_size=4, unique=True),
        "fewshot_seed": st.lists(st.integers(-3, 99), max_size=3, unique=True),
        "examples": texts,
        "output_dir": texts,
        "registry_dir": st.lists(texts, max_size=2),
        "offline": st.booleans(),
        "limit": st.integers(1, 9),
        "dtype": st.sampled_from(["auto", "float32"]),
        "tokenization": st.sampled_from([None, "clean", "official"]),
    },
)


@hypothesis.settings(deadline=None)
@given(values=settings)
def test_settings_survive_their_copy_on_disk(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    config = build_config(values)
    path = tmp_path_factory.mktemp("copy") / "config.yaml"
    path.write_bytes(dump_settings(config.settings(), "a remark"))

    assert build_config({}, path) == config
