"""From the rows of a loaded split to candidates for few-shot examples, by task type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import FewShotError
from harness.examples.draw import Candidate
from harness.runners.tasks import TaskUnit

# From this share of the scale on, an STS pair counts as a paraphrase (4 of 0..5).
_HIGH_SCORE = 0.8
EvaluationTexts = Callable[[], Iterator[str]]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def table_candidates(
    task: Any, unit: TaskUnit, data: Any, split: str, evaluated: tuple[str, ...]
) -> tuple[list[Candidate], EvaluationTexts]:
    """Return the candidates of a type whose splits are tables, and the texts of its evaluation.

    Raises:
        FewShotError: the labels have no names.
    """
    makers = {
        "Classification": _classification,
        "Clustering": _clustering,
        "STS": _sts,
        "PairClassification": _pairs,
    }
    candidates = list(makers[unit.task_type](task, data[split]))
    columns = {
        "Classification": ("text", "sentences", getattr(task, "input_column_name", "text")),
        "Clustering": ("sentences", "text"),
        "STS": ("sentence1", "sentence2", *getattr(task, "column_names", ())),
        "PairClassification": ("sentence1", "sentence2", "sent1", "sent2"),
    }[unit.task_type]

    def evaluation_texts() -> Iterator[str]:
        for name in evaluated:
            if name in data:
                for column in sorted(set(columns) & set(data[name].column_names)):
                    for value in data[name][column]:
                        yield from _strings(value)

    return candidates, evaluation_texts


def _label_names(task: Any, table: Any) -> list[str]:
    column = getattr(task, "label_column_name", "label")
    feature = table.features.get(column)
    if "label_text" in table.column_names:
        return [str(value) for value in table["label_text"]]
    if hasattr(feature, "int2str"):
        return [str(feature.int2str(value)) for value in table[column]]
    values = list(table[column])
    if not all(isinstance(value, str) for value in values):
        raise FewShotError(
            f"task {task.metadata.name!r}: its labels are numbers without names (no column label_text), so a drawn example "
            "would have no readable response."
        )
    return values


def _classification(task: Any, table: Any) -> Iterator[Candidate]:
    texts = table[getattr(task, "input_column_name", "text")]
    for position, (text, label) in enumerate(zip(texts, _label_names(task, table), strict=True)):
        yield Candidate(str(position), str(text), label, label, response_is_label=True)


def _clustering(task: Any, table: Any) -> Iterator[Candidate]:
    texts, labels = "sentences" if "sentences" in table.column_names else "text", "labels"
    for row_number, row in enumerate(table):
        is_list = isinstance(row[texts], list)
        for position, (text, label) in enumerate(
            zip(row[texts], row[labels], strict=True) if is_list else [(row[texts], row[labels])]
        ):
            if not isinstance(label, str):
                raise FewShotError(f"task {task.metadata.name!r}: its labels are numbers without names.")
            where = f"{row_number}[{position}]" if is_list else str(row_number)
            yield Candidate(where, str(text), label, label, response_is_label=True)


def _sts(task: Any, table: Any) -> Iterator[Candidate]:
    low, high = float(task.min_score), float(task.max_score)
    first, second = getattr(task, "column_names", ("sentence1", "sentence2"))
    for position, row in enumerate(table):
        if (float(row["score"]) - low) / (high - low) >= _HIGH_SCORE:
            yield Candidate(str(position), row[first], row[second], "", response_is_label=False)


def _pairs(task: Any, table: Any) -> Iterator[Candidate]:
    first = getattr(task, "input1_column_name", "sentence1")
    second = getattr(task, "input2_column_name", "sentence2")
    labels = getattr(task, "label_column_name", "labels")
    if first not in table.column_names:
        first, second = ("sent1", "sent2") if "sent1" in table.column_names else ("sentence1", "sentence2")
    for row_number, row in enumerate(table):
        is_list = isinstance(row[first], list)
        triples = zip(row[first], row[second], row[labels], strict=True) if is_list else [
            (row[first], row[second], row[labels])
        ]  # fmt: skip
        for position, (left, right, label) in enumerate(triples):
            if int(label) == 1:
                where = f"{row_number}[{position}]" if is_list else str(row_number)
                yield Candidate(where, left, right, "", response_is_label=False)


def retrieval_candidates(
    task: Any, unit: TaskUnit, data: Any, split: str, evaluated: tuple[str, ...]
) -> tuple[list[Candidate], EvaluationTexts]:
    """Return queries with their best passage, never one that the evaluation judges relevant; and the evaluation's texts.

    Raises:
        FewShotError: the split's queries are those of the evaluation.
    """
    own = data[split]["relevant_docs"]
    judged = {name: data[name]["relevant_docs"] for name in evaluated if name in data}
    # mteb's loader gives a data set with a single split under any name that is asked for.
    taken = {query for qrels in judged.values() for query in qrels}
    if own and all(query in taken for query in own):
        raise FewShotError(
            f"task {unit.name!r} has no split {split!r} of its own: all its queries are those of the evaluation."
        )
    relevant = {
        document
        for qrels in judged.values()
        for found in qrels.values()
        for document, grade in found.items()
        if grade > 0
    }
    best: dict[str, str] = {}
    for query in sorted(own):
        graded = sorted((-grade, document) for document, grade in own[query].items() if grade > 0)
        if query not in taken and graded and graded[0][1] not in relevant:
            best[query] = graded[0][1]
    queries = _texts_by_id(data[split]["queries"], set(best))
    passages = _texts_by_id(data[split]["corpus"], set(best.values()))
    candidates = [
        Candidate(f"{query}/{document}", queries[query], passages[document], "", response_is_label=False)
        for query, document in best.items()
        if query in queries and document in passages
    ]

    def evaluation_texts() -> Iterator[str]:
        for name, qrels in judged.items():
            yield from _texts_by_id(data[name]["queries"], set(qrels)).values()
        for name in judged:
            yield from _texts_by_id(data[name]["corpus"], relevant).values()

    return candidates, evaluation_texts


def _texts_by_id(table: Any, wanted: set[str]) -> dict[str, str]:
    """Return the wanted rows of a queries or corpus table as `title text`."""
    found: dict[str, str] = {}
    has_title = "title" in table.column_names
    ids = [str(value) for value in table["id"]]
    positions = [position for position, value in enumerate(ids) if value in wanted]
    for row in table.select(positions):
        title = row["title"] if has_title else ""
        found[str(row["id"])] = f"{title or ''} {row['text']}".strip()
    return found
