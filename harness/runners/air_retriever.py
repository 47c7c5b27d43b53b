"""Our encoder as air-benchmark's retriever, for scripts that call `AIRBench(...).run(retriever)`.

The package tells a retriever the language and neither domain nor data set (air-benchmark 0.1.0, `evaluator.py`). One retriever
thus has one prompt per language, unless its caller names the set. `icl-harness run --benchmark AIR-Bench_24.05` gives every
set its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import ConfigError
from harness.registry.air_bench import air_bench_task_name
from harness.registry.air_bench_layout import model_folder
from harness.runners.adapter import ICLEncoder, load_encoder
from harness.search.topk import StreamingTopK

TASK_TYPE_SETS = {"qa": ("wiki", "default"), "long-doc": ("arxiv", "llm-survey")}
"""Task type -> domain and data set whose instruction and examples stand for all of it; wiki is there in every language."""
_CHUNK = 50_000


class AirRetriever:
    """What air-benchmark calls a retriever: `search_top_k`, a name, and a call. It keeps nothing between calls."""

    def __init__(
        self, encoder: ICLEncoder, *, task: str | None = None, task_type: str = "qa", search_top_k: int = 1000
    ) -> None:
        """Wrap an encoder; see `load_air_retriever`."""
        if task_type not in TASK_TYPE_SETS:
            raise ConfigError(f"task_type {task_type!r} is none of {', '.join(TASK_TYPE_SETS)}.")
        if task is not None:
            encoder.policy.registry.get(task)
        self.encoder = encoder
        self.task = task
        self.task_type = task_type
        self.search_top_k = search_top_k

    def __str__(self) -> str:
        return model_folder(self.encoder.text_encoder.source.model_name, self.encoder.policy.configuration)

    def task_for(self, language: str) -> str:
        """Return the registered set whose prompt queries of a language get."""
        domain, dataset = TASK_TYPE_SETS[self.task_type]
        return self.task or air_bench_task_name(self.task_type, domain, language, dataset)

    def __call__(
        self,
        corpus: Mapping[str, Mapping[str, Any]],
        queries: Mapping[str, str],
        *,
        language: str = "en",
        **_kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Search.

        Args:
            corpus: document id -> `{"text": ...}`.
            queries: query id -> text.
            language: language code; the package always gives it.

        Returns:
            Query id -> document id -> score, best first: cosine similarity.

        Raises:
            TaskNotFoundError: no set of this task type in the language has a prompt.
            EncodingError: a vector that must not be scored.
        """
        name = self.task_for(language)
        prompt = self.encoder.policy.for_registered(name).prompt
        encode = self.encoder.text_encoder.encode
        vectors, _ = encode(list(queries.values()), prompt, "query", normalize=True, where=f"{name} (queries)")
        ids = list(corpus)
        best = StreamingTopK(vectors, ids, self.search_top_k, device=self.encoder.search_device)
        for start in range(0, len(ids), _CHUNK):
            texts = [corpus[one]["text"] for one in ids[start : start + _CHUNK]]
            found, _ = encode(texts, prompt, "document", normalize=True, where=f"{name} (documents)")
            best.add(found)
        return best.result().as_dicts(list(queries), ids)


def load_air_retriever(
    model: str, *, task: str | None = None, task_type: str = "qa", search_top_k: int = 1000, **options: Any
) -> AirRetriever:
    """Load a model as a retriever of air-benchmark.

    Args:
        model: as in `load_encoder`.
        task: registered set whose instruction and examples are used (`air-bench/qa/law/en`); None takes those of the task
            type in the language of the call.
        task_type: `qa` or `long-doc`.
        search_top_k: documents per query; the board takes 1000.
        options: those of `load_encoder` (num_fewshot, examples, device, ...).

    Raises:
        ConfigError: a wrong argument, or a model that does not fit its profile.
        TaskNotFoundError: no such set.
    """
    encoder = load_encoder(model, **options)
    return AirRetriever(encoder, task=task, task_type=task_type, search_top_k=search_top_k)
