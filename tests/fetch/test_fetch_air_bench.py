"""Sets of AIR-Bench: fetched from the stand-in hub, checked against AIR-Bench's own table, then searched offline."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.registry.air_bench import air_bench_sets
from tests.air_bench.made import write_set
from tests.fetch.hub import Fault, Repo, folder_files, serving
from tests.fetch.test_fetch_faults import command, environment, fetch

pytestmark = pytest.mark.model

FILTER = ("--benchmark", "AIR-Bench_24.05", "--task-types", "long-doc", "--domains", "arxiv", "--datasets", "gemini")


def made_repository(folder: Path) -> Repo:
    """Return the repository of a real set, with made texts in the real numbers."""
    one = next(one for one in air_bench_sets("AIR-Bench_24.05") if one.name == "air-bench/long-doc/arxiv/en/gemini")
    write_set(folder, one)
    name = "AIR-Bench/long-doc_arxiv_en"
    return Repo("datasets", name, "d" * 40, folder_files(folder / name))


def test_fetched_set_is_searched_offline_and_a_truncated_one_is_refused(
    tmp_path: Path, model_dirs: dict[str, Path]
) -> None:
    repo = made_repository(tmp_path / "made")
    corpus = "AIR-Bench_24.05/gemini/corpus.jsonl"
    cut = b"\n".join(repo.files[corpus].split(b"\n")[:200]) + b"\n"
    with serving(Repo("datasets", repo.name, "e" * 40, {**repo.files, corpus: cut})) as hub:
        refused = fetch(hub, tmp_path / "other", *FILTER, "--attempts", "2")
    with serving(repo) as hub:
        hub.faults.append(Fault("cut", corpus, method="GET", after_bytes=9000))
        done = fetch(hub, tmp_path, *FILTER)
        assert done.returncode == 0, done.stderr
        requests = len(hub.requests)
        again = fetch(hub, tmp_path, *FILTER)
        assert "1 of 1 were there already." in again.stdout and len(hub.requests) == requests
    words = command("run", "--offline", "--model", str(model_dirs["bytes"]), "--profile", "bge-en-icl", *FILTER)
    run = subprocess.run(
        [*words, "--num-fewshot", "0", "--output-dir", str(tmp_path / "out")],
        env=environment(hub, tmp_path), capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip

    assert refused.returncode != 0
    assert "199 documents were found; AIR-Bench_24.05 has 276" in refused.stderr or "200 documents" in refused.stderr
    assert run.returncode == 0, run.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (task,) = manifest["tasks"]
    assert task["dataset_revision"].startswith("AIR-Bench_24.05@hub:")
