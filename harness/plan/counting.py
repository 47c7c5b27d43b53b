"""Counting a task's texts by going through its evaluation with a model that only counts.

mteb asks this encoder for exactly what it would ask a real one, and our own code around the model (de-duplication, the store of
the task) decides which of it would be encoded: so the counts are those of a run, whatever a protocol samples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.encoder.memory_store import MemoryStore
from harness.encoder.sources import ModelSource
from harness.encoder.text_encoder import Advance, TextEncoder
from harness.plan.lengths import TokenCurve
from harness.plan.statistics import Overlap, TaskStatistics, TextGroup
from harness.plan.tokenizers import TokenCounter
from harness.prompts.profile import ModelProfile
from harness.prompts.template import TaskPrompt
from harness.registry.registry import Registry
from harness.runners.adapter import ICLEncoder
from harness.runners.evaluate import evaluate_unit
from harness.runners.prompts import PromptPolicy
from harness.runners.search import document_texts, query_texts
from harness.runners.tasks import TaskUnit, make_task

if TYPE_CHECKING:
    from mteb import TaskMetadata
    from mteb.types import PromptType

logger = logging.getLogger(__name__)

_DIM = 4
Seen = dict[str, dict[str, tuple[int, ...]]]
"""Side (`query`, `document`) -> text -> its tokens by each counter."""


@dataclass
class _Tally:
    """What was counted for one group."""

    texts: int = 0
    calls: int = 0
    chars: list[int] = field(default_factory=list)
    lengths: dict[str, list[int]] = field(default_factory=dict)


class _CountingBackend:
    """A model that notes what it is given and returns vectors that mean nothing."""

    device = "cpu"
    dtype = "float32"
    embed_dim = _DIM
    batch_tokens = 1
    attention = "none"
    tokenizer_repaired = False
    tokenization = "none"

    def __init__(self, profile: ModelProfile, counters: Mapping[str, TokenCounter]) -> None:
        self.profile = profile
        self.counters = counters
        self.tally = _Tally()
        self.seen: Seen = {}
        self._random = np.random.default_rng(0)

    def encode(
        self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int, advance: Advance | None = None
    ) -> tuple[np.ndarray, int]:
        """Count texts."""
        self.tally.calls += 1
        self.tally.chars += [len(text) for text in texts]
        lengths = {family: counter.lengths(texts) for family, counter in self.counters.items()}
        for family, counted in lengths.items():
            self.tally.lengths.setdefault(family, []).extend(counted)
        rows = zip(*lengths.values(), strict=True)
        self.seen.setdefault(side, {}).update(zip(texts, rows, strict=True))
        return self._random.standard_normal((len(texts), _DIM)).astype(np.float32), 0


class _CountingEncoder(ICLEncoder):
    """mteb adapter of the counting model; searches return one document, so that nothing is scored at length."""

    def __init__(self, encoder: TextEncoder, backend: _CountingBackend, policy: PromptPolicy) -> None:
        super().__init__(encoder, policy)
        self.backend = backend
        self.tallies: dict[tuple[str, str, str], _Tally] = {}

    def encode(
        self,
        inputs: Iterable[dict[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Count one call's texts."""
        side = "" if prompt_type is None else str(prompt_type.value)
        self.backend.tally = self.tallies.setdefault((side, hf_split, hf_subset), _Tally())
        vectors = super().encode(
            inputs,
            task_metadata=task_metadata,
            hf_split=hf_split,
            hf_subset=hf_subset,
            prompt_type=prompt_type,
            **kwargs,
        )
        self.backend.tally.texts += len(vectors)
        return vectors

    def search(
        self,
        queries: Any,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **_kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Count queries and documents; of a reranking task only the candidates, as the real search does."""
        from mteb.types import PromptType

        corpus: Any = self._corpus
        self._corpus = None
        query_ids = list(queries["id"])
        where: dict[str, Any] = {"task_metadata": task_metadata, "hf_split": hf_split, "hf_subset": hf_subset}
        self.encode([{"text": query_texts(queries)}], **where, prompt_type=PromptType.query)
        if top_ranked is not None:
            wanted = {name for query_id in query_ids for name in top_ranked.get(query_id) or ()}
            corpus = corpus.select([number for number, name in enumerate(corpus["id"]) if name in wanted])
        for start in range(0, len(corpus), self.corpus_chunk):
            texts = document_texts(corpus, start, start + self.corpus_chunk)
            self.encode([{"text": texts}], **where, prompt_type=PromptType.document)
        first = str(corpus["id"][0])
        return {query_id: {first: 1.0} for query_id in query_ids}


def count_task(
    unit: TaskUnit, registry: Registry, profile: ModelProfile, counters: Mapping[str, TokenCounter]
) -> tuple[TaskStatistics, Seen]:
    """Count the texts of a task whose data is on this machine.

    Args:
        unit: the task.
        registry: the registry of the session.
        profile: decides which texts count as equal (queries and documents are kept apart by their prompts).
        counters: tokenizer family -> counter.

    Returns:
        The counts, and the distinct texts, for `find_overlaps`.

    Raises:
        DatasetUnavailableError: the data cannot be loaded.
        TaskFailedError: mteb cannot evaluate it.
    """
    backend = _CountingBackend(profile, counters)
    encoder = TextEncoder(
        backend=backend,
        source=ModelSource("icl-harness/counting", "0", Path(), "0", "0"),
        query_max_tokens=1 << 30,
        document_max_tokens=1 << 30,
        store=MemoryStore(),
    )
    policy = PromptPolicy(registry=registry, profile=profile, num_fewshot=0)
    counting = _CountingEncoder(encoder, backend, policy)
    task: Any = make_task(unit)
    if hasattr(task, "evaluator_model"):
        from sklearn.dummy import DummyClassifier

        task.evaluator_model = DummyClassifier()  # what is fitted on vectors without meaning is of no use
    evaluate_unit(counting, unit, task, configuration="k0", limit=None, run_id="plan")
    groups = tuple(_group(key, tally) for key, tally in counting.tallies.items())
    statistics = TaskStatistics(name=unit.name, counted=True, splits=tuple(task.eval_splits), groups=groups)
    return statistics, backend.seen


def find_overlaps(seen: Mapping[str, Seen], families: Sequence[str]) -> list[Overlap]:
    """Return the texts that several tasks have, grouped by the tasks that have them.

    Args:
        seen: task -> its distinct texts.
        families: names of the counters, in their order.
    """
    tasks_of: dict[tuple[str, str], list[str]] = {}
    for task, sides in seen.items():
        for side, texts in sides.items():
            for text in texts:
                tasks_of.setdefault((side, text), []).append(task)
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[int, ...]]] = {}
    for (side, text), tasks in tasks_of.items():
        if len(tasks) > 1:
            groups.setdefault((side, tuple(sorted(tasks))), []).append(seen[tasks[0]][side][text])
    return [
        Overlap(
            side,
            frozenset(tasks),
            {family: TokenCurve.of([row[place] for row in rows]) for place, family in enumerate(families)},
        )
        for (side, tasks), rows in sorted(groups.items())
    ]


def _group(key: tuple[str, str, str], tally: _Tally) -> TextGroup:
    side, split, subset = key
    chars = np.asarray(tally.chars, dtype=np.int64)
    return TextGroup(
        side=side,
        split=split,
        subset=subset,
        texts=tally.texts,
        distinct=len(chars),
        exact=True,
        calls=tally.calls,
        mean_chars=float(chars.mean()) if len(chars) else 0.0,
        max_chars=int(chars.max()) if len(chars) else 0,
        curves={family: TokenCurve.of(lengths) for family, lengths in tally.lengths.items()},
    )
