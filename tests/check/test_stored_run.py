"""Reading a run for a comparison: what belongs to it is there and verified, what does not is named or refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import orjson
import pytest

from harness.errors import ConfigError, ResultSchemaError
from harness.store.atomic import dump_json, read_json
from harness.store.stored_run import read_run
from harness.store.strict_json import MAX_DEPTH, parse_json, read_file
from tests.check.made import TASKS, make_run


def test_a_run_gives_its_records_and_items(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", configurations={"k3": 3, "k0": 0}))
    assert [(one["configuration"], one["task_name"]) for one in run.records] == [
        (configuration, task) for configuration in ("k0", "k3") for task in sorted(TASKS)
    ]
    assert run.items("k3", "MadeTopics").num_rows == 180
    with pytest.raises(ConfigError, match="no task 'Nothing' in configuration 'k0'"):
        run.items("k0", "Nothing")


def test_a_run_directory_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(make_run(tmp_path / "run"), target_is_directory=True)
    assert len(read_run(tmp_path / "latest").records) == len(TASKS)


def test_a_record_of_an_earlier_model_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_run(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tasks"] = [one for one in manifest["tasks"] if one["task_name"] != "MadeSTS"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with caplog.at_level(logging.WARNING):
        run = read_run(folder)
    assert "MadeSTS" not in {one["task_name"] for one in run.records}
    assert "k0/MadeSTS is not of this run" in caplog.text


def test_a_run_that_goes_on_has_the_records_that_are_there(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", manifest={"status": "running", "tasks": []})
    assert len(read_run(folder).records) == len(TASKS)


def test_json_of_any_layout_is_read(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True, "x"], "a": {"c": "\u2028"}}
    for number, raw in enumerate(
        (
            dump_json(value),
            json.dumps(value).encode(),
            orjson.dumps(value),
            b"\n " + json.dumps(value, indent=7).encode(),
        )
    ):
        path = tmp_path / f"{number}.json"
        path.write_bytes(raw)
        assert read_json(path) == value


def test_the_deepest_json_that_is_read_has_the_stated_depth() -> None:
    def nested(levels: int) -> object:
        value: object = 1
        for _ in range(levels):
            value = {"a": value}
        return value

    for write in (dump_json, orjson.dumps):
        assert parse_json(write(nested(MAX_DEPTH)), "x") == nested(MAX_DEPTH)
        with pytest.raises(ResultSchemaError, match="nested deeper"):
            parse_json(write(nested(MAX_DEPTH + 1)), "x")


def test_a_key_that_stands_twice_at_any_depth_is_refused() -> None:
    for raw in (b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "a": 2}}]', b'{"\\u0061": 1, "a": 2}'):
        with pytest.raises(ResultSchemaError, match="key 'a' occurs twice"):
            parse_json(raw, "x")


def test_a_name_with_a_nul_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResultSchemaError, match="no file can have this name"):
        read_file(Path(f"{tmp_path}/a\0b"), limit=10)


def test_a_file_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_file(path, limit=5) == b"12345"
    with pytest.raises(ResultSchemaError, match="larger than 4 bytes"):
        read_file(path, limit=4)
