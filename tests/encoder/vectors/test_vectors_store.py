"""The store on disk: what goes in comes out, in this process and in the next, within its limits."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from harness.encoder.memory_store import text_key
from harness.encoder.vectors import EmbeddingStore, embeddings_dir
from tests.encoder.vectors.made import (
    DIM,
    aside,
    found,
    index_file,
    key,
    keys,
    put,
    shard_files,
    vectors,
)


def index_rows(directory: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(index_file(directory))
    rows = connection.execute(
        "SELECT key, row, name, scope, count, size_bytes FROM keys JOIN shards ON shard = id ORDER BY key"
    ).fetchall()
    connection.close()
    return rows


def test_vectors_come_back_in_this_process_before_and_after_they_are_written(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    put(store, range(10))
    assert found(store, range(12)) == set(range(10))
    assert not shard_files(tmp_path)

    store.flush()

    assert found(store, range(12)) == set(range(10))
    assert len(shard_files(tmp_path)) == 1


def test_vectors_come_back_in_the_next_process(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path) as store:
        put(store, range(100))

    assert found(EmbeddingStore(tmp_path), range(200)) == set(range(100))


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    assert embeddings_dir() == tmp_path / "cache" / "embeddings"
    assert EmbeddingStore().directory == embeddings_dir()


def test_nothing_is_made_before_the_first_use(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path / "store").close()

    assert not (tmp_path / "store").exists()


def test_a_full_shard_is_written_without_being_asked(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, shard_texts=10)

    put(store, range(35))

    assert len(shard_files(tmp_path)) == 3
    assert found(EmbeddingStore(tmp_path), range(35)) == set(range(30))


def test_by_default_a_shard_holds_4096_texts(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    put(store, range(4095))
    assert not shard_files(tmp_path)

    put(store, [4095])

    assert len(shard_files(tmp_path)) == 1


def test_what_took_long_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    store = EmbeddingStore(tmp_path)
    now[0] += 29.9
    put(store, [1])
    assert not shard_files(tmp_path)

    now[0] += 0.2
    put(store, [2])

    assert found(EmbeddingStore(tmp_path), [1, 2]) == {1, 2}
    put(store, [3])
    assert found(EmbeddingStore(tmp_path), [3]) == set()


def test_shards_are_plain_safetensors_that_say_what_they_hold(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path) as store:
        put(store, range(5), scope="a" * 64)

    with safe_open(shard_files(tmp_path)[0], "numpy") as shard:
        about = shard.metadata()["icl-harness"]
        assert shard.get_tensor("keys").tobytes() == b"".join(keys(range(5)))
        assert np.array_equal(shard.get_tensor("vectors"), vectors(keys(range(5))))
    assert f'"count": 5, "dim": {DIM}, "dtype": "float32", "schema": 1, "scope": "{"a" * 64}"' in about


def test_one_shard_holds_one_scope_and_dimension(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path) as store:
        put(store, range(0, 5), scope="a")
        put(store, range(5, 10), scope="b")
        put(store, range(10, 15), scope="b", dim=3)

    assert len(shard_files(tmp_path)) == 3
    assert found(EmbeddingStore(tmp_path), range(10)) == set(range(10))
    assert found(EmbeddingStore(tmp_path), range(10, 15), dim=3) == set(range(10, 15))


def test_the_same_content_makes_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with EmbeddingStore(tmp_path / name) as store:
            put(store, range(20))

    assert [path.name for path in shard_files(tmp_path / "a")] == [path.name for path in shard_files(tmp_path / "b")]


def test_a_key_that_is_known_keeps_its_vector_and_takes_no_room(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path) as store:
        put(store, range(20))
    with EmbeddingStore(tmp_path) as store:
        put(store, range(20))
        store.put(keys(range(20)), vectors(keys(range(20))) + 1)

    assert len(shard_files(tmp_path)) == 1
    assert found(EmbeddingStore(tmp_path), range(20)) == set(range(20))


def test_served_vectors_are_copies(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path) as store:
        put(store, range(5))
        store.get([key(1)])[key(1)][:] = 0
        store.flush()
        store.get([key(1)])[key(1)][:] = 0

        assert found(store, [1]) == {1}


def test_half_precision_is_asked_for_and_never_mixed(tmp_path: Path) -> None:
    exact = vectors(keys(range(20)))
    with EmbeddingStore(tmp_path, dtype="float16") as half:
        half.put(keys(range(20)), exact)
        waiting = half.get(keys(range(20)))
    with EmbeddingStore(tmp_path) as full:
        assert found(full, range(20)) == set()
        put(full, range(10))
        assert found(full, range(20)) == set(range(10))

    read = EmbeddingStore(tmp_path, dtype="float16").get(keys(range(20)))

    assert all(np.array_equal(read[one], waiting[one]) for one in keys(range(20)))
    assert all(
        np.array_equal(read[one], row.astype(np.float16)) for one, row in zip(keys(range(20)), exact, strict=True)
    )


def test_what_half_precision_cannot_hold_is_not_stored(tmp_path: Path) -> None:
    rows = np.array([[1.0, 2.0], [1e6, 2.0], [3.0, np.nan]], dtype=np.float32)
    with EmbeddingStore(tmp_path, dtype="float16") as store:
        store.put(keys(range(3)), rows)

        assert set(store.get(keys(range(3)))) == {key(0)}


@pytest.mark.parametrize(
    "broken", [(keys(range(3)), np.zeros((2, 4))), ([b"short"], np.zeros((1, 4))), ([], np.zeros(0))]
)
def test_keys_and_vectors_that_do_not_go_together_are_refused(broken: tuple[list[bytes], np.ndarray]) -> None:
    with pytest.raises(ValueError, match="keys of 32 bytes do not go with an array of"):
        EmbeddingStore(Path("/nowhere")).put(*broken)


def test_an_index_rebuilt_from_the_shards_equals_the_old_one(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path, shard_texts=7) as store:
        put(store, range(100), scope="s")
    before = index_rows(tmp_path)
    index_file(tmp_path).unlink()

    with EmbeddingStore(tmp_path) as store:
        assert found(store, range(110)) == set(range(100))
        assert store.verify().ok

    assert index_rows(tmp_path) == before
    assert len(before) == 100


def test_least_recently_used_shards_go_first(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path, shard_texts=10) as store:
        put(store, range(50))
    size = shard_files(tmp_path)[0].stat().st_size
    with EmbeddingStore(tmp_path) as store:
        found(store, range(0, 10))
    with EmbeddingStore(tmp_path) as store:
        found(store, [25])

    removed = EmbeddingStore(tmp_path).prune(2 * size + 10)

    assert removed == (3, 3 * size)
    assert found(EmbeddingStore(tmp_path), range(50)) == {*range(0, 10), *range(20, 30)}
    assert len(shard_files(tmp_path)) == 2


def test_the_size_limit_holds_and_spares_what_is_in_use(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path, shard_texts=10) as store:
        put(store, range(10))
        size = shard_files(tmp_path)[0].stat().st_size
    with EmbeddingStore(tmp_path, shard_texts=10, max_bytes=5 * size) as store:
        for number in range(10, 200, 10):
            assert found(store, range(10)) == set(range(10))
            put(store, range(number, number + 10))
            assert sum(path.stat().st_size for path in shard_files(tmp_path)) <= 5 * size
            assert found(store, range(number, number + 10)) == set(range(number, number + 10))
        assert store.verify().ok


def test_eviction_by_another_process_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddingStore(tmp_path, shard_texts=10) as store:
        put(store, range(50))
    reader = EmbeddingStore(tmp_path)
    assert found(reader, range(5)) == set(range(5))

    EmbeddingStore(tmp_path).clear()

    assert found(reader, range(50)) == set()
    put(reader, range(50))
    reader.flush()
    assert found(EmbeddingStore(tmp_path), range(50)) == set(range(50))
    assert not caplog.records


def test_clear_removes_everything(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path, shard_texts=10) as store:
        put(store, range(55))
        (tmp_path / "v1" / "corrupt").mkdir()
        (tmp_path / "v1" / "corrupt" / "old").write_bytes(b"damaged")

        store.clear()

        assert found(store, range(55)) == set()
        assert store.info()[1:5] == (0, 0, 0, 0)
    assert not shard_files(tmp_path)
    assert not aside(tmp_path)


def test_more_shards_than_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.encoder.vectors.reader.MAX_OPEN", 3)
    with EmbeddingStore(tmp_path, shard_texts=5) as store:
        put(store, range(100))
    store = EmbeddingStore(tmp_path)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    for _ in range(3):
        assert found(store, range(100)) == set(range(100))

    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 8


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, shard_texts=16)
    wrong: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for start in range(first, first + 200, 10):
                put(store, range(start, start + 10))
                assert found(store, range(start, start + 10)) == set(range(start, start + 10))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert found(store, range(500)) == set(range(500))


def test_an_index_removed_under_a_running_store_is_made_again(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, shard_texts=10)
    put(store, range(20))
    for path in (tmp_path / "v1").glob("index*"):
        path.unlink()

    assert found(store, range(20)) == set(range(20))

    assert index_file(tmp_path).exists()


def test_a_missing_shard_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddingStore(tmp_path, shard_texts=10) as store:
        put(store, range(20))
        shard_files(tmp_path)[0].unlink()
        assert len(found(EmbeddingStore(tmp_path), range(20))) == 10
        assert len(found(EmbeddingStore(tmp_path), range(20))) == 10

    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_text_keys_are_the_keys_of_the_store(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path) as store:
        store.put([text_key("scope", "text")], np.ones((1, 2), dtype=np.float32))

        assert list(store.get([text_key("scope", "text"), text_key("scope", "text ")])) == [text_key("scope", "text")]
