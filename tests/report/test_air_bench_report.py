"""Tables of AIR-Bench: the board's columns, averages and ranks, the paper's view, result files of the board."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from harness.cli.main import main
from harness.errors import ConfigError, HarnessError, ResultSchemaError, TaskNotFoundError
from harness.registry.air_bench import AirBenchSet, air_bench_sets
from harness.report.air_bench import build_air_tables
from harness.report.air_bench_columns import column_name, paper_sets, sets_of
from harness.report.load import load_scores
from harness.report.reference import References, load_references
from harness.report.table import LeaderboardTable

NEW, OLD = "AIR-Bench_24.05", "AIR-Bench_24.04"
ENGLISH_QA = sets_of(NEW, "qa", "dev", ["en"])


def rows(make: SimpleNamespace, sets: list[AirBenchSet], score: Any, **values: Any) -> list[dict[str, Any]]:
    """Rows as a run writes them; `score` is a number or a function of the set's place."""
    return [
        make.row(
            task_name=one.name, task_type="Retrieval", split="dev", metric=one.main_metric,
            score=score(place) if callable(score) else score, dataset_revision=f"{NEW}@local:0123456789abcdef",
            result_key=f"{one.name}{values.get('configuration', '')}{values.get('model_name', '')}", **values,
        )
        for place, one in enumerate(sets)
    ]  # fmt: skip


def tables(
    make: SimpleNamespace, folder: Path, content: list[dict[str, Any]], **settings: Any
) -> list[LeaderboardTable]:
    return build_air_tables(load_scores([make.run(folder / "run1", content)]), **{"version": NEW, **settings})


def by_title(found: list[LeaderboardTable]) -> dict[str, LeaderboardTable]:
    return {table.title: table for table in found}


def test_columns_are_called_as_on_the_board() -> None:
    names = {one.name: column_name(one) for version in (OLD, NEW) for one in air_bench_sets(version)}

    assert names["air-bench/qa/wiki/en"] == "wiki_en"
    assert names["air-bench/long-doc/law/en/lex_files_500K-600K"] == "law_en_lex_files_500k_600k"
    book = "air-bench/long-doc/book/en/a-brief-history-of-time_stephen-hawking"
    assert names[book] == "book_en_a_brief_history_of_time_stephen_hawking"
    assert len(set(names.values())) == len(names)
    assert len(sets_of(NEW, "qa", "test")) == 53 and len(sets_of(NEW, "long-doc", "test")) == 11


def test_the_average_is_the_flat_mean_and_domains_have_means(make: SimpleNamespace, tmp_path: Path) -> None:
    wiki = [
        one for one in sets_of(NEW, "qa", "dev") if one.domain in ("wiki", "science") and one.language in ("ru", "en")
    ]
    sets = sets_of(NEW, "qa", "dev", ["en", "ru"])
    scores = {one.name: 0.9 if one.domain == "science" else 0.1 for one in sets}
    content = rows(make, sets, lambda place: scores[sets[place].name])

    (table,) = tables(make, tmp_path, content)[:1]

    (row,) = table.rows
    flat = (0.9 + 0.1 * (len(sets) - 1)) / len(sets)
    assert row.mean_task == pytest.approx(flat)
    means = dict(zip(table.task_types, row.type_means, strict=True))
    assert means["science"] == pytest.approx(0.9) and means["wiki"] == pytest.approx(0.1)
    assert len(wiki) == 3 and table.mean_columns()[0].title == "Average" and len(table.mean_columns()) == 1
    assert table.title == f"{NEW} QA (en, ru), dev: nDCG@10"


def test_a_row_with_a_gap_has_no_average_and_ranks_last_with_its_like(make: SimpleNamespace, tmp_path: Path) -> None:
    content = rows(make, ENGLISH_QA, 0.2, model_name="org/a") + rows(make, ENGLISH_QA, 0.2, model_name="org/b")
    content += rows(make, ENGLISH_QA, 0.1, model_name="org/c")
    content += rows(make, ENGLISH_QA[1:], 0.9, model_name="org/d") + rows(make, ENGLISH_QA[:1], 0.9, model_name="org/e")

    found = by_title(tables(make, tmp_path, content))[f"{NEW} QA (en), dev: nDCG@10"]

    assert [(row.key.model_name, row.rank, row.mean_task is None) for row in found.rows] == [
        ("org/a", 1, False), ("org/b", 1, False), ("org/c", 3, False), ("org/d", 4, True), ("org/e", 4, True),
    ]  # fmt: skip


def test_the_columns_of_24_04_that_24_05_dev_can_score_are_msmarco_and_four_long_documents() -> None:
    assert [one.name for one in paper_sets("qa")] == ["air-bench/qa/msmarco/en"]
    assert [column_name(one) for one in paper_sets("long-doc")] == [
        "arxiv_en_llama2", "book_en_a_brief_history_of_time_stephen_hawking", "healthcare_en_pubmed_100k_200k_3",
        "law_en_lex_files_300k_400k",
    ]  # fmt: skip


def test_msmarco_dev_stands_beside_the_papers_column_marked_as_such(make: SimpleNamespace, tmp_path: Path) -> None:
    content = rows(make, ENGLISH_QA, 0.6)

    found = tables(make, tmp_path, content, references=load_references(["paper/full/fs", "paper/full/zs"], groups=True))

    (paper,) = [table for table in found if table.title.startswith(OLD)]
    assert paper.title == f"{OLD} QA, the 1 of 13 columns that {NEW} dev can score"
    shown = {row.key.reference: row.task_scores for row in paper.rows}
    assert shown == {"": (0.6,), "paper/full/fs": (0.645,), "paper/full/zs": (0.6371,)}
    assert any("that they are the same ones is not published" in note for note in paper.notes)
    # Test scores of the other version never stand among dev scores.
    dev = by_title(found)[f"{NEW} QA (en), dev: nDCG@10"]
    assert [row.key.reference for row in dev.rows] == [""]


def test_the_papers_tables_come_from_the_shipped_rows(registry_rows: References) -> None:
    found = by_title(build_air_tables(None, version=OLD, references=registry_rows))

    qa = found[f"{OLD} QA (en), test: nDCG@10"]
    few = next(row for row in qa.rows if row.key.reference == "paper/full/fs")
    assert round(100 * (few.mean_task or 0), 2) == 54.36 and few.task_scores[0] == 0.5004 and not few.averages_only
    long_doc = found[f"{OLD} Long-Doc (en), test: Recall@10"]
    few = next(row for row in long_doc.rows if row.key.reference == "paper/full/fs")
    assert few.averages_only and few.mean_task == 0.7483 and set(few.task_scores) == {None}
    assert dict(zip(long_doc.task_types, few.type_means, strict=True)) == {
        "arxiv": 0.7963, "book": 0.7936, "healthcare": 0.7480, "law": 0.6779,
    }  # fmt: skip
    # A mean over English and Chinese is none of the English table.
    both = found[f"{OLD} QA (all languages), test: nDCG@10"]
    assert [row.key.reference for row in both.rows] == ["paper/bge-m3"] and both.rows[0].mean_task == 0.4665
    english = next((row for row in qa.rows if row.key.reference == "paper/bge-m3"), None)
    assert english is not None and english.mean_task is None


@pytest.fixture(scope="module")
def registry_rows() -> References:
    return load_references(["paper/full/fs", "paper/bge-m3"], groups=True)


def board_file(
    folder: Path, model: str, version: str, score: float, *, time: str = "20240501000000", **changes: Any
) -> Path:
    """Write a result file as the board's backend does: main metrics and another one, as fractions."""
    path = folder / version / model / "NoReranker" / f"results_{time}-0123abcd.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = []
    for task in ("qa", "long-doc"):
        for metric in ("ndcg_at_10", "recall_at_10", "mrr_at_1"):
            config = {
                "retrieval_model": model, "retrieval_model_link": "https://example.org", "reranking_model": "NoReranker",
                "reranking_model_link": "", "task": task, "metric": metric, "timestamp": "2024-05-01T00:00:00Z",
                "is_anonymous": False, "revision": "0123abcd",
            }  # fmt: skip
            results = [
                {"domain": one.domain, "lang": one.language, "dataset": one.dataset, "value": score}
                for one in sets_of(version, task, "test")
            ]
            content.append({"config": config, "results": results})
    path.write_text(json.dumps({**{"all": content}, **changes}["all"]), encoding="utf-8")
    return path


def test_result_files_of_the_board_are_reference_rows(tmp_path: Path) -> None:
    board_file(tmp_path / "results", "bge-m3", NEW, 0.25, time="20240101000000")
    board_file(tmp_path / "results", "bge-m3", NEW, 0.5)
    board_file(tmp_path / "results", "other", OLD, 0.75)
    references = load_references([str(tmp_path / "results")], groups=True)

    new = by_title(build_air_tables(None, version=NEW, references=references))
    old = by_title(build_air_tables(None, version=OLD, references=references, rank_references=True))

    qa = new[f"{NEW} QA (all languages), test: nDCG@10"]
    assert [(row.key.model_name, row.mean_task, row.rank) for row in qa.rows] == [("bge-m3", 0.5, None)]  # the newest
    assert len(qa.tasks) == 53 and len(new[f"{NEW} Long-Doc (en), test: Recall@10"].tasks) == 11
    qa = old[f"{OLD} QA (all languages), test: nDCG@10"]
    assert [(row.key.model_name, row.mean_task, row.rank) for row in qa.rows] == [("other", 0.75, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no result file of AIR-Bench's board"),
        ([], "no result file of AIR-Bench's board"),
        ([1], "an element that is no object"),
        ([{"config": {}, "results": []}], "retrieval_model, reranking_model, task, metric missing"),
        (
            [
                {
                    "config": {
                        "task": "qa",
                        "metric": "ndcg_at_10",
                        "retrieval_model": "m",
                        "reranking_model": "NoReranker",
                    }
                }
            ],
            "results",
        ),
        ("wrong value", "is no fraction"),
        ("unknown set", "is no set of"),
        ("no main metric", "holds no main score"),
    ],
)
def test_foreign_and_damaged_result_files_are_one_line(tmp_path: Path, content: Any, message: str) -> None:
    path = board_file(tmp_path, "m", NEW, 55.0 if content == "wrong value" else 0.5)
    whole = json.loads(path.read_text())
    if content == "unknown set":
        whole[0]["results"][0]["domain"] = "sport"
    elif content == "no main metric":
        whole = [one for one in whole if one["config"]["metric"] == "mrr_at_1"]
    elif content != "wrong value":
        whole = content
    path.write_text(json.dumps(whole))

    with pytest.raises(ResultSchemaError, match=message) as caught:
        load_references([str(path)])

    assert "\n" not in str(caught.value)
    path.write_text(path.read_text()[:-20] + "}")
    with pytest.raises(HarnessError):
        load_references([str(path)])


def test_a_result_file_outside_a_version_folder_is_said(tmp_path: Path) -> None:
    path = board_file(tmp_path / "x", "m", NEW, 0.5)
    moved = tmp_path / path.name
    path.rename(moved)

    with pytest.raises(ConfigError, match=r"put it below a folder AIR-Bench_24\.04 or AIR-Bench_24\.05"):
        load_references([str(moved)])


def test_the_command_writes_every_format_with_equal_numbers(
    make: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = rows(make, ENGLISH_QA, lambda place: 0.1 + 0.01 * place)
    content += rows(
        make, ENGLISH_QA, lambda place: 0.2 + 0.01 * place, configuration="k2", num_fewshot=2, examples_set="curated"
    )
    run = make.run(tmp_path / "run1", content)

    code = main(
        ["report", str(run), "--benchmark", NEW, "--per-task", "--output-dir", str(tmp_path / "out"), "--no-intervals"]
        + ["--format", "md,parquet,csv,latex,html"]
    )

    shown = capsys.readouterr().out
    assert code == 0 and f"{NEW} QA (en), dev: nDCG@10 (8 tasks)" in shown and "msmarco_en" in shown
    wide = pq.read_table(tmp_path / "out" / "leaderboard.parquet").to_pylist()
    (first, second) = wide[:2]
    assert first["rank"] == 1 and first["rank_borda"] is None and first["configuration"] == "k2"
    average = sum(0.2 + 0.01 * place for place in range(8)) / 8
    assert first["mean_task"] == pytest.approx(average) and second["mean_task"] == pytest.approx(average - 0.1)
    assert first["task:msmarco_en"] is not None and first["type:msmarco"] == first["task:msmarco_en"]
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert f"**{100 * average:.2f}**" in text and "| Rank | Model | n-shot | Average | arxiv |" in text
    assert f"{100 * average:.2f}" in (tmp_path / "out" / "leaderboard.tex").read_text()
    assert '"rankTitle":"Rank"' in (tmp_path / "out" / "leaderboard.html").read_text().replace(" ", "")
    frame = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert frame["mean_task"][0] == first["mean_task"]
    differences = pq.read_table(tmp_path / "out" / "leaderboard_fewshot.parquet")["difference"].to_pylist()
    assert differences[0] == pytest.approx(0.1)


def test_a_version_nobody_has_and_an_unknown_one_are_said(make: SimpleNamespace, tmp_path: Path) -> None:
    content = rows(make, ENGLISH_QA, 0.5)

    with pytest.raises(ConfigError, match=r"none of these rows has a score of AIR-Bench_24\.04"):
        tables(make, tmp_path, content, version=OLD)
    with pytest.raises(TaskNotFoundError, match=r"24\.06"):
        tables(make, tmp_path, content, version="AIR-Bench_24.06")


def test_limit_runs_stand_behind_all_others(make: SimpleNamespace, tmp_path: Path) -> None:
    content = rows(make, ENGLISH_QA, 0.9, model_name="org/part", partial=True, limit=5)
    content += rows(make, ENGLISH_QA, 0.1, model_name="org/whole")

    found = tables(make, tmp_path, content)[0]

    assert [(row.key.model_name, row.rank) for row in found.rows] == [("org/whole", 1), ("org/part", 2)]
