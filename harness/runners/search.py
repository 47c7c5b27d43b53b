"""mteb's `SearchProtocol` for our encoder: retrieval and reranking by streaming exact search.

mteb prefers `index` and `search` of an encoder that has them to its own wrapper. All that this needs of mteb's private
helpers (how title, conversation and instruction become one text) is wrapped here and nowhere else.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb._create_dataloaders import (
    _combine_queries_with_instruction_text,
    _convert_conv_history_to_query,
    _corpus_to_dict,
)
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType

from harness.errors import ConfigError, ResultSchemaError
from harness.search.rerank import rerank
from harness.search.topk import Scoring, StreamingTopK, as_dicts

if TYPE_CHECKING:
    from datasets import Dataset
    from mteb import TaskMetadata

logger = logging.getLogger(__name__)

CORPUS_CHUNK = 50_000
"""Documents encoded at a time, as in mteb: what is sorted by length together, and what is held in memory."""

Results = dict[str, dict[str, float]]


class SearchMixin:
    """`index` and `search` on top of an encoder's `encode`."""

    mteb_model_meta: ModelMeta
    encode: Callable[..., np.ndarray]
    corpus_chunk = CORPUS_CHUNK
    _corpus: Dataset | None = None

    @property
    def search_device(self) -> str:
        """Torch device on which scores are computed."""
        return "cpu"

    def index(
        self,
        corpus: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],
        num_proc: int | None = None,
        **_kwargs: Any,
    ) -> None:
        """Take the corpus; it is encoded chunk by chunk while searching, never held as a whole.

        Args:
            corpus: data set with `id`, `text` and perhaps `title`.
            task_metadata: task that the corpus belongs to.
            hf_split: split.
            hf_subset: subset.
            encode_kwargs: mteb's arguments for `encode`.
            num_proc: not used.
        """
        self._corpus = corpus

    def search(
        self,
        queries: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **_kwargs: Any,
    ) -> Results:
        """Return the best documents of every query.

        Args:
            queries: data set with `id`, `text` and perhaps `instruction`.
            task_metadata: task that the queries belong to.
            hf_split: split.
            hf_subset: subset.
            top_k: number of documents per query.
            encode_kwargs: mteb's arguments for `encode`.
            top_ranked: candidates to rerank by query id; None searches the whole corpus. As with mteb, a query without
                candidates gets no document.
            num_proc: not used.

        Returns:
            Query id -> document id -> score.

        Raises:
            ConfigError: no corpus was indexed, or the task's texts or the model's similarity are not supported.
            EncodingError: a vector or score that must not be used.
            ResultSchemaError: a candidate that is not in the corpus.
        """
        if self._corpus is None:
            raise ConfigError("search before index: no corpus was given.")
        corpus, self._corpus = self._corpus, None

        def encode(texts: Sequence[object], prompt_type: PromptType) -> np.ndarray:
            if "text" not in task_metadata.get_modalities(prompt_type):
                raise ConfigError(f"task {task_metadata.name!r} is not a text task ({prompt_type.value} side).")
            return self.encode(
                [{"text": texts}],
                task_metadata=task_metadata,
                hf_split=hf_split,
                hf_subset=hf_subset,
                prompt_type=prompt_type,
                **encode_kwargs,
            )

        query_ids = list(queries["id"])
        vectors = encode(query_texts(queries), PromptType.query)
        scoring = self._scoring()
        if top_ranked is None:
            ids = list(corpus["id"])
            best = StreamingTopK(vectors, ids, top_k, scoring=scoring, device=self.search_device)
            for texts in self._chunks(corpus):
                best.add(encode(texts, PromptType.document))
            return best.result().as_dicts(query_ids, ids)
        corpus, ids, candidates = _candidates(corpus, query_ids, top_ranked, task_metadata.name)
        blocks = (encode(texts, PromptType.document) for texts in self._chunks(corpus))
        ranked = rerank(vectors, blocks, candidates, ids, top_k, scoring=scoring, device=self.search_device)
        return as_dicts(ranked, query_ids, ids)

    def _scoring(self) -> Scoring:
        name = self.mteb_model_meta.similarity_fn_name
        if name is ScoringFunction.COSINE:
            return "cosine"
        if name is ScoringFunction.DOT_PRODUCT:
            return "dot"
        raise ConfigError(f"search knows cosine and dot product, not {name}.")

    def _chunks(self, corpus: Dataset) -> Iterator[list[object]]:
        for start in range(0, len(corpus), self.corpus_chunk):
            yield document_texts(corpus, start, start + self.corpus_chunk)


def _candidates(
    corpus: Dataset, query_ids: Sequence[str], top_ranked: Mapping[str, Sequence[str]], task: str
) -> tuple[Dataset, list[str], list[list[int]]]:
    """Return the part of the corpus that is a candidate of some query, its ids, and each query's positions in it."""
    position = {document_id: number for number, document_id in enumerate(corpus["id"])}
    asked: list[list[int]] = []
    for query_id in query_ids:
        if query_id not in top_ranked:
            logger.warning("%s: query %s has no candidates; it gets no document", task, query_id)
        names = top_ranked.get(query_id) or ()
        unknown = [name for name in names if name not in position]
        if unknown:
            raise ResultSchemaError(f"{task}: candidate {unknown[0]!r} of query {query_id!r} is not in the corpus.")
        asked.append([position[name] for name in names])
    needed = sorted({number for row in asked for number in row})
    place = {number: index for index, number in enumerate(needed)}
    part = corpus if len(needed) == len(corpus) else corpus.select(needed)
    return part, list(part["id"]), [[place[number] for number in row] for row in asked]


def document_texts(corpus: Dataset, start: int, stop: int) -> list[object]:
    """Return the texts of some documents as mteb's dataloader makes them: title and text, joined and stripped.

    A text that is no string is handed on as it is, for the encoder to refuse with its number.
    """
    columns = [name for name in ("id", "title", "text") if name in corpus.column_names]
    chunk = corpus.select_columns(columns)[start:stop]
    titles = chunk.get("title") or [None] * len(chunk["id"])
    texts: list[object] = []
    for document_id, title, text in zip(chunk["id"], titles, chunk["text"], strict=True):
        if isinstance(text, str):
            row = {"id": document_id, "text": text}
            texts.append(_corpus_to_dict({**row, "title": title} if title else row)["text"])
        else:
            texts.append(text)
    return texts


def query_texts(queries: Dataset) -> list[object]:
    """Return the texts of the queries as mteb's dataloader makes them: conversations joined, instructions added."""
    if not len(queries):
        return []
    if isinstance(queries[0]["text"], list):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a conversation without roles is taken as the user's
            return [_convert_conv_history_to_query(dict(row))["text"] for row in queries]
    if not all(isinstance(text, str) for text in queries["text"]):
        return list(queries["text"])  # for the encoder to refuse
    return list(_combine_queries_with_instruction_text(queries)["text"])
