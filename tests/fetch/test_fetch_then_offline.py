"""What `fetch` brought is what `run --offline` reads; the hub is gone by then."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.registry.registry import Registry
from tests.fetch.hub import Fault, Repo, folder_files, serving
from tests.fetch.test_fetch_faults import COMMIT, command, environment, fetch
from tests.toy import sentences

pytestmark = pytest.mark.model

MODEL = "tiny/bge-en-icl"
TASKS = "STS16,SciFact"


def rows(items: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def sts_files(rng: random.Random) -> dict[str, bytes]:
    """Return the files of mteb/sts16-sts as far as its form goes, with made-up sentences."""
    pairs = [
        {"sentence1": sentences("garden", 1, rng)[0], "sentence2": sentences("kitchen", 1, rng)[0], "score": n / 5}
        for n in range(24)
    ]
    return {"README.md": b"---\nlanguage: en\n---\n", "test.jsonl": rows(pairs)}


def retrieval_files(rng: random.Random) -> dict[str, bytes]:
    """Return the files of mteb/scifact as far as its form goes, with made-up texts."""
    configs = (
        "---\nconfigs:\n"
        "- config_name: default\n  data_files:\n  - {split: train, path: qrels/train.jsonl}\n"
        "  - {split: test, path: qrels/test.jsonl}\n"
        "- config_name: corpus\n  data_files:\n  - {split: corpus, path: corpus.jsonl}\n"
        "- config_name: queries\n  data_files:\n  - {split: queries, path: queries.jsonl}\n---\n"
    )
    qrels = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1.0} for n in range(8)]
    return {
        "README.md": configs.encode(),
        "corpus.jsonl": rows(
            [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(sentences("harbour", 30, rng))]
        ),
        "queries.jsonl": rows([{"_id": f"q{n}", "text": text} for n, text in enumerate(sentences("harbour", 8, rng))]),
        "qrels/train.jsonl": rows(qrels),
        "qrels/test.jsonl": rows(qrels),
    }


def repositories(model: Path) -> list[Repo]:
    registry = Registry.load()
    rng = random.Random(1)
    found = [Repo("models", MODEL, COMMIT, folder_files(model))]
    for task, files in (("STS16", sts_files(rng)), ("SciFact", retrieval_files(rng))):
        dataset = registry.get(task).dataset
        assert dataset is not None
        found.append(Repo("datasets", dataset.path, dataset.revision, files))
    return found


def test_run_works_offline_after_fetch_also_when_downloads_were_cut(
    tmp_path: Path, model_dirs: dict[str, Path]
) -> None:
    with serving(*repositories(model_dirs["bytes"])) as hub:
        hub.faults += [
            Fault("cut", "corpus.jsonl", method="GET", times=2),
            Fault("503", "/api/datasets/mteb/sts16-sts"),
            Fault("wrong", "sts16-sts", method="GET"),
        ]
        fetched = fetch(hub, tmp_path, "--model", MODEL, "--tasks", TASKS)
        assert fetched.returncode == 0, fetched.stderr
        assert "3 fetched and verified, 0 missing" in fetched.stdout
        requests = len(hub.requests)
        again = fetch(hub, tmp_path, "--tasks", TASKS)
        assert "2 of 2 were there already." in again.stdout
        assert len(hub.requests) == requests

    words = command("run", "--offline", "--model", MODEL, "--profile", "bge-en-icl", "--tasks", TASKS)
    words += ["--num-fewshot", "0,2", "--output-dir", str(tmp_path / "out")]
    done = subprocess.run(
        words, env=environment(hub, tmp_path), capture_output=True, text=True, timeout=600, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["model"]["model_revision"] == COMMIT
    assert {(task["task_name"], task["configuration"]) for task in manifest["tasks"]} == {
        (task, k) for task in ("STS16", "SciFact") for k in ("k0", "k2")
    }


def test_lasting_fault_of_one_data_set_leaves_the_others_and_ends_with_75(
    tmp_path: Path, model_dirs: dict[str, Path]
) -> None:
    with serving(*repositories(model_dirs["bytes"])) as hub:
        hub.faults.append(Fault("503", "datasets/mteb/scifact", times=99))
        first = fetch(hub, tmp_path, "--tasks", TASKS, "--attempts", "2")
        hub.faults.clear()
        second = fetch(hub, tmp_path, "--tasks", TASKS)

    lines = [line for line in first.stderr.splitlines() if line.startswith("harness: ")]
    assert first.returncode == 75, first.stderr
    assert len(lines) == 1 and "mteb/scifact" in lines[0]
    assert "1 fetched and verified, 1 missing" in first.stdout
    assert second.returncode == 0, second.stderr
    assert "1 of 2 were there already." in second.stdout


def test_data_set_that_is_not_there_or_has_another_revision_is_one_line(
    tmp_path: Path, model_dirs: dict[str, Path]
) -> None:
    sts = repositories(model_dirs["bytes"])[1]
    with serving(Repo("datasets", sts.name, "b" * 40, sts.files)) as hub:
        done = fetch(hub, tmp_path, "--tasks", TASKS, "--attempts", "2")

    lines = sorted(line for line in done.stderr.splitlines() if line.startswith("harness: "))
    assert done.returncode == 2, done.stderr
    assert len(lines) == 2
    assert "data set 'mteb/sts16-sts' has no such revision (404)" in lines[0]
    assert "the hub has no data set 'mteb/scifact' (404)" in lines[1]


def test_run_loads_a_hub_model_at_the_revision_that_is_asked_for(tmp_path: Path, model_dirs: dict[str, Path]) -> None:
    with serving(*repositories(model_dirs["bytes"])) as hub:
        words = command("run", "--quiet", "--model", MODEL, "--revision", COMMIT, "--profile", "bge-en-icl")
        words += ["--benchmark", "mini", "--limit", "4", "--output-dir", str(tmp_path / "out")]
        done = subprocess.run(
            words, env=environment(hub, tmp_path), capture_output=True, text=True, timeout=600, cwd=tmp_path
        )
        wrong = subprocess.run(
            [*words[:-1], str(tmp_path / "other"), "--revision", "v9"],
            env=environment(hub, tmp_path), capture_output=True, text=True, timeout=600, cwd=tmp_path,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["model"]["model_name"], manifest["model"]["model_revision"]) == (MODEL, COMMIT)
    assert wrong.returncode == 2, wrong.stderr
    assert wrong.stderr == f"harness: model {MODEL!r} has no revision 'v9' on the hub. Look it up on its page.\n"


def test_offline_run_reads_the_pinned_revision_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    import datasets.config
    import mteb

    from harness.errors import DatasetUnavailableError
    from harness.runners.hub_cache import take_pinned_revision

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    task = mteb.get_task("STS16")
    pinned = str(task.metadata.dataset["revision"])
    folders = {name: tmp_path / "mteb___sts16-sts" / "default" / "0.0.0" / name for name in (pinned, "e" * 40)}
    folders["e" * 40].mkdir(parents=True)
    with pytest.raises(DatasetUnavailableError, match=f"at revision {'e' * 40}, not at {pinned}.* fetch --tasks STS16"):
        take_pinned_revision(task)
    folders[pinned].mkdir()
    (folders[pinned] / "dataset_info.json").write_text("{}")
    os.utime(folders[pinned], (1, 1))

    take_pinned_revision(task)

    assert folders[pinned].stat().st_mtime > folders["e" * 40].stat().st_mtime
