"""`--limit N`: a small part of a task's data that can still be evaluated. Its scores are for testing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_DOCUMENTS_PER_QUERY = 20


def limit_task(task: AbsTask, limit: int) -> None:
    """Cut a task's loaded evaluation data to `limit` items per split, in place.

    Classification keeps its train split (undersampled by mteb anyway) and takes every class in turn; retrieval keeps the
    first queries, their relevant documents, their candidates and up to 20 further documents per query.

    Args:
        task: task object with loaded data.
        limit: queries, pairs or texts per split, at least 1.
    """
    dataset: Any = task.dataset
    splits = set(task.eval_splits)
    task_type = str(task.metadata.type)
    for key, value in list(dataset.items()):
        if key in splits:
            dataset[key] = _limit_split(task, task_type, value, limit)
        elif hasattr(value, "items"):
            for split in list(value):
                if split in splits:
                    value[split] = _limit_split(task, task_type, value[split], limit)


def _limit_split(task: Any, task_type: str, data: Any, limit: int) -> Any:
    if isinstance(data, dict) and "corpus" in data:
        return _limit_retrieval(data, limit)
    if task_type == "Classification":
        return data.select(sorted(_balanced(list(data[task.label_column_name]), limit)))
    if task_type in ("Clustering", "PairClassification") and _holds_lists(data):
        return data.select(range(min(len(data), 1))).map(lambda row: _cut_lists(row, limit))
    return data.select(range(min(limit, len(data))))


def _holds_lists(data: Any) -> bool:
    return len(data) > 0 and any(isinstance(value, list) for value in data[0].values())


def _cut_lists(row: dict[str, Any], limit: int) -> dict[str, Any]:
    return {name: value[:limit] if isinstance(value, list) else value for name, value in row.items()}


def _balanced(labels: list[Any], limit: int) -> list[int]:
    """Return positions that go round the labels, so that a small limit still has several classes."""
    by_label: dict[Any, list[int]] = {}
    for position, label in enumerate(labels):
        by_label.setdefault(label, []).append(position)
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(limit, len(labels)):
        chosen += [positions[turn] for positions in by_label.values() if turn < len(positions)]
        turn += 1
    return chosen[:limit]


def _limit_retrieval(data: dict[str, Any], limit: int) -> dict[str, Any]:
    queries = data["queries"]
    judged = [index for index, query_id in enumerate(queries["id"]) if query_id in data["relevant_docs"]]
    queries = queries.select(judged[:limit])
    kept = list(queries["id"])
    qrels = {query_id: data["relevant_docs"][query_id] for query_id in kept}
    needed = {document for relevant in qrels.values() for document in relevant}
    top_ranked = data.get("top_ranked")
    if top_ranked:
        top_ranked = {query_id: top_ranked[query_id] for query_id in kept if query_id in top_ranked}
        needed |= {document for ranked in top_ranked.values() for document in ranked}
    chosen, others = [], limit * _DOCUMENTS_PER_QUERY
    for index, document in enumerate(data["corpus"]["id"]):
        if document in needed:
            chosen.append(index)
        elif others > 0 and not top_ranked:
            chosen.append(index)
            others -= 1
    return {
        **data,
        "queries": queries,
        "relevant_docs": qrels,
        "corpus": data["corpus"].select(chosen),
        "top_ranked": top_ranked,
    }
