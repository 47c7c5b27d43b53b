"""Campaigns with processes that are killed or work at once; run as a module, so that it may fork.

    python -m tests.encoder.vectors.campaign every DIR            a kill before and after every operation
    python -m tests.encoder.vectors.campaign random DIR KILLS     kills at random times
    python -m tests.encoder.vectors.campaign together DIR N ROUNDS
    python -m tests.encoder.vectors.campaign forked DIR           an open store in children of its process

Prints one figure per line; exits with a stack trace at the first violation.
"""

from __future__ import annotations

import logging
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from harness.encoder.vectors import EmbeddingStore
from tests.encoder.vectors.instrument import Fault, instrumented
from tests.encoder.vectors.made import aside, found, put, shard_files

SHARD_TEXTS = 48
PUT_TEXTS = 7
KILLS_PER_FOLDER = 20
OLD, NEW = range(16), range(100, 108)


def forked(work: Callable[[], None]) -> int:
    """Run something in a child; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def wait(child: int) -> int:
    """Return the exit status of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def every(folder: Path) -> dict[str, int]:
    """Kill a session at every moment before and after an operation: the state is the old one or the new one."""
    with EmbeddingStore(folder / "old", shard_texts=8) as store:
        put(store, OLD)
    figures = {"moments": 0, "old_state": 0, "new_state": 0}
    for at in range(1, 1000):
        copy = folder / f"at-{at}"
        shutil.copytree(folder / "old", copy)

        def session(copy: Path = copy, at: int = at) -> None:
            with instrumented(Fault(at, lambda _: os.kill(os.getpid(), signal.SIGKILL))):
                store = EmbeddingStore(copy)
                assert found(store, OLD) == set(OLD)
                put(store, NEW)
                store.close()

        status = wait(forked(session))
        if status == 0:
            break
        assert status == -signal.SIGKILL, status
        fresh = EmbeddingStore(copy)
        assert found(fresh, OLD) == set(OLD)
        new = found(fresh, NEW)
        assert new in (set(), set(NEW))
        figures["moments"] += 1
        figures["new_state" if new else "old_state"] += 1
        assert fresh.verify().ok
        assert not aside(copy)
        assert not list((copy / "v1" / "shards").glob(".*"))
        fresh.close()
        shutil.rmtree(copy)
    return figures


class Shared:
    """What a child tells until it dies: texts put, texts known to be on disk, operations, inside a writing or not."""

    _FORM = struct.Struct("4q")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._FORM.size)

    def tell(self, number: int, value: int) -> None:
        struct.pack_into("q", self._memory, 8 * number, value)

    def read(self) -> tuple[int, int, int, int]:
        put_texts, on_disk, operations, writing = self._FORM.unpack_from(self._memory)
        return put_texts, on_disk, operations, writing


def write_until_killed(directory: Path, first: int, shared: Shared) -> None:
    """Put texts in small portions, so that shards are open nearly always; tell how far it came."""
    operations = 0

    def hook(name: str, moment: str) -> None:
        nonlocal operations
        operations += 1
        shared.tell(2, operations)
        if name == "mkstemp" and moment == "before":
            shared.tell(3, 1)
        if name == "sqlite COMMIT" and moment == "after":
            shared.tell(3, 0)

    with instrumented(hook):
        store = EmbeddingStore(directory, shard_texts=SHARD_TEXTS)
        number = 0
        while True:
            put(store, range(first + number, first + number + PUT_TEXTS))
            number += PUT_TEXTS
            shared.tell(0, number)
            # The store promises that all is on disk but the open shard.
            shared.tell(1, number - len(store._pending.vectors))


def random_kills(folder: Path, kills: int) -> dict[str, int]:
    """Kill a writing process at random times: what it was told to be on disk is there, and no vector is wrong."""
    rng = random.Random(kills)
    figures = {"kills": 0, "shard_open": 0, "during_writing": 0, "most_lost": 0, "texts_per_shard": SHARD_TEXTS}
    kept: set[int] = set()
    for kill in range(kills):
        directory = folder / f"store-{kill // KILLS_PER_FOLDER}"
        if kill % KILLS_PER_FOLDER == 0:
            kept = set()
        first = 10**6 * kill
        shared = Shared()
        child = forked(lambda d=directory, f=first, s=shared: write_until_killed(d, f, s))  # type: ignore[misc]
        target = rng.randrange(20, 400)
        while shared.read()[2] < target:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child ended by itself"
        if rng.random() < 0.8:
            while not shared.read()[3]:
                pass
        time.sleep(rng.random() ** 2 * 0.003)
        os.kill(child, signal.SIGKILL)
        assert wait(child) == -signal.SIGKILL
        put_texts, on_disk, _, writing = shared.read()

        fresh = EmbeddingStore(directory)
        now = {one - first for one in found(fresh, range(first, first + put_texts + 2 * PUT_TEXTS))}
        assert now >= set(range(on_disk)), f"lost: {sorted(set(range(on_disk)) - now)}"
        assert found(fresh, kept) == kept
        kept |= {first + one for one in now}
        figures["kills"] += 1
        figures["shard_open"] += put_texts > on_disk or writing
        figures["during_writing"] += writing
        figures["most_lost"] = max(figures["most_lost"], len(set(range(put_texts)) - now))
        if kill % KILLS_PER_FOLDER == KILLS_PER_FOLDER - 1 or kill == kills - 1:
            assert fresh.verify().ok
            assert not aside(directory)
            fresh.close()
            shutil.rmtree(directory)
        fresh.close()
    return figures


def work_among_others(directory: Path, seed: int, texts: list[int], limit: int | None) -> None:
    """Ask for texts and put what is missing, in portions and with pauses, as a run does."""
    rng = random.Random(seed)
    store = EmbeddingStore(directory, shard_texts=rng.choice([10, 40, 100]), max_bytes=limit)
    rng.shuffle(texts)
    at = 0
    while at < len(texts):
        portion = texts[at : at + rng.randrange(1, 40)]
        at += len(portion)
        missing = set(portion) - found(store, portion)
        time.sleep(rng.random() * 0.004)
        put(store, missing)
        assert limit is not None or found(store, portion) == set(portion)
        chance = rng.random()
        if chance < 0.1:
            store.flush()
        elif chance < 0.15:
            store.close()
        elif chance < 0.18:
            assert store.verify().ok
        elif chance < 0.2 and limit is not None:
            store.prune(limit // 2)
    store.close()


def together(folder: Path, processes: int, rounds: int) -> dict[str, int]:
    """Let processes work on one store; every second of the rounds also with a size limit that evicts all the time."""
    for number in range(rounds):
        for limit in (None, 40_000) if number % 2 == 0 else (None,):
            directory = folder / "together"
            rng = random.Random(number)
            shares = [rng.sample(range(600), 300) for _ in range(processes)]
            children = [
                forked(lambda d=directory, s=1000 * number + n, t=share, m=limit: work_among_others(d, s, t, m))  # type: ignore[misc]
                for n, share in enumerate(shares)
            ]
            assert [wait(child) for child in children] == [0] * processes
            with EmbeddingStore(directory) as store:
                wanted = set().union(*shares)
                assert found(store, range(600)) == wanted or limit is not None
                found(store, range(600))
                assert store.verify().ok
                assert limit is None or store.info().size_bytes <= limit
                assert store.info().shards == len(shard_files(directory))
            assert not aside(directory)
            shutil.rmtree(directory)
    return {"rounds": rounds}


def used_by_children(folder: Path) -> dict[str, int]:
    """Go on with an open store in children and in the parent."""
    store = EmbeddingStore(folder, shard_texts=10)
    put(store, range(25))
    assert found(store, range(25)) == set(range(25))

    def work(first: int) -> None:
        assert found(store, range(25)) == set(range(25))
        put(store, range(first, first + 25))
        store.close()

    children = [forked(lambda n=number: work(100 * n)) for number in range(1, 5)]  # type: ignore[misc]
    put(store, range(25, 50))
    assert [wait(child) for child in children] == [0] * 4
    store.close()
    everything = {100 * number + one for number in range(1, 5) for one in range(25)} | set(range(50))
    fresh = EmbeddingStore(folder)
    assert found(fresh, range(1000)) == everything
    assert fresh.verify().ok
    return {"children": len(children)}


class Refuse(logging.Handler):
    """A warning is a violation: nothing is damaged in these campaigns."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


def main() -> None:
    logging.getLogger("harness").addHandler(Refuse())
    name, folder, *numbers = sys.argv[1:]
    run = {"every": every, "random": random_kills, "together": together, "forked": used_by_children}[name]
    for figure, value in run(Path(folder), *map(int, numbers)).items():  # type: ignore[operator]
        print(figure, int(value))


if __name__ == "__main__":
    main()
