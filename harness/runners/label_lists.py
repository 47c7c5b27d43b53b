"""Labels of Classification tasks as lists: mteb's own draws and scores, without their price.

In each of its experiments mteb looks at the label of every row of the train split, and hands those of the evaluated split to seven
metrics, through a lazy column of `datasets` that reads the table again for each label: 8 seconds an experiment at Emotion's 16,000
rows, half an hour at AmazonPolarity's 3.6 million. With lists it takes the same rows and numbers and no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset
    from mteb.abstasks import AbsTask


class _ListedLabels:
    """A data set of which one column is a list; all that the draw asks of it."""

    def __init__(self, dataset: Dataset, column: str) -> None:
        self.dataset = dataset
        self.select = dataset.select
        self._column, self._labels = column, list(dataset[column])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, column: str) -> Any:
        return self._labels if column == self._column else self.dataset[column]


def read_labels_once(task: AbsTask) -> None:
    """Give a Classification task its labels as lists; other types, and a draw of a task's own, stay as they are."""
    from mteb.abstasks.classification import AbsTaskClassification

    if not isinstance(task, AbsTaskClassification):
        return
    instance: Any = task
    score = instance._calculate_scores
    instance._calculate_scores = lambda gold, predicted: score(gold[:], predicted)
    if type(task)._undersample_data is not AbsTaskClassification._undersample_data:
        return
    draw = instance._undersample_data
    listed: list[_ListedLabels] = []

    def draw_from_list(dataset: Dataset, *arguments: Any, **named: Any) -> Any:
        if not listed or listed[0].dataset is not dataset:
            listed[:] = [_ListedLabels(dataset, instance.label_column_name)]
        return draw(listed[0], *arguments, **named)

    instance._undersample_data = draw_from_list
