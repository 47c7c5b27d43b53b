"""AIR-Bench's data: the upstream layout is read as it is, and whatever is not whole is refused before encoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.air_bench import rows as rows_module
from harness.air_bench.data import AirSource, open_set
from harness.errors import DatasetUnavailableError, HarnessError, ResultSchemaError
from tests.air_bench.made import small_set, write_lines, write_set

VERSION = "AIR-Bench_24.05"
FINANCE = "air-bench/qa/finance/en"
LEX = "air-bench/long-doc/law/en/lex_files_300K-400K"


@pytest.fixture
def finance(tmp_path: Path) -> AirSource:
    """A set with dev and test, in a folder for --data-dir."""
    one = small_set(VERSION, FINANCE)
    write_set(tmp_path, one)
    return open_set(one, tmp_path)


def files(source: AirSource) -> dict[str, Path]:
    assert source.root is not None
    texts = source.root / "qa_finance_en"
    return {
        "corpus": texts / VERSION / "default" / "corpus.jsonl",
        "test": texts / VERSION / "default" / "test_queries.jsonl",
        "dev": texts / VERSION / "default" / "dev_queries.jsonl",
        "qrels": source.root / "qrels-qa_finance_en-dev" / VERSION / "default" / "dev_qrels.jsonl",
        "readme": texts / "README.md",
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_data_are_those_of_the_files(finance: AirSource) -> None:
    data = finance.load()

    paths = files(finance)
    assert data.corpus.to_pylist() == lines(paths["corpus"])
    assert data.queries["dev"].to_pylist() == lines(paths["dev"])
    assert data.queries["test"].to_pylist() == lines(paths["test"])
    assert sum(map(len, data.qrels.values())) == len(lines(paths["qrels"]))
    assert [text for chunk in data.texts(5) for text in chunk] == [row["text"] for row in lines(paths["corpus"])]


@pytest.mark.reference
def test_data_are_those_that_air_benchmark_loads(finance: AirSource, tmp_path: Path, monkeypatch: Any) -> None:
    loader = pytest.importorskip("air_benchmark.evaluation_utils.data_loader", reason="extra `air` is not installed")
    monkeypatch.chdir(tmp_path)  # air-benchmark finds local data by the current directory
    theirs = loader.DataLoader(VERSION, cache_dir=str(tmp_path / "cache"))
    where = {"task_type": "qa", "domain": "finance", "language": "en", "dataset_name": "default"}

    data = finance.load()

    assert {row["id"]: {"text": row["text"]} for row in data.corpus.to_pylist()} == dict(theirs.load_corpus(**where))
    assert data.qrels == dict(theirs.load_qrels(**where, split="dev"))
    assert {row["id"]: row["text"] for row in data.queries["test"].to_pylist()} == dict(
        theirs.load_queries(**where, split="test")
    )


@pytest.mark.parametrize("version", ["AIR-Bench_24.04", VERSION])
@pytest.mark.parametrize("readme", [True, False])
def test_usual_names_serve_where_there_is_no_readme(version: str, readme: bool, tmp_path: Path) -> None:
    one = small_set(version, FINANCE)
    write_set(tmp_path, one, readme=readme)

    assert open_set(one, tmp_path).load().corpus.num_rows == one.corpus_size


def test_repositories_may_lie_directly_in_the_data_folder(tmp_path: Path) -> None:
    one = small_set(VERSION, FINANCE)
    write_set(tmp_path, one)

    assert open_set(one, tmp_path / "AIR-Bench").load().corpus.num_rows == one.corpus_size


def test_dash_in_a_data_set_is_kept_in_folders_and_replaced_in_splits(tmp_path: Path) -> None:
    one = small_set(VERSION, LEX)
    write_set(tmp_path, one)

    readme = (tmp_path / "AIR-Bench" / "long-doc_law_en" / "README.md").read_text(encoding="utf-8")
    assert "corpus_lex_files_300K_400K" in readme and "lex_files_300K-400K/corpus.jsonl" in readme
    assert open_set(one, tmp_path).load().corpus.num_rows == one.corpus_size


def test_parquet_and_several_files_are_read(finance: AirSource) -> None:
    corpus = files(finance)["corpus"]
    rows = lines(corpus)
    pq.write_table(pa.Table.from_pylist(rows[:5]), corpus.with_name("corpus-0.parquet"))
    pq.write_table(pa.Table.from_pylist(rows[5:]), corpus.with_name("corpus-1.parquet"))
    readme = files(finance)["readme"]
    readme.write_text(readme.read_text().replace("/corpus.jsonl", "/corpus-*.parquet"))

    assert finance.load().corpus.to_pylist() == rows


def test_large_file_is_mapped_from_the_cache_and_is_the_same(finance: AirSource, monkeypatch: Any) -> None:
    in_memory = finance.load().corpus
    monkeypatch.setattr(rows_module, "MAPPED_BYTES", 10)
    monkeypatch.setattr(rows_module, "_BATCH_ROWS", 4)

    first, second = finance.load().corpus, finance.load().corpus

    assert first.equals(in_memory) and second.equals(in_memory)
    arrow = list((rows_module.cache_dir() / "air_bench").glob("*.arrow"))
    for path in arrow:
        path.write_bytes(b"damaged")
    assert arrow and finance.load().corpus.equals(in_memory)


def _shorten(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _cut(path: Path) -> None:
    path.write_text(path.read_text()[:-9])


def _replace_row(**change: Any) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        rows = lines(path)
        rows[2] |= change
        write_lines(path, rows)

    return apply


def _text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    ("which", "damage", "error", "reason"),
    [
        ("corpus", _shorten, ResultSchemaError, "11 documents were found; AIR-Bench_24.05 has 12.*truncated"),
        ("test", _shorten, ResultSchemaError, "4 test queries were found"),
        ("qrels", lambda path: write_lines(path, lines(path)[:-2]), ResultSchemaError, "judgements of relevance"),
        ("corpus", _cut, ResultSchemaError, r"corpus.jsonl:12: not JSON .* ends in the middle of a row"),
        ("corpus", _text("<html>not found</html>"), ResultSchemaError, "corpus.jsonl:1: not JSON"),
        ("corpus", _text("[1]\n"), ResultSchemaError, "an object per line"),
        ("corpus", _text(""), ResultSchemaError, "0 documents"),
        ("corpus", _replace_row(text=None), ResultSchemaError, "corpus.jsonl:3: has text None"),
        ("corpus", _replace_row(id="doc-0"), ResultSchemaError, "'doc-0' is there twice"),
        ("corpus", _replace_row(id=""), ResultSchemaError, "has id ''"),
        ("corpus", _text('{"_id": "a", "text": "b"}\n'), ResultSchemaError, r"has no id \(it has: _id, text\)"),
        ("qrels", _replace_row(docid="doc-99"), ResultSchemaError, "judgement 3 names document 'doc-99'"),
        ("qrels", _replace_row(qid="q-99"), ResultSchemaError, "names query 'q-99'"),
        ("qrels", _replace_row(relevance=0.5), ResultSchemaError, "has relevance 0.5; a whole number"),
        ("corpus", _text("version https://git-lfs.github.com/spec/v1\n"), DatasetUnavailableError, "git lfs pull"),
        ("corpus", Path.unlink, DatasetUnavailableError, "Is the download complete"),
        ("readme", _text("---\nconfigs: [3]\n---\n"), ResultSchemaError, "front matter"),
        ("readme", _text("---\nconfigs: [\n---\n"), ResultSchemaError, "front matter"),
    ],
)
def test_damaged_data_are_refused_in_one_line(
    finance: AirSource, which: str, damage: Callable[[Path], None], error: type[HarnessError], reason: str
) -> None:
    damage(files(finance)[which])

    with pytest.raises(error, match=reason) as caught:
        finance.load()

    assert "\n" not in str(caught.value)


def test_judgement_given_twice_is_refused(finance: AirSource) -> None:
    path = files(finance)["qrels"]
    rows = lines(path)
    write_lines(path, [*rows, rows[0]])

    with pytest.raises(ResultSchemaError, match="judged twice"):
        finance.load()


@pytest.mark.parametrize("outside", ["../../secret.jsonl", "/etc/passwd"])
def test_readme_cannot_point_out_of_its_folder(finance: AirSource, outside: str) -> None:
    readme = files(finance)["readme"]
    readme.write_text(readme.read_text().replace(f"{VERSION}/default/corpus.jsonl", outside))

    with pytest.raises(ResultSchemaError, match="points out of its folder"):
        finance.load()


def test_other_version_in_the_repository_is_named(finance: AirSource, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetUnavailableError, match=r"no configuration 'AIR-Bench_24.04' \(it has: AIR-Bench_24.05\)"
    ):
        open_set(small_set("AIR-Bench_24.04", FINANCE), tmp_path).load()


def test_missing_judgements_are_needed_by_dev_alone(finance: AirSource) -> None:
    from dataclasses import replace

    folder = files(finance)["qrels"].parents[2]
    folder.rename(folder.with_name("elsewhere"))

    with pytest.raises(DatasetUnavailableError, match="Only --splits dev needs it"):
        finance.load()
    assert replace(finance, one=replace(finance.one, splits=("test",))).load().qrels == {}


def test_revision_follows_the_content_of_its_own_split(finance: AirSource) -> None:
    before = {split: finance.revision(split) for split in ("dev", "test")}
    assert before["dev"].startswith(f"{VERSION}@local:")

    _replace_row(text="another question")(files(finance)["test"])

    assert finance.revision("dev") == before["dev"]
    assert finance.revision("test") != before["test"]

    _replace_row(text="another passage")(files(finance)["corpus"])

    assert finance.revision("dev") != before["dev"]


def test_prepared_data_sets_of_the_hub_are_read_offline(tmp_path: Path, monkeypatch: Any) -> None:
    import datasets

    one = small_set(VERSION, FINANCE)
    write_set(tmp_path / "local", one)
    cache = tmp_path / "cache"
    for name in ("qa_finance_en", "qrels-qa_finance_en-dev"):
        datasets.load_dataset(str(tmp_path / "local" / "AIR-Bench" / name), VERSION, cache_dir=str(cache))
        (cache / name).rename(cache / f"AIR-Bench___{name}")  # where a download from the hub would have put it
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.chdir(tmp_path)

    from_hub, local = open_set(one, None), open_set(one, tmp_path / "local")

    assert from_hub.root is None
    assert from_hub.load().corpus.to_pylist() == local.load().corpus.to_pylist()
    assert from_hub.load().qrels == local.load().qrels
    assert from_hub.revision("dev").startswith(f"{VERSION}@hub:")


def test_unreachable_hub_is_one_line_that_names_the_repository(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DatasetUnavailableError, match=r"AIR-Bench/qa_finance_en.*--data-dir") as caught:
        open_set(small_set(VERSION, FINANCE), None).load()

    assert "\n" not in str(caught.value)
