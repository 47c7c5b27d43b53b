"""mteb task objects for registry entries that bring their own data folder.

A registry entry with a task type, a main metric and a data folder is a complete task: this module makes the
mteb task class that evaluates it, so that adding a task needs one YAML file and no code. The protocol of each
type (metrics, undersampling, bootstraps) is mteb's own; only loading is ours, because the `datasets` cache is
keyed by file names and would serve an edited folder stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ResultSchemaError
from harness.runners import data_files as files
from harness.runners.data_files import Kind, read_rows

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

# Columns that a data folder must have, by task type; the retrieval types have files of their own instead of splits.
SPLIT_COLUMNS: dict[str, dict[str, Kind]] = {
    "Classification": {"text": files.text, "label": files.label, "label_text": files.optional_text},
    "Clustering": {"text": files.text, "label": files.label},
    "PairClassification": {"sentence1": files.text, "sentence2": files.text, "label": files.binary},
    "STS": {"sentence1": files.text, "sentence2": files.text, "score": files.number},
    "Summarization": {
        "text": files.text,
        "human_summaries": files.list_of(files.text),
        "machine_summaries": files.list_of(files.text),
        "relevance": files.list_of(files.number),
    },
}
RETRIEVAL_TYPES = ("Retrieval", "Reranking")


def _load_splits(task_type: str, folder: Path, splits: list[str]) -> dict[str, Any]:
    from datasets import Dataset

    loaded = {split: read_rows(folder, split, SPLIT_COLUMNS[task_type]) for split in splits}
    if task_type == "Classification":
        _number_labels(loaded)
    if task_type == "Summarization":
        for split, rows in loaded.items():
            for position, row in enumerate(rows):
                if len(row["relevance"]) != len(row["machine_summaries"]):
                    raise ResultSchemaError(
                        f"{folder}/{split} row {position}: {len(row['machine_summaries'])} machine_summaries but "
                        f"{len(row['relevance'])} relevance values."
                    )
    renames = {"Clustering": {"text": "sentences", "label": "labels"}, "PairClassification": {"label": "labels"}}
    names = renames.get(task_type, {})
    return {
        split: Dataset.from_list([{names.get(name, name): value for name, value in row.items()} for row in rows])
        for split, rows in loaded.items()
    }


def _number_labels(loaded: dict[str, list[dict[str, Any]]]) -> None:
    """Number the label names of all splits together, in alphabetical order; whole numbers stay as they are.

    The names are kept in `label_text`; a data set that gives none has no such column.
    """
    every = [row for rows in loaded.values() for row in rows]
    if not all(isinstance(row["label"], int) for row in every):
        numbers = {name: number for number, name in enumerate(sorted({str(row["label"]) for row in every}))}
        for row in every:
            row["label_text"] = row["label_text"] or str(row["label"])
            row["label"] = numbers[str(row["label"])]
    if not all(row["label_text"] for row in every):
        for row in every:
            del row["label_text"]


def _load_retrieval(folder: Path, *, reranking: bool) -> dict[str, Any]:
    from datasets import Dataset

    corpus = read_rows(folder, "corpus", {"_id": files.identifier, "title": files.optional_text, "text": files.text})
    queries = read_rows(folder, "queries", {"_id": files.identifier, "text": files.text})
    judged = read_rows(
        folder, "qrels", {"query-id": files.identifier, "corpus-id": files.identifier, "score": files.whole_number}
    )
    document_ids = {row["_id"] for row in corpus}
    query_ids = {row["_id"] for row in queries}
    if len(document_ids) != len(corpus) or len(query_ids) != len(queries):
        raise ResultSchemaError(f"{folder}: an _id occurs twice in corpus or queries. Ids must be unique.")
    qrels: dict[str, dict[str, int]] = {}
    for row in judged:
        query_id, document_id = row["query-id"], row["corpus-id"]
        if query_id not in query_ids or document_id not in document_ids:
            raise ResultSchemaError(
                f"{folder}/qrels names {query_id!r} -> {document_id!r}, which the queries or the corpus lack."
            )
        qrels.setdefault(query_id, {})[document_id] = row["score"]
    top_ranked = None
    if reranking or files.exists(folder, "top_ranked"):
        ranked = read_rows(
            folder, "top_ranked", {"query-id": files.identifier, "corpus-ids": files.list_of(files.identifier)}
        )
        top_ranked = {row["query-id"]: row["corpus-ids"] for row in ranked}
        unknown = next((one for ids in top_ranked.values() for one in ids if one not in document_ids), None)
        if unknown is not None:
            raise ResultSchemaError(f"{folder}/top_ranked names the document {unknown!r}, which the corpus lacks.")

    def with_id(rows: list[dict[str, Any]]) -> Dataset:
        return Dataset.from_list(
            [{"id" if name == "_id" else name: value for name, value in row.items()} for row in rows]
        )

    return {
        "corpus": with_id(corpus),
        "queries": with_id([row for row in queries if row["_id"] in qrels]),
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
        if task_type in RETRIEVAL_TYPES:
            # Fresh rows per split: mteb filters the dictionaries it is given in place.
            self.dataset = {
                "default": {split: _load_retrieval(folder, reranking=task_type == "Reranking") for split in splits}
            }
        else:
            wanted = list(dict.fromkeys(["train", *splits] if task_type == "Classification" else splits))
            self.dataset = _load_splits(task_type, folder, wanted)
        self.data_loaded = True

    members: dict[str, Any] = {"metadata": metadata, "load_data": load_data, "__module__": __name__}
    if task_type == "Clustering":
        # mteb's defaults (embed 4 % of the documents, 16,384 per bootstrap) are meant for 10^5 documents.
        members |= {"max_fraction_of_documents_to_embed": None, "max_documents_per_cluster": 2048}
    if task_type == "Summarization":
        members |= {"min_score": 1, "max_score": 5}  # the rating scale; a rank metric does not depend on it
    return type(name, (base,), members)()
