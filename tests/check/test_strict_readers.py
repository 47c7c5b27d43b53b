"""Whatever bytes a reader gets: it reads what was written, or refuses in one line; never a wrong number, never a stack trace.

Short forms run in `make test`; `make soak` runs 50,000 cases.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.check.baseline_file import FORMAT, read_baseline, rows_sha256
from harness.check.baseline_update import update_baseline
from harness.check.tolerance import read_tolerances
from harness.errors import EXIT_CORRUPT, EXIT_USAGE, HarnessError
from harness.store.atomic import dump_json
from harness.store.records import check_manifest, check_record
from harness.store.run_dir import canonical_sha256
from harness.store.stored_run import read_run, read_table
from harness.store.strict_json import parse_json
from tests.check.made import make_run
from tests.check.malformed import GOOD_TOLERANCES

SHORT = {"record": 120, "manifest": 60, "tolerances": 80, "items": 40, "baseline": 30, "baseline values": 30}
LONG = {
    "record": 18_000,
    "manifest": 8_000,
    "tolerances": 12_000,
    "items": 5_000,
    "baseline": 3_500,
    "baseline values": 3_500,
}

# Values that readers have stumbled over elsewhere, and any JSON beside them.
NASTY = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        1,
        2**63,
        10**400,
        1e308,
        5e-324,
        -0.0,
        93.7,
        "",
        "NaN",
        "../../x",
        "<b>",
        "a\nb",
        [],
        {},
        [[]],
    ]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
VALUES = NASTY | st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class Sound(NamedTuple):
    """Sound files, as bytes and values."""

    record: bytes
    manifest: bytes
    items: bytes
    baseline: bytes
    folder: Path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    folder = tmp_path_factory.mktemp("sound")
    run = make_run(folder / "run")
    path = folder / "baseline.parquet"
    for seed in (0, 1):
        update_baseline(
            read_run(make_run(folder / f"run{seed}", seed=seed, tasks=["MadeSTS", "MadeSearch"])),
            path,
            reason="r",
            author="a",
            created="2026-01-01T00:00:00+00:00",
        )
    return Sound(
        (run / "tasks/k0/MadeSTS.json").read_bytes(),
        (run / "manifest.json").read_bytes(),
        (run / "items/k0/MadeSTS.parquet").read_bytes(),
        path.read_bytes(),
        folder,
    )


def refused(read: Callable[[], Any]) -> Any:
    """Return what a reader gives; None if it refuses as it should."""
    try:
        return read()
    except HarnessError as error:
        message = str(error)
        assert error.exit_code in (EXIT_CORRUPT, EXIT_USAGE)
        assert message.isprintable(), repr(message)[:2000]
        assert 10 < len(message) < 1000
        return None


@st.composite
def spoilt(draw: st.DrawFn, raw: bytes) -> bytes:
    """Bytes after one to three changes: a flip, a cut, something put in, taken out, or copied to another place."""
    found = bytearray(raw)
    for _ in range(draw(st.integers(1, 3))):
        size = len(found)
        kind = draw(st.sampled_from(("flip", "cut", "insert", "delete", "copy", "digit")))
        at = draw(st.integers(0, max(size - 1, 0)))
        if kind == "cut" or not size:
            del found[at:]
        elif kind == "flip":
            found[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            found[at:at] = draw(
                st.binary(min_size=1, max_size=6) | st.sampled_from([b"NaN", b'"', b"}", b",", b"\x00", b"{" * 50])
            )
        elif kind == "delete":
            del found[at : at + draw(st.integers(1, 40))]
        elif kind == "copy":
            to = draw(st.integers(0, size))
            found[to:to] = found[at : at + draw(st.integers(1, 60))]
        else:
            digits = [place for place, byte in enumerate(found[at : at + 400], start=at) if 0x30 <= byte <= 0x39]
            if digits:
                found[draw(st.sampled_from(digits))] = draw(st.integers(0x30, 0x39))
    return bytes(found)


@st.composite
def revalued(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value in which one to three places hold something else, or are gone."""
    found = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = found, None
        for _ in range(draw(st.integers(1, 5))):
            inner = holder if key is None else holder[key]
            if not isinstance(inner, (dict, list)) or not inner:
                break
            holder = inner
            key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
        if key is None:
            return copy.deepcopy(draw(VALUES))
        if draw(st.integers(0, 5)) == 0:
            del holder[key]
        elif isinstance(holder, dict) and draw(st.integers(0, 7)) == 0:
            holder[draw(st.text(max_size=6))] = copy.deepcopy(draw(VALUES))
        else:
            holder[key] = copy.deepcopy(draw(VALUES))
    return found


def sound_record(record: dict[str, Any]) -> None:
    """What must hold of anything that was accepted, said a second time in other words."""
    assert math.prod(-1 <= row["score"] <= 1 for row in record["rows"] if row["is_main"])
    assert any(row["is_main"] for row in record["rows"])
    names = [record["task_name"], record["configuration"]]
    names += [row[column] for row in record["rows"] for column in ("split", "hf_subset", "metric", "task_type")]
    for name in names:
        assert name.isprintable()
        assert not set(name) & set("<>|`")
    assert "/" not in record["task_name"] + record["configuration"]
    assert all(math.isfinite(row["score"]) for row in record["rows"])


def campaign(examples: int, draws: dict[str, Any], body: Callable[..., None]) -> None:
    """Run a property; short campaigns draw the same cases every time."""
    run = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples < 1000,
        suppress_health_check=list(HealthCheck),
    )(given(**draws)(body))
    run()


@pytest.mark.parametrize("sizes", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
class TestNothingWrongIsReadAndNothingBreaks:
    def test_records(self, sizes: dict[str, int], sound: Sound) -> None:
        value = json.loads(sound.record)
        whole = check_record(value, "record")

        def altered_bytes(raw: bytes) -> None:
            read = refused(lambda: check_record(parse_json(raw, "record"), "record"))
            assert read is None or read == whole

        def altered_values(changed: Any) -> None:
            if isinstance(changed, dict):
                # The hashes are made to match: only the checks of the values are left.
                try:
                    changed["result_key"] = canonical_sha256(changed.get("identity"))
                    for row in changed["rows"]:
                        row["result_key"] = changed["result_key"]
                    changed["content_sha256"] = canonical_sha256(
                        {k: v for k, v in changed.items() if k != "content_sha256"}
                    )
                except (ValueError, TypeError, KeyError, UnicodeEncodeError):
                    pass
            try:
                raw = dump_json(changed)
            except TypeError:  # an integer beyond 64 bits: written by another program
                raw = json.dumps(changed).encode()
            read = refused(lambda: check_record(parse_json(raw, "record"), "record"))
            if read is not None:
                sound_record(read)

        campaign(sizes["record"] // 2, {"raw": spoilt(sound.record)}, altered_bytes)
        campaign(sizes["record"] // 2, {"changed": revalued(value)}, altered_values)

    def test_manifests(self, sizes: dict[str, int], sound: Sound) -> None:
        value = json.loads(sound.manifest)

        def altered_bytes(raw: bytes) -> None:
            refused(lambda: check_manifest(parse_json(raw, "manifest"), "manifest"))

        def altered_values(changed: Any) -> None:
            raw = json.dumps(changed).encode()
            read = refused(lambda: check_manifest(parse_json(raw, "manifest"), "manifest"))
            if read is not None:
                assert read["status"] in ("running", "incomplete", "complete")
                assert all("/" not in one["task_name"] for one in read["tasks"])

        campaign(sizes["manifest"] // 2, {"raw": spoilt(sound.manifest)}, altered_bytes)
        campaign(sizes["manifest"] // 2, {"changed": revalued(value)}, altered_values)

    def test_tolerances(self, sizes: dict[str, int], sound: Sound) -> None:
        path = sound.folder / "tolerances.yaml"

        def read(raw: bytes) -> None:
            path.write_bytes(raw)
            found = refused(lambda: read_tolerances(path))
            if found is not None:
                assert all(0 < one.bound <= 10 and 0 <= one.sigma <= 10 for one in found.measured)

        def values(changed: Any) -> None:
            read(json.dumps(changed).encode())

        good = GOOD_TOLERANCES.encode()
        content = {"format": "icl-harness-tolerances", "version": 1, "measured": [
            {"task": "A", "model": "m", "dtype": "float32", "hardware": "h", "repeats": 8, "sigma": 0.1, "bound": 0.5}
        ]}  # fmt: skip
        campaign(sizes["tolerances"] // 2, {"raw": spoilt(good) | st.binary(max_size=60)}, read)
        campaign(sizes["tolerances"] // 2, {"changed": revalued(content)}, values)

    def test_items(self, sizes: dict[str, int], sound: Sound) -> None:
        def read(raw: bytes) -> None:
            refused(lambda: read_table(raw, "items"))

        campaign(sizes["items"], {"raw": spoilt(sound.items)}, read)

    def test_bytes_of_baselines(self, sizes: dict[str, int], sound: Sound) -> None:
        path = sound.folder / "spoilt.parquet"
        path.write_bytes(sound.baseline)
        whole = read_baseline(path)

        def read(raw: bytes) -> None:
            path.write_bytes(raw)
            found = refused(lambda: read_baseline(path))
            if found is not None:
                assert found.records == whole.records
                assert found.content_sha256 == whole.content_sha256

        campaign(sizes["baseline"], {"raw": spoilt(sound.baseline)}, read)

    def test_values_of_baselines(self, sizes: dict[str, int], sound: Sound) -> None:
        path = sound.folder / "revalued.parquet"
        path.write_bytes(sound.baseline)
        table = pq.read_table(path)
        content, rows = json.loads(table.schema.metadata[FORMAT.encode()]), table.to_pylist()
        records = [json.loads(row["record"]) for row in rows]
        schema = pa.schema([field.with_nullable(True) for field in table.schema])

        def read(metadata: Any, record: Any) -> None:
            changed = [dict(row) for row in rows]
            changed[0]["record"] = json.dumps(record)
            try:
                metadata["history"][-1]["rows_sha256"] = rows_sha256(changed)
                metadata["content_sha256"] = canonical_sha256(metadata["history"][-1])
            except (TypeError, KeyError, IndexError, AttributeError, UnicodeEncodeError):
                pass
            shape = schema.with_metadata({FORMAT: json.dumps(metadata)})
            pq.write_table(pa.Table.from_pylist(changed, schema=shape), path)
            found = refused(lambda: read_baseline(path))
            for one in found.records if found is not None else ():
                sound_record(one)

        half = sizes["baseline values"] // 2
        campaign(half, {"metadata": revalued(content), "record": st.just(records[0])}, read)
        campaign(half, {"metadata": st.builds(lambda: copy.deepcopy(content)), "record": revalued(records[0])}, read)


def test_the_long_campaign_has_fifty_thousand_cases() -> None:
    assert sum(LONG.values()) >= 50_000
