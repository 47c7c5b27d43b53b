"""Reading run directories: strictness, and results that several runs hold."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import ConfigError, IncompleteRunError, ResultSchemaError
from harness.report.load import load_scores
from harness.store.schema import arrow_schema


def _write_raw(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text('{"run_id": "raw"}', encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema or arrow_schema()), folder / "scores.parquet")
    return folder


def test_several_runs_and_files_become_one_frame(make: SimpleNamespace, tmp_path: Path) -> None:
    one = make.run(tmp_path / "one", [make.row(task_name="A")])
    two = make.run(tmp_path / "two", [make.row(task_name="B", run_id="two")])

    frame = load_scores([one, two / "scores.parquet", one])

    assert sorted(frame["task_name"]) == ["A", "B"]
    assert list(frame.columns) == arrow_schema().names


def test_identical_result_of_two_runs_is_kept_once(make: SimpleNamespace, tmp_path: Path) -> None:
    runs = [make.run(tmp_path / name, [make.row(run_id=name)]) for name in ("one", "two")]

    frame = load_scores(runs)

    assert list(frame["run_id"]) == ["one"]
    assert frame.attrs["notes"] == []


def test_same_key_with_another_score_is_noted_and_the_first_kept(make: SimpleNamespace, tmp_path: Path) -> None:
    one = make.run(tmp_path / "one", [make.row(run_id="one", score=0.5)])
    two = make.run(tmp_path / "two", [make.row(run_id="two", score=0.501)])

    frame = load_scores([two, one])

    assert list(frame["score"]) == [0.501]
    assert frame.attrs["notes"] == [
        "Runs one, two repeat the same measurement with scores up to 0.1000 points apart; the run named first is shown."
    ]


def test_conflicting_results_name_both_runs_and_the_cause(make: SimpleNamespace, tmp_path: Path) -> None:
    one = make.run(tmp_path / "one", [make.row(run_id="one")])
    two = make.run(tmp_path / "two", [make.row(run_id="two", result_key="other", prompt_fingerprint="e" * 64)])

    with pytest.raises(ResultSchemaError) as caught:
        load_scores([one, two])

    assert str(caught.value) == (
        f"task 'A' of 'org/model' (k0) has two different results, in run one ({one}/scores.parquet) and run two "
        f"({two}/scores.parquet): they differ in prompt_fingerprint. Name only one of the two runs."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 71.5}, "main score 71.5 of metric 'cosine_spearman' is outside -1..1"),
        ({"task_name": ""}, "task_name is empty"),
        ({"part_of": "A"}, "task is a part of itself"),
        ({"limit": -1}, "negative number of examples or limit"),
    ],
)
def test_impossible_value_is_refused(
    make: SimpleNamespace, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    run = make.run(tmp_path / "run", [make.row(), make.row(**{"split": "dev", **change})])

    with pytest.raises(ResultSchemaError) as caught:
        load_scores([run])

    assert str(run / "scores.parquet") in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_score_that_is_not_finite_is_refused(make: SimpleNamespace, tmp_path: Path, score: float) -> None:
    run = _write_raw(tmp_path / "run", [{**make.row(), "score": score}])

    with pytest.raises(ResultSchemaError, match="is not finite"):
        load_scores([run])


def test_secondary_metric_outside_the_range_of_scores_is_fine(make: SimpleNamespace, tmp_path: Path) -> None:
    rows = [make.row(), make.row(metric="euclidean_f1_threshold", score=17.2, is_main=False)]

    assert len(load_scores([make.run(tmp_path / "run", rows)])) == 2


def test_one_cell_twice_in_one_file_is_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(tmp_path / "run", [make.row(), make.row()])

    with pytest.raises(ResultSchemaError, match="metric 'cosine_spearman' stands there twice"):
        load_scores([run])


def test_second_main_metric_is_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(tmp_path / "run", [make.row(), make.row(metric="pearson")])

    with pytest.raises(ResultSchemaError, match="has a second main metric, 'pearson'"):
        load_scores([run])


def test_wrong_columns_and_types_are_named(make: SimpleNamespace, tmp_path: Path) -> None:
    row = make.row()
    lacking = _write_raw(
        tmp_path / "lacking", [row], pa.schema([field for field in arrow_schema() if field.name != "dtype"])
    )
    extra = _write_raw(tmp_path / "extra", [{**row, "bonus": 1}], arrow_schema().append(pa.field("bonus", pa.int64())))
    index = arrow_schema().names.index("limit")
    text = _write_raw(
        tmp_path / "text", [{**row, "limit": "0"}], arrow_schema().set(index, pa.field("limit", pa.string()))
    )
    empty = _write_raw(
        tmp_path / "empty", [{**row, "limit": None}], arrow_schema().set(index, pa.field("limit", pa.int64()))
    )

    for run, message in (
        (lacking, "(missing: dtype; unknown: none)"),
        (extra, "(missing: none; unknown: bonus)"),
        (text, "column 'limit' is string, expected int64"),
        (empty, "column 'limit' has 1 empty values"),
    ):
        with pytest.raises(ResultSchemaError) as caught:
            load_scores([run])
        assert message in str(caught.value)


def test_other_schema_version_is_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    run = _write_raw(tmp_path / "run", [make.row()], arrow_schema().with_metadata({"schema_version": "99"}))

    with pytest.raises(ResultSchemaError, match="written with schema version '99'"):
        load_scores([run])


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_corrupt_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scores.parquet").write_bytes(content)

    with pytest.raises(ResultSchemaError, match="not a readable parquet file") as caught:
        load_scores([tmp_path / "scores.parquet"])

    assert "\n" not in str(caught.value)


def test_truncated_file_is_refused_wherever_it_ends(make: SimpleNamespace, tmp_path: Path) -> None:
    scores = make.run(tmp_path / "run", [make.row()]) / "scores.parquet"
    content = scores.read_bytes()

    for length in range(0, len(content), 401):
        scores.write_bytes(content[:length])
        with pytest.raises(ResultSchemaError):
            load_scores([scores])


def test_missing_things_say_how_to_mend(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(tmp_path / "runs" / "one", [make.row()])

    with pytest.raises(ConfigError, match="no run directory was given"):
        load_scores([])
    with pytest.raises(ConfigError, match="no such run directory"):
        load_scores([tmp_path / "nowhere"])
    with pytest.raises(ResultSchemaError, match=r"It holds run directories: name .*runs/\*"):
        load_scores([tmp_path / "runs"])
    (run / "manifest.json").unlink()
    with pytest.raises(ResultSchemaError, match="this run was not finished"):
        load_scores([run])
    assert len(load_scores([run], use_manifest=False)) == 1
    assert len(load_scores([run / "scores.parquet"])) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run_id": 3}', "[" * 100_000])
def test_broken_manifest_is_refused(make: SimpleNamespace, tmp_path: Path, content: str) -> None:
    run = make.run(tmp_path / "run", [make.row()])
    (run / "manifest.json").write_text(content, encoding="utf-8")

    with pytest.raises(ResultSchemaError, match=r"manifest\.json"):
        load_scores([run])


def test_unfinished_status_becomes_a_note(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(tmp_path / "run", [make.row()])
    (run / "manifest.json").write_text(json.dumps({"run_id": "run", "status": "incomplete"}), encoding="utf-8")

    assert load_scores([run]).attrs["notes"] == ["Run run is marked 'incomplete': some of its tasks may have no score."]


def test_run_without_scores_is_incomplete(make: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError, match="no task has a score yet"):
        load_scores([make.run(tmp_path / "run", [])])
