"""`list`: tasks, benchmarks and profiles, as a table and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.list import list_command
from harness.cli.main import main
from harness.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(list_command, list(arguments), catch_exceptions=False)


def test_every_runnable_name_has_a_line() -> None:
    lines = run("tasks").stdout.splitlines()

    assert lines[0].split() == ["task", "type", "benchmarks", "examples", "alias/part", "instruction", "from"] + [
        "trained",
        "on",
    ]
    assert [line.split("  ")[0] for line in lines[1:]] == [task.name for task in Registry.load()]


def test_task_line_shows_alias_part_and_source() -> None:
    by_name = {line.split()[0]: line for line in run("tasks").stdout.splitlines()}

    assert "= STS22" in by_name["STS22.v2"]
    assert "of CQADupstackRetrieval" in by_name["CQADupstackUnixRetrieval"]
    assert "12 parts" in by_name["CQADupstackRetrieval"]
    assert "  FlagEmbedding evaluation/mteb/prompts.py  " in by_name["Banking77Classification"]


def test_task_line_says_which_models_were_trained_on_the_task() -> None:
    by_name = {line.split()[0]: line for line in run("tasks").stdout.splitlines()}

    assert by_name["Banking77Classification"].endswith("bge-en-icl (full)")
    assert by_name["HotpotQAHardNegatives"].endswith("bge-en-icl (full), bge-en-icl (public)")
    assert by_name["BIOSSES"].endswith("prompts.py")


def test_references_are_listed() -> None:
    lines = run("references").stdout.splitlines()

    assert any(line.startswith("paper/full/fs ") for line in lines)


def test_piped_lines_are_never_broken() -> None:
    lines = run("tasks").stdout.splitlines()

    assert len(lines) == len(list(Registry.load())) + 1
    assert all(line == line.rstrip() for line in lines)


def test_tasks_of_a_benchmark() -> None:
    rows = json.loads(run("tasks", "--benchmark", "MTEB(eng, v2)", "--json").stdout)

    assert len(rows) == 41
    assert all("MTEB(eng, v2)" in row["benchmarks"] for row in rows)


def test_tasks_of_two_benchmarks_are_listed_once() -> None:
    rows = json.loads(run("tasks", "-b", "MTEB(eng, v1)", "-b", "MTEB(eng, v2)", "--json").stdout)

    names = [row["name"] for row in rows]
    assert len(names) == len(set(names))
    assert len(names) > 56


def test_task_json_has_every_field() -> None:
    (row,) = [row for row in json.loads(run("tasks", "--json").stdout) if row["name"] == "STS22.v2"]

    task = Registry.load().get("STS22.v2")
    assert row["alias_of"] == "STS22"
    assert row["examples"] == len(task.examples)
    assert row["instructions"]["mteb"]["text"] == task.instruction("mteb").text
    assert Path(row["file"]).name == "STS22.yaml"


def test_benchmarks_are_counted_by_type() -> None:
    lines = [" ".join(line.split()) for line in run("benchmarks").stdout.splitlines()]

    assert (
        "MTEB(eng, v1) 56 Classification 12, Clustering 11, PairClassification 3, Reranking 4, Retrieval 15, STS 10, "
        "Summarization 1"
    ) in lines
    assert len(lines) == 1 + len(Registry.load().benchmarks())


def test_models_show_profiles_and_their_patterns() -> None:
    rows = json.loads(run("models", "--json").stdout)

    by_name = {row["profile"]: row for row in rows}
    assert "BAAI/bge-en-icl" in by_name["bge-en-icl"]["models"]
    assert [name for name, row in by_name.items() if row["takes_examples"]] == ["bge-en-icl"]
    assert "embedded" in run("models").stdout


def test_example_set_changes_the_counts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "task: STS12\nexamples:\n  - {query: a, response: b, origin: a test}\n", encoding="utf-8"
    )

    rows = json.loads(run("tasks", "--examples", str(tmp_path), "--json").stdout)

    assert {row["name"]: row["examples"] for row in rows if row["examples"]} == {"STS12": 1}
    assert {row["examples_set"] for row in rows} == {tmp_path.name}


def test_task_of_ones_own_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "task: Tower\ntype: STS\nmain_metric: cosine_spearman\ninstruction: {text: a, source: b}\n", encoding="utf-8"
    )

    assert any(line.startswith("Tower ") for line in run("tasks", "--registry-dir", str(tmp_path)).stdout.splitlines())


def test_unknown_benchmark_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["list", "tasks", "--benchmark", "MTEB(eng,v2)"])

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("harness: benchmark 'MTEB(eng,v2)' is not known. Did you mean 'MTEB(eng, v2)'")
    assert captured.err.count("\n") == 1


def test_list_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom harness.cli.main import main\n"
        "codes = [main(['list', what]) for what in ('tasks', 'benchmarks', 'models')]\n"
        "print(codes, *[name for name in ('torch', 'mteb', 'pandas', 'numpy', 'transformers') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )

    assert done.stdout.splitlines()[-1] == "[0, 0, 0]", done.stderr


def test_json_needs_no_rich() -> None:
    code = (
        "import sys\nfrom harness.cli.main import main\n"
        "main(['list', 'tasks', '--json'])\nprint('rich' in sys.modules, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )

    assert done.stderr.strip() == "False"
    assert json.loads(done.stdout)
