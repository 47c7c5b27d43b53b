"""The parts of `fetch` that need no hub: waits, verification, the meaning of errors, the state file."""

from __future__ import annotations

import errno
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, DatasetUnavailableError, StorageError
from harness.fetch.failures import TemporaryError, meaning_of
from harness.fetch.retry import Retrier, RetryPolicy
from harness.fetch.state import FetchState, ItemState
from harness.fetch.verify import content_problem, missing_model_files, safetensors_problem


@settings(deadline=None)
@given(
    failures=st.integers(1, 200),
    asked=st.one_of(st.none(), st.floats(0, 600)),
    first=st.floats(0, 10),
    longest=st.floats(0, 100),
    seed=st.integers(),
)
def test_wait_is_bounded_and_never_shorter_than_the_hub_asks(
    failures: int, asked: float | None, first: float, longest: float, seed: int
) -> None:
    policy = RetryPolicy(first_wait_seconds=first, longest_wait_seconds=longest)

    wait = policy.wait_seconds(failures, asked, random.Random(seed))

    assert 0 <= wait <= max(1.5 * longest, asked or 0)
    assert wait >= (asked or 0)


def test_waits_grow_exponentially_and_differ_between_clients() -> None:
    policy = RetryPolicy(first_wait_seconds=1.0, longest_wait_seconds=1000.0)
    means = [sum(policy.wait_seconds(n, None, random.Random(seed)) for seed in range(400)) / 400 for n in range(1, 6)]

    assert means == pytest.approx([1, 2, 4, 8, 16], rel=0.1)
    assert policy.wait_seconds(1, None, random.Random(1)) != policy.wait_seconds(1, None, random.Random(2))


@settings(deadline=None)
@given(failures=st.integers(0, 12), attempts=st.integers(1, 8))
def test_attempts_are_counted_exactly(failures: int, attempts: int) -> None:
    calls, waits = [], []

    def attempt() -> str:
        calls.append(1)
        if len(calls) <= failures:
            raise TemporaryError("x: y")
        return "there"

    retrier = Retrier(RetryPolicy(attempts=attempts), waits.append, lambda _: None)
    if failures < attempts:
        assert retrier(attempt) == "there"
        assert (len(calls), len(waits)) == (failures + 1, failures)
    else:
        with pytest.raises(DatasetUnavailableError, match=rf"x: y \(tried {attempts} times\)"):
            retrier(attempt)
        assert (len(calls), len(waits)) == (attempts, attempts - 1)


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@settings(deadline=None)
@given(content=st.binary(max_size=300), at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_every_changed_byte_and_length_is_found(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("v") / "file"
    for etag in (hashlib.sha256(content).hexdigest(), git_blob(content)):
        path.write_bytes(content)
        assert content_problem(path, size=len(content), etag=etag) is None
        assert content_problem(path, size=None, etag=etag) is None
        path.write_bytes(content + b"x")
        assert content_problem(path, size=len(content), etag=etag) is not None
        assert content_problem(path, size=None, etag=etag) is not None
        if content:
            changed = bytearray(content)
            changed[at % len(content)] ^= flip
            path.write_bytes(changed)
            assert content_problem(path, size=len(content), etag=etag) == "its content does not match its hash"


@settings(deadline=None)
@given(cut=st.integers(0, 10**6))
def test_cut_safetensors_file_is_found(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    import numpy as np
    from safetensors.numpy import save

    whole = save({"a": np.arange(7, dtype=np.float32), "b": np.zeros((2, 3), dtype=np.int8)}, {"format": "pt"})
    path = tmp_path_factory.mktemp("s") / "m.safetensors"
    path.write_bytes(whole)
    assert safetensors_problem(path) is None

    path.write_bytes(whole[: cut % len(whole)])

    assert safetensors_problem(path) is not None


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, (10).to_bytes(8, "little") + b"[1,2,3,45]", b"x" * 100])
def test_damaged_safetensors_header_is_a_problem_and_no_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)

    assert safetensors_problem(path) in ("its header is cut", "its header is damaged")


def test_model_without_a_shard_or_tokenizer_or_config_is_incomplete(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    names = {"config.json", "tokenizer.json", "model-1.safetensors", "model-2.safetensors"}

    assert missing_model_files(tmp_path, names) == []
    assert missing_model_files(tmp_path, names - {"model-2.safetensors"}) == ["model-2.safetensors"]
    assert missing_model_files(tmp_path, {"model-1.safetensors"})[:2] == ["config.json", "tokenizer.json"]
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert missing_model_files(tmp_path, names) == ["a readable model.safetensors.index.json"]


class Answer:
    """A response as the HTTP libraries give it to an exception."""

    def __init__(self, status: int, retry_after: str = "") -> None:
        self.status_code = status
        self.headers = {"Retry-After": retry_after} if retry_after else {}


def answered(status: int, *, name: str = "HfHubHTTPError", retry_after: str = "") -> Exception:
    error: Any = type(name, (Exception,), {})("message")
    error.response = Answer(status, retry_after)
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize("status", [408, 416, 425, 429, 500, 502, 503, 504])
def test_statuses_that_pass_are_tried_again(status: int) -> None:
    meaning = meaning_of(answered(status, retry_after="7"), "model 'a/b'")

    assert isinstance(meaning, TemporaryError)
    assert meaning.retry_after_seconds == 7


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451])
def test_statuses_that_stay_are_refusals(status: int) -> None:
    assert isinstance(meaning_of(answered(status), "model 'a/b'"), ConfigError)


def test_causes_are_looked_through_and_foreign_errors_have_no_meaning() -> None:
    def wrapped(cause: Exception) -> Exception:
        outer = ValueError("cannot be loaded")
        outer.__cause__ = RuntimeError("inner")
        outer.__cause__.__context__ = cause
        return outer

    assert isinstance(meaning_of(wrapped(answered(503)), "x"), TemporaryError)
    assert isinstance(meaning_of(wrapped(ConnectionResetError("reset")), "x"), TemporaryError)
    assert isinstance(meaning_of(wrapped(OSError(errno.ENOSPC, "No space left", "f")), "x"), StorageError)
    assert meaning_of(wrapped(ZeroDivisionError()), "x") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 9}', '{"version": 1, "items": {"a": 3}}'])
def test_damaged_state_counts_as_absent(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)

    state = FetchState(path)
    assert state.get("a") is None
    state.put("a", ItemState("done", "c" * 40, 3, 9))

    assert FetchState(path).get("a") == ItemState("done", "c" * 40, 3, 9)
