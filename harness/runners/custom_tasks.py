"""mteb task objects for registry entries that bring their own data folder.

A registry entry with a task type, a main metric and a data folder is a complete task: this module makes the
mteb task class that evaluates it, so that adding a task needs one YAML file and no code. The protocol of each
type (metrics, undersampling, bootstraps) is mteb's own; only loading is ours, because the `datasets` cache is
keyed by file names and would serve an edited folder stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DatasetUnavailableError, ResultSchemaError

if TYPE_CHECKING:
    import pyarrow as pa
    from mteb.abstasks import AbsTask

# Columns a data folder must have, by task type; the retrieval types have four files instead of splits.
REQUIRED_COLUMNS: dict[str, tuple[str, ...]] = {
    "Classification": ("text", "label"),
    "Clustering": ("text", "label"),
    "PairClassification": ("sentence1", "sentence2", "label"),
    "STS": ("sentence1", "sentence2", "score"),
    "Summarization": ("text", "human_summaries", "machine_summaries", "relevance"),
    "Retrieval": (),
    "Reranking": (),
}
RETRIEVAL_FILES: dict[str, tuple[str, ...]] = {
    "corpus": ("_id", "text"),
    "queries": ("_id", "text"),
    "qrels": ("query-id", "corpus-id", "score"),
}


def read_table(folder: Path, stem: str, columns: tuple[str, ...]) -> pa.Table:
    """Read `<stem>.parquet` or `<stem>.jsonl` from a data folder.

    Raises:
        DatasetUnavailableError: neither file is there.
        ResultSchemaError: the file cannot be parsed or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet, jsonl = folder / f"{stem}.parquet", folder / f"{stem}.jsonl"
    if parquet.is_file():
        table = pq.read_table(parquet)
    elif jsonl.is_file():
        rows = []
        for number, line in enumerate(jsonl.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ResultSchemaError(
                    f"{jsonl}:{number}: not JSON ({error.msg}). One object per line is expected."
                ) from error
        table = pa.Table.from_pylist(rows)
    else:
        raise DatasetUnavailableError(
            f"data folder {folder} has neither {stem}.jsonl nor {stem}.parquet. "
            "The files of each task type are listed in docs/data-dir.md."
        )
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ResultSchemaError(
            f"{folder}/{stem}: column {', '.join(missing)} is missing "
            f"(found: {', '.join(table.column_names) or 'none'}). See docs/data-dir.md."
        )
    return table


def _split_dataset(task_type: str, folder: Path, split: str) -> Any:
    from datasets import Dataset

    table = read_table(folder, split, REQUIRED_COLUMNS[task_type])
    names = table.column_names
    if task_type == "Clustering":
        renames = {"text": "sentences", "label": "labels"}
        names = [renames.get(name, name) for name in names]
    elif task_type == "PairClassification":
        names = ["labels" if name == "label" else name for name in names]
    return Dataset(table.rename_columns(names))


def _retrieval_split(folder: Path) -> dict[str, Any]:
    from datasets import Dataset

    corpus = read_table(folder, "corpus", RETRIEVAL_FILES["corpus"])
    queries = read_table(folder, "queries", RETRIEVAL_FILES["queries"])
    qrels_table = read_table(folder, "qrels", RETRIEVAL_FILES["qrels"])
    document_ids = set(corpus["_id"].to_pylist())
    query_ids = set(queries["_id"].to_pylist())
    if len(document_ids) != corpus.num_rows or len(query_ids) != queries.num_rows:
        raise ResultSchemaError(f"{folder}: an _id occurs twice in corpus or queries. Ids must be unique.")
    qrels: dict[str, dict[str, int]] = {}
    for row in qrels_table.to_pylist():
        query_id, document_id = str(row["query-id"]), str(row["corpus-id"])
        if query_id not in query_ids or document_id not in document_ids:
            raise ResultSchemaError(
                f"{folder}/qrels names {query_id!r} -> {document_id!r}, which the queries or the corpus lack."
            )
        qrels.setdefault(query_id, {})[document_id] = int(row["score"])
    top_ranked = None
    if any((folder / f"top_ranked.{ending}").is_file() for ending in ("jsonl", "parquet")):
        ranked = read_table(folder, "top_ranked", ("query-id", "corpus-ids"))
        top_ranked = {str(row["query-id"]): list(row["corpus-ids"]) for row in ranked.to_pylist()}
    keep = [index for index, query_id in enumerate(queries["_id"].to_pylist()) if query_id in qrels]

    def with_id(table: pa.Table) -> Dataset:
        return Dataset(table.rename_columns(["id" if n == "_id" else n for n in table.column_names]))

    return {
        "corpus": with_id(corpus),
        "queries": with_id(queries.take(keep)),
        "relevant_docs": qrels,
        "top_ranked": top_ranked,
    }


def _base_class(task_type: str) -> type[AbsTask]:
    import mteb.abstasks as abstasks
    from mteb.abstasks.text.summarization import AbsTaskSummarization

    bases: dict[str, Any] = {
        "Classification": abstasks.AbsTaskClassification,
        "Clustering": abstasks.AbsTaskClustering,
        "PairClassification": abstasks.AbsTaskPairClassification,
        "STS": abstasks.AbsTaskSTS,
        "Summarization": AbsTaskSummarization,
        "Retrieval": abstasks.AbsTaskRetrieval,
        "Reranking": abstasks.AbsTaskRetrieval,
    }
    return bases[task_type]  # type: ignore[no-any-return]


def build_custom_task(
    name: str,
    *,
    task_type: str,
    main_metric: str,
    folder: Path,
    fingerprint: str,
    description: str = "",
    splits: tuple[str, ...] = ("test",),
    prompt: str | None = None,
) -> AbsTask:
    """Make a fresh mteb task object over a local data folder.

    Args:
        name: task name, as in the registry.
        task_type: one of the seven MTEB text task types.
        main_metric: key of the main score in mteb's result (`accuracy`, `ndcg_at_10`, ...).
        folder: data folder, see docs/data-dir.md for the files of each type.
        fingerprint: content hash of the folder; becomes the dataset revision of the results.
        description: one sentence for the metadata.
        splits: evaluation splits; the retrieval types have one.
        prompt: mteb's own instruction, used only when this task runs outside the registry.

    Raises:
        DatasetUnavailableError: a file is missing (raised when the data is loaded).
        ResultSchemaError: a file is malformed (raised when the data is loaded).
    """
    from mteb.abstasks.task_metadata import TaskMetadata

    base = _base_class(task_type)
    metadata = TaskMetadata(
        name=name,
        description=description or f"{name}: a {task_type} task over local data.",
        type=task_type,
        category="t2t" if task_type != "Classification" else "t2c",
        modalities=["text"],
        eval_langs=["eng-Latn"],
        eval_splits=list(splits),
        main_score=main_metric,
        dataset={"path": name, "revision": fingerprint},
        reference=None,
        prompt=prompt,
    )

    def load_data(self: Any, *_args: object, **_kwargs: object) -> None:
        if self.data_loaded:
            return
        if task_type in ("Retrieval", "Reranking"):
            self.dataset = {"default": {split: _retrieval_split(folder) for split in splits}}
        else:
            wanted = list(splits)
            if task_type == "Classification":
                wanted = ["train", *[split for split in splits if split != "train"]]
            self.dataset = {split: _split_dataset(task_type, folder, split) for split in wanted}
        self.data_loaded = True

    members: dict[str, Any] = {"metadata": metadata, "load_data": load_data, "__module__": __name__}
    if task_type == "Clustering":
        # mteb's defaults (embed 4 % of the documents, 16,384 per bootstrap) are meant for 10^5 documents.
        members |= {"max_fraction_of_documents_to_embed": None, "max_documents_per_cluster": 2048}
    if task_type == "Summarization":
        members |= {"min_score": 1, "max_score": 5}  # the rating scale; a rank metric does not depend on it
    return type(name, (base,), members)()
