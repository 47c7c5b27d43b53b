"""Labels as lists: the rows that mteb draws and the scores that it computes, from labels read once."""

from __future__ import annotations

from typing import Any

import mteb
import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.runners.label_lists import read_labels_once

pytestmark = pytest.mark.model


def draws(task: Any, dataset: Dataset) -> list[tuple[list[int], list[int], list[dict[str, Any]]]]:
    """Draw as an evaluation does: each experiment goes on from the order of the one before."""
    order, found = None, []
    for experiment in range(3):
        rows, order, chosen = task._undersample_data(dataset, experiment, order)
        found.append((list(order), chosen, rows.to_list()))
    return found


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_rows_drawn_are_mtebs_own(labels: list[int], as_text: bool) -> None:
    dataset = Dataset.from_dict(
        {
            "text": [f"text {place}" for place in range(len(labels))],
            "label": [str(one) if as_text else one for one in labels],
        }
    )
    theirs, ours = mteb.get_task("EmotionClassification"), mteb.get_task("EmotionClassification")
    read_labels_once(ours)

    assert draws(ours, dataset) == draws(theirs, dataset)


def test_another_data_set_is_not_drawn_by_the_labels_of_the_first() -> None:
    task = mteb.get_task("EmotionClassification")
    read_labels_once(task)
    first = Dataset.from_dict({"text": list("abcd"), "label": [0, 0, 1, 1]})
    second = Dataset.from_dict({"text": list("abcdef"), "label": [2, 2, 2, 3, 3, 3]})
    untouched = mteb.get_task("EmotionClassification")

    assert draws(task, first) == draws(untouched, first)
    assert draws(task, second) == draws(untouched, second)


def test_the_labels_are_read_once_for_all_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    task = mteb.get_task("EmotionClassification")
    read_labels_once(task)
    dataset = Dataset.from_dict({"text": list("abcd"), "label": [0, 0, 1, 1]})
    read, original = [], Dataset.__getitem__
    monkeypatch.setattr(Dataset, "__getitem__", lambda self, key: read.append(key) or original(self, key))

    for experiment in range(3):
        task._undersample_data(dataset, experiment)

    assert read == ["label"]


@given(st.integers(2, 4), st.data())
@settings(max_examples=20, deadline=None)
def test_scores_are_mtebs_own(classes: int, data: st.DataObject) -> None:
    labels = st.lists(st.integers(0, classes - 1), min_size=20, max_size=20)
    gold = Dataset.from_dict({"label": [*range(classes), *data.draw(labels)]})["label"]
    predicted = np.array([*range(classes), *data.draw(labels)])
    theirs, ours = mteb.get_task("EmotionClassification"), mteb.get_task("EmotionClassification")
    read_labels_once(ours)

    assert dict(ours._calculate_scores(gold, predicted)) == dict(theirs._calculate_scores(gold, predicted))


@pytest.mark.parametrize("name", ["STSBenchmark", "SciFact", "TwentyNewsgroupsClustering"])
def test_tasks_of_other_types_stay_as_they_are(name: str) -> None:
    task = mteb.get_task(name)
    before = dict(vars(task))
    read_labels_once(task)

    assert vars(task) == before
