"""Baselines: only `baseline update` writes them, from complete runs, and their history only grows."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.check.baseline_file import Baseline, read_baseline, task_score
from harness.check.baseline_update import check_descent, update_baseline
from harness.cli.main import main
from harness.errors import (
    ConfigError,
    HarnessError,
    IncomparableRunsError,
    IncompleteRunError,
    ResultSchemaError,
    RunLockedError,
    StorageError,
)
from harness.report.item_files import KEYS
from harness.store.stored_run import read_run
from tests.check.made import make_run

CREATED = "2026-01-01T00:00:00+00:00"


def update(run: Path, path: Path, reason: str = "why not", **values: Any) -> Baseline:
    update_baseline(read_run(run), path, **{"reason": reason, "author": "A <a@b>", "created": CREATED, **values})
    return read_baseline(path)


def test_a_baseline_gives_back_scores_identities_and_the_items_that_scores_are_made_of(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", configurations={"k0": 0, "k3": 3}))
    baseline = update(run.path, tmp_path / "b.parquet")
    assert [task_score(one) for one in baseline.records] == [task_score(one) for one in run.records]
    assert [one["identity"] for one in baseline.records] == [one["identity"] for one in run.records]
    assert baseline.manifest["model"] == run.manifest["model"]
    for record in run.records:
        key = record["configuration"], record["task_name"]
        kept, whole = baseline.items(*key), run.items(*key)
        assert set(KEYS) < set(kept.column_names)
        assert kept.equals(whole.select(kept.column_names))
        assert "recall_10" not in kept.column_names
    assert {row["metric"] for one in baseline.records for row in one["rows"]} == {
        one["identity"]["protocol"]["main_metric"] for one in run.records
    }


def test_the_same_run_again_writes_nothing(tmp_path: Path) -> None:
    run, path = make_run(tmp_path / "run"), tmp_path / "b.parquet"
    update(run, path)
    before = path.read_bytes()
    done = update_baseline(read_run(run), path, reason="again", author="A", created=CREATED)
    assert not done.written
    assert path.read_bytes() == before


def test_a_repeat_of_equal_scores_on_another_day_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    update(make_run(tmp_path / "run"), path)
    before = path.read_bytes()
    update(make_run(tmp_path / "again", manifest={"run_id": "ba9876543210"}), path)
    assert path.read_bytes() == before


def test_every_update_adds_an_entry_with_the_table_from_old_to_new(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    first = update(make_run(tmp_path / "1"), path, "first")
    second = update(
        make_run(tmp_path / "2", quality=0.7, subject={"weights_sha": "d" * 64}), path, "better weights", author="B"
    )
    assert [one.reason for one in second.history] == ["first", "better weights"]
    assert second.history[0] == first.history[0]
    last = second.history[1]
    assert last.parent_sha256 == first.content_sha256
    assert last.author == "B"
    old = {one["task_name"]: task_score(one) for one in first.records}
    new = {one["task_name"]: task_score(one) for one in second.records}
    for change in last.changes:
        assert (change.old, change.new) == (old[change.task_name], new[change.task_name])
        assert change.changed == ["subject.weights_sha"]


def test_a_task_that_the_run_lacks_goes_only_when_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    update(make_run(tmp_path / "1"), path)
    fewer = make_run(tmp_path / "2", tasks=["MadeSTS"])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="MadeClusters, k0/MadeSearch, k0/MadeTopics, which the baseline has"):
        update(fewer, path)
    assert path.read_bytes() == before
    smaller = update(fewer, path, remove_missing=True)
    assert [one["task_name"] for one in smaller.records] == ["MadeSTS"]
    assert [one.task_name for one in smaller.history[-1].changes if one.new is None] == [
        "MadeClusters",
        "MadeSearch",
        "MadeTopics",
    ]


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        ({"manifest": {"status": "incomplete", "failures": {"k0/X": "failed"}}}, IncompleteRunError, "'incomplete'"),
        ({"manifest": {"status": "running"}}, IncompleteRunError, "'running'"),
        ({"manifest": {"failures": {"k0/X": "failed"}}}, IncompleteRunError, "only a complete run"),
        ({"tasks": []}, IncompleteRunError, "0 finished tasks"),
        ({"limit": 10}, IncompleteRunError, "--limit"),
        ({"protocol": {"mteb_version": "9"}, "mixed": True}, IncomparableRunsError, "different versions of mteb"),
        ({"subject": {"weights_sha": "e" * 64}, "mixed": True}, IncomparableRunsError, "do not share one weights_sha"),
        ({"subject": {"dtype": "bfloat16"}, "mixed": True}, IncomparableRunsError, "do not share one dtype"),
    ],
)
def test_a_run_that_must_not_become_a_reference_is_refused(
    run: dict[str, Any], error: type[HarnessError], message: str, tmp_path: Path
) -> None:
    values = dict(run)
    folder = tmp_path / "run"
    if values.pop("mixed", False):
        make_run(folder, tasks=["MadeSTS"], **values)
        record = folder / "tasks/k0/MadeSTS.json"
        kept, companions = record.read_bytes(), json.loads(record.read_text())
        make_run(folder)
        record.write_bytes(kept)
        manifest = json.loads((folder / "manifest.json").read_text())
        next(one for one in manifest["tasks"] if one["task_name"] == "MadeSTS")["result_key"] = companions["result_key"]
        (folder / "manifest.json").write_text(json.dumps(manifest))
    else:
        make_run(folder, **values)
    with pytest.raises(error, match=message):
        update(folder, tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()


@pytest.mark.parametrize("text", ["", "   ", "two\nlines", "\x1b[31mred", "r" * 1001, "rtl\u202e"])
def test_a_reason_or_author_that_says_nothing_or_hides_something_is_refused(text: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tasks=["MadeSTS"])
    for name in ("reason", "author"):
        with pytest.raises(ConfigError, match=name):
            update(run, tmp_path / "b.parquet", **{name: text})
    assert not (tmp_path / "b.parquet").exists()


def test_a_damaged_baseline_is_not_written_over(tmp_path: Path) -> None:
    run, path = make_run(tmp_path / "run", tasks=["MadeSTS"]), tmp_path / "b.parquet"
    path.write_bytes(b"something else")
    with pytest.raises(ResultSchemaError, match="not a readable parquet file"):
        update(run, path)
    assert path.read_bytes() == b"something else"


def test_a_failed_write_leaves_the_old_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "b.parquet"
    update(make_run(tmp_path / "1"), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.store.atomic.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        update(make_run(tmp_path / "2", seed=1), path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["b.parquet"]


def test_two_updates_at_once_do_not_lose_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    run = make_run(tmp_path / "run", tasks=["MadeSTS"])
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(RunLockedError, match="another update"):
            update(run, path)
    finally:
        os.close(holder)
    assert len(update(run, path).history) == 1


def test_a_baseline_that_does_not_go_on_from_its_parent_is_found(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    parent = update(make_run(tmp_path / "1"), path)
    child = update(make_run(tmp_path / "2", seed=1), path)
    check_descent(child, parent)
    check_descent(child, child)
    other = update(make_run(tmp_path / "3", seed=2), tmp_path / "other.parquet")
    for wrong in ((parent, child), (other, parent)):
        with pytest.raises(ResultSchemaError, match="does not go on from"):
            check_descent(*wrong)


@settings(max_examples=15, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    reason=st.text(min_size=1, max_size=60).filter(lambda text: text.strip() and text.isprintable()),
)
def test_any_sequence_of_updates_gives_a_baseline_that_verifies(
    seeds: list[int], reason: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    path = folder / "b.parquet"
    different: list[int] = []
    for number, seed in enumerate(seeds):
        if not different or different[-1] != seed:
            different.append(seed)
        baseline = update(make_run(folder / str(number), tasks=["MadeSTS"], seed=seed), path, reason)
    assert len(baseline.history) == len(different)
    assert baseline.history[0].parent_sha256 == ""


def test_a_row_is_readable_without_this_program(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    update(make_run(tmp_path / "run"), path)
    row = pq.read_table(path).to_pylist()[0]
    assert json.loads(row["record"])["task_name"] == row["task_name"]
    assert pq.read_table(io.BytesIO(row["items"])).num_rows > 0


# The command.


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_command_updates_shows_and_verifies(said: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path, run = tmp_path / "b.parquet", make_run(tmp_path / "run")
    code, out, _ = said("baseline", "update", run, "--baseline", path, "--reason", "first one", "--author", "A <a@b>")
    assert code == 0
    assert "MadeSTS" in out
    old = path.read_bytes()
    (tmp_path / "old.parquet").write_bytes(old)
    other = make_run(tmp_path / "other", seed=5)
    assert said("baseline", "update", other, "--baseline", path, "--reason", "second", "--author", "B")[0] == 0
    code, out, _ = said("baseline", "show", path, "--changes")
    assert code == 0
    assert "A <a@b>: first one" in out
    assert "4 moved" in out
    code, out, _ = said("baseline", "show", path, "--json")
    assert [one["reason"] for one in json.loads(out)["history"]] == ["first one", "second"]
    assert said("baseline", "verify", path, "--parent", tmp_path / "old.parquet")[0] == 0
    code, _, err = said("baseline", "verify", tmp_path / "old.parquet", "--parent", path)
    assert code == 5
    assert err.count("\n") == 1
    code, out, _ = said("baseline", "update", other, "--baseline", path, "--reason", "third", "--author", "B")
    assert "nothing was written" in out


def test_the_author_comes_from_git(
    said: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tasks=["MadeSTS"])
    project = tmp_path / "project"
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.chdir(project)
    code, _, err = said("baseline", "update", run, "--baseline", "b.parquet", "--reason", "r")
    assert code == 2
    assert "Give --author" in err
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "config", key, value], check=True)
    assert said("baseline", "update", run, "--baseline", "b.parquet", "--reason", "r")[0] == 0
    assert read_baseline(Path("b.parquet")).history[0].author == "Ada <ada@example.org>"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["update", "nowhere", "--baseline", "b", "--reason", "r", "--author", "a"], 2, "no such run directory"),
        (["update", ".", "--baseline", "b", "--reason", "r", "--author", "a"], 3, "no manifest.json"),
        (["update", ".", "--baseline", "b", "--author", "a"], 2, "--reason"),
        (["show", "nothing.parquet"], 2, "no such baseline"),
        (["verify", "nothing.parquet"], 2, "no such baseline"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    said: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, err = said("baseline", *arguments)
    assert found == code
    assert message in err
