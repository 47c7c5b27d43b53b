"""Resamples kept between reports: the same numbers, never those of other files, and a damaged file costs only time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.report import paired, resample_memo
from harness.report.item_files import MEMO_FILE, item_source
from harness.report.leaderboard import build_leaderboards
from harness.report.load import load_scores
from harness.report.resample import PairedCell, Resampled
from harness.report.resample_memo import ResampleMemo, memo_key

RowsOf = Callable[[], tuple[Any, ...]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / MEMO_FILE


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks whose resamples were computed, not remembered."""
    calls: list[str] = []
    original = paired.compare_cell

    def spy(*args: Any, **names: Any) -> Any:
        calls.append(names["task"])
        return original(*args, **names)

    monkeypatch.setattr(paired, "compare_cell", spy)
    return calls


def write(make: SimpleNamespace, folder: Path, seed: int = 0) -> Path:
    """Write a run of two tasks with 0 and with 3 examples."""
    rows = []
    for task in ("T", "U"):
        for shots in (0, 3):
            values = np.random.default_rng([seed, shots, len(rows)]).random(30)
            make.items(folder, f"k{shots}", task, {"ndcg_cut_10": values})
            rows.append(
                make.row(
                    configuration=f"k{shots}",
                    num_fewshot=shots,
                    task_name=task,
                    task_type="Retrieval",
                    metric="ndcg_at_10",
                    score=float(values.mean()),
                    run_id=folder.name,
                )
            )
    path: Path = make.run(folder, rows)
    return path


def few_shot(run: Path) -> tuple[Any, ...]:
    scores = load_scores([run])
    (table,) = build_leaderboards(scores, items=item_source(scores))
    return table.few_shot


def test_a_second_report_computes_nothing_and_gives_the_same_numbers(
    make: SimpleNamespace, tmp_path: Path, cache: Path, computed: list[str]
) -> None:
    run = write(make, tmp_path / "run")

    first, once = few_shot(run), list(computed)
    second = few_shot(run)

    assert once == ["T", "U"] == computed
    assert first == second
    assert first[0].tasks[0].low is not None
    assert cache.is_file()


def test_changed_items_are_computed_again(
    make: SimpleNamespace, tmp_path: Path, cache: Path, computed: list[str]
) -> None:
    run = write(make, tmp_path / "run")
    before = few_shot(run)
    write(make, run, seed=1)

    after = few_shot(run)

    assert computed == ["T", "U"] * 2
    assert after != before


def test_a_copy_of_a_run_is_another_file(
    make: SimpleNamespace, tmp_path: Path, cache: Path, computed: list[str]
) -> None:
    few_shot(write(make, tmp_path / "run"))

    few_shot(write(make, tmp_path / "copy"))

    assert computed == ["T", "U"] * 2


def test_every_part_of_the_key_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("base", "other", "ndcg_at_10", "T", "Retrieval", "test", "default")
    keys = {memo_key(*names)}
    for place in range(len(names)):
        keys.add(memo_key(*names[:place], names[place] + "x", *names[place + 1 :]))
    for constant in ("MEMO_VERSION", "RESAMPLES", "SEED"):
        monkeypatch.setattr(resample_memo, constant, getattr(resample_memo, constant) + 1)
        keys.add(memo_key(*names))
    monkeypatch.setattr(np, "__version__", "99.0.1")
    keys.add(memo_key(*names))

    assert len(keys) == 1 + len(names) + 3 + 1


def test_a_flipped_number_is_not_served(
    make: SimpleNamespace, tmp_path: Path, cache: Path, computed: list[str]
) -> None:
    run = write(make, tmp_path / "run")
    first = few_shot(run)
    with sqlite3.connect(cache) as database:
        (blob,) = database.execute("SELECT differences FROM resamples LIMIT 1").fetchone()
        database.execute("UPDATE resamples SET differences = ?", (bytes([blob[0] ^ 1]) + blob[1:],))
        database.execute("UPDATE resamples SET base = base + 0.1 WHERE rowid = 2")

    second = few_shot(run)

    assert second == first
    assert computed == ["T", "U"] * 2


@pytest.mark.parametrize("content", [b"", b"no database " * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_file_costs_only_time(
    make: SimpleNamespace, tmp_path: Path, cache: Path, computed: list[str], content: bytes
) -> None:
    run = write(make, tmp_path / "run")
    first = few_shot(run)
    for leftover in cache.parent.glob(f"{cache.name}-*"):
        leftover.unlink()
    cache.write_bytes(content)

    second, third, fourth = few_shot(run), few_shot(run), few_shot(run)

    assert first == second == third == fourth
    assert len(computed) <= 6  # the damaged file was removed, and the next report wrote another
    computed.clear()
    few_shot(run)
    assert computed == []


def test_a_folder_that_cannot_be_written_is_no_error(
    make: SimpleNamespace, tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("", encoding="utf-8")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "a file"))
    run = write(make, tmp_path / "run")

    assert few_shot(run) == few_shot(run)
    assert computed == ["T", "U"] * 2


def test_the_oldest_entries_go_above_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample_memo, "MAX_ENTRIES", 3)
    memo = ResampleMemo(tmp_path / "memo.sqlite")
    cells = [PairedCell("queries", Resampled(0.1, 0.2, np.arange(4.0) + number)) for number in range(5)]
    for number, cell in enumerate(cells):
        memo.put(bytes([number]), cell)
        memo.flush()

    found = [memo.get(bytes([number])) for number in range(5)]

    assert [cell is None for cell in found] == [True, True, False, False, False]
    last = found[4]
    assert last is not None
    np.testing.assert_array_equal(last.outcome.differences, cells[4].outcome.differences)


def test_two_reports_at_once_share_the_file(tmp_path: Path) -> None:
    one, other = ResampleMemo(tmp_path / "memo.sqlite"), ResampleMemo(tmp_path / "memo.sqlite")
    cell = PairedCell("queries", Resampled(0.1, 0.2, np.zeros(4)))

    one.put(b"one", cell)
    one.flush()
    other.put(b"other", cell)
    other.flush()

    assert one.get(b"other") is not None and other.get(b"one") is not None


def test_without_a_path_nothing_is_remembered(tmp_path: Path) -> None:
    memo = ResampleMemo(None)
    memo.put(b"key", PairedCell("queries", Resampled(0.1, 0.2, np.zeros(4))))
    memo.flush()

    assert memo.get(b"key") is None
    assert os.listdir(tmp_path) == []
