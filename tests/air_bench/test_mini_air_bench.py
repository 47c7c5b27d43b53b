"""The packaged mini AIR-Bench: complete, as built, of use, and scored as air-benchmark would."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.air_bench.data import AirData, open_set
from harness.air_bench.metrics import K_VALUES
from harness.registry import Registry
from harness.registry.air_bench import MINI_TABLE_FILE, MINI_VERSION, AirBenchSet, air_bench_sets, air_bench_versions
from harness.store.hits import hits_as_run, read_hits
from harness.store.run_dir import safe_name

ROOT = Path(__file__).resolve().parents[2]
SETS = air_bench_sets(MINI_VERSION)
DATA = {one.name: open_set(one, None).load() for one in SETS}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def texts(data: AirData) -> list[str]:
    found: list[str] = data.corpus["text"].to_pylist()
    return found + [text for table in data.queries.values() for text in table["text"].to_pylist()]


def test_three_sets_of_two_kinds_with_judgements_for_dev_alone() -> None:
    assert [one.task_type for one in SETS] == ["long-doc", "qa", "qa"]
    assert MINI_VERSION not in air_bench_versions()
    for one in SETS:
        data = DATA[one.name]
        assert one.splits == ("dev", "test")
        assert set(data.qrels) == set(data.queries["dev"]["id"].to_pylist())
        assert not set(data.qrels) & set(data.queries["test"]["id"].to_pylist())
        grades = [grade for judged in data.qrels.values() for grade in judged.values()]
        assert set(grades) == ({0, 1} if one.task_type == "qa" else {1})  # hard negatives, as AIR-Bench's QA sets
    assert not list((paths.PACKAGE_DIR / "mini" / "air_bench").rglob("*test_qrels*"))


def test_packaged_files_are_those_that_the_texts_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("build_mini", ROOT / "tools" / "mini_air_bench" / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    monkeypatch.setattr(build, "DATA", tmp_path)

    table = {MINI_VERSION: [build.build(*one) for one in build.SETS]}

    packaged = paths.PACKAGE_DIR / "mini" / "air_bench" / "AIR-Bench"
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {path.relative_to(packaged): path.read_text() for path in packaged.rglob("*") if path.is_file()}
    assert table == json.loads(MINI_TABLE_FILE.read_text())


def test_registry_has_an_entry_of_each_set() -> None:
    registry = Registry.load()

    assert {task.name for task in registry.benchmark(MINI_VERSION)} == {one.name for one in SETS}
    for one in SETS:
        entry = registry.get(one.name)
        assert (entry.main_metric, entry.splits) == (one.main_metric, one.splits)
        assert len(entry.examples) >= 5
        known = {" ".join(words(text)) for text in texts(DATA[one.name])}
        for example in entry.examples:
            assert not {" ".join(words(example.query)), " ".join(words(example.response))} & known


def test_no_two_texts_are_near_copies() -> None:
    everything = [text for data in DATA.values() for text in texts(data)]
    assert len({" ".join(words(text)) for text in everything}) == len(everything)
    grams = [{tuple(own[at : at + 5]) for at in range(len(own) - 4)} for own in map(words, everything)]
    holders: dict[tuple[str, ...], list[int]] = {}
    for number, own in enumerate(grams):
        for gram in own:
            holders.setdefault(gram, []).append(number)
    for numbers in holders.values():
        for left, right in itertools.combinations(numbers, 2):
            shared = len(grams[left] & grams[right]) / min(len(grams[left]), len(grams[right]))
            assert shared <= 0.6, (everything[left], everything[right])


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_word_overlap_does_not_solve_it(one: AirBenchSet) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    from harness.air_bench.metrics import air_metrics

    data = DATA[one.name]
    corpus, queries = data.corpus["text"].to_pylist(), data.queries["dev"]["text"].to_pylist()
    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(corpus)
    scores = (vectorizer.transform(queries) @ vectorizer.transform(corpus).T).toarray()
    ids = data.corpus["id"].to_pylist()
    run = {
        query: {ids[at]: float(row[at]) for at in (-row).argsort(kind="stable")[:1000]}
        for query, row in zip(data.queries["dev"]["id"].to_pylist(), scores, strict=True)
    }

    assert air_metrics(data.qrels, run).mean[one.main_metric] <= 0.7


@pytest.fixture(scope="module")
def mini_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from harness.config import build_config
    from harness.runners.run import execute

    path = tmp_path_factory.mktemp("mini") / "run"
    settings: dict[str, Any] = {"model": "embedded", "benchmark": MINI_VERSION, "num_fewshot": "0", "offline": True}
    assert execute(build_config({**settings, "output_dir": path, "no_cache": True})).exit_code == 0
    return path


@pytest.mark.model
@pytest.mark.reference
@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_scores_are_those_of_air_benchmark(one: AirBenchSet, mini_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """air-benchmark loads the judgements itself, from the packaged folder, and scores our hits."""
    if importlib.util.find_spec("air_benchmark") is None:
        pytest.skip("AIR-BENCH'S SCORES NOT COMPARED: air-benchmark is not installed (extra `air`)")
    evaluator = importlib.import_module("air_benchmark.evaluation_utils.evaluator").Evaluator
    loader = importlib.import_module("air_benchmark.evaluation_utils.data_loader").DataLoader
    monkeypatch.chdir(paths.PACKAGE_DIR / "mini" / "air_bench")
    theirs = loader(MINI_VERSION, cache_dir=str(mini_run.parent / "cache"))
    qrels = theirs.load_qrels(one.task_type, one.domain, one.language, one.dataset, split="dev")
    hits = hits_as_run(read_hits(mini_run / "devhits" / "k0" / f"{safe_name(one.name)}.parquet"))

    expected = evaluator.compute_metrics(dict(qrels), hits, list(K_VALUES))

    record = json.loads((mini_run / "tasks" / "k0" / f"{safe_name(one.name)}.json").read_text())
    ours = {row["metric"]: row["score"] for row in record["rows"]}
    assert len(expected) == len(ours) == 35
    assert ours == pytest.approx(expected, abs=0.5000001e-5)  # theirs are rounded to 5 decimals


@pytest.mark.model
def test_report_shows_the_mini_sets(mini_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.main import main

    assert main(["report", "--benchmark", MINI_VERSION, str(mini_run)]) == 0

    shown = capsys.readouterr().out
    assert "AIR-Bench_mini QA" in shown and "AIR-Bench_mini Long-Doc" in shown


def test_counts_of_the_table_refuse_a_changed_copy(tmp_path: Path) -> None:
    from harness.errors import ResultSchemaError

    one = SETS[0]
    with pytest.raises(ResultSchemaError, match="69 documents were found; AIR-Bench_mini has 70"):
        open_set(replace(one, corpus_size=70), None).load()
