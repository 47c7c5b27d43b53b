"""Damage of every kind costs the damaged part, one warning and no more: a wrong vector is never served."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.encoder.vectors import EmbeddingStore
from harness.encoder.vectors.shard import DamagedShardError, read_keys
from tests.encoder.vectors.made import aside, found, index_file, key, put

TEXTS = range(24)
OTHERS = range(24, 48)


@pytest.fixture
def sound() -> Iterator[Path]:
    """A store of two shards of about 2 kB, in memory where that is possible: power cuts are not the subject."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        directory = Path(folder) / "sound"
        with EmbeddingStore(directory) as store:
            put(store, TEXTS, scope="f" * 64)
            store.flush()
            put(store, OTHERS, scope="f" * 64)
        yield directory


def shard_of(directory: Path, number: int) -> Path:
    connection = sqlite3.connect(index_file(directory))
    ((name,),) = connection.execute(
        "SELECT name FROM keys JOIN shards ON shard = id WHERE key = ?", (key(number),)
    ).fetchall()
    connection.close()
    return directory / "v1" / "shards" / f"{name}.safetensors"


def damaged_is_noticed_and_healed(
    directory: Path, target: Path, content: bytes, *, indexed: bool, maybe_others: bool = False
) -> None:
    """Put a damaged shard in place; it must be set aside with one warning, and its texts stored again."""
    right = target.read_bytes()
    target.write_bytes(content)
    if not indexed:
        index_file(directory).unlink()
    with EmbeddingStore(directory) as store:
        known = found(store, [*TEXTS, *OTHERS])
        assert known == set(OTHERS) or (maybe_others and not known)
        assert [path.read_bytes() for path in aside(directory)] == [content]
        put(store, TEXTS, scope="f" * 64)
        store.flush()
        put(store, set(OTHERS) - known, scope="f" * 64)
        assert found(store, [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}
    assert target.read_bytes() == right
    aside(directory)[0].unlink()


def test_every_truncation_of_a_shard_is_noticed(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = shard_of(sound, 0)
    right = target.read_bytes()
    assert 1500 < len(right) < 2500

    for length in range(len(right)):
        damaged_is_noticed_and_healed(sound, target, right[:length], indexed=length % 3 > 0)

    assert len(caplog.records) == len(right)


def flip_bits(sound: Path, flips: int) -> None:
    target = shard_of(sound, 0)
    right = target.read_bytes()
    rng = random.Random(flips)
    for number in range(flips):
        changed = bytearray(right)
        bit = rng.randrange(8 * len(right))
        changed[bit // 8] ^= 1 << bit % 8
        damaged_is_noticed_and_healed(sound, target, bytes(changed), indexed=number % 3 > 0)


def test_flipped_bits_of_a_shard_are_noticed(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    flip_bits(sound, 500)

    assert len(caplog.records) == 500


@pytest.mark.soak
def test_ten_thousand_flipped_bits_of_a_shard_are_noticed(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    flip_bits(sound, 10_000)

    assert len(caplog.records) == 10_000


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    "kind", ["empty", "zeroed page", "longer", "other shard", "swapped vectors", "header of another", "text"]
)
def test_other_damage_is_noticed(sound: Path, kind: str, indexed: bool) -> None:
    target, other = shard_of(sound, 0), shard_of(sound, 30)
    right, foreign = target.read_bytes(), other.read_bytes()
    start = 8 + int.from_bytes(right[:8], "little")
    content = {
        "empty": b"",
        "zeroed page": right[:start] + bytes(512) + right[start + 512 :],
        "longer": right + b"\0",
        "other shard": foreign,
        "swapped vectors": right[:start]
        + right[start + 32 : start + 64]
        + right[start : start + 32]
        + right[start + 64 :],
        "header of another": foreign[:start] + right[start:],
        "text": b"not a shard at all" * 200,
    }[kind]

    # Without an index, a shard under another's name is taken up as it says itself, until somebody reads a vector of it.
    maybe_others = kind == "other shard" and not indexed
    damaged_is_noticed_and_healed(sound, target, content, indexed=indexed, maybe_others=maybe_others)


def test_the_warning_says_what_where_and_what_follows(sound: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = shard_of(sound, 0)
    target.write_bytes(target.read_bytes()[:-1] + b"?")

    store = EmbeddingStore(sound)
    for _ in range(3):
        assert found(store, TEXTS) == set()

    assert caplog.record_tuples == [
        (
            "harness.encoder.vectors.folder",
            logging.WARNING,
            f"{target}: checksum is wrong; set aside in {sound / 'v1' / 'corrupt'}, its texts will be encoded again.",
        )
    ]


def test_a_shard_cut_while_it_is_open_does_not_end_the_process(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    put(store, range(50), dim=1024)
    store.flush()
    assert found(store, range(50), dim=1024) == set(range(50))

    with shard_of(tmp_path, 0).open("rb+") as handle:
        handle.truncate(100)

    assert found(store, range(50), dim=1024) == set()
    assert len(aside(tmp_path)) == 1


def test_every_changed_bit_of_header_and_keys_is_noticed_without_reading_the_vectors(sound: Path) -> None:
    target = shard_of(sound, 0)
    right = target.read_bytes()
    header, kept = read_keys(target)
    assert (header.count, len(kept)) == (24, 24)

    for bit in [*range(8 * header.vectors_at), *range(8 * header.keys_at, 8 * len(right))]:
        changed = bytearray(right)
        changed[bit // 8] ^= 1 << bit % 8
        target.write_bytes(changed)
        try:
            # A digit of the check itself or white space of JSON may still be read as it was meant.
            assert read_keys(target) == (header, kept)
        except DamagedShardError:
            continue


def test_a_shard_is_checked_again_when_its_file_changed(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.encoder.vectors.reader.MAX_OPEN", 1)
    store = EmbeddingStore(sound)
    assert found(store, [0, 30]) == {0, 30}
    target = shard_of(sound, 0)
    content = bytearray(target.read_bytes())
    content[-40] ^= 1
    target.unlink()
    target.write_bytes(content)
    found(store, [30])

    assert found(store, [0]) == set()


def test_a_shard_is_hashed_once_per_process(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.encoder.vectors import reader

    checked: list[str] = []
    monkeypatch.setattr(reader, "check_content", lambda _, name: checked.append(name))
    monkeypatch.setattr(reader, "MAX_OPEN", 1)
    store = EmbeddingStore(sound)

    for number in (0, 30, 1, 31, 2):
        assert found(store, [number]) == {number}

    assert len(checked) == len(set(checked)) == 2


def test_a_damaged_shard_that_was_replaced_meanwhile_is_used(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.encoder.vectors import reader
    from harness.encoder.vectors.shard import check_content

    def sees_damage(*_: object) -> None:
        monkeypatch.setattr(reader, "check_content", check_content)
        raise DamagedShardError("checksum is wrong")

    monkeypatch.setattr(reader, "check_content", sees_damage)

    assert found(EmbeddingStore(sound), TEXTS) == set(TEXTS)
    assert not aside(sound)


def test_a_bad_sector_is_damage(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = shard_of(sound, 0)
    digest = hashlib.file_digest

    def read(handle: Any, algorithm: str) -> Any:
        if Path(handle.name) == target:
            raise OSError(errno.EIO, "Input/output error")
        return digest(handle, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", read)

    assert found(EmbeddingStore(sound), [*TEXTS, *OTHERS]) == set(OTHERS)
    assert [path.name for path in aside(sound)] == [target.name]


def change_index(directory: Path, statement: str) -> None:
    connection = sqlite3.connect(index_file(directory))
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE keys SET row = 23 - row",
        "UPDATE keys SET row = row + 1000",
        "UPDATE keys SET row = -1 - row",
        "UPDATE keys SET row = 'x'",
        "UPDATE keys SET shard = 3 - shard",
        "UPDATE keys SET shard = 77",
        "UPDATE shards SET name = '../../' || name",
        "UPDATE shards SET name = x'ff' || name",
        "DELETE FROM keys WHERE row = 3",
        "DROP TABLE keys",
        "ALTER TABLE keys RENAME COLUMN row TO line",
    ],
)
def test_a_wrong_index_serves_no_wrong_vector(sound: Path, statement: str) -> None:
    change_index(sound, statement)

    with EmbeddingStore(sound) as store:
        known = found(store, [*TEXTS, *OTHERS])
        put(store, {*TEXTS, *OTHERS} - known)
        store.flush()
        assert found(store, [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}
        store.verify()
        assert store.verify().ok


def test_verify_finds_a_wrong_index_and_rebuilds_it(sound: Path) -> None:
    change_index(sound, "UPDATE keys SET row = 23 - row")

    report = EmbeddingStore(sound).verify()

    assert report.index_problem == "a row that holds another text"
    assert EmbeddingStore(sound).verify().ok
    assert found(EmbeddingStore(sound), [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}


def test_verify_enters_keys_that_the_index_misses(sound: Path) -> None:
    change_index(sound, "DELETE FROM keys WHERE row = 3")

    assert EmbeddingStore(sound).verify().ok

    assert found(EmbeddingStore(sound), [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}


def test_verify_finds_damage_that_nobody_asked_for(sound: Path) -> None:
    target = shard_of(sound, 0)
    target.write_bytes(target.read_bytes()[:-1])

    report = EmbeddingStore(sound).verify()

    assert report.damaged == {target.stem: "checksum is wrong"}
    assert report.shards == 2
    assert EmbeddingStore(sound).verify().ok


def test_an_index_cut_inside_a_page_is_rebuilt(sound: Path) -> None:
    with index_file(sound).open("rb+") as handle:
        handle.truncate(index_file(sound).stat().st_size - 1752)

    assert found(EmbeddingStore(sound), [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}


@pytest.mark.parametrize("place", [0, 1])
def test_an_index_that_contradicts_itself_about_a_name_is_rebuilt(
    sound: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    name = shard_of(sound, 0).stem.encode()
    content = index_file(sound).read_bytes()
    assert content.count(name) == 2, "SQLite keeps a unique column in the table and in an index"
    at = content.index(name) if place == 0 else content.rindex(name)
    digit = b"0" if content[at : at + 1] != b"0" else b"1"
    index_file(sound).write_bytes(content[:at] + digit + content[at + 1 :])

    assert found(EmbeddingStore(sound), [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}
    assert [record.message.endswith("rebuilt from the shards.") for record in caplog.records] == [True]


def damage_index(sound: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    unnoticed = 0
    for number in range(rounds):
        copy = sound.parent / "copy"
        shutil.copytree(sound, copy)
        content = bytearray(index_file(copy).read_bytes())
        if number % 4 == 0:
            del content[rng.randrange(len(content)) :]
        else:
            for _ in range(rng.choice([1, 1, 8, 64])):
                # Most of the file is free space: aim at what is used.
                used = [at for at in (rng.randrange(len(content)) for _ in range(50)) if content[at]] or [0]
                content[used[0]] ^= 1 << rng.randrange(8)
        index_file(copy).write_bytes(content)
        with EmbeddingStore(copy) as store:
            known = found(store, [*TEXTS, *OTHERS])
            put(store, {*TEXTS, *OTHERS} - known)
            store.flush()
        if found(EmbeddingStore(copy), [*TEXTS, *OTHERS]) != {*TEXTS, *OTHERS}:
            # SQLite did not notice; what it cannot find is encoded again, until somebody asks for a check.
            unnoticed += 1
            EmbeddingStore(copy).verify()
            assert found(EmbeddingStore(copy), [*TEXTS, *OTHERS]) == {*TEXTS, *OTHERS}
        shutil.rmtree(copy)
    assert unnoticed <= rounds / 100


def test_a_damaged_index_serves_no_wrong_vector(sound: Path) -> None:
    damage_index(sound, 200)


@pytest.mark.soak
def test_five_thousand_damaged_indexes_serve_no_wrong_vector(sound: Path) -> None:
    damage_index(sound, 5000)


@pytest.mark.parametrize("part", ["index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"])
def test_what_a_killed_process_left_may_be_damaged_too(tmp_path: Path, part: str) -> None:
    store = EmbeddingStore(tmp_path / "live", shard_texts=8)
    put(store, range(64))
    rng = random.Random(0)

    for number in range(30):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(tmp_path / "live", copy)
        content = bytearray((copy / "v1" / part).read_bytes())
        if number % 3 == 0:
            del content[rng.randrange(len(content)) :]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (copy / "v1" / part).write_bytes(content)

        assert found(EmbeddingStore(copy), range(64)) == set(range(64))


def test_a_stale_log_beside_a_new_index_is_not_replayed(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "live", shard_texts=8)
    put(store, range(640))
    connection = sqlite3.connect(index_file(tmp_path / "live"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    put(store, range(640, 648))  # now the log holds some pages only
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "live", copy)
    index_file(copy).write_bytes(b"no database, but long enough to be looked at" * 200)

    assert found(EmbeddingStore(copy), range(648)) == set(range(648))
    assert EmbeddingStore(copy).verify().ok
