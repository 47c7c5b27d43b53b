"""`run` over AIR-Bench: what is searched, scored, kept, shared, resumed and refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.air_bench.metrics import METRICS, air_metrics
from harness.cli.main import main
from harness.config import RunConfig, build_config
from harness.runners import air_bench as runner
from harness.runners.run import RunHooks, RunSummary, execute
from harness.store.hits import hits_as_run, read_hits
from harness.store.run_dir import RunDir
from tests.air_bench.made import SMALL, small_set, use_small_tables, write_benchmark, write_set

pytestmark = pytest.mark.model

V4, V5 = "AIR-Bench_24.04", "AIR-Bench_24.05"
FINANCE, MSMARCO = "air-bench/qa/finance/en", "air-bench/qa/msmarco/en"
GEMINI, LEX = "air-bench/long-doc/arxiv/en/gemini", "air-bench/long-doc/law/en/lex_files_300K-400K"


@dataclass
class Air:
    """Made data of both versions and a tiny model."""

    folder: Path
    model: Path
    messages: list[str] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def config(self, **changes: Any) -> RunConfig:
        settings: dict[str, Any] = {
            "model": str(self.model),
            "profile": "bge-en-icl",
            "benchmark": V5,
            "data_dir": self.folder / "data",
            "num_fewshot": "0",
            "output_dir": self.out,
            "no_cache": True,
        }
        return build_config({**settings, **changes})

    def run(self, **changes: Any) -> RunSummary:
        return execute(self.config(**changes), RunHooks(message=self.messages.append))

    def command(self, *arguments: str) -> int:
        common = ["--model", str(self.model), "--profile", "bge-en-icl", "--data-dir", str(self.folder / "data")]
        return main(["run", "--quiet", "--no-cache", *common, "--output-dir", str(self.out), *arguments])

    def records(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(one["configuration"], one["task_name"]): one for one in RunDir(self.out).records()}


@pytest.fixture
def air(tmp_path: Path, model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Air:
    for version in SMALL:
        write_benchmark(tmp_path / "data", version)
    use_small_tables(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Air(tmp_path, model_dirs["bytes"])


def test_dev_has_scores_and_hits_and_test_has_hits_alone(air: Air) -> None:
    summary = air.run()

    assert (summary.exit_code, summary.evaluated) == (0, 4)
    rows = pq.read_table(air.out / "scores.parquet").to_pylist()
    assert {(row["task_name"], row["split"]) for row in rows} == {(FINANCE, "dev"), (MSMARCO, "dev"), (LEX, "dev")}
    assert [row["metric"] for row in rows if row["task_name"] == FINANCE and row["is_main"]] == ["ndcg_at_10"]
    assert [row["metric"] for row in rows if row["task_name"] == LEX and row["is_main"]] == ["recall_at_10"]
    assert {row["metric"] for row in rows if row["task_name"] == LEX} == set(METRICS)
    assert {row["dataset_revision"].split("@")[0] for row in rows} == {V5}
    record = air.records()["k0", FINANCE]
    assert set(record["files"]) == {
        f"{folder}/k0/air-bench__qa__finance__en.parquet" for folder in ("items", "devhits", "testhits")
    }
    assert record["details"]["air_bench"] == {
        "dev": {"queries": 5, "hits": 60, "judged": 5, "missing": 0, "unjudged": 0, "tied": 0},
        "test": {"queries": 5, "hits": 60},
    }
    assert "5 test queries for the board" in air.messages[-1]


def test_scores_are_those_of_the_kept_hits(air: Air) -> None:
    air.run(domains="finance")

    record = air.records()["k0", FINANCE]
    data = runner.AirSource(small_set(V5, FINANCE), air.folder / "data" / "AIR-Bench").load()
    again = air_metrics(data.qrels, hits_as_run(read_hits(air.out / "devhits/k0/air-bench__qa__finance__en.parquet")))
    assert {row["metric"]: row["score"] for row in record["rows"]} == again.mean
    items = pq.read_table(air.out / "items/k0/air-bench__qa__finance__en.parquet").to_pylist()
    assert {row["item"]: row["ndcg_cut_10"] for row in items} == {
        query: scores["ndcg_at_10"] for query, scores in again.per_query.items()
    }


def test_dev_alone_and_dev_with_test_give_the_same_scores_under_the_same_revision(air: Air) -> None:
    air.run(domains="finance", splits="dev")
    alone = air.records()["k0", FINANCE]
    shutil.rmtree(air.out)
    air.run(domains="finance", splits="dev,test")
    both = air.records()["k0", FINANCE]

    assert alone["details"]["air_bench"].keys() == {"dev"} and both["details"]["air_bench"].keys() == {"dev", "test"}
    for name in ("score", "dataset_revision", "metric"):
        assert [row[name] for row in alone["rows"]] == [row[name] for row in both["rows"]]


def test_test_alone_needs_no_judgements_and_has_no_leaderboard(air: Air) -> None:
    for folder in (air.folder / "data" / "AIR-Bench").glob("qrels-*"):
        shutil.rmtree(folder)

    assert air.command("--benchmark", V5, "--splits", "test", "--num-fewshot", "0") == 0

    assert {task for _, task in air.records()} == {FINANCE, GEMINI}  # the others have no test split
    assert pq.read_table(air.out / "scores.parquet").num_rows == 0
    assert not (air.out / "leaderboard.md").exists()
    assert read_hits(air.out / "testhits/k0/air-bench__long-doc__arxiv__en__gemini.parquet").num_rows == 5 * 18


def test_old_version_is_searched_and_not_scored(air: Air) -> None:
    air.run(benchmark=V4)

    assert {name: one["identity"]["protocol"]["searched_splits"] for (_, name), one in air.records().items()} == {
        FINANCE: ["test"],
        MSMARCO: ["test"],
    }


def test_every_set_has_its_own_examples_and_the_cheapest_comes_first(air: Air) -> None:
    air.run(num_fewshot="2")

    registry = air.config().registry_dir
    from harness.registry import Registry

    by_name = {task.name: task for task in Registry.load(registry)}
    seen = {name: one["identity"]["subject"]["prompt_fingerprint"] for (_, name), one in air.records().items()}
    assert len({by_name[name].examples[0].query for name in seen}) == len(set(seen.values())) == 4
    order = [message.split()[1] for message in air.messages]
    assert order == sorted(order, key=lambda name: (small_set(V5, name).tokens, name))


def test_documents_are_encoded_once_for_all_examples_splits_and_versions(
    air: Air, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(air.folder / "cache"))
    first = air.run(domains="finance", num_fewshot="0,2", splits="dev", no_cache=False)
    second = air.run(
        domains="finance", num_fewshot="0,2", splits="test", no_cache=False, output_dir=air.folder / "test"
    )
    old = air.run(domains="finance", benchmark=V4, no_cache=False, output_dir=air.folder / "old")

    assert first.encoded == 12 + 2 * 5  # documents once, queries for each k
    assert second.encoded == 2 * 5
    # Its own test queries; the corpus is that of 24.05.
    assert old.encoded == 5
    assert old.texts == 12 + 5


def test_killed_run_goes_on_and_encodes_no_document_twice(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(air.folder / "cache"))
    original = runner.StreamingTopK.result
    calls = 0

    def killed(self: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(runner.StreamingTopK, "result", killed)
    with pytest.raises(KeyboardInterrupt):
        air.run(no_cache=False)
    assert len(air.records()) == 2
    monkeypatch.setattr(runner.StreamingTopK, "result", original)

    rest = air.run(no_cache=False)
    straight = air.run(output_dir=air.folder / "straight")

    assert (rest.evaluated, rest.reused) == (2, 2)
    assert rest.encoded == 12 + 10  # the last set; the third one's vectors were there
    for split in ("dev", "test"):
        for path in (air.folder / "straight" / f"{split}hits" / "k0").glob("*.parquet"):
            assert read_hits(path).equals(read_hits(air.out / f"{split}hits" / "k0" / path.name))
    assert straight.exit_code == 0


def test_damaged_hits_are_searched_again_and_nothing_else(air: Air) -> None:
    air.run()
    path = air.out / "devhits" / "k0" / "air-bench__qa__finance__en.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-9])

    again = air.run()

    assert (again.evaluated, again.reused) == (1, 3)
    assert path.read_bytes() == content


def test_truncated_set_fails_before_encoding_and_the_others_go_on(air: Air) -> None:
    corpus = air.folder / "data" / "AIR-Bench" / "qa_finance_en" / V5 / "default" / "corpus.jsonl"
    corpus.write_text("".join(corpus.read_text().splitlines(keepends=True)[:-1]))

    summary = air.run()

    assert (summary.exit_code, summary.evaluated) == (5, 3)
    assert list(summary.failures) == [f"k0/{FINANCE}"]
    assert "truncated" in str(summary.failures[f"k0/{FINANCE}"])
    assert json.loads((air.out / "manifest.json").read_text())["status"] == "incomplete"


def test_changed_test_queries_repeat_their_set_alone(air: Air) -> None:
    air.run()
    path = air.folder / "data" / "AIR-Bench" / "qa_finance_en" / V5 / "default" / "test_queries.jsonl"
    path.write_text(path.read_text().replace("test ", "another ", 1))

    again = air.run()

    assert (again.evaluated, again.reused) == (1, 3)


def test_limit_takes_the_first_queries_and_marks_the_rows(air: Air) -> None:
    air.run(limit=2)

    record = air.records()["k0", FINANCE]
    assert record["details"]["air_bench"]["dev"]["judged"] == 2
    assert {row["partial"] for row in record["rows"]} == {True}


def test_two_versions_do_not_share_a_directory(air: Air, capsys: pytest.CaptureFixture[str]) -> None:
    air.run(domains="finance")
    before = air.records()

    assert air.command("--benchmark", V4, "--num-fewshot", "0") == 2
    assert f"holds results of {V5}" in capsys.readouterr().err
    assert air.records() == before
    assert air.command("--benchmark", V4, "--benchmark", V5) == 2
    assert "cannot be in one run" in capsys.readouterr().err
    paths = {air.config(benchmark=version, output_dir=None).run_path() for version in (V4, V5)}
    assert len(paths) == 2


def test_one_run_may_hold_mteb_and_air_bench_tasks(air: Air) -> None:
    from tests.toy import write_data, write_registry

    write_registry(air.folder / "registry", "STS")
    write_data(air.folder / "data" / "ToySTS", "STS")

    summary = air.run(benchmark=("toy", V5), registry_dir=(air.folder / "registry",))

    assert (summary.exit_code, summary.evaluated) == (0, 5)


def test_set_given_by_its_name_is_that_of_the_newest_version(air: Air) -> None:
    air.run(benchmark=(), tasks=FINANCE)

    assert air.records()["k0", FINANCE]["identity"]["protocol"]["benchmark_version"] == V5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["--benchmark", "AIR-Bench_24.06"],
            "'AIR-Bench_24.06' is not known.*Known: .*AIR-Bench_24.04, AIR-Bench_24.05",
        ),
        (["--benchmark", V5, "--domains", "finanse"], "--domains 'finanse'.*Did you mean 'finance'.*Known: arxiv, "),
        (["--benchmark", V5, "--languages", "eng"], "--languages 'eng' is not in AIR-Bench_24.05.*Known: en"),
        (["--benchmark", V5, "--datasets", "gpt9"], "--datasets 'gpt9'"),
        (["--benchmark", V5, "--task-types", "sts"], "--task-types 'sts'.*Known: long-doc, qa"),
        (["--benchmark", V5, "--splits", "train"], "--splits 'train'.*Known: dev, test"),
        (["--benchmark", V4, "--splits", "dev"], "--splits 'dev' is not in AIR-Bench_24.04.*Known: test"),
        (["--benchmark", V5, "--domains", "finance", "--datasets", "gemini"], "no set of AIR-Bench_24.05 has all"),
        (["--tasks", FINANCE + "x"], "AIR-Bench has no set.*Did you mean"),
        (["--tasks", MSMARCO, "--splits", "test"], "--splits 'test' is not in air-bench/qa/msmarco/en"),
        (["--benchmark", "mini", "--domains", "law"], "--domains: only for a benchmark of AIR-Bench"),
        (["--benchmark", "mini", "--benchmark", V5, "--languages", "en"], "--languages: AIR-Bench and MTEB"),
    ],
)
def test_wrong_choice_is_refused_in_one_line(
    air: Air, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    import re

    assert air.command("--num-fewshot", "0", *arguments) == 2

    message = capsys.readouterr().err.strip()
    assert "\n" not in message and re.search(reason, message)
    assert not air.out.exists()


def test_offline_names_the_sets_that_are_not_on_this_machine(
    air: Air, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(air.folder / "empty"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    shutil.rmtree(air.folder / "data" / "AIR-Bench" / "qa_finance_en")

    assert air.command("--benchmark", V5, "--offline", "--num-fewshot", "0") == 75

    assert f"1 task(s) is not on this machine: {FINANCE}" in capsys.readouterr().err
    assert not air.out.exists()


def test_folder_in_the_current_directory_serves_as_it_does_for_air_benchmark(air: Air, tmp_path: Path) -> None:
    write_set(tmp_path, small_set(V5, FINANCE), seed=1)

    summary = air.run(domains="finance", data_dir=None)

    assert summary.exit_code == 0


def test_strict_reader_takes_scored_sets_and_leaves_out_those_for_the_board(air: Air) -> None:
    from harness.store.stored_run import read_run

    air.run()
    run = read_run(air.out)

    assert {record["task_name"] for record in run.records} == {FINANCE, MSMARCO, LEX}  # gemini has test alone
    items = run.items("k0", FINANCE)
    assert items is not None and items.num_rows == 5


def test_baseline_is_fitted_on_the_texts_of_each_set(air: Air) -> None:
    summary = air.run(model="tfidf", profile=None, domains="finance")

    assert (summary.exit_code, summary.evaluated) == (0, 1)


def test_record_without_score_is_refused_for_any_other_task(air: Air) -> None:
    from harness.errors import ResultSchemaError
    from harness.store.records import check_content
    from harness.store.run_dir import canonical_sha256

    air.run(domains="finance")
    record = json.loads((air.out / "tasks/k0/air-bench__qa__finance__en.json").read_text())
    record.pop("content_sha256")
    record["rows"], record["identity"]["protocol"]["splits"] = [], []
    del record["identity"]["protocol"]["searched_splits"]
    record["result_key"] = canonical_sha256(record["identity"])

    with pytest.raises(ResultSchemaError, match="has no score"):
        check_content(record, "here")
