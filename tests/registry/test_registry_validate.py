"""`validate`: what it finds in files of good form, that it goes on after bad ones, and that the shipped registry is clean."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import paths
from harness.cli.main import main
from harness.cli.validate import validate_command
from harness.registry import Registry
from harness.registry.tokens import estimate_tokens
from harness.registry.validate import MAX_EXAMPLE_TOKENS, MAX_PREFIX_TOKENS, validate_registry

ROOT = Path(__file__).resolve().parents[2]
HEAD = """\
task: {task}
type: {type}
benchmarks: [{benchmarks}]
main_metric: accuracy
instruction: {{text: Classify., source: a test}}
"""


def write_task(
    folder: Path,
    task: str,
    examples: list[tuple[str, str]],
    *,
    task_type: str = "STS",
    benchmarks: str = "",
    more: str = "",
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task}.yaml"
    lines = [HEAD.format(task=task, type=task_type, benchmarks=benchmarks) + more + "examples:"]
    for query, response in examples:
        lines += [f"  - query: {json.dumps(query)}", f"    response: {json.dumps(response)}", "    origin: a test"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pairs(task: str, count: int, response: str | None = None) -> list[tuple[str, str]]:
    return [(f"query {number} of {task}", response or f"response {number} of {task}") for number in range(count)]


Problems = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def small_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of the mini benchmark and a few STS tasks, which is quicker to read than the whole."""
    folder = tmp_path_factory.mktemp("task_examples")
    shipped = paths.task_examples_dir()
    for path in [*(shipped / "mini").glob("*.yaml"), *(shipped / "mteb").glob("STS*.yaml")]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def problems(small_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Problems:
    """Validate a folder beside the small registry; the problems come without the folder in front."""
    monkeypatch.setattr(paths, "task_examples_dir", lambda: small_registry)

    def validate(folder: Path) -> list[str]:
        return [str(problem).replace(f"{folder}/", "") for problem in validate_registry([folder]).problems]

    return validate


def test_the_shipped_registry_is_clean() -> None:
    report = validate_registry()

    assert [str(problem) for problem in report.problems] == []
    assert report.files >= 90
    assert report.tasks == len(list(Registry.load()))
    assert report.examples >= 600


def test_a_good_task_of_ones_own_is_clean(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "Mine", pairs("Mine", 2), benchmarks="mine")

    assert problems(tmp_path) == []


def test_too_few_examples_in_a_benchmark_task(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "Mine", pairs("Mine", 4), benchmarks='mini, "MTEB(eng, v1)"')

    assert problems(tmp_path) == ["Mine.yaml:6: a benchmark task needs at least 5 examples; there are 4."]


def test_too_few_examples_behind_an_alias_in_a_benchmark(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "Mine", pairs("Mine", 1), more="aliases: [{name: Mine2, benchmarks: [mini]}]\n")

    assert problems(tmp_path) == ["Mine.yaml:7: a benchmark task needs at least 5 examples; there are 1."]


def test_label_names_without_a_source_in_a_benchmark_task(tmp_path: Path, problems: Problems) -> None:
    write_task(
        tmp_path,
        "Mine",
        pairs("Mine", 5, response="a_label"),
        task_type="Classification",
        benchmarks="mini",
        more="dataset: {path: a/b, revision: abc}\n",
    )

    assert problems(tmp_path) == [
        "Mine.yaml:1: key labels is missing: a Classification task says where its label names come from "
        "(source, verified)."
    ]


def test_unverified_labels_are_counted_and_no_problem(tmp_path: Path) -> None:
    write_task(
        tmp_path,
        "Mine",
        pairs("Mine", 5, "x"),
        task_type="Clustering",
        more="labels: {source: a test, verified: false}\n",
    )

    report = validate_registry([tmp_path])

    assert (report.problems, report.unverified_labels) == ([], ("Mine",))


def test_over_long_example(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "Mine", [("short", "word " * 300), ("other", "fine")])

    assert problems(tmp_path) == [
        "Mine.yaml:8: examples.0.response has about 300 tokens; the limit is 256. Shorten it."
    ]


def test_over_long_prefix(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "Mine", [(f"word{chr(97 + n)} " * 100, "word " * 150) for n in range(8)])

    found = problems(tmp_path)

    assert len(found) == 1
    assert found[0].startswith("Mine.yaml:6: all examples together have about ")
    assert found[0].endswith("tokens; the limit is 1536. Shorten or drop some.")


def test_two_tasks_that_share_an_example(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "A", pairs("A", 2))
    write_task(tmp_path, "B", [("Query 1  of a", "another response"), ("b", "c")])

    assert problems(tmp_path) == [
        "B.yaml:7: examples.0.query is an example of task 'A' too (A.yaml:10). Write another, or declare it there: "
        "examples_shared_by: [B]."
    ]


def test_declared_sharing_is_allowed(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "A", pairs("A", 2), more="examples_shared_by: [B]\n")
    write_task(tmp_path, "B", pairs("A", 2))

    assert problems(tmp_path) == []


def test_sharing_declared_by_an_unknown_task(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "A", pairs("A", 2), more="examples_shared_by: [STS21]\n")

    assert len(problems(tmp_path)) == 1
    assert problems(tmp_path)[0].startswith(
        "A.yaml:6: examples_shared_by names 'STS21', which is no task of the registry. Did you mean 'STS12'"
    )


def write_parts(
    folder: Path, more: str = "", *, benchmarks: str = "", queries: tuple[str, ...] = ("one", "two")
) -> None:
    lines = [HEAD.format(task="Whole", type="STS", benchmarks=benchmarks) + "parts:"]
    for part in ("Left", "Right"):
        lines += [f"  - name: {part}", *([more] if more else []), "    examples:"]
        lines += [f"      - {{query: {query}, response: {part} {query}, origin: a test}}" for query in queries]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Whole.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_parts_of_one_task_may_show_the_same_queries(tmp_path: Path, problems: Problems) -> None:
    write_parts(tmp_path)

    assert problems(tmp_path) == []


def test_a_query_that_stands_twice_in_one_part(tmp_path: Path, problems: Problems) -> None:
    write_parts(tmp_path, queries=("one", "One"))

    assert problems(tmp_path) == [
        "Whole.yaml:10: examples.1.query stands in examples.0 as well.",
        "Whole.yaml:14: examples.1.query stands in examples.0 as well.",
    ]


def test_each_part_of_a_shipped_benchmark_needs_five_examples(tmp_path: Path, problems: Problems) -> None:
    write_parts(tmp_path, benchmarks="mini")

    assert problems(tmp_path) == [
        "Whole.yaml:8: a benchmark task needs at least 5 examples; there are 2.",
        "Whole.yaml:12: a benchmark task needs at least 5 examples; there are 2.",
    ]


def test_a_part_whose_data_folder_is_missing(tmp_path: Path, problems: Problems) -> None:
    write_parts(tmp_path, more="    data: ./nowhere")

    assert problems(tmp_path) == [
        f"Whole.yaml:{line}: data folder {tmp_path}/nowhere does not exist.".replace(f"{tmp_path}/", "")
        for line in (8, 13)
    ]


def test_example_that_stands_twice(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "A", [("one", "x"), ("two", "y"), ("One ", "z")])

    assert problems(tmp_path) == ["A.yaml:13: examples.2.query stands in examples.0 as well."]


def test_two_shipped_tasks_share_nothing_undeclared() -> None:
    queries: dict[str, set[str]] = {}
    for task in Registry.load():
        for example in task.examples:
            queries.setdefault(example.query, set()).add(task.canonical)

    assert [names for names in queries.values() if len(names) > 1] == []


def test_labels_are_compared_with_the_data(tmp_path: Path, problems: Problems) -> None:
    rows = [
        {"text": "a", "label": 0, "label_text": "card_lost"},
        {"text": "b", "label": 1, "label_text": "pin_blocked"},
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    write_task(
        tmp_path,
        "Mine",
        [("one", "card_lost"), ("two", "card_last"), ("three", "a\nb")],
        task_type="Classification",
        more="data: ./data\n",
    )

    assert problems(tmp_path) == [
        "Mine.yaml:12: examples.1.response: 'card_last' is no label of the data. Did you mean 'card_lost'?",
        "Mine.yaml:15: examples.2.response: a label is one line without blanks around it.",
    ]


def test_labels_that_are_numbers_in_the_data_are_not_compared(tmp_path: Path, problems: Problems) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text('{"text": "a", "label": 0}\n', encoding="utf-8")
    write_task(tmp_path, "Mine", [("one", "anger")], task_type="Classification", more="data: ./data\n")

    assert problems(tmp_path) == []


def test_missing_data_folder(tmp_path: Path, problems: Problems) -> None:
    write_task(tmp_path, "Mine", pairs("Mine", 1), more="data: ./nowhere\n")

    assert problems(tmp_path) == ["Mine.yaml:6: data folder nowhere does not exist."]


def test_validation_goes_on_after_a_malformed_file(tmp_path: Path, problems: Problems) -> None:
    (tmp_path / "bad.yaml").write_text("task: [\n", encoding="utf-8")
    (tmp_path / "worse.yaml").write_text("task: A/../B\n", encoding="utf-8")
    write_task(tmp_path, "A", pairs("A", 1), benchmarks="mini")
    write_task(tmp_path, "B", pairs("B", 1), more="aliases: [{name: A}]\n")

    found = problems(tmp_path)

    assert [line.split(": ")[0] for line in found] == [
        "A.yaml:6",
        "B.yaml:6",
        "bad.yaml:2",
        "worse.yaml:1",
        "worse.yaml:1",
        "worse.yaml:1",
        "worse.yaml:1",
    ]


def test_example_set_is_checked_with_the_registry(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "task: STS12\nexamples:\n  - {query: a, response: b, origin: a test}\n", encoding="utf-8"
    )
    (folder / "b.yaml").write_text(
        "task: STS21\nexamples:\n  - {query: a, response: b, origin: a test}\n", encoding="utf-8"
    )

    report = validate_registry(examples=str(folder))

    assert len(report.problems) == 1
    assert str(report.problems[0]).startswith(
        f"{folder}/b.yaml:1: task 'STS21' is not in the registry. Did you mean 'STS12'"
    )
    assert report.examples == validate_registry().examples + 2


# Lengths, exactly


@pytest.fixture(scope="module")
def exact() -> object:
    """Mistral's own tokenizer, from the package mistral-common."""
    mistral_common = pytest.importorskip("mistral_common")
    sentencepiece = pytest.importorskip("sentencepiece")
    model = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
    if not model.is_file():
        pytest.skip("this mistral-common carries no tokenizer.model.v1")
    return sentencepiece.SentencePieceProcessor(str(model))


def test_shipped_examples_keep_the_limits_exactly(exact: object) -> None:
    for task in Registry.load():
        # Three special tokens, two line breaks and the blank line between examples.
        instruction = len(exact.encode(task.instruction().text)) + 8
        prefix = 0
        for example in task.examples:
            lengths = [len(exact.encode(example.query)), len(exact.encode(example.response))]
            assert max(lengths) <= MAX_EXAMPLE_TOKENS, (task.name, example.query)
            prefix += sum(lengths) + instruction
        assert prefix <= MAX_PREFIX_TOKENS, task.name


def test_estimate_is_near_the_exact_count(exact: object) -> None:
    ratios = []
    for task in Registry.load():
        for example in task.examples:
            for text in (example.query, example.response):
                count = len(exact.encode(text))
                if count >= 60:
                    ratios.append(estimate_tokens(text) / count)

    assert len(ratios) > 300
    assert min(ratios) > 0.55
    assert max(ratios) < 1.35


# The command


def test_command_prints_counts_when_clean() -> None:
    report = validate_registry()

    result = CliRunner().invoke(validate_command)

    assert result.exit_code == 0
    assert result.stdout == f"0 problems in {report.files} files, {report.tasks} tasks, {report.examples} examples\n"


def test_command_prints_every_problem_and_exits_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.yaml").write_text("task: <b>\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(validate_command, ["--registry-dir", "."])

    lines = result.stdout.splitlines()
    assert result.exit_code == 2
    assert sum(line.startswith("29.yaml:1: ") for line in lines) == 4
    assert lines[-1].startswith("120 problems in ")


def test_command_gives_json(tmp_path: Path) -> None:
    path = write_task(tmp_path, "Mine", [("one", "x" * 9000)])

    result = CliRunner().invoke(validate_command, ["--registry-dir", str(tmp_path), "--json"])

    answer = json.loads(result.stdout)
    assert result.exit_code == 2
    assert answer["problems"][0] == {
        "file": str(path),
        "line": 6,
        "message": "all examples together have about 2262 tokens; the limit is 1536. Shorten or drop some.",
    }
    assert set(answer) == {"files", "tasks", "examples", "unverified_labels", "problems"}


def test_main_returns_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("task: A\n", encoding="utf-8")

    assert main(["validate", "--registry-dir", str(tmp_path)]) == 2
    assert main(["validate", "--registry-dir", str(tmp_path / "nowhere")]) == 2
    assert main(["validate", "--examples", str(tmp_path / "nowhere")]) == 2
    assert main(["validate"]) == 0
    assert capsys.readouterr().err == (
        f"harness: --examples '{tmp_path}/nowhere' is neither 'curated' (the examples of the registry) nor a folder of "
        "example files.\n"
    )


def test_command_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom harness.cli.main import main\ncode = main(['validate'])\n"
        "print(code, *[name for name in ('torch', 'mteb', 'pandas', 'numpy', 'transformers') if name in sys.modules])"
    )
    started = time.perf_counter()

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )

    assert done.stdout.splitlines()[-1] == "0", done.stderr
    assert time.perf_counter() - started < 5


def test_names_are_compared_with_mteb(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    write_task(
        folder,
        "STS18",
        pairs("STS18", 1),
        more="aliases:\n"
        "  - name: IFIRNFCorpus\n    main_metric: accuracy\n    splits: [dev]\n    subsets: [de]\n"
        "    dataset: {path: mteb/other, revision: abc}\n",
    )
    write_task(folder, "STS12ish", pairs("STS12ish", 5), benchmarks='"MTEB(eng, v1)"')
    write_task(folder, "Local", pairs("Local", 1), more="data: .\n")

    result = CliRunner().invoke(validate_command, ["--registry-dir", str(folder), "--check-names"])

    found = [line.removeprefix(f"{folder}/") for line in result.stdout.splitlines()[:-1]]
    assert result.exit_code == 2
    assert found[0].startswith("STS12ish.yaml:1: task 'STS12ish': mteb has no such task. Did you mean ")
    assert found[1] == "STS12ish.yaml:3: task 'STS12ish': mteb's MTEB(eng, v1) does not hold it."
    assert found[2].startswith("STS18.yaml:1: task 'STS18': mteb has no such task. Did you mean ")
    assert [line.split(" mteb has ")[0] for line in found[3:]] == [
        "STS18.yaml:7: task 'IFIRNFCorpus': type is STS;",
        "STS18.yaml:8: task 'IFIRNFCorpus': main_metric is accuracy;",
        "STS18.yaml:9: task 'IFIRNFCorpus': splits holds dev;",
        "STS18.yaml:10: task 'IFIRNFCorpus': subsets holds de;",
        "STS18.yaml:11: task 'IFIRNFCorpus': dataset path is mteb/other;",
        "STS18.yaml:11: task 'IFIRNFCorpus': dataset revision is abc;",
    ]


def test_a_task_that_the_registry_lacks_is_told(small_registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison walks mteb's benchmarks too, not only our own files."""
    monkeypatch.setattr(paths, "task_examples_dir", lambda: small_registry)

    result = CliRunner().invoke(validate_command, ["--check-names"])

    assert result.exit_code == 2
    assert "MTEB(eng, v1): the registry has no task 'ArguAna' for this benchmark." in result.stdout.splitlines()
