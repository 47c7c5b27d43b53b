"""The files that `export air-bench` writes are those that air-benchmark itself writes and its board scores."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, ResultSchemaError
from harness.export.air_bench.encode import Ranking, result_file
from harness.export.air_bench.write import SetResult, write_folder, write_zip
from harness.registry.air_bench_layout import checked_name, model_folder
from tests.export.air_bench.board import board
from tests.export.air_bench.made import MODEL, QRELS, SETS, VERSION, contents, rankings, results, submission

LAW = SETS["air-bench/qa/law/en"]
_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_SCORES = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.dictionaries(_IDS, st.dictionaries(_IDS, _SCORES, max_size=5), min_size=1, max_size=4))
def test_a_result_file_has_the_bytes_of_air_benchmarks_own(found: dict[str, dict[str, float]]) -> None:
    pieces = result_file(
        (Ranking(query, list(hits), list(hits.values())) for query, hits in found.items()), LAW, "test", model=MODEL
    )

    theirs = io.StringIO()
    data = {
        "model_name": MODEL, "reranker_name": "NoReranker", "benchmark_version": VERSION, "task_type": "qa",
        "domain": "law", "language": "en", "dataset_name": "default", "split": "test", "search_results": found,
    }  # fmt: skip
    json.dump(data, theirs, indent=4)  # Evaluator.save_search_results
    assert b"".join(pieces).decode() == theirs.getvalue()


def test_numpy_scores_become_the_floats_of_air_benchmark(tmp_path: Path) -> None:
    from air_benchmark.evaluation_utils import Evaluator

    scores = np.linspace(0.9, -0.1, 5, dtype=np.float32)
    pieces = result_file([Ranking("q", list("abcde"), scores)], LAW, "dev", model=MODEL)
    Evaluator.save_search_results(
        model_name=MODEL, reranker_name="NoReranker", output_path=str(tmp_path / "x" / "theirs.json"), task_type="qa",
        search_results={"q": {name: float(score) for name, score in zip("abcde", scores, strict=True)}}, domain="law",
        language="en", dataset_name="default", split="dev", benchmark_version=VERSION,
    )  # fmt: skip

    assert b"".join(pieces) == (tmp_path / "x" / "theirs.json").read_bytes()


def test_the_zip_is_that_of_air_benchmarks_script(tmp_path: Path) -> None:
    zip_results = pytest.importorskip("scripts.zip_results").zip_results
    write_folder(results("dev", "test"), tmp_path / "results", model=MODEL)
    assert zip_results(str(tmp_path / "results"), str(tmp_path / "theirs"), MODEL)

    ours = submission(tmp_path)

    theirs = tmp_path / "theirs" / ours.name
    with zipfile.ZipFile(ours) as left, zipfile.ZipFile(theirs) as right:
        assert sorted(left.namelist()) == sorted(right.namelist())
        assert {info.compress_type for info in left.infolist()} == {zipfile.ZIP_DEFLATED}
        for name in left.namelist():
            assert left.read(name) == right.read(name)


def test_the_board_scores_our_submission(tmp_path: Path) -> None:
    from air_benchmark.evaluation_utils import Evaluator

    found = board(submission(tmp_path), tmp_path / "unpacked", VERSION, QRELS)

    assert isinstance(found, dict)
    run = {one.query_id: dict(zip(one.document_ids, one.scores, strict=True)) for one in rankings()}
    expected = Evaluator.compute_metrics(QRELS["qa", "law", "en", "default"], run, [1, 3, 5, 10, 50, 100, 1000])
    assert found["qa"]["law"]["en"]["default"] == expected
    assert found["long-doc"]["arxiv"]["en"]["gemini"]["recall_at_10"] == expected["recall_at_10"]
    assert 0 < expected["ndcg_at_10"] < 1


def test_one_run_gives_one_zip_bit_by_bit(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()

    assert submission(tmp_path).read_bytes() == submission(tmp_path / "again").read_bytes()


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        (Ranking("q", ["a", "b"], [1.0, math.nan]), "not finite"),
        (Ranking("q", ["a"], [-math.inf]), "not finite"),
        (Ranking("q", ["a", "a"], [1.0, 0.5]), "twice"),
        (Ranking("q", ["a"], [1.0, 0.5]), "1 documents, 2 scores"),
        (Ranking("q", [str(n) for n in range(1001)], [0.5] * 1001), "1001 hits"),
    ],
)
def test_what_the_board_would_mis_score_is_not_written(tmp_path: Path, ranking: Ranking, message: str) -> None:
    path = tmp_path / "x.zip"

    with pytest.raises(ResultSchemaError, match=message):
        write_zip([SetResult(LAW, "test", lambda: [ranking])], path, model=MODEL)

    assert list(tmp_path.iterdir()) == []


def test_a_query_that_comes_twice_or_none_is_not_written() -> None:
    ranking = Ranking("q", ["a"], [1.0])

    with pytest.raises(ResultSchemaError, match="twice"):
        list(result_file([ranking, ranking], LAW, "test", model=MODEL))
    with pytest.raises(ResultSchemaError, match="no query"):
        list(result_file([], LAW, "test", model=MODEL))


def test_files_that_exist_are_kept(tmp_path: Path) -> None:
    path = submission(tmp_path)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="exists"):
        write_zip(results("test")[:1], path, model="other")

    assert path.read_bytes() == before
    write_zip(results("test")[:1], path, model="other", overwrite=True)
    assert len(contents(path)) == 1


def test_a_folder_takes_one_version_only(tmp_path: Path) -> None:
    write_folder(results("dev", "test"), tmp_path, model=MODEL)
    from harness.registry.air_bench import air_bench_sets

    old = next(one for one in air_bench_sets("AIR-Bench_24.04") if one.name == LAW.name)

    with pytest.raises(ConfigError, match="refuses a folder of several versions"):
        write_folder([SetResult(old, "test", rankings)], tmp_path, model="other")


def test_a_slash_in_a_models_name_makes_no_folder() -> None:
    assert model_folder("BAAI/bge-en-icl", "k3") == "BAAI__bge-en-icl-k3"
    for name in ("a/b", "..", ".hidden", "a b", "", "a\n", "x" * 200, "a..b", "C:\\x"):
        with pytest.raises(ConfigError, match="cannot name a submission"):
            checked_name(name)
