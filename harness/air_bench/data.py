"""The data of one AIR-Bench set: found, read as Arrow columns, and checked against AIR-Bench's own table before use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.air_bench.layout import (
    ORGANISATION,
    local_files,
    local_root,
    qrels_repository,
    split_name,
    text_repository,
)
from harness.air_bench.rows import JUDGEMENTS, TEXTS, Columns, as_columns, read_files
from harness.encoder.hashing import remembered_sha256
from harness.errors import DatasetUnavailableError, ResultSchemaError
from harness.registry.air_bench import AirBenchSet

if TYPE_CHECKING:
    import pyarrow as pa

SCORED_SPLIT = "dev"
"""The one split whose judgements are public."""


@dataclass(frozen=True)
class AirData:
    """One set, loaded and checked."""

    corpus: pa.Table
    """`id`, `text`; perhaps memory-mapped."""
    queries: dict[str, pa.Table]
    """Split -> `id`, `text`."""
    qrels: dict[str, dict[str, int]]
    """Query -> document -> relevance, of the dev split; empty if that is not asked for."""

    def texts(self, size: int) -> Iterator[list[str]]:
        """Yield the texts of the corpus in its order, `size` at a time."""
        column = self.corpus["text"]
        for start in range(0, len(column), size):
            yield column.slice(start, size).to_pylist()

    def all_texts(self) -> Iterator[str]:
        """Yield the texts of the corpus and of all queries, for a baseline that is fitted on them."""
        for table in (self.corpus, *self.queries.values()):
            for chunk in table["text"].chunks:
                yield from chunk.to_pylist()

    def limited(self, limit: int, documents_per_query: int = 20) -> AirData:
        """Return the first queries of each split, their judged documents and a few others: for testing only."""
        import numpy as np
        import pyarrow as pa

        queries = {split: table.slice(0, limit) for split, table in self.queries.items()}
        kept = set(queries[SCORED_SPLIT]["id"].to_pylist()) if SCORED_SPLIT in queries else set()
        qrels = {query: judged for query, judged in self.qrels.items() if query in kept}
        needed = {document for judged in qrels.values() for document in judged}
        ids = self.corpus["id"].to_pylist()
        wanted = np.fromiter((name in needed for name in ids), bool, len(ids))
        others = np.flatnonzero(~wanted)[: limit * documents_per_query]
        wanted[others] = True
        return AirData(self.corpus.take(pa.array(np.flatnonzero(wanted))), queries, qrels)


@dataclass(frozen=True)
class AirSource:
    """Where the data of one set come from."""

    one: AirBenchSet
    """The set, with the splits that are asked for."""
    root: Path | None
    """Folder of the repositories; None for the hub and its caches."""
    _hub: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def revision(self, split: str) -> str:
        """Return what identifies corpus, queries and judgements of a split: version and a hash.

        Local files are identified by their content, those of the hub by the commits that the `datasets` cache knows.

        Raises:
            DatasetUnavailableError: they are not there.
        """
        digest = hashlib.sha256()
        for part in self._parts(split):
            digest.update(f"{part[0]}\0{self._mark(*part)}\n".encode())
        return f"{self.one.version}@{'local' if self.root else 'hub'}:{digest.hexdigest()[:16]}"

    def load(self) -> AirData:
        """Load the splits of the set and check everything that can be checked without a model.

        Raises:
            DatasetUnavailableError: something is not on this machine and not reachable.
            ResultSchemaError: damaged, truncated or foreign data; nothing was encoded.
        """
        one = self.one
        corpus = self._table("corpus")
        self._count("documents", corpus.num_rows, one.corpus_size)
        self._unique(corpus, "corpus")
        queries = {}
        for split in one.splits:
            queries[split] = self._table("queries", split)
            self._count(f"{split} queries", queries[split].num_rows, one.queries[split])
            self._unique(queries[split], f"{split} queries")
        qrels: dict[str, dict[str, int]] = {}
        if SCORED_SPLIT in one.splits:
            qrels = self._qrels(self._table("qrels", SCORED_SPLIT), corpus, queries[SCORED_SPLIT])
        return AirData(corpus, queries, qrels)

    def _parts(self, split: str) -> list[tuple[str, str]]:
        judged = [("qrels", split)] if split == SCORED_SPLIT else []
        return [("corpus", ""), ("queries", split), *judged]

    def _repository(self, part: str) -> str:
        return qrels_repository(self.one) if part == "qrels" else text_repository(self.one)

    def _mark(self, part: str, split: str) -> str:
        if self.root is not None:
            files = local_files(self.root, self._repository(part), self.one, part, split)
            return ",".join(remembered_sha256(path) for path in files)
        # datasets keeps a data set of the hub in .../<configuration>/0.0.0/<commit>/<file>.arrow
        return ",".join(Path(file["filename"]).parent.name for file in self._from_hub(part, split).cache_files)

    def _table(self, part: str, split: str = "") -> pa.Table:
        columns: Columns = JUDGEMENTS if part == "qrels" else TEXTS
        if self.root is not None:
            return read_files(local_files(self.root, self._repository(part), self.one, part, split), columns)
        where = f"{ORGANISATION}/{self._repository(part)} ({split_name(self.one, part, split)})"
        return as_columns(self._from_hub(part, split).data.table, columns, where)

    def _from_hub(self, part: str, split: str) -> Any:
        import datasets

        name = split_name(self.one, part, split)
        repository = f"{ORGANISATION}/{self._repository(part)}"
        if name not in self._hub:
            try:
                self._hub[name] = datasets.load_dataset(repository, self.one.version, split=name)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                # What `datasets` raises for an unreachable hub, a missing split and a damaged file alike.
                reason = " ".join(str(error).split())[:200]
                raise DatasetUnavailableError(
                    f"{self.one.name}: {repository} ({name}) cannot be loaded: {type(error).__name__}: {reason}. "
                    "A folder in AIR-Bench's layout can be given with --data-dir (docs/air-bench.md)."
                ) from error
        return self._hub[name]

    def _count(self, what: str, found: int, expected: int) -> None:
        if found != expected:
            kind = "truncated" if found < expected else "foreign"
            raise ResultSchemaError(
                f"{self.one.name}: {found:,} {what} were found; {self.one.version} has {expected:,}. The data "
                f"({self.root or 'hub'}) are {kind}: fetch them again. Nothing was encoded."
            )

    def _unique(self, table: pa.Table, what: str) -> None:
        import pyarrow.compute as pc

        if pc.count_distinct(table["id"]).as_py() != table.num_rows:
            seen: set[str] = set()
            twice = next(name for name in table["id"].to_pylist() if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise ResultSchemaError(f"{self.one.name}: {what}: id {twice!r} is there twice. The data are damaged.")

    def _qrels(self, table: pa.Table, corpus: pa.Table, queries: pa.Table) -> dict[str, dict[str, int]]:
        import pyarrow.compute as pc

        for column, known, what in (("docid", corpus, "document"), ("qid", queries, "query")):
            unknown = pc.invert(pc.is_in(table[column], value_set=known["id"].combine_chunks()))
            if pc.any(unknown).as_py():
                row = pc.index(unknown, True).as_py()
                raise ResultSchemaError(
                    f"{self.one.name}: judgement {row + 1} names {what} {table[column][row].as_py()!r}, which is not there. "
                    "Judgements and texts do not belong together."
                )
        qrels: dict[str, dict[str, int]] = {}
        positives = 0
        for query, document, relevance in zip(*(table[name].to_pylist() for name in JUDGEMENTS), strict=True):
            judged = qrels.setdefault(query, {})
            if document in judged:
                raise ResultSchemaError(f"{self.one.name}: query {query!r}, document {document!r} is judged twice.")
            judged[document] = relevance
            positives += relevance > 0
        self._count(f"{SCORED_SPLIT} judgements of relevance", positives, self.one.positives[SCORED_SPLIT])
        return qrels


def open_set(one: AirBenchSet, data_dir: Path | None) -> AirSource:
    """Return where the data of a set come from; nothing is read yet.

    Args:
        one: the set, with the splits that are asked for.
        data_dir: `--data-dir`; see `local_root`.
    """
    return AirSource(one, local_root(one, data_dir))
