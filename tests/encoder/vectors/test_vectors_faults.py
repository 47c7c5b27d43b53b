"""A failure of any operation, and a kill at any operation, leaves the old state or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.encoder.vectors import EmbeddingStore
from harness.encoder.vectors.index import Index
from harness.errors import EXIT_IO, StorageError
from tests.encoder.vectors.instrument import Fault, fail, instrumented
from tests.encoder.vectors.made import aside, found, put, shard_files

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = range(16), range(100, 108)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with EmbeddingStore(tmp_path / "old", shard_texts=8) as store:
        put(store, OLD)
    return tmp_path / "old"


def write_new(store: EmbeddingStore) -> None:
    assert found(store, OLD) == set(OLD)
    put(store, NEW)
    store.flush()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("prepared", ["index there", "index gone"])
def test_every_failing_operation_leaves_the_old_state(
    old: Path, tmp_path: Path, number: int, prepared: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    for at in range(1, 1000):
        copy = tmp_path / f"at-{at}"
        shutil.copytree(old, copy)
        if prepared == "index gone":
            (copy / "v1" / "index.sqlite3").unlink()
        fault = Fault(at, fail(number))
        store = EmbeddingStore(copy)
        with instrumented(fault):
            try:
                write_new(store)
                failed = False
            except StorageError as error:
                failed = True
                assert error.exit_code == EXIT_IO
                assert re.fullmatch(r"embedding store.*: .*--no-cache\.", str(error))
        if not fault.where:
            break
        seen.append(fault.where)
        # Another process: nothing lost, nothing wrong.
        assert found(EmbeddingStore(copy), OLD) == set(OLD), fault.where
        assert found(EmbeddingStore(copy), NEW) in (set(), set(NEW)), fault.where
        # This process, when there is room again: nothing has to be encoded again.
        if failed:
            write_new(store)
        store.close()
        fresh = EmbeddingStore(copy)
        assert found(fresh, [*OLD, *NEW]) == {*OLD, *NEW}, fault.where
        assert fresh.verify().ok
        assert not aside(copy)
        assert not list((copy / "v1" / "shards").glob(".*"))
        shutil.rmtree(copy)

    assert not caplog.records
    for operation in (
        "mkstemp",
        "write half",
        "fsync",
        "replace",
        "sqlite COMMIT",
        "sqlite BEGIN",
        "sqlite many INSERT",
    ):
        assert any(operation in where for where in seen), f"{operation} was not tried: {seen}"


def test_failing_eviction_leaves_what_is_left(old: Path, tmp_path: Path) -> None:
    for at in range(1, 1000):
        copy = tmp_path / f"at-{at}"
        shutil.copytree(old, copy)
        size = shard_files(copy)[0].stat().st_size
        fault = Fault(at, fail(errno.EIO))
        with instrumented(fault), contextlib.suppress(StorageError):
            EmbeddingStore(copy).prune(size)
        if not fault.where:
            break
        left = found(EmbeddingStore(copy), OLD)
        assert left in (set(OLD), set(range(8, 16))), fault.where
        assert EmbeddingStore(copy).verify().ok


def campaign(*arguments: str) -> dict[str, int]:
    """Run a campaign in a process of its own, which may fork; return its figures."""
    command = [sys.executable, "-m", "tests.encoder.vectors.campaign", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    pairs = (line.split() for line in done.stdout.splitlines())
    return {name: int(value) for name, value in pairs}


def test_a_kill_at_every_operation_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    figures = campaign("every", str(tmp_path))

    assert figures["moments"] >= 40
    assert figures["old_state"] + figures["new_state"] == figures["moments"]
    assert min(figures["old_state"], figures["new_state"]) >= 3


def kill_at_random(tmp_path: Path, kills: int) -> None:
    figures = campaign("random", str(tmp_path), str(kills))
    print(figures)

    assert figures["kills"] == kills
    assert figures["shard_open"] >= 0.9 * kills
    assert figures["most_lost"] <= figures["texts_per_shard"]


def test_random_kills_lose_at_most_the_open_shard(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 10)


@pytest.mark.soak
def test_a_thousand_random_kills_lose_at_most_the_open_shard(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 1000)


def test_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    assert campaign("together", str(tmp_path), "8", "3")["rounds"] == 3


@pytest.mark.soak
def test_processes_at_once_lose_nothing_in_a_hundred_rounds(tmp_path: Path) -> None:
    assert campaign("together", str(tmp_path), "8", "100")["rounds"] == 100


def test_a_store_may_be_carried_into_a_child_process(tmp_path: Path) -> None:
    assert campaign("forked", str(tmp_path))["children"] == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_leaves_the_old_state(small_disk: Path) -> None:
    store = EmbeddingStore(small_disk / "store", shard_texts=8)
    put(store, OLD)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as handle:
        while True:
            handle.write(b"x" * 4096)

    with pytest.raises(StorageError, match=r"No space left on device|disk is full"):
        put(store, NEW)

    assert found(store, [*OLD, *NEW]) == {*OLD, *NEW}
    assert found(EmbeddingStore(small_disk / "store"), [*OLD, *NEW]) == set(OLD)
    with EmbeddingStore(small_disk / "store") as reader:
        assert found(reader, OLD) == set(OLD)  # and nothing is said when it is closed
    ballast.unlink()
    store.flush()
    assert found(EmbeddingStore(small_disk / "store"), [*OLD, *NEW]) == {*OLD, *NEW}


def test_a_disk_that_fills_up_while_runs_go_on(small_disk: Path) -> None:
    stored: set[int] = set()
    with pytest.raises(StorageError), EmbeddingStore(small_disk / "store", shard_texts=64) as store:
        for first in range(0, 10**6, 64):
            put(store, range(first, first + 64), dim=64)
            stored |= set(range(first, first + 64))

    assert len(stored) > 500
    assert found(EmbeddingStore(small_disk / "store"), stored, dim=64) == stored


def test_a_full_disk_does_not_hinder_reading(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddingStore(tmp_path / "other") as other:
        put(other, NEW)
    shutil.copy(shard_files(tmp_path / "other")[0], old / "v1" / "shards")  # as a kill before the index leaves it
    monkeypatch.setattr(Index, "add", lambda *_, **__: fail(errno.ENOSPC)("sqlite"))

    assert found(EmbeddingStore(old), [*OLD, *NEW]) == set(OLD)

    reason = "some shards are not used, for they cannot be entered in the index: database or disk is full."
    assert [record.message for record in caplog.records] == [f"{old / 'v1'}: {reason}"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match=r"embedding store .*Not a directory.*--no-cache\."):
        EmbeddingStore(tmp_path / "file").get([bytes(32)])


_SYSTEM_CALLS = "write,pwrite64,fsync,fdatasync,rename,ftruncate,unlink,fchmod,chmod,mkdir"
_SESSION = """
import sys
from pathlib import Path
from harness.encoder.vectors import EmbeddingStore
from harness.errors import StorageError
from tests.encoder.vectors.made import put
try:
    with EmbeddingStore(Path(sys.argv[1])) as store:
        put(store, range(100, 108))
except StorageError:
    raise SystemExit(74)
"""


def session(directory: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    command = [*strace, sys.executable, "-c", _SESSION, str(directory)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def each_system_call(old: Path, tmp_path: Path, stride: int) -> None:
    """Let the system itself fail or kill at the k-th call; SQLite's own calls are among them."""
    strace = shutil.which("strace")
    if strace is None or session(tmp_path / "try", strace, "-o", "/dev/null", "-e", "trace=fsync").returncode:
        pytest.skip("strace is missing or not allowed")
    log = str(tmp_path / "log")
    session(tmp_path / "try", strace, "-o", log, "-e", f"trace={_SYSTEM_CALLS}")
    shutil.copytree(old, tmp_path / "count")
    session(tmp_path / "count", strace, "-o", log, "-e", f"trace={_SYSTEM_CALLS}")
    calls = len([line for line in Path(log).read_text().splitlines() if "(" in line])
    assert calls > 15
    ends: set[int] = set()
    for at in range(1, calls + 1, stride):
        for what in ("signal=SIGKILL", "error=ENOSPC", "error=EIO"):
            copy = tmp_path / f"{at}-{what}"
            shutil.copytree(old, copy)
            done = session(
                copy,
                strace,
                "-o",
                "/dev/null",
                "-e",
                f"trace={_SYSTEM_CALLS}",
                "-e",
                f"inject={_SYSTEM_CALLS}:{what}:when={at}",
            )
            ends.add(done.returncode)
            assert done.returncode in (0, EXIT_IO, -9, 137), f"{at} {what}: {done.returncode} {done.stderr}"
            fresh = EmbeddingStore(copy)
            assert found(fresh, OLD) == set(OLD), f"{at} {what}"
            assert found(fresh, NEW) in (set(), set(NEW)), f"{at} {what}"
            assert fresh.verify().ok
            fresh.close()
            shutil.rmtree(copy)
    assert {EXIT_IO, 0} <= ends


def test_some_failing_system_calls_leave_the_old_state(old: Path, tmp_path: Path) -> None:
    each_system_call(old, tmp_path, 5)


@pytest.mark.soak
def test_every_failing_system_call_leaves_the_old_state(old: Path, tmp_path: Path) -> None:
    each_system_call(old, tmp_path, 1)
