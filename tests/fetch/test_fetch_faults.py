"""`fetch` of a model against a stand-in hub: every fault is recovered, or ends as documented."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fetch.hub import Fault, Hub, Repo, serving, sha256

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "c0ffee" + "0" * 34
MODEL = "tiny/bge-en-icl"


def safetensors(size: int, seed: int) -> bytes:
    """Return a safetensors file of one tensor."""
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


FILES = {
    "config.json": b'{"model_type": "mistral"}',
    "tokenizer.json": b'{"version": "1.0", "padding": "' + b"x" * 2000 + b'"}',
    "tokenizer_config.json": b"{}",
    "model-00001-of-00002.safetensors": safetensors(40_000, 1),
    "model-00002-of-00002.safetensors": safetensors(30_000, 2),
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    ).encode(),
    "README.md": b"not needed",
    "pytorch_model.bin": b"the same weights again, not needed",
}
NEEDED = sorted(set(FILES) - {"README.md", "pytorch_model.bin"})
SIZE_KB = f"{sum(len(FILES[name]) for name in NEEDED) / 1000:.1f}"
FIRST_SHARD = "model-00001"
CDN = f"/cdn/models/{MODEL}"
BIG = {**FILES, "model-00001-of-00002.safetensors": safetensors(4_000_000, 3)}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Repo("models", MODEL, COMMIT, FILES)) as running:
        yield running


def environment(hub: Hub, folder: Path) -> dict[str, str]:
    """Return an environment whose only hub is the stand-in, with caches of its own."""
    kept = {key: value for key, value in os.environ.items() if "OFFLINE" not in key and "proxy" not in key.lower()}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hf"),
        "HARNESS_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1,localhost",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run_eval.py"), *arguments]


def fetch(hub: Hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = command("fetch", "--wait", "0.05", "--timeout", "1", *arguments)
    return subprocess.run(words, env=environment(hub, folder), capture_output=True, text=True, timeout=600)


def snapshot(folder: Path, name: str = MODEL) -> Path:
    return folder / "hf" / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT


def assert_complete(folder: Path) -> None:
    found = {path.name: path.read_bytes() for path in snapshot(folder).iterdir()}
    assert sorted(found) == NEEDED
    assert all(found[name] == FILES[name] for name in NEEDED)
    assert list(folder.rglob("*.fetch-part")) == []


def state(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "cache" / "fetch").glob("*.json")
    items: dict[str, Any] = json.loads(file.read_text())["items"]
    return items


RECOVERED = {
    "statuses": [
        Fault("503", "/api/models", times=2),
        Fault("500", FIRST_SHARD, times=2),
        Fault("502", "config.json", method="GET"),
        Fault("504", "tokenizer.json", method="HEAD"),
    ],
    "too-many-requests": [
        Fault("429", "/api/models", retry_after=1),
        Fault("429", "tokenizer.json", method="HEAD", retry_after=1),
        Fault("429", f"{CDN}/{FIRST_SHARD}"),
    ],
    "stalls": [
        Fault("stall", "/api/models", seconds=3),
        Fault("stall", FIRST_SHARD, method="HEAD", seconds=3),
        Fault("stall", f"{CDN}/{FIRST_SHARD}", seconds=3, after_bytes=10_000),
    ],
    "cuts": [
        Fault("cut", f"{CDN}/{FIRST_SHARD}", times=3, after_bytes=10_000),
        Fault("drop", "model-00002", times=2),
        Fault("cut", "config.json", method="GET", after_bytes=3),
    ],
    "wrong-content": [
        Fault("wrong", f"{CDN}/{FIRST_SHARD}", times=2),
        Fault("wrong", "config.json", method="GET"),
    ],
    "slow": [Fault("slow", f"{CDN}/{FIRST_SHARD}", seconds=2)],
}


@pytest.mark.parametrize("name", RECOVERED)
def test_faults_are_recovered_with_complete_and_verified_files(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.faults += [replace(fault) for fault in RECOVERED[name]]

    done = fetch(hub, tmp_path, "--model", MODEL)

    assert done.returncode == 0, done.stderr
    assert [fault for fault in hub.faults if fault.times] == [], "some fault did not happen"
    assert_complete(tmp_path)
    assert state(tmp_path)[f"model {MODEL}@main"]["status"] == "done"


LASTING = [
    (Fault("503", "/api/models", times=99), "the hub answered 503 (tried 3 times)"),
    (Fault("503", FIRST_SHARD, times=99), "the hub answered 503 (tried 3 times)"),
    (Fault("stall", FIRST_SHARD, times=99, seconds=3), "did not answer in time (tried 3 times)"),
    (Fault("cut", f"{CDN}/{FIRST_SHARD}", times=99, after_bytes=0), "(tried 3 times)"),
    (Fault("wrong", f"{CDN}/{FIRST_SHARD}", times=99), "does not match its hash (tried 3 times)"),
    (Fault("429", "/api/models", times=99, retry_after=9999), "the hub asks to wait 9999 s"),
]


@pytest.mark.parametrize(("fault", "message"), LASTING, ids=lambda value: getattr(value, "kind", None))
def test_lasting_fault_ends_with_75_and_the_same_command_goes_on_later(
    hub: Hub, tmp_path: Path, fault: Fault, message: str
) -> None:
    hub.faults.append(replace(fault))

    first = fetch(hub, tmp_path, "--model", MODEL, "--attempts", "3")
    failed_state = state(tmp_path)[f"model {MODEL}@main"]
    unverified = (snapshot(tmp_path) / "model-00001-of-00002.safetensors").exists()
    hub.faults.clear()
    second = fetch(hub, tmp_path, "--model", MODEL)

    assert first.returncode == 75, first.stderr
    assert "Traceback" not in first.stderr
    (line,) = [line for line in first.stderr.splitlines() if line.startswith("harness: ")]
    assert message in line
    assert failed_state["status"] == "temporary"
    assert not unverified
    assert second.returncode == 0, second.stderr
    assert_complete(tmp_path)


def test_refused_item_is_one_line_and_the_others_go_on(hub: Hub, tmp_path: Path) -> None:
    hub.repos.append(Repo("models", "tiny/gated", COMMIT, FILES, gated=True))

    done = fetch(hub, tmp_path, "--model", "tiny/gated", "--model", "tiny/absent", "--model", MODEL)

    lines = [line for line in done.stderr.splitlines() if line.startswith("harness: ")]
    assert done.returncode == 2
    assert len(lines) == 2
    assert "tiny/gated" in lines[0] and "gated or private. Accept its terms" in lines[0]
    assert "the hub has no model 'tiny/absent' (404)" in lines[1]
    assert_complete(tmp_path)
    assert "1 fetched and verified, 2 missing" in done.stdout


def test_unknown_revision_and_missing_token_are_one_line(hub: Hub, tmp_path: Path) -> None:
    wrong = fetch(hub, tmp_path, "--model", MODEL, "--revision", "v9")
    hub.faults.append(Fault("401", "/api/models"))
    refused = fetch(hub, tmp_path, "--model", MODEL)

    assert (wrong.returncode, refused.returncode) == (2, 2)
    assert "has no such revision (404)" in wrong.stderr
    assert "set HF_TOKEN" in refused.stderr


def test_refusal_and_temporary_fault_together_end_with_3(hub: Hub, tmp_path: Path) -> None:
    hub.faults.append(Fault("503", FIRST_SHARD, times=99))

    done = fetch(hub, tmp_path, "--model", "tiny/absent", "--model", MODEL, "--attempts", "2")

    assert done.returncode == 3


@pytest.fixture
def big_hub() -> Iterator[Hub]:
    with serving(Repo("models", MODEL, COMMIT, BIG)) as running:
        yield running


def test_killed_download_goes_on_where_it_stopped(big_hub: Hub, tmp_path: Path) -> None:
    shard = BIG["model-00001-of-00002.safetensors"]
    big_hub.faults.append(Fault("slow", f"{CDN}/{FIRST_SHARD}", seconds=20))
    words = command("fetch", "--timeout", "5", "--model", MODEL)
    process = subprocess.Popen(words, env=environment(big_hub, tmp_path), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    part = tmp_path / "hf" / "hub" / "models--tiny--bge-en-icl" / "blobs" / f"{sha256(shard)}.fetch-part"
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 500_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = part.stat().st_size

    done = fetch(big_hub, tmp_path, "--model", MODEL)

    assert 500_000 < have < len(shard)
    assert done.returncode == 0, done.stderr
    assert big_hub.ranges[-1] == f"bytes={have}-"
    assert (snapshot(tmp_path) / "model-00001-of-00002.safetensors").read_bytes() == shard


def test_download_that_gets_on_between_cuts_is_not_given_up(big_hub: Hub, tmp_path: Path) -> None:
    big_hub.faults.append(Fault("cut", f"{CDN}/{FIRST_SHARD}", times=6, after_bytes=600_000))

    done = fetch(big_hub, tmp_path, "--model", MODEL, "--attempts", "2")

    assert done.returncode == 0, done.stderr
    assert len(big_hub.ranges) == 6
    found = (snapshot(tmp_path) / "model-00001-of-00002.safetensors").read_bytes()
    assert found == BIG["model-00001-of-00002.safetensors"]


def test_fetched_model_is_neither_downloaded_nor_hashed_again(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, "--model", MODEL, "--revision", COMMIT).returncode == 0
    hub.requests.clear()

    again = fetch(hub, tmp_path, "--model", MODEL, "--revision", COMMIT)

    assert again.returncode == 0
    assert hub.requests == []
    assert "1 of 1 were there already." in again.stdout


def test_removed_and_damaged_files_are_fetched_again(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, "--model", MODEL).returncode == 0
    config = snapshot(tmp_path) / "config.json"
    config.resolve().unlink()
    config.unlink()
    shard = (snapshot(tmp_path) / "model-00002-of-00002.safetensors").resolve()
    shard.write_bytes(b"\0" * shard.stat().st_size)

    done = fetch(hub, tmp_path, "--model", MODEL)

    assert done.returncode == 0, done.stderr
    assert_complete(tmp_path)


def test_dry_run_shows_sizes_and_downloads_nothing(hub: Hub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path, "--model", MODEL, "--dry-run")

    assert done.returncode == 0, done.stderr
    assert f"commit {COMMIT}, 6 files, {SIZE_KB} kB, {SIZE_KB} kB to download" in done.stdout
    assert hub.count("/resolve/") == 0


def test_too_full_disk_is_told_before_anything_is_downloaded(hub: Hub, tmp_path: Path) -> None:
    code = (
        "import shutil, sys\n"
        "usage = shutil._ntuple_diskusage\n"
        "shutil.disk_usage = lambda path: usage(10**9, 10**9 - 10_000, 10_000)\n"
        "from harness.cli.main import main\n"
        f"sys.exit(main(['fetch', '--model', '{MODEL}']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(hub, tmp_path), capture_output=True, text=True, timeout=600
    )

    assert done.returncode == 74
    assert f"{SIZE_KB} kB are to be downloaded, 10.0 kB are free. Free some disk, or set HF_HOME" in done.stderr
    assert hub.count("/resolve/") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to fetch: give --model, --benchmark, --tasks or --config."),
        (("--model", "a/b", "--model", "c/d", "--revision", "x"), "--revision belongs to one model"),
        (
            (
                "--benchmark",
                "minni",
            ),
            "Did you mean 'mini'",
        ),
        (("--model", "embeded"), "Did you mean 'embedded'"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli.main import main

    assert main(["fetch", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_local_things_need_no_hub(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.main import main

    assert main(["fetch", "--model", "embedded", "--benchmark", "mini"]) == 0
    assert "everything that was asked for is local" in capsys.readouterr().out
