"""scores.parquet as a run writes it, task by task."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.store.run_dir import RunDir
from harness.store.schema import ScoreRow, arrow_schema
from tests.check.made import make_run

CONFIGURATIONS = {"k0": 0, "k3": 3}


def test_rows_have_one_order_whatever_the_order_of_the_tasks(tmp_path: Path) -> None:
    records = RunDir(make_run(tmp_path / "made", configurations=CONFIGURATIONS)).records()
    forwards, backwards = RunDir(tmp_path / "forwards"), RunDir(tmp_path / "backwards")
    for count in range(1, len(records) + 1):
        forwards.write_scores(records[:count])
    backwards.write_scores(records[::-1])

    stored = pq.read_table(forwards.path / "scores.parquet")
    rows = [ScoreRow.model_validate(row).model_dump() for record in records for row in record["rows"]]
    keys = ("configuration", "task_type", "task_name", "split", "hf_subset")
    rows.sort(key=lambda row: (*(row[key] for key in keys), not row["is_main"], row["metric"]))

    assert stored.schema.equals(arrow_schema(), check_metadata=True)
    assert stored.to_pylist() == rows
    assert (backwards.path / "scores.parquet").read_bytes() == (forwards.path / "scores.parquet").read_bytes()


def test_a_record_is_checked_once_however_often_the_scores_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = RunDir(make_run(tmp_path / "made", configurations=CONFIGURATIONS)).records()
    validate, checked = ScoreRow.model_validate, []
    monkeypatch.setattr(ScoreRow, "model_validate", lambda row: checked.append(row) or validate(row))
    run = RunDir(tmp_path / "run")

    for count in range(1, len(records) + 1):
        run.write_scores(records[:count])

    assert len(checked) == sum(len(record["rows"]) for record in records)


def test_a_record_that_left_the_run_leaves_the_scores(tmp_path: Path) -> None:
    records = RunDir(make_run(tmp_path / "made", configurations=CONFIGURATIONS)).records()
    run = RunDir(tmp_path / "run")
    run.write_scores(records)

    assert run.write_scores(records[1:]) == sum(len(record["rows"]) for record in records[1:])
    assert run.write_scores([]) == 0
    assert pq.read_table(run.path / "scores.parquet").schema.equals(arrow_schema(), check_metadata=True)
