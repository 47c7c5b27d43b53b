"""`--data-dir` and `--offline`: tasks of mteb on local files, never stale, never on the network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.config import build_config
from harness.errors import DatasetUnavailableError, ResultSchemaError
from harness.runners.custom_tasks import build_custom_task
from harness.runners.run import RunSummary, execute
from harness.runners.tasks import folder_fingerprint

pytestmark = pytest.mark.model

STS_README = """---
configs:
- config_name: default
  data_files:
  - split: test
    path: test.jsonl
---
"""
SCIFACT_README = """---
configs:
- config_name: corpus
  data_files: [{split: corpus, path: corpus.jsonl}]
- config_name: queries
  data_files: [{split: queries, path: queries.jsonl}]
- config_name: default
  data_files: [{split: test, path: qrels.jsonl}]
---
"""


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_biosses(folder: Path, grades: list[float]) -> None:
    """Write made-up data in the columns that mteb's BIOSSES task reads."""
    rows = [
        {"sentence1": f"cells of type {n}", "sentence2": f"type {n * n} cells grow", "score": grade}
        for n, grade in enumerate(grades)
    ]
    write_lines(folder / "BIOSSES" / "test.jsonl", rows)
    (folder / "BIOSSES" / "README.md").write_text(STS_README, encoding="utf-8")


def write_scifact(folder: Path) -> None:
    """Write made-up data in the configs that mteb's SciFact task reads."""
    base = folder / "SciFact"
    corpus = [{"_id": str(n), "title": f"Title {n}", "text": f"abstract number {n} about cells"} for n in range(12)]
    write_lines(base / "corpus.jsonl", corpus)
    write_lines(base / "queries.jsonl", [{"_id": f"q{n}", "text": f"claim about abstract {n}"} for n in range(4)])
    write_lines(base / "qrels.jsonl", [{"query-id": f"q{n}", "corpus-id": str(n), "score": 1} for n in range(4)])
    (base / "README.md").write_text(SCIFACT_README, encoding="utf-8")


def run(model: Path, data: Path, output: Path, **changes: Any) -> RunSummary:
    settings: dict[str, Any] = {
        "model": str(model),
        "profile": "bge-en-icl",
        "tasks": "BIOSSES",
        "num_fewshot": "1",
        "data_dir": data,
        "output_dir": output,
        "offline": True,
    }
    return execute(build_config({**settings, **changes}))


def main_row(path: Path) -> dict[str, Any]:
    return next(row for row in pq.read_table(path / "scores.parquet").to_pylist() if row["is_main"])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test at the first attempt to reach anything."""

    def refuse(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"network touched: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_mteb_tasks_run_on_local_files_without_any_network(tmp_path: Path, model_dirs: dict[str, Path]) -> None:
    write_biosses(tmp_path / "data", [1.0, 4.0, 2.0, 3.0, 0.5])
    write_scifact(tmp_path / "data")

    summary = run(model_dirs["bytes"], tmp_path / "data", tmp_path / "out", tasks="BIOSSES,SciFact", offline=False)

    rows = pq.read_table(summary.path / "scores.parquet").to_pylist()
    assert {row["task_name"] for row in rows} == {"BIOSSES", "SciFact"}
    assert all(row["dataset_revision"].startswith("local:") for row in rows)


def test_changed_folder_is_never_served_from_a_stale_cache(tmp_path: Path, model_dirs: dict[str, Path]) -> None:
    write_biosses(tmp_path / "data", [1.0, 4.0, 2.0, 3.0, 0.5, 2.5])
    before = main_row(run(model_dirs["bytes"], tmp_path / "data", tmp_path / "a").path)

    write_biosses(tmp_path / "data", [4.0, 1.0, 3.0, 2.0, 2.5, 0.5])
    after = main_row(run(model_dirs["bytes"], tmp_path / "data", tmp_path / "b").path)

    assert before["score"] != after["score"]
    assert before["dataset_revision"] != after["dataset_revision"]


def test_redirecting_one_task_leaves_mtebs_own_class_alone(tmp_path: Path, model_dirs: dict[str, Path]) -> None:
    import mteb

    write_biosses(tmp_path / "data", [1.0, 4.0, 2.0, 3.0, 0.5])
    run(model_dirs["bytes"], tmp_path / "data", tmp_path / "out")

    assert mteb.get_task("BIOSSES").metadata.dataset["path"] == "mteb/biosses-sts"


def test_folder_without_the_split_is_one_line_and_the_other_task_finishes(
    tmp_path: Path, model_dirs: dict[str, Path]
) -> None:
    write_biosses(tmp_path / "data", [1.0, 4.0, 2.0, 3.0, 0.5])
    write_scifact(tmp_path / "data")
    (tmp_path / "data" / "SciFact" / "qrels.jsonl").unlink()

    summary = run(model_dirs["bytes"], tmp_path / "data", tmp_path / "out", tasks="BIOSSES,SciFact")

    (failure,) = summary.failures.values()
    assert summary.exit_code == 75
    assert "task 'SciFact': its data" in str(failure)
    assert len(str(failure).splitlines()) == 1
    assert main_row(summary.path)["task_name"] == "BIOSSES"


def test_fingerprint_follows_content_not_time(tmp_path: Path) -> None:
    write_biosses(tmp_path, [1.0, 2.0])
    folder = tmp_path / "BIOSSES"
    before = folder_fingerprint(folder)
    (folder / "test.jsonl").touch()

    assert folder_fingerprint(folder) == before
    write_biosses(tmp_path, [1.0, 2.5])
    assert folder_fingerprint(folder) != before


def custom(folder: Path, task_type: str = "STS") -> Any:
    metric = {"STS": "cosine_spearman", "Retrieval": "ndcg_at_10", "Classification": "accuracy"}[task_type]
    return build_custom_task("Mine", task_type=task_type, main_metric=metric, folder=folder, fingerprint="local:0")


def test_own_task_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match=r"has neither test\.jsonl nor test\.parquet"):
        custom(tmp_path).load_data()


def test_own_task_names_the_missing_column(tmp_path: Path) -> None:
    write_lines(tmp_path / "test.jsonl", [{"sentence1": "a", "sentence2": "b"}])

    with pytest.raises(ResultSchemaError, match=r"column score is missing \(found: sentence1, sentence2\)"):
        custom(tmp_path).load_data()


def test_own_task_names_the_broken_line(tmp_path: Path) -> None:
    good = '{"sentence1": "a", "sentence2": "b", "score": 1}'
    (tmp_path / "test.jsonl").write_text(good + '\n{"sentence1": \n', encoding="utf-8")

    with pytest.raises(ResultSchemaError, match=r"test\.jsonl:2: not JSON"):
        custom(tmp_path).load_data()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sentence1": None, "sentence2": "b", "score": 1}, r"test\.jsonl:1: sentence1 is None; a text is expected"),
        ({"sentence1": "a", "sentence2": "b", "score": "high"}, r"score is 'high'; a number is expected"),
        ({"sentence1": "a", "sentence2": 7, "score": 1}, r"sentence2 is 7; a text is expected"),
        (["a", "b", 1], r"test\.jsonl:1: an object with sentence1, sentence2, score is expected"),
    ],
)
def test_own_task_names_the_wrong_value(tmp_path: Path, row: Any, message: str) -> None:
    write_lines(tmp_path / "test.jsonl", [row])

    with pytest.raises(ResultSchemaError, match=message):
        custom(tmp_path).load_data()


def test_label_names_are_numbered_over_all_splits(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", [{"text": "x", "label": "billing"}, {"text": "y", "label": "sales"}])
    write_lines(tmp_path / "test.jsonl", [{"text": "z", "label": "sales"}])

    task = custom(tmp_path, "Classification")
    task.load_data()

    assert task.dataset["train"]["label"][:] == [0, 1]
    assert task.dataset["test"]["label"][:] == [1]


def test_whole_number_ids_and_missing_titles_are_read(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", [{"_id": 1, "text": "a", "title": "t"}, {"_id": "x", "text": "b"}])
    write_lines(tmp_path / "queries.jsonl", [{"_id": 7, "text": "b"}])
    write_lines(tmp_path / "qrels.jsonl", [{"query-id": 7, "corpus-id": 1, "score": 1}])

    task = custom(tmp_path, "Retrieval")
    task.load_data()

    split = task.dataset["default"]["test"]
    assert split["relevant_docs"] == {"7": {"1": 1}}
    assert split["corpus"]["title"][:] == ["t", ""]


def test_fractional_relevance_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", [{"_id": "d0", "text": "a"}])
    write_lines(tmp_path / "queries.jsonl", [{"_id": "q0", "text": "b"}])
    write_lines(tmp_path / "qrels.jsonl", [{"query-id": "q0", "corpus-id": "d0", "score": 0.5}])

    with pytest.raises(ResultSchemaError, match=r"score is 0\.5; a whole number is expected"):
        custom(tmp_path, "Retrieval").load_data()


def test_task_that_mteb_cannot_evaluate_is_named_and_the_others_finish(
    tmp_path: Path, model_dirs: dict[str, Path]
) -> None:
    from tests.toy import write_toy_benchmark

    registry, data = write_toy_benchmark(tmp_path, ("STS", "Classification"))
    broken = registry / "ToySTS.yaml"
    broken.write_text(broken.read_text().replace("cosine_spearman", "cosine_speerman"), encoding="utf-8")
    settings = {"model": str(model_dirs["bytes"]), "profile": "bge-en-icl", "benchmark": "toy", "num_fewshot": "0"}

    summary = execute(
        build_config({**settings, "registry_dir": (registry,), "data_dir": data, "output_dir": tmp_path / "out"})
    )

    (failure,) = summary.failures.values()
    assert summary.exit_code == 3
    assert "task 'ToySTS': mteb cannot evaluate it" in str(failure)
    assert main_row(summary.path)["task_name"] == "ToyClassification"


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        (
            [{"query-id": "q9", "corpus-id": "d0", "score": 1}],
            "names 'q9' -> 'd0', which the queries or the corpus lack",
        ),
        (
            [{"query-id": "q0", "corpus-id": "d9", "score": 1}],
            "names 'q0' -> 'd9', which the queries or the corpus lack",
        ),
    ],
)
def test_qrels_of_unknown_ids_are_refused(tmp_path: Path, qrels: list[dict[str, Any]], message: str) -> None:
    write_lines(tmp_path / "corpus.jsonl", [{"_id": "d0", "text": "a"}])
    write_lines(tmp_path / "queries.jsonl", [{"_id": "q0", "text": "b"}])
    write_lines(tmp_path / "qrels.jsonl", qrels)

    with pytest.raises(ResultSchemaError, match=message):
        custom(tmp_path, "Retrieval").load_data()


def test_duplicate_document_ids_are_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", [{"_id": "d0", "text": "a"}, {"_id": "d0", "text": "b"}])
    write_lines(tmp_path / "queries.jsonl", [{"_id": "q0", "text": "b"}])
    write_lines(tmp_path / "qrels.jsonl", [{"query-id": "q0", "corpus-id": "d0", "score": 1}])

    with pytest.raises(ResultSchemaError, match="an _id occurs twice"):
        custom(tmp_path, "Retrieval").load_data()


def test_offline_model_that_is_not_here_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    with pytest.raises(DatasetUnavailableError, match="--offline: model 'BAAI/bge-en-icl' is not on this machine"):
        execute(build_config({"model": "BAAI/bge-en-icl", "benchmark": "mini", "offline": True}))


def test_one_question_to_an_unreachable_hub_then_offline(
    tmp_path: Path, model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.runners.run import RunHooks

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []
    settings = {
        "model": str(model_dirs["bytes"]),
        "profile": "bge-en-icl",
        "tasks": "BIOSSES",
        "num_fewshot": "0",
        "output_dir": tmp_path / "out",
    }

    summary = execute(build_config(settings), RunHooks(message=said.append))

    assert summary.exit_code == 75
    assert "127.0.0.1 is not reachable" in said[0]
