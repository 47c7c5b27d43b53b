"""Retrieved documents of one configuration, data set and split: a parquet file that holds nothing else.

AIR-Bench's own JSON of 6,319 queries x 1000 hits takes 305 MB and half a minute to write; this form is a few per cent of that.
Which model, prompt and data the hits are of stands in the task record, which names the file with its hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Return the columns: query_id and doc_id text (dictionary-encoded), score float32, rank int32 from 1."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    types = (text, text, pa.float32(), pa.int32())
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in zip(COLUMNS, types, strict=True)])


def hits_table(query_ids: Sequence[str], doc_ids: pa.Array, indices: np.ndarray, scores: np.ndarray) -> pa.Table:
    """Make the table of a search.

    Args:
        query_ids: ids of the Q queries, each once.
        doc_ids: ids of all N documents, an Arrow array of texts.
        indices: `[Q, K]` positions in `doc_ids`, best first.
        scores: `[Q, K]` float32.

    Returns:
        Q x K rows, query by query, best first.
    """
    import pyarrow as pa

    count, kept = indices.shape
    kept_at_all = np.zeros(len(doc_ids), dtype=bool)
    kept_at_all[indices] = True
    found = np.flatnonzero(kept_at_all)
    places = (np.cumsum(kept_at_all, dtype=np.int32) - 1)[indices]
    queries = np.repeat(np.arange(count, dtype=np.int32), kept)
    names = pa.array(list(query_ids), pa.string())
    return pa.table(
        {
            "query_id": pa.DictionaryArray.from_arrays(pa.array(queries), names),
            "doc_id": pa.DictionaryArray.from_arrays(
                pa.array(places.reshape(-1)), doc_ids.take(pa.array(found)).cast(pa.string())
            ),
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
            # Not `read_table`: that gives chunks with a dictionary each, which take longer to merge than the file to read.
            table = pq.ParquetFile(handle, read_dictionary=["query_id", "doc_id"]).read()
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
    import pyarrow as pa

    wanted = hits_schema()
    types = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in table.schema]
    if table.column_names != wanted.names or types != [pa.string(), pa.string(), pa.float32(), pa.int32()]:
        found = ", ".join(f"{name} {kind}" for name, kind in zip(table.column_names, types, strict=True))
        raise ResultSchemaError(
            f"{where}: its columns are {found or 'none'}; query_id string, doc_id string, score float, rank int32 are expected."
        )
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
    starts = np.flatnonzero(new)
    begins = np.bincount(codes[starts], minlength=len(names))
    if (begins > 1).any():
        query = names[int((begins > 1).argmax())].as_py()
        raise ResultSchemaError(f"{where}: query {query!r}: its rows do not stand together.")
    counts = np.diff(starts, append=len(codes))
    places = np.arange(1, len(codes) + 1, dtype=np.int32) - np.repeat(starts.astype(np.int32), counts)
    refuse(ranks != places, "ranks do not count from 1")
    refuse(ranks > MAX_HITS, f"more than {MAX_HITS} documents")
    better = np.zeros(len(codes), dtype=bool)
    np.greater(scores[1:], scores[:-1], out=better[1:])
    refuse(better & ~new, "a better score stands below a worse one")
    documents, known = _codes(table["doc_id"])
    twice = _first_twice(codes, documents, counts, len(known))
    if twice is not None:
        query, document = twice
        raise ResultSchemaError(
            f"{where}: query {names[query].as_py()!r} has document {known[document].as_py()!r} twice."
        )


def _first_twice(codes: np.ndarray, documents: np.ndarray, counts: np.ndarray, known: int) -> tuple[int, int] | None:
    """Return a query and a document that stands with it twice, as numbers.

    Args:
        codes: `[N]` number of each row's query; the rows of a query stand together.
        documents: `[N]` number of each row's document, below `known`.
        counts: `[Q]` number of rows of each query, in order.
        known: number of documents.
    """
    if (counts == counts[0]).all():
        # Many short sorts are a tenth of the work of a long one.
        rows = np.sort(documents.reshape(len(counts), -1), axis=1)
        places = np.argwhere(rows[:, 1:] == rows[:, :-1])
        if not len(places):
            return None
        row, place = places[0]
        return int(codes[row * counts[0]]), int(rows[row, place])
    pairs = np.sort(codes.astype(np.int64) * known + documents)
    places = np.flatnonzero(pairs[1:] == pairs[:-1])
    if not len(places):
        return None
    query, document = divmod(int(pairs[places[0]]), known)
    return query, document


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Return the number of each row's value, and the values, each once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        array = pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if values.null_count == 0 and pc.count_distinct(values).as_py() == len(values):
            return array.indices.to_numpy(zero_copy_only=False), values
        array = array.cast(pa.string())  # a foreign writer's dictionary may hold a value twice
    encoded = array.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary


def hits_as_run(table: pa.Table) -> dict[str, dict[str, float]]:
    """Return query id -> document id -> score, best first, as pytrec_eval and AIR-Bench's JSON want it.

    Args:
        table: what `read_hits` returned.
    """
    return {query: dict(zip(documents, scores, strict=True)) for query, documents, scores in iterate_hits(table)}


def iterate_hits(table: pa.Table) -> Iterator[tuple[str, list[str], list[float]]]:
    """Yield each query with its documents and their scores, best first; ids become texts a query at a time."""
    if not table.num_rows:
        return
    codes, names = _codes(table["query_id"])
    starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    numbers, known = _codes(table["doc_id"])
    texts = np.array(known.to_pylist(), dtype=object)
    scores = table["score"].to_numpy()
    for start, stop in zip(starts, [*starts[1:], len(codes)], strict=True):
        yield names[codes[start]].as_py(), texts[numbers[start:stop]].tolist(), scores[start:stop].tolist()
