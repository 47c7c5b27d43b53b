"""The built wheel, installed apart from the checkout and run from another folder, is the whole product."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_wheel_carries_registry_profiles_mini_data_and_reference(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    assert "harness/_data/task_examples/mteb/Banking77Classification.yaml" in names
    assert "harness/_data/results/reference/README.md" in names
    assert "harness/profiles/bge-en-icl.yaml" in names
    assert "harness/mini/MiniSTS/test.jsonl" in names
    for name in ("model.safetensors", "static_bag.safetensors", "config.json", "tokenizer.json", "README.md"):
        assert f"harness/encoder/embedded_model/{name}" in names
    assert "harness/report/page/page.html" in names
    assert "harness/py.typed" in names


def test_wheel_puts_nothing_but_the_package_at_the_top(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"harness"}


def test_wheel_in_a_fresh_environment_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies are those of the running environment; the package itself must come from the wheel alone.
    inner = subprocess.run(
        [str(python), "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    outer = subprocess.run(
        [sys.executable, "-c", "import site; print(site.getsitepackages()[0])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [
        str(environment / "bin" / "icl-harness"),
        "run",
        "--model",
        "embedded",
        "--tasks",
        "MiniSTS,MiniRetrieval",
    ]
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    variables |= {"PYTHONPATH": os.pathsep.join([inner, outer]), "HARNESS_CACHE": str(tmp_path / "cache")}

    done = subprocess.run(
        [*command, "--num-fewshot", "0,2", "--limit", "20", "--offline", "--output-dir", "out"],
        cwd=elsewhere,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    where = subprocess.run(
        [str(python), "-c", "import harness; print(harness.__file__)"],
        cwd=elsewhere,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert done.returncode == 0, done.stderr
    assert where.startswith(inner)
    assert (elsewhere / "out" / "leaderboard.md").is_file()
