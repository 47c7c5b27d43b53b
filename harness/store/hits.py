"""Retrieved documents of one configuration, data set and split: a parquet file that holds nothing else.

AIR-Bench's own JSON of 6,319 queries x 1000 hits takes 305 MB and half a minute to write; this form is a few per cent of that.
Which model, prompt and data the hits are of stands in the task record, which names the file with its hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import ResultSchemaError
from harness.store import atomic

if TYPE_CHECKING:
    import pyarrow as pa

MAX_HITS = 1000
"""Documents per query that AIR-Bench's board takes (search_top_k)."""
COLUMNS = ("query_id", "doc_id", "score", "rank")
_DICTIONARY_BYTES = 64 << 20
"""Document ids repeat; above this size of their dictionary parquet would write them out one by one."""


def hits_folder(split: str) -> str:
    """Return the folder of a run directory that holds the hits of a split: `devhits`, `testhits`."""
    return f"{split}hits"


def hits_schema() -> pa.Schema:
    """Return the columns: query_id and doc_id text, score float32, rank int32 from 1."""
    import pyarrow as pa

    types = (pa.string(), pa.string(), pa.float32(), pa.int32())
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in zip(COLUMNS, types, strict=True)])


def hits_table(query_ids: Sequence[str], doc_ids: pa.Array, indices: np.ndarray, scores: np.ndarray) -> pa.Table:
    """Make the table of a search.

    Args:
        query_ids: ids of the Q queries.
        doc_ids: ids of all N documents, an Arrow array of texts.
        indices: `[Q, K]` positions in `doc_ids`, best first.
        scores: `[Q, K]` float32.

    Returns:
        Q x K rows, query by query, best first.
    """
    import pyarrow as pa

    count, kept = indices.shape
    queries = pa.array(list(query_ids), pa.string()).take(pa.array(np.repeat(np.arange(count), kept)))
    return pa.table(
        {
            "query_id": queries,
            "doc_id": doc_ids.cast(pa.string()).take(pa.array(indices.reshape(-1))),
            "score": pa.array(scores.reshape(-1).astype(np.float32)),
            "rank": pa.array(np.tile(np.arange(1, kept + 1, dtype=np.int32), count)),
        },
        schema=hits_schema(),
    )


def write_hits(path: Path, table: pa.Table) -> None:
    """Check the hits and write them atomically.

    Raises:
        ResultSchemaError: they are no hits; nothing was written.
        StorageError: disk full or not writable.
    """
    import pyarrow.parquet as pq

    check_hits(table, str(path))
    with atomic.replacing(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=["query_id", "doc_id"],
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            column_encoding={"score": "BYTE_STREAM_SPLIT", "rank": "DELTA_BINARY_PACKED"},
            row_group_size=max(1, table.num_rows),
            write_statistics=False,
        )


def read_hits(path: Path) -> pa.Table:
    """Read and check a file of hits.

    Raises:
        ResultSchemaError: missing, damaged, or not what `write_hits` writes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # The file's own handle: pyarrow must not take a path for a data set with partition folders.
        with path.open("rb") as handle:
            table = pq.read_table(handle)
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ResultSchemaError(f"{path}: not a readable parquet file ({reason}). Run this task again.") from error
    check_hits(table, str(path))
    return table


def check_hits(table: pa.Table, where: str) -> None:
    """Refuse a table that cannot be the result of a search.

    Raises:
        ResultSchemaError: other columns or types, empty values, a score that is not finite, more than MAX_HITS documents of a
            query, a document twice, or ranks that do not follow the scores; names the first such query.
    """
    wanted = hits_schema()
    if table.column_names != wanted.names or [field.type for field in table.schema] != [f.type for f in wanted]:
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        expected = ", ".join(f"{field.name} {field.type}" for field in wanted)
        raise ResultSchemaError(f"{where}: its columns are {found or 'none'}; {expected} are expected.")
    for name in COLUMNS:
        if table[name].null_count:
            raise ResultSchemaError(f"{where}: column {name} has {table[name].null_count} empty values.")
    if not table.num_rows:
        return
    codes, names = _codes(table["query_id"])
    scores, ranks = table["score"].to_numpy(), table["rank"].to_numpy()

    def refuse(bad: np.ndarray, what: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            query = names[codes[row]].as_py()
            raise ResultSchemaError(f"{where}: query {query!r}, row {row}: {what}.")

    refuse(~np.isfinite(scores), "its score is not finite")
    new = np.concatenate(([True], codes[1:] != codes[:-1]))
    if int(new.sum()) != len(names):
        seen = np.zeros(len(names), dtype=np.int64)
        np.add.at(seen, codes[new], 1)
        query = names[int((seen > 1).argmax())].as_py()
        raise ResultSchemaError(f"{where}: query {query!r}: its rows do not stand together.")
    previous = np.concatenate(([0], ranks[:-1]))
    refuse(np.where(new, ranks != 1, ranks != previous + 1), "ranks do not count from 1")
    refuse(ranks > MAX_HITS, f"more than {MAX_HITS} documents")
    refuse(~new & (scores > np.concatenate(([np.inf], scores[:-1]))), "a better score stands below a worse one")
    documents, _ = _codes(table["doc_id"])
    order = np.lexsort((documents, codes))
    pairs = np.stack((codes[order], documents[order]))
    twice = np.flatnonzero((pairs[:, 1:] == pairs[:, :-1]).all(axis=0))
    if len(twice):
        row = int(order[twice[0] + 1])
        raise ResultSchemaError(
            f"{where}: query {table['query_id'][row].as_py()!r} has document {table['doc_id'][row].as_py()!r} twice."
        )


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Return the number of each value and the values, in order of their first row."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary


def hits_as_run(table: pa.Table) -> dict[str, dict[str, float]]:
    """Return query id -> document id -> score, best first, as pytrec_eval and AIR-Bench's JSON want it.

    Args:
        table: what `read_hits` returned.
    """
    if not table.num_rows:
        return {}
    codes, names = _codes(table["query_id"])
    starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    documents, scores = table["doc_id"].to_pylist(), table["score"].to_pylist()
    run = {}
    for start, stop in zip(starts, [*starts[1:], len(codes)], strict=True):
        run[names[codes[start]].as_py()] = dict(zip(documents[start:stop], scores[start:stop], strict=True))
    return run
