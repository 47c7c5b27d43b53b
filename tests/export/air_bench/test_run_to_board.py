"""From a run to the board: run, export, check, the mock board, `AIRBench.evaluate_dev`, and air-benchmark's own run."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from air_benchmark import AIRBench
from air_benchmark.evaluation_utils import Evaluator

from harness.cli.main import main
from harness.export.air_bench.source import open_air_run
from tests.air_bench.made import SMALL, use_small_tables, write_benchmark
from tests.export.air_bench.board import K_VALUES, board

VERSION = "AIR-Bench_24.05"
FINANCE = ("qa", "finance", "en", "default")


class Made:
    """A run over the made sets, dev and test, zero-shot and with two examples."""

    def __init__(self, folder: Path) -> None:
        self.data = write_benchmark(folder / "data", VERSION)
        self.run = folder / "run"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch:
        use_small_tables(patch)
        found = Made(tmp_path_factory.mktemp("air"))
        options = ["--quiet", "--offline", "--no-cache", "--model", "embedded", "--benchmark", VERSION]
        options += ["--data-dir", str(found.data), "--num-fewshot", "0,2", "--output-dir", str(found.run)]
        assert main(["run", *options]) == 0
        yield found


def export(made: Made, *options: str) -> int:
    return main(["export", "air-bench", str(made.run), *options])


def judgements(made: Made) -> dict[str, dict[str, int]]:
    """Judgements of finance's dev queries, as if they were those of the test queries."""
    file = made.data / "AIR-Bench" / "qrels-qa_finance_en-dev" / VERSION / "default" / "dev_qrels.jsonl"
    qrels: dict[str, dict[str, int]] = {}
    for line in file.read_text().splitlines():
        row = json.loads(line)
        qrels.setdefault(row["qid"].replace("dev", "test"), {})[row["docid"]] = row["relevance"]
    return qrels


@pytest.mark.model
def test_a_run_becomes_a_submission_that_check_and_board_accept(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(made, "--configuration", "k2", "--output-dir", str(tmp_path)) == 0
    said = capsys.readouterr().out
    path = tmp_path / "icl-harness__embedded-k2_NoReranker.zip"
    assert str(path) in said and "2 sets" in said

    code = main(["export", "air-bench", "--check", str(path), "--data-dir", str(made.data)])

    said = capsys.readouterr().out
    assert code == 0, said
    assert "ids of 2 compared with the data: the board would score it as it is meant" in said
    qrels = judgements(made)
    gemini = ("long-doc", "arxiv", "en", "gemini")
    scores = board(path, tmp_path / "unpacked", VERSION, {FINANCE: qrels, gemini: qrels})
    assert isinstance(scores, dict)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["long-doc/arxiv/en_gemini_test.json", "qa/finance/en_default_test.json"]
        content = json.loads(archive.read("qa/finance/en_default_test.json"))
    assert scores["qa"]["finance"]["en"]["default"] == Evaluator.compute_metrics(
        qrels, content["search_results"], K_VALUES
    )


@pytest.mark.model
def test_evaluate_dev_gives_our_table_from_our_files(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for configuration in ("k0", "k2"):
        assert export(made, "--configuration", configuration, "--folder", str(tmp_path / "results")) == 0
    monkeypatch.chdir(made.data)  # air-benchmark takes a folder AIR-Bench in the current directory for the hub's

    AIRBench.evaluate_dev(
        VERSION, str(tmp_path / "results"), cache_dir=str(tmp_path / "cache"), output_method="json",
        output_path=str(tmp_path / "dev.json"),
    )  # fmt: skip

    theirs = json.loads((tmp_path / "dev.json").read_text())
    ours: dict[str, Any] = {}
    for row in pq.read_table(made.run / "scores.parquet").to_pylist():
        _, task_type, domain, language, *dataset = row["task_name"].split("/")
        place = ours
        for key in (
            f"icl-harness__embedded-{row['configuration']}", "NoReranker", task_type, domain, language,
            dataset[0] if dataset else "default",
        ):  # fmt: skip
            place = place.setdefault(key, {})
        place[row["metric"]] = round(row["score"], 5)
    assert theirs == ours
    assert len(ours["icl-harness__embedded-k0"]["NoReranker"]["qa"]["finance"]["en"]["default"]) == 35


@pytest.mark.model
def test_air_benchmarks_own_run_finds_with_our_retriever_what_our_runner_finds(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import harness

    monkeypatch.chdir(made.data)
    retriever = harness.load_air_retriever("embedded", task="air-bench/qa/finance/en", num_fewshot=2)

    AIRBench(VERSION, task_types="qa", domains="finance", languages="en", cache_dir=str(tmp_path / "cache")).run(
        retriever, output_dir=str(tmp_path / "theirs")
    )

    assert export(made, "--configuration", "k2", "--folder", str(tmp_path / "ours")) == 0
    for split in ("dev", "test"):
        name = f"icl-harness__embedded-k2/NoReranker/qa/finance/en_default_{split}.json"
        theirs, ours = (json.loads((tmp_path / side / name).read_text()) for side in ("theirs", "ours"))
        found, expected = theirs.pop("search_results"), ours.pop("search_results")
        assert theirs == ours
        assert list(found) == list(expected)
        for query, hits in expected.items():
            # Batches of other sizes round the last digit of a vector in another way.
            assert found[query] == pytest.approx(hits, abs=1e-5)


@pytest.mark.model
def test_without_a_set_the_retriever_takes_the_prompt_of_the_task_type_in_the_language() -> None:
    from harness import load_air_retriever
    from harness.errors import ConfigError, TaskNotFoundError

    retriever = load_air_retriever("embedded", num_fewshot=1, search_top_k=1)

    assert str(retriever) == "icl-harness__embedded-k1" and retriever.search_top_k == 1
    assert retriever.task_for("de") == "air-bench/qa/wiki/de"
    corpus = {"d1": {"text": "A rose needs soil."}, "d2": {"text": "The boat left the harbour."}}
    found = retriever(corpus, {"q": "The boat left the harbour."}, language="en", anything=1)
    assert list(found) == ["q"] and len(found["q"]) == 1 and type(*found["q"].values()) is float
    with pytest.raises(TaskNotFoundError, match="air-bench/qa/wiki/nl"):
        retriever(corpus, {"q": "x"}, language="nl")
    with pytest.raises(ConfigError, match="'qu' is none of qa, long-doc"):
        load_air_retriever("embedded", task_type="qu")
    with pytest.raises(TaskNotFoundError, match="air-bench/qa/laws/en"):
        load_air_retriever("embedded", task="air-bench/qa/laws/en")


def test_the_sets_that_stand_for_a_task_type_are_registered_in_every_language() -> None:
    from harness.registry import Registry
    from harness.registry.air_bench import air_bench_sets, air_bench_task_name
    from harness.runners.air_retriever import TASK_TYPE_SETS

    registry = Registry.load()
    for task_type, (domain, dataset) in TASK_TYPE_SETS.items():
        for language in {one.language for one in air_bench_sets(VERSION) if one.task_type == task_type}:
            assert air_bench_task_name(task_type, domain, language, dataset) in registry


@pytest.mark.model
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "holds the configurations k0, k2: say which with --configuration"),
        (["--configuration", "k9"], 2, "has no configuration 'k9'"),
        (["--configuration", "k0", "--name", "org/model"], 2, "cannot name a submission"),
        (["--configuration", "k0", "--output", "x.tar"], 2, "does not end in .zip"),
        (["--configuration", "k0", "--output", "a.zip", "--folder", "b"], 2, "exclude each other"),
        (["--check", "x.zip"], 2, "takes neither RUN"),
        (["--data-dir", "x"], 2, "belong to --check"),
    ],
)
def test_wrong_options_are_one_line(
    made: Made, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert export(made, *options) == code
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.model
def test_a_damaged_file_of_hits_is_never_exported(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    run = shutil.copytree(made.run, tmp_path / "run")
    file = next((run / "testhits" / "k0").glob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    code = main(["export", "air-bench", str(run), "--configuration", "k0", "--output", str(tmp_path / "x.zip")])

    assert code == 5 and "does not match its hash" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.model
def test_sets_and_splits_of_a_run_are_those_of_the_table(made: Made) -> None:
    found = open_air_run(made.run, configuration="k0")

    names = [(result.air_set.name, result.split) for result in found.results]
    assert names == [
        (SMALL[VERSION][0], "dev"), (SMALL[VERSION][0], "test"), (SMALL[VERSION][1], "dev"),
        (SMALL[VERSION][2], "test"), (SMALL[VERSION][3], "dev"),
    ]  # fmt: skip
    assert found.absent() == {}
    assert [len(ranking.document_ids) for ranking in found.results[0].rankings()] == [12] * 5


def test_a_folder_that_is_no_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "air-bench", str(tmp_path)]) == 2
    assert main(["export", "air-bench"]) == 2
    assert main(["export", "air-bench", "--check", str(tmp_path / "none.zip")]) == 74
    assert "no run directory" in capsys.readouterr().err
