"""`examples import`: the authors' formats and their defects, in files made here (none of the authors' texts)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.examples import examples_group
from harness.errors import ConfigError, HarnessError
from harness.examples.importer import ImportResult, find_files, import_examples, write_import
from harness.examples.upstream_rows import CSV_HEADERS
from harness.registry import Registry

CSV = Path("FlagEmbedding/evaluation/mteb/examples")
JSON = Path("research/llm_dense_retriever/examples/bge-en-icl/MTEB")
AIR = Path("FlagEmbedding/evaluation/air_bench/examples")
AIR_COPY = Path("research/llm_dense_retriever/examples/bge-en-icl/AIR-Bench")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def rows_json(*rows: dict[str, Any]) -> str:
    return json.dumps(list(rows), indent=4, ensure_ascii=False)


def row(query: str = "a query", response: str = "a response") -> dict[str, str]:
    return {"query": query, "response": response}


def read(registry: Registry, path: Path, version: Any = None) -> ImportResult:
    return import_examples(registry, path, set_name="paper", version=version)


def examples(result: ImportResult) -> dict[str, list[tuple[str, str]]]:
    return {content.task: [(item.query, item.response) for item in content.examples] for content in result.contents}


# --- formats that are read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", CSV_HEADERS, ids=lambda header: "_".join(header).encode("unicode_escape").decode())
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_csv_is_read_by_column_position(
    registry: Registry, tmp_path: Path, header: tuple[str, str], line_end: str
) -> None:
    lines = [",".join(header), '"the first, with a comma",label_one', 'a second,"said ""hello"" to it"', ""]
    write(tmp_path / "BIOSSES.csv", line_end.join(lines))

    result = read(registry, tmp_path)

    assert examples(result) == {
        "BIOSSES": [("the first, with a comma", "label_one"), ("a second", 'said "hello" to it')]
    }
    assert result.version == "2024-08"
    assert result.findings == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("BIOSSES.json", rows_json(row(), row("b", "c")), [("a query", "a response"), ("b", "c")]),
        ("BIOSSES.json", '[{"query":"q","response":"r"}]', [("q", "r")]),
        ("BIOSSES.json", b"\xef\xbb\xbf" + rows_json(row()).encode(), [("a query", "a response")]),
        ("BIOSSES.json", rows_json(row("zwei\nZeilen", "ä \u2028 ö")), [("zwei\nZeilen", "ä \u2028 ö")]),
        ("BIOSSES.json", '[{"query": "\\u00e9t\\u00e9 \\ud83d\\ude00", "response": "r"}]', [("été 😀", "r")]),
        ("BIOSSES.csv", 'sent1,sent2\n"one\ntwo",three\n', [("one\ntwo", "three")]),
        ("BIOSSES.csv", "sent1,sent2\none,three", [("one", "three")]),
        ("BIOSSES.csv", "sent1,sent2\none,three,,\n", [("one", "three")]),
        ("BIOSSES.csv", "sent1,sent2\n one , three \n", [(" one ", " three ")]),
        ("biosses.CSV", "sent1,sent2\none,three\n", [("one", "three")]),
        ("BIOSSES.jsonl", '{"query": "q", "pos": "p"}\n{"query": "q2", "pos": ["p2"]}\n', [("q", "p"), ("q2", "p2")]),
        ("BIOSSES.jsonl", '{"query": "q", "response": "p"}', [("q", "p")]),
        (
            "BIOSSES.json",
            rows_json(row("true", "1.5"), row("- [x]: {y}", "# z & *a")),
            [("true", "1.5"), ("- [x]: {y}", "# z & *a")],
        ),
    ],
)
def test_clean_file_is_read_exactly(
    registry: Registry, tmp_path: Path, name: str, content: str | bytes, expected: list[tuple[str, str]]
) -> None:
    write(tmp_path / "in" / name, content)

    result = read(registry, tmp_path / "in")

    assert examples(result) == {"BIOSSES": expected}
    assert result.losses == []
    write_import(result, tmp_path / "set", strict=True)
    loaded = Registry.load(examples=str(tmp_path / "set")).get("BIOSSES").examples
    assert [(item.query, item.response) for item in loaded] == expected


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("qa/finance.jsonl", "air-bench/qa/finance/en"),
        ("qa/Law.jsonl", "air-bench/qa/law/en"),
        ("qa/wiki-zh.jsonl", "air-bench/qa/wiki/zh"),
        ("long-doc/arxiv-gemini.jsonl", "air-bench/long-doc/arxiv/en/gemini"),
        ("long-doc/healthcare-pubmed_100k-200k_3.jsonl", "air-bench/long-doc/healthcare/en/pubmed_100K-200K_3"),
        (
            "long-doc/healthcare-pubmed_30k-40k_10-merged.jsonl",
            "air-bench/long-doc/healthcare/en/pubmed_30K-40K_10-merged",
        ),
        ("long-doc/law-lex_files_500k-600k.jsonl", "air-bench/long-doc/law/en/lex_files_500K-600K"),
        (
            "long-doc/book-a-brief-history-of-time_stephen-hawking.jsonl",
            "air-bench/long-doc/book/en/a-brief-history-of-time_stephen-hawking",
        ),
    ],
)
def test_air_bench_file_is_mapped_without_regard_to_case(
    registry: Registry, tmp_path: Path, name: str, task: str
) -> None:
    write(tmp_path / name, '{"query": "q", "pos": "p"}\n')

    assert examples(read(registry, tmp_path)) == {task: [("q", "p")]}


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("CQADupstack.csv", "CQADupstackRetrieval"),
        ("CQADupstackRetrieval.csv", "CQADupstackRetrieval"),
        ("cqadupstack.csv", "CQADupstackRetrieval"),
        ("sick-r.csv", "SICK-R"),
        ("STS22.v2.csv", "STS22.v2"),
        ("CQADupstackTexRetrieval.csv", "CQADupstackTexRetrieval"),
    ],
)
def test_file_name_is_mapped_to_the_task(registry: Registry, tmp_path: Path, name: str, task: str) -> None:
    write(tmp_path / name, "query,pos\nq,p\n")

    assert list(examples(read(registry, tmp_path))) == [task]


# --- defects: refused or reported with file:line ----------------------------------------------------------------------

DEFECTS: list[tuple[str, str | bytes, int, str]] = [
    ("BIOSSES.csv", "query,pos\n", 1, "the file has a header and no row."),
    ("BIOSSES.csv", "query,pos\r\n\r\n , \r\n", 1, "the file has a header and no row."),
    ("BIOSSES.csv", "", 1, "the file is empty."),
    ("BIOSSES.csv", "\n\n", 1, "the file is empty."),
    ("BIOSSES.csv", "label,text\na,b\n", 1, "header 'label,text' is none of the authors' spellings"),
    ("BIOSSES.csv", "a sentence,another\nc,d\n", 1, "header 'a sentence,another' is none"),
    ("BIOSSES.csv", ",text,label\n0,a,b\n", 1, "header ',text,label' is none"),
    ("BIOSSES.csv", "text;label\na;b\n", 1, "header 'text;label' is none"),
    ("BIOSSES.csv", 'query,pos\nq,p\n"never closed,x\n', 3, "malformed csv: unexpected end of data."),
    ("BIOSSES.csv", 'query,pos\nq,p\n"closed"too early,x\n', 3, "malformed csv: "),
    ("BIOSSES.csv", "query,pos\nonly one\n", 2, "1 column(s) where 2 are expected"),
    ("BIOSSES.csv", "query,pos\none, two, three\n", 2, "3 column(s) where 2 are expected (is a comma not quoted?)."),
    ("BIOSSES.csv", "query,pos\nq,\n", 2, "response: text is empty."),
    ("BIOSSES.csv", 'query,pos\n"  ",p\n', 2, "query: text is empty."),
    ("BIOSSES.csv", 'query,pos\n"a\nb",p\nsame,same\n', 4, "query and response are equal"),
    ("BIOSSES.csv", "query,pos\nsame ,same\n", 2, "query and response are equal"),
    ("BIOSSES.csv", "query,pos\nq,p\nq,p\n", 3, "the same example a second time."),
    ("BIOSSES.csv", "query,pos\nq,a <response> b\n", 2, "control token <response>"),
    ("BIOSSES.csv", "query,pos\nq,a \x07 b\n", 2, "control character"),
    ("BIOSSES.csv", b"query,pos\nq,caf\xe9\n", 2, "not UTF-8 (byte 0xe9)."),
    ("BIOSSES.csv", b"query,pos\nq,a\x00b\n", 2, "the file holds a NUL byte."),
    ("BIOSSES.csv", "query,pos\nq,p\n".encode("utf-16"), 1, "the file is UTF-16. Save it as UTF-8."),
    ("BIOSSES.csv", "query,pos\nq," + "x" * 20_000 + "\n", 2, "text has 20000 characters"),
    ("BIOSSES.json", "", 1, "the file is empty."),
    ("BIOSSES.json", "[]", 1, "the list is empty."),
    ("BIOSSES.json", '{"query": "q", "response": "r"}', 1, "a JSON list of examples is expected."),
    (
        "BIOSSES.json",
        '[\n  {"query": "q", "response": "r"},\n  {"query": "q"\n]',
        4,
        "malformed JSON: Expecting ',' delimiter.",
    ),
    ("BIOSSES.json", '[\n  {"query": "q", "response": "r"}\n', 3, "malformed JSON: ',' or ']' expected."),
    ("BIOSSES.json", '[\n  {"query": "q", "response": "r"},\n]', 3, "malformed JSON: Expecting value."),
    ("BIOSSES.json", '[{"query": "q", "response": "r"}]\n\nmore', 3, "something follows the list."),
    ("BIOSSES.json", '[\n  "a text"\n]', 2, "an object with query and response is expected."),
    ("BIOSSES.json", '[\n  {"query": "q", "respones": "r"}\n]', 2, "found: query, respones."),
    ("BIOSSES.json", '[\n  {"query": "q", "response": "r", "pos": "p"}\n]', 2, "found: pos, query, response."),
    ("BIOSSES.json", '[\n  {"query": "q", "query": "p", "response": "r"}\n]', 2, "a key occurs twice."),
    ("BIOSSES.json", '[\n  {"query": null, "response": "r"}\n]', 2, "query is missing; a text is expected."),
    ("BIOSSES.json", '[\n  {"query": "q", "response": 3}\n]', 2, "response is a number; a text is expected."),
    ("BIOSSES.json", '[\n  {"query": ["q"], "response": "r"}\n]', 2, "query is a list; a text is expected."),
    ("BIOSSES.json", '[\n  {"query": "q", "response": {"a": 1}}\n]', 2, "response is an object; a text is expected."),
    ("BIOSSES.json", '[\n  {"query": "q", "response": "\\ud800"}\n]', 2, "response holds half a surrogate pair."),
    ("BIOSSES.json", "[" * 100_000, 1, "nested too deeply."),
    ("BIOSSES.jsonl", "", 1, "the file is empty."),
    ("BIOSSES.jsonl", '{"query": "q", "pos": "p"}\nnot json\n', 2, "malformed JSON: Expecting value."),
    ("BIOSSES.jsonl", '{"query": "q", "pos": []}\n', 1, "pos is an empty list."),
    ("BIOSSES.jsonl", '{"query": "q", "pos": [3]}\n', 1, "response is a number; a text is expected."),
    ("BIOSSES.jsonl", '{"query": "q", "neg": ["p"]}\n', 1, "found: neg, query."),
    ("NoSuchTask.csv", "query,pos\nq,p\n", 1, "no task 'NoSuchTask' is in the registry."),
    ("STS99.csv", "query,pos\nq,p\n", 1, "no task 'STS99' is in the registry. Did you mean 'STS"),
    ("qa/weather.jsonl", '{"query": "q", "pos": "p"}\n', 1, "no AIR-Bench task fits 'qa/weather'."),
]


@pytest.mark.parametrize(("name", "content", "line", "reason"), DEFECTS)
def test_defect_is_reported_with_file_and_line(
    registry: Registry, tmp_path: Path, name: str, content: str | bytes, line: int, reason: str
) -> None:
    path = write(tmp_path / name, content)
    write(tmp_path / "SciFact.jsonl", '{"query": "a good one", "pos": "stays"}\n')

    result = read(registry, tmp_path)

    (finding,) = [item for item in result.findings if item.level == "skipped"]
    assert finding.where == f"{path}:{line}"
    assert reason in finding.reason
    assert examples(result)["SciFact"] == [("a good one", "stays")]
    with pytest.raises(ConfigError) as caught:
        write_import(result, tmp_path / "out", strict=True)
    assert str(finding) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_there_are_enough_cases() -> None:
    assert len(DEFECTS) >= 40


def test_rows_around_a_bad_one_are_kept(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path / "BIOSSES.json", rows_json(row("a", "b"), row("same", "same"), row("c", "d")))

    result = read(registry, tmp_path)

    assert examples(result) == {"BIOSSES": [("a", "b"), ("c", "d")]}
    assert [item.where.rpartition(":")[2] for item in result.losses] == ["6"]


@pytest.mark.parametrize("rows", [1, 3])
def test_release_whose_responses_are_its_queries_is_refused(registry: Registry, tmp_path: Path, rows: int) -> None:
    for task in ("BIOSSES", "SciFact"):
        write(tmp_path / f"{task}.json", rows_json(*(row(f"text {n}", f"text {n}") for n in range(rows))))

    result = read(registry, tmp_path)

    assert result.contents == []
    assert len(result.losses) == 2 * rows
    with pytest.raises(ConfigError, match="no example could be imported"):
        write_import(result, tmp_path / "out", strict=False)


@pytest.mark.parametrize(
    ("name", "content", "change", "expected"),
    [
        ("BIOSSES.csv", 'query,pos\nq,"a\r\nb"\n', "response: line ends inside the text became LF.", ("q", "a\nb")),
        ("BIOSSES.csv", "query,pos\ncafe\u0301,p\n", "query: brought to Unicode normal form C.", ("café", "p")),
        ("BIOSSES.jsonl", '{"query": "q", "pos": ["p", "o"]}', "the first of 2 texts in pos is used.", ("q", "p")),
        ("BIOSSES.json", '[{"query": "q", "response": "p", "instruct": "i"}]', "left out: instruct.", ("q", "p")),
    ],
)
def test_change_is_reported_and_strict_refuses_it(
    registry: Registry, tmp_path: Path, name: str, content: str, change: str, expected: tuple[str, str]
) -> None:
    write(tmp_path / name, content)

    result = read(registry, tmp_path)

    assert [(item.level, item.reason) for item in result.findings] == [("changed", change)]
    assert examples(result) == {"BIOSSES": [expected]}
    with pytest.raises(ConfigError, match="changed"):
        write_import(result, tmp_path / "out", strict=True)


def test_blank_lines_lose_nothing(registry: Registry, tmp_path: Path) -> None:
    path = write(tmp_path / "MedrxivClusteringP2P.csv", "text,label\na,b\n\nc,d\n\n\n")

    result = read(registry, tmp_path)

    assert len(examples(result)["MedrxivClusteringP2P"]) == 2
    assert [(item.level, item.where) for item in result.findings] == [("note", f"{path}:{line}") for line in (3, 5, 6)]
    assert result.losses == []


# --- whole checkouts --------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder laid out as FlagEmbedding, with both versions, copies, and data that is no example file."""
    root = tmp_path / "FlagEmbedding"
    write(root / CSV / "BIOSSES.csv", "sent1,sent2\ncsv query,csv response\n")
    write(root / CSV / "CQADupstack.csv", "query,positive\na title,a longer post\n")
    write(root / CSV / "CQADupstackRetrieval.csv", "query,pos")
    write(root / JSON / "BIOSSES.json", rows_json(row("json query", "json response")))
    for folder in (AIR, AIR_COPY):
        write(root / folder / "qa/finance.jsonl", '{"query": "q", "pos": "p"}\n')
        write(root / folder / "long-doc/arxiv-gemini.jsonl", '{"query": "q2", "pos": "p2"}\n')
    write(root / "research/BGE_VL/eval/data/corpus.jsonl", '{"content": "x"}\n')
    write(
        root / "examples/finetune/embedder/example_data/classification/Banking77Classification.jsonl",
        '{"query": "no"}\n',
    )
    write(root / "package.json", "{}")
    return root


def test_checkout_gives_the_version_asked_for(registry: Registry, checkout: Path) -> None:
    old, new, default = (read(registry, checkout, version) for version in ("2024-08", "2024-11", None))

    air = {"air-bench/qa/finance/en": [("q", "p")], "air-bench/long-doc/arxiv/en/gemini": [("q2", "p2")]}
    assert examples(old) == {
        "BIOSSES": [("csv query", "csv response")],
        "CQADupstackRetrieval": [("a title", "a longer post")],
        **air,
    }
    assert examples(new) == examples(default) == {"BIOSSES": [("json query", "json response")], **air}
    assert (old.left_out, new.left_out) == (1, 3)
    assert default.version == "2024-11"


def test_copies_and_the_empty_twin_are_notes(registry: Registry, checkout: Path) -> None:
    result = read(registry, checkout, "2024-08")

    assert result.losses == []
    assert sorted(item.reason.split(";")[0].split(" of ")[0] for item in result.findings) == [
        "an identical copy",
        "an identical copy",
        "no example in it",
    ]


def test_data_of_the_checkout_that_is_no_example_is_left_alone(checkout: Path) -> None:
    assert not any(
        path.name in ("corpus.jsonl", "package.json", "Banking77Classification.jsonl") for path in find_files(checkout)
    )


def test_two_different_files_for_one_task_are_refused(registry: Registry, checkout: Path) -> None:
    second = write(checkout / AIR_COPY / "qa/finance.jsonl", '{"query": "q", "pos": "another"}\n')

    with pytest.raises(ConfigError) as caught:
        read(registry, checkout)

    assert f"{second}:1: a second, different file for task 'air-bench/qa/finance/en'" in str(caught.value)
    assert list(examples(read(registry, checkout / AIR_COPY))) == [
        "air-bench/long-doc/arxiv/en/gemini",
        "air-bench/qa/finance/en",
    ]


def test_alias_may_have_examples_of_its_own(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path / "in" / "STS22.csv", "sent1,sent2\na,b\n")
    write(tmp_path / "in" / "STS22.v2.csv", "sent1,sent2\nc,d\n")

    result = read(registry, tmp_path / "in")

    assert examples(result) == {"STS22": [("a", "b")], "STS22.v2": [("c", "d")]}
    write_import(result, tmp_path / "out", strict=True)
    assert Registry.load(examples=str(tmp_path / "out")).get("STS22.v2").examples[0].query == "c"


def test_earlier_layout_of_the_checkout_is_known(registry: Registry, tmp_path: Path) -> None:
    root = tmp_path / "FlagEmbedding"
    write(root / "FlagEmbedding/llm_dense_retriever/examples/mteb/BIOSSES.csv", "sent1,sent2\na,b\n")
    write(root / "FlagEmbedding/llm_dense_retriever/examples/air-bench/qa/law.jsonl", '{"query": "q", "pos": "p"}\n')
    write(root / "relevantCWE.csv", "x,y\n")

    assert list(examples(read(registry, root))) == ["BIOSSES", "air-bench/qa/law/en"]


def test_single_file_is_read(registry: Registry, checkout: Path) -> None:
    assert examples(read(registry, checkout / CSV / "BIOSSES.csv")) == {"BIOSSES": [("csv query", "csv response")]}


@pytest.mark.parametrize(
    ("path", "version", "message"),
    [
        ("nowhere", None, "no such file or folder"),
        (".", None, "holds no .csv, .json or .jsonl file"),
        ("x.txt", None, "a .csv, .json or .jsonl file is expected"),
        ("only", "2024-08", "--version 2024-08: only files of the other version are there"),
    ],
)
def test_nothing_to_read_is_one_line(registry: Registry, tmp_path: Path, path: str, version: Any, message: str) -> None:
    if path == "only":
        write(tmp_path / "only" / "BIOSSES.json", rows_json(row()))
    elif path == "x.txt":
        write(tmp_path / "x.txt", "x")

    with pytest.raises(ConfigError) as caught:
        read(registry, tmp_path / path, version)

    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["curated", "Curated", "a/b", "..", "", ".x", "x" * 65, "a b"])
def test_bad_set_name_is_refused(registry: Registry, checkout: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        import_examples(registry, checkout, set_name=name)


# --- the set ----------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    with CliRunner().isolation() as streams:
        examples_group.main(list(arguments), standalone_mode=False)
        return streams[0].getvalue().decode()


def test_imported_set_can_be_run_and_says_where_it_comes_from(checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "sets" / "paper"

    output = run("import", str(checkout), "--set", "paper", "--version", "2024-08", "--output-dir", str(out))

    assert "4 examples of 4 tasks (version 2024-08) from 7 files; 0 skipped, 0 changed." in output
    registry = Registry.load(examples=str(out))
    assert registry.get("CQADupstackGamingRetrieval").examples[0].query == "a title"
    assert registry.get("BIOSSES").examples[0].origin == f"FlagEmbedding 2024-08, {CSV / 'BIOSSES.csv'}:2"
    assert "identical copy" in (out / "IMPORT.md").read_text(encoding="utf-8")
    assert "file_sha256" in (out / "BIOSSES.yaml").read_text(encoding="utf-8")


def test_import_does_not_depend_on_where_the_checkout_lies(registry: Registry, checkout: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "fe"
    shutil.copytree(checkout, moved)
    for number, root in enumerate((checkout, moved)):
        write_import(read(registry, root, "2024-08"), tmp_path / str(number), strict=True)

    files = sorted(path.name for path in (tmp_path / "0").glob("*.yaml"))

    assert len(files) == 4
    for name in files:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_importing_twice_is_fine_and_into_another_set_is_not(
    registry: Registry, checkout: Path, tmp_path: Path
) -> None:
    write_import(read(registry, checkout, "2024-08"), tmp_path / "out", strict=False)
    write_import(read(registry, checkout, "2024-08"), tmp_path / "out", strict=False)

    with pytest.raises(ConfigError, match="holds 1 other example file"):
        write_import(read(registry, checkout, "2024-11"), tmp_path / "out", strict=False)


def test_strict_import_names_every_loss(checkout: Path, tmp_path: Path) -> None:
    write(checkout / CSV / "SciFact.csv", "query,pos\nq,q\n")
    write(checkout / CSV / "STS12.csv", "sent1,sent2\n")

    with pytest.raises(HarnessError) as caught:
        run("import", str(checkout), "--set", "paper", "--version", "2024-08", "-o", str(tmp_path / "o"), "--strict")

    assert caught.value.exit_code == 2
    assert "SciFact.csv:2: skipped: query and response are equal" in str(caught.value)
    assert "STS12.csv:1: skipped: the file has a header and no row." in str(caught.value)
