"""Markdown, terminal and parquet show one table with equal numbers, whatever things are called."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, StorageError
from harness.registry import Registry
from harness.report import render_markdown, render_terminal, write_leaderboard, write_tables
from harness.report.leaderboard import build_leaderboards
from harness.report.table import LeaderboardTable
from harness.report.text import escape_markdown, percent, visible

HOSTILE = "a|b\n| c | <script>alert(1)</script> &amp; `x` \\| [l](http://e) \u202etxt\u202c \x1b[31m *b* __c__ $x$"
_names = st.text(min_size=1, max_size=40).filter(lambda name: not any("\ud800" <= char <= "\udfff" for char in name))
_hostile = st.sampled_from([HOSTILE, "|", "\\", "\\|", "`", "\n", "[red]x[/red]", "<img src=x>", "\u2028", "a\rb"])


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _table(make: SimpleNamespace, registry: Registry) -> list[LeaderboardTable]:
    rows = [
        *make.scores("org/one", {"A": 0.81234, "B": 0.4, "C": 0.9, "Q1": 0.1, "Q2": 0.2, "Q3": 0.6}),
        *make.scores("org/two", {"A": 0.81233, "B": 0.6, "C": -0.25, "Q1": 0.3}, model_label="untrained"),
        *make.scores("org/two", {"A": 0.99}, partial=True, limit=9),
    ]
    return build_leaderboards(make.frame(rows), registry=registry, benchmark="toy")


def test_percent_rounds_shows_gaps_and_no_negative_zero() -> None:
    assert [percent(value) for value in (0.71244, None, -0.000001, 1.0, -0.5)] == [
        "71.24",
        "-",
        "0.00",
        "100.00",
        "-50.00",
    ]


def test_markdown_is_as_documented(make: SimpleNamespace, toy_registry: Registry) -> None:
    text = render_markdown(_table(make, toy_registry))

    assert text.splitlines()[:7] == [
        "# toy (4 tasks)",
        "",
        "| Rank (Borda) | Model | n-shot | Mean (Task) | Mean (TaskType) | Classification | Retrieval | STS |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| 1 | org/one | 0 | 60.31 | 60.21 | **90.00** | 30.00 | 60.62 |",
        "| 2 | org/two (untrained) | 0 | - | - | -25.00 | - | **70.62** |",
        "| 3 | org/two (partial, limit 9) | 0 | - | - | - | - | - |",
    ]


def test_equal_printed_values_are_equally_best_and_partial_rows_never(
    make: SimpleNamespace, toy_registry: Registry
) -> None:
    text = render_markdown(_table(make, toy_registry), per_task=True)

    assert "| A | STS | **81.23** | **81.23** | 99.00 |" in text.splitlines()


def test_hostile_name_is_shown_as_text() -> None:
    shown = escape_markdown(HOSTILE)

    assert not set("|<>`\\[]*$\n\x1b\u202e") & set(shown)
    assert "&#60;script&#62;" in shown
    assert "&#92;u202etxt" in shown
    assert "http&#58;//" in shown
    assert escape_markdown("BAAI/bge-small_en_v1.5 (k3)") == "BAAI/bge-small_en_v1.5 (k3)"


@given(_names | _hostile)
def test_visible_text_is_one_line_without_hidden_characters(name: str) -> None:
    shown = visible(name)

    assert len(shown.splitlines()) == 1
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") for char in shown)


@settings(deadline=None, max_examples=80)
@given(model=_names | _hostile, label=_names | _hostile, task=_names | _hostile, task_type=_names | _hostile)
def test_cell_count_is_constant_for_any_name(
    make: SimpleNamespace, toy_registry: Registry, model: str, label: str, task: str, task_type: str
) -> None:
    rows = [
        make.row(model_name=model, model_label=label, task_name=task, task_type=task_type, configuration=name)
        for name in ("k0", model)
    ]
    tables = build_leaderboards(make.frame(rows), registry=toy_registry)

    text = render_markdown(tables, per_task=True)
    terminal = render_terminal(tables, width=80, per_task=True)

    blocks: list[set[int]] = [set()]
    for line in text.split("\n"):
        if line.startswith("|"):
            blocks[-1].add(len(_cells(line)))
        elif blocks[-1]:
            blocks.append(set())
    assert {len(block) for block in blocks if block} == {1}, "every row of a table has as many cells as its head"
    assert "<" not in text and "`" not in text
    assert "\x1b" not in terminal
    assert not any(unicodedata.category(char) in ("Cc", "Cf") for char in terminal.replace("\n", ""))


def test_markdown_terminal_and_parquet_show_equal_numbers(
    make: SimpleNamespace, toy_registry: Registry, tmp_path: Path
) -> None:
    tables = _table(make, toy_registry)
    write_tables(tables, tmp_path, per_task=True)
    lines = (tmp_path / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    wide = pq.read_table(tmp_path / "leaderboard.parquet").to_pylist()
    long = pq.read_table(tmp_path / "leaderboard_long.parquet").to_pylist()

    terminal = render_terminal(tables, width=100)
    for index, record in enumerate(wide):
        values = [record["mean_task"], record["mean_task_type"]]
        values += [record[f"type:{name}"] for name in tables[0].task_types]
        shown = [percent(value) for value in values]
        cells = [cell.strip("*") for cell in _cells(lines[4 + index])]
        assert cells[0] == str(record["rank_borda"])
        assert cells[3:] == shown
        assert any(line.split()[-len(shown) :] == shown for line in terminal.splitlines())
        same = [
            item for item in long if item["partial"] == record["partial"] and item["model_name"] == record["model_name"]
        ]
        assert {item["name"]: item["score"] for item in same if item["level"] == "task"} == {
            task.name: record[f"task:{task.name}"] for task in tables[0].tasks
        }
        assert [item["score"] for item in same if item["level"] == "mean"] == values[:2]


def test_gap_is_null_in_parquet_and_a_hyphen_in_text(
    make: SimpleNamespace, toy_registry: Registry, tmp_path: Path
) -> None:
    tables = _table(make, toy_registry)
    write_tables(tables, tmp_path)

    wide = pq.read_table(tmp_path / "leaderboard.parquet").to_pylist()

    assert wide[1]["mean_task"] is None
    assert wide[1]["task:Q"] is None
    assert re.search(r"2 org/two \(untrained\) +0 +- +- ", render_terminal(tables))


@pytest.mark.parametrize("width", [80, 100, 160])
def test_terminal_lines_fit_the_width(make: SimpleNamespace, width: int) -> None:
    registry = Registry.load()
    rows = [
        make.row(
            model_name=name,
            task_name=task.name,
            task_type=task.task_type,
            split=task.splits[0],
            hf_subset=task.subsets[0],
            score=0.5,
        )
        for name in ("sentence-transformers/all-MiniLM-L6-v2", "local/a-folder-with-a-rather-long-name-for-a-model")
        for whole in registry.benchmark("MTEB(eng, v1)")
        for task in [registry.get(part) for part in whole.parts or (whole.name,)]
    ]
    tables = build_leaderboards(make.frame(rows), registry=registry)

    text = render_terminal(tables, width=width, per_task=True)

    assert max(len(line) for line in text.splitlines()) <= width
    assert text.isascii()
    for heading in ("Class.", "Clust.", "Pair", "Rerank", "Retr.", "STS", "Summ.", "CQADupstackRetrieval"):
        assert heading in text
    # Nothing is cut: every type mean and both means of each row are there.
    main = text.split("Main scores")[0]
    assert main.count("50.00") == 2 * 9


@pytest.mark.parametrize("width", [80, 100])
def test_terminal_shows_the_difference_to_zero_shot_within_the_width(make: SimpleNamespace, width: int) -> None:
    name = "local/a-folder-with-a-rather-long-name-for-a-model"
    rows = [
        make.row(model_name=name, configuration=f"k{k}", score=0.5 - k / 10, encode_seconds=1.0 + k) for k in (0, 1, 3)
    ]

    text = render_terminal(build_leaderboards(make.frame(rows), registry=Registry([])), width=width)

    assert max(len(line) for line in text.splitlines()) <= width
    assert [line.split()[-5:] for line in text.splitlines() if " 50.00 " in line and "-10.00" in line] == [
        ["1", "50.00", "40.00", "-10.00", "-"]
    ]
    assert any(line.split()[-2:] == ["400.000", "4.00"] for line in text.splitlines()), "the cost of 3 examples"


def test_terminal_shows_markup_in_names_as_it_is(make: SimpleNamespace, toy_registry: Registry) -> None:
    tables = build_leaderboards(make.frame([make.row(model_name="[bold]x[/bold] :smile:")]), registry=toy_registry)

    assert "[bold]x[/bold] :smile:" in render_terminal(tables)


def test_run_gets_its_leaderboard_before_its_manifest(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(tmp_path / "run", [make.row(task_name="Own")])
    (run / "manifest.json").unlink()

    (table,) = write_leaderboard(run)

    assert table.tasks[0].name == "Own"
    assert "| Own | STS | 50.00 |" in (run / "leaderboard.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in run.iterdir()) == ["leaderboard.md", "scores.parquet"], (
        "no temporary file stays"
    )


def test_leaderboard_of_a_run_that_is_just_ending_does_not_call_it_unfinished(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    run = make.run(tmp_path / "run", [make.row()], status="running")

    write_leaderboard(run)

    assert "running" not in (run / "leaderboard.md").read_text(encoding="utf-8")


def test_writing_twice_gives_equal_bytes(make: SimpleNamespace, toy_registry: Registry, tmp_path: Path) -> None:
    tables = _table(make, toy_registry)
    first = [path.read_bytes() for path in write_tables(tables, tmp_path)]

    assert [path.read_bytes() for path in write_tables(tables, tmp_path)] == first


def test_unwritable_folder_is_one_line(make: SimpleNamespace, toy_registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match=r"leaderboard\.md: cannot be written"):
        write_tables(_table(make, toy_registry), tmp_path / "file")


def test_unknown_format_is_refused(make: SimpleNamespace, toy_registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--format: 'xls' given\. Known: md, parquet, csv, latex, html\."):
        write_tables(_table(make, toy_registry), tmp_path, formats=("md", "xls"))
