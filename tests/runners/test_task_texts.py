"""All texts of a task, in each form in which mteb holds them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from harness.runners.task_texts import task_texts

ROWS = Dataset.from_list([{"sentence1": "one", "sentence2": "two", "score": 0.5, "label": "no text"}])
LISTS = Dataset.from_list([{"sentences": ["three", "four"], "labels": ["a", "b"]}])
RETRIEVAL = {
    "corpus": Dataset.from_list(
        [{"id": "d1", "title": "Title", "text": "five"}, {"id": "d2", "title": "", "text": "six"}]
    ),
    "queries": Dataset.from_list([{"id": "q1", "text": "seven"}]),
    "relevant_docs": {"q1": {"d1": 1}},
    "top_ranked": {"q1": ["d1", "d2"]},
}


@pytest.mark.parametrize(
    ("dataset", "texts"),
    [
        ({"test": ROWS}, ["one", "two"]),
        (DatasetDict({"train": ROWS, "test": LISTS}), ["one", "two", "three", "four"]),
        ({"default": DatasetDict({"test": LISTS})}, ["three", "four"]),
        ({"default": {"test": RETRIEVAL}}, ["Title five", "six", "seven"]),
    ],
    ids=["a mapping of tables", "a DatasetDict", "subsets of DatasetDicts", "retrieval"],
)
def test_every_text_comes_once_and_no_label_or_id(dataset: Any, texts: list[str]) -> None:
    assert list(task_texts(SimpleNamespace(dataset=dataset))) == texts  # type: ignore[arg-type]
