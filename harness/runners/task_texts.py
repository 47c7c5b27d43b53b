"""All texts of a loaded mteb task, for a baseline that is fitted on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.audit.sources import NO_TEXT_COLUMNS

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_ROWS = 1024


def task_texts(task: AbsTask) -> Iterator[str]:
    """Return every text of a task's loaded splits: train rows, queries and corpus included, labels and ids not.

    A document's title and text are one text, as the model reads them.
    """
    dataset: Any = task.dataset
    yield from _texts(dataset)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):  # a DatasetDict too, which has a table's attributes
        # Judgements and candidate lists of retrieval are mappings of ids.
        for name, value in node.items():
            if name not in ("relevant_docs", "top_ranked"):
                yield from _texts(value)
    elif hasattr(node, "column_names") and hasattr(node, "select_columns"):
        yield from _rows(node)


def _rows(table: Any) -> Iterator[str]:
    names = [name for name in table.column_names if name not in NO_TEXT_COLUMNS]
    if not names:
        return
    texts = table.select_columns(names)
    for start in range(0, len(texts), _ROWS):
        columns: dict[str, list[Any]] = texts[start : start + _ROWS]
        for row in zip(*columns.values(), strict=True):
            values = dict(zip(columns, row, strict=True))
            title, text = values.get("title"), values.get("text")
            if isinstance(title, str) and isinstance(text, str):
                del values["title"]
                values["text"] = f"{title} {text}".strip()
            for value in values.values():
                yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _strings(one)
