"""Names of the field that several parts share."""

from __future__ import annotations

from typing import Literal, get_args

TaskType = Literal[
    "Classification",
    "Clustering",
    "PairClassification",
    "Reranking",
    "Retrieval",
    "STS",
    "Summarization",
]
TASK_TYPES: tuple[str, ...] = get_args(TaskType)

Side = Literal["query", "document"]

# A retrieval task has a plain document side; in a symmetric task every text carries the prompt, because
# the authors' runner sends them all through `encode_queries` (FlagEmbedding evaluation/mteb/searcher.py).
ASYMMETRIC_TYPES = frozenset({"Retrieval", "Reranking"})
SYMMETRIC_TYPES = frozenset(TASK_TYPES) - ASYMMETRIC_TYPES


def side_of(task_type: str, prompt_type: str | None) -> Side:
    """Return which template a text takes.

    Args:
        task_type: mteb task type. A type outside the seven (BitextMining, InstructionRetrieval, ...) puts the
            prompt on every text that is not marked as a document.
        prompt_type: mteb's `PromptType` value: "query", "document" or None.

    Returns:
        "query" for a text that carries instruction and examples, "document" for a bare one.
    """
    if task_type in SYMMETRIC_TYPES:
        return "query"
    return "document" if prompt_type == "document" else "query"
