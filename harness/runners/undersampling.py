"""mteb's draw of few labelled texts, without its price.

For each of its experiments a Classification task looks at the label of every row of its train split, through a lazy column that
reads the data set again for each: 8 seconds an experiment at Emotion's 16,000 rows, half an hour at AmazonPolarity's 3.6
million. With the labels in a list the same rows are drawn in a hundredth of that.
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
    """Give a Classification task the labels as a list while it draws; tasks with a draw of their own stay as they are."""
    from mteb.abstasks.classification import AbsTaskClassification

    if getattr(type(task), "_undersample_data", None) is not AbsTaskClassification._undersample_data:
        return
    instance: Any = task
    draw = instance._undersample_data
    listed: list[_ListedLabels] = []

    def draw_from_list(dataset: Dataset, *arguments: Any, **named: Any) -> Any:
        if not listed or listed[0].dataset is not dataset:
            listed[:] = [_ListedLabels(dataset, instance.label_column_name)]
        return draw(listed[0], *arguments, **named)

    instance._undersample_data = draw_from_list
