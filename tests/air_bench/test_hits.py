"""Files of retrieved documents: exact round trip, and nothing that is no search result is written or read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from harness.errors import ResultSchemaError
from harness.store.hits import check_hits, hits_as_run, hits_schema, hits_table, read_hits, write_hits

IDS = pa.array([f"doc-{number}" for number in range(9)])


def plain(rows: list[tuple[Any, Any, Any, Any]]) -> pa.Table:
    """Return a table of plain columns, as another program might write it."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 4
    kinds = (pa.string(), pa.string(), pa.float32(), pa.int32())
    names = ("query_id", "doc_id", "score", "rank")
    return pa.table({name: pa.array(list(c), kind) for name, c, kind in zip(names, columns, kinds, strict=True)})


@settings(max_examples=60, deadline=None)
@given(data=st.data(), queries=st.integers(0, 5), kept=st.integers(0, 9))
def test_file_returns_every_hit_with_its_exact_score(
    data: st.DataObject, queries: int, kept: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scores = data.draw(npst.arrays(np.float32, (queries, kept), elements=st.floats(-1, 1, width=32)))
    scores = -np.sort(-scores, axis=1)
    rng = np.random.default_rng(queries)
    indices = np.array([rng.permutation(9)[:kept] for _ in range(queries)], dtype=np.int64).reshape(queries, kept)
    path = tmp_path_factory.mktemp("hits") / "h.parquet"

    write_hits(path, hits_table([f"q{n}" for n in range(queries)], IDS, indices, scores))
    run = hits_as_run(read_hits(path))

    expected = {
        f"q{n}": {f"doc-{i}": float(s) for i, s in zip(indices[n], scores[n], strict=True)}
        for n in range(queries if kept else 0)
    }
    assert run == expected
    assert [list(hits) for hits in run.values()] == [list(hits) for hits in expected.values()]  # best first


GOOD = [("a", "d1", 0.5, 1), ("a", "d2", 0.4, 2), ("b", "d1", 0.3, 1)]


def test_plain_columns_of_another_writer_are_read(tmp_path: Path) -> None:
    pq.write_table(plain(GOOD), tmp_path / "h.parquet")

    assert list(hits_as_run(read_hits(tmp_path / "h.parquet"))) == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "d1", float("nan"), 1)], "not finite"),
        ([("a", "d1", float("inf"), 1)], "not finite"),
        ([("a", "d1", 0.5, 1), ("a", "d1", 0.4, 2)], "'d1' twice"),
        ([("a", "d1", 0.5, 1), ("a", "d2", 0.6, 2)], "better score stands below"),
        ([("a", "d1", 0.5, 2)], "do not count from 1"),
        ([("a", "d1", 0.5, 1), ("a", "d2", 0.4, 3)], "do not count from 1"),
        ([("a", "d1", 0.5, 1), ("b", "d1", 0.5, 1), ("a", "d2", 0.4, 1)], "do not stand together"),
        ([("a", None, 0.5, 1)], "empty values"),
        ([("a", "d1", None, 1)], "empty values"),
        ([("a", f"d{n}", -n, n + 1) for n in range(1001)], "more than 1000"),
    ],
)
def test_what_is_no_search_result_is_neither_written_nor_read(rows: Any, reason: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(plain(rows), foreign)

    with pytest.raises(ResultSchemaError, match=reason):
        write_hits(tmp_path / "h.parquet", plain(rows))
    with pytest.raises(ResultSchemaError, match=reason):
        read_hits(foreign)

    assert not (tmp_path / "h.parquet").exists()


def test_dictionary_that_holds_a_value_twice_hides_no_duplicate() -> None:
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["d1", "d1"]))
    table = plain(GOOD[:2]).set_column(1, "doc_id", twice)

    with pytest.raises(ResultSchemaError, match="twice"):
        check_hits(table, "here")


@pytest.mark.parametrize("change", ["drop", "rename", "retype", "extra"])
def test_other_columns_are_refused(change: str) -> None:
    table = plain(GOOD)
    if change == "drop":
        table = table.drop_columns(["rank"])
    elif change == "rename":
        table = table.rename_columns(["qid", "doc_id", "score", "rank"])
    elif change == "retype":
        table = table.set_column(2, "score", table["score"].cast(pa.float64()))
    else:
        table = table.append_column("note", pa.array(["x"] * 3))

    with pytest.raises(ResultSchemaError, match="its columns are"):
        check_hits(table, "here")


@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "missing"])
def test_damaged_file_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    write_hits(path, plain(GOOD))
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"truncated": content[:-20], "foreign": b"{}", "empty": b""}[damage])

    with pytest.raises(ResultSchemaError) as caught:
        read_hits(path)

    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_empty_table_is_a_valid_result(tmp_path: Path) -> None:
    write_hits(tmp_path / "h.parquet", hits_schema().empty_table())

    assert hits_as_run(read_hits(tmp_path / "h.parquet")) == {}
