"""The gate on real MTEB data and real weights: another dtype passes, fewer dimensions and a wrong prompt do not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.encoder.sources import minilm_package_dir

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "mteb_offline"
TASKS = "STSBenchmark,EmotionClassification"

pytestmark = [
    pytest.mark.parity,
    pytest.mark.offline_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"SHARED DATA MISSING: {DATA}"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("runs")

    def call(name: str, *arguments: str) -> Path:
        common = ["--tasks", TASKS, "--data-dir", str(DATA), "--num-fewshot", "0", "--offline", "--no-cache", "--quiet"]
        assert main(["run", *common, "--output-dir", str(folder / name), *arguments]) == 0
        return folder / name

    return call


@pytest.fixture(scope="module")
def baseline(run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "minilm.parquet"
    plain = run("plain", "--model", "all-MiniLM-L6-v2", "--dtype", "float32")
    assert (
        main(["baseline", "update", str(plain), "--baseline", str(path), "--reason", "float32", "--author", "test"])
        == 0
    )
    return path


def verdicts(capsys: pytest.CaptureFixture[str], run: Path, baseline: Path, allowed: str) -> tuple[int, dict[str, str]]:
    capsys.readouterr()
    code = main(["check", str(run), "--baseline", str(baseline), "--allow-change", allowed, "--json"])
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, {one["task"]: one["verdict"] for one in content["comparisons"] if not one["is_mean"]}


def truncated_model(folder: Path) -> Path:
    """Make all-MiniLM-L6-v2 with the first 192 of its 384 dimensions, as a model directory."""
    import torch
    from safetensors.torch import save_file

    source = minilm_package_dir()
    assert source is not None
    model = folder / "all-MiniLM-L6-v2-192d"
    shutil.copytree(source, model)
    (model / "3_Dense").mkdir()
    shape = {
        "in_features": 384,
        "out_features": 192,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (model / "3_Dense" / "config.json").write_text(json.dumps(shape))
    save_file({"linear.weight": torch.eye(384)[:192].clone()}, model / "3_Dense" / "model.safetensors")
    modules = json.loads((model / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    (model / "modules.json").write_text(json.dumps([*modules[:2], dense, {**modules[2], "idx": 3, "name": "3"}]))
    return model


def test_bfloat16_is_no_regression(run: Callable[..., Path], baseline: Path, capsys: Any) -> None:
    half = run("half", "--model", "all-MiniLM-L6-v2", "--dtype", "bfloat16")
    code, found = verdicts(capsys, half, baseline, "dtype")
    assert code == 0
    assert set(found.values()) <= {"PASS", "WITHIN-NOISE"}
    assert main(["check", str(half), "--baseline", str(baseline)]) == 4  # not unless it is allowed


def test_fewer_dimensions_are_found(run: Callable[..., Path], baseline: Path, tmp_path: Path, capsys: Any) -> None:
    model = truncated_model(tmp_path)
    cut = run("cut", "--model", str(model), "--profile", "all-minilm-l6-v2", "--dtype", "float32")
    code, found = verdicts(capsys, cut, baseline, "weights")
    assert code == 1
    assert "REGRESSED" in found.values()


def test_a_wrong_prompt_is_found(run: Callable[..., Path], baseline: Path, tmp_path: Path, capsys: Any) -> None:
    text = (ROOT / "harness" / "profiles" / "all-minilm-l6-v2.yaml").read_text(encoding="utf-8")
    profile = tmp_path / "wrong-prompt.yaml"
    profile.write_text(
        text.replace("name: all-minilm-l6-v2", "name: wrong-prompt").replace(
            '"{text}"', '"Instruct: {instruction}\\nQuery: {text}"'
        ),
        encoding="utf-8",
    )
    wrong = run("wrong", "--model", "all-MiniLM-L6-v2", "--profile", str(profile), "--dtype", "float32")
    code, found = verdicts(capsys, wrong, baseline, "prompt,instruction")
    assert code == 1
    assert "REGRESSED" in found.values()
