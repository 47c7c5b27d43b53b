"""The encoder as mteb sees it: an `EncoderProtocol` that puts each task's prompt in front of each text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction

from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.text_encoder import EncodeStats, TextEncoder
from harness.errors import ConfigError
from harness.prompts.shots import parse_num_fewshot
from harness.registry.registry import CURATED_EXAMPLES, DEFAULT_INSTRUCTIONS, Registry
from harness.runners.prompts import PromptChoice, PromptPolicy
from harness.runners.search import SearchMixin

if TYPE_CHECKING:
    from mteb import TaskMetadata
    from mteb.types import PromptType


class ICLEncoder(SearchMixin, AbsEncoder):  # type: ignore[misc]  # mteb is not followed by the type checker
    """mteb adapter of one model at one number of few-shot examples.

    `mteb.evaluate(ICLEncoder(...), tasks)` works as it does with any mteb model; `experiment_kwargs` holds the prompt
    fingerprint and everything else that changes scores, so that mteb's own result cache cannot mix two settings.
    """

    def __init__(self, text_encoder: TextEncoder, policy: PromptPolicy) -> None:
        """Wrap a loaded model; see `load_encoder` for the convenient way."""
        self.text_encoder = text_encoder
        self.policy = policy
        self.stats = EncodeStats()
        self.choices: dict[str, PromptChoice] = {}
        self.mteb_model_meta = self._model_meta()

    def _model_meta(self) -> ModelMeta:
        encoder, policy = self.text_encoder, self.policy
        shots = "all" if policy.num_fewshot is None else policy.num_fewshot
        return ModelMeta.create_empty(
            {
                "name": encoder.source.model_name,
                "revision": encoder.source.revision,
                "embed_dim": encoder.backend.embed_dim,
                "max_tokens": encoder.query_max_tokens,
                "framework": ["PyTorch"],
                "similarity_fn_name": ScoringFunction.COSINE,
                "use_instructions": True,
                "experiment_kwargs": {
                    "num_fewshot": shots,
                    "examples_set": policy.registry.examples_set if policy.num_fewshot != 0 else "none",
                    "instructions": policy.instructions,
                    "prompts": policy.fingerprint()[:16],
                    "weights": encoder.source.weights_sha[:16],
                    "dtype": encoder.backend.dtype,
                    "tokenization": encoder.backend.tokenization,
                    "query_max_tokens": encoder.query_max_tokens,
                    "document_max_tokens": encoder.document_max_tokens,
                },
            }
        )

    @property
    def search_device(self) -> str:
        """Device on which retrieval scores are computed: the model's own if it is a CUDA device."""
        device = str(self.text_encoder.backend.device)
        return device if device.startswith("cuda") else "cpu"

    def prompt_for(self, metadata: TaskMetadata) -> PromptChoice:
        """Return (and remember) the prompt of a task; the parts of an aggregate resolve through the registry."""
        choice = self.choices.get(metadata.name)
        if choice is None:
            choice = self.choices[metadata.name] = self.policy.for_metadata(metadata)
        return choice

    def encode(
        self,
        inputs: Iterable[dict[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **_kwargs: Any,
    ) -> np.ndarray:
        """Encode one call's texts.

        Args:
            inputs: batches of mteb's dataloader; their `text` column is read.
            task_metadata: task or part that the texts belong to.
            hf_split: split, for messages only.
            hf_subset: subset, for messages only.
            prompt_type: query, document or None; with the task type it decides the side.

        Returns:
            `[N, D]` float32, normalised unless the profile says otherwise for the task type, in input order.

        Raises:
            ConfigError: the task is not a text task.
            EncodingError: a vector that must not be scored.
        """
        texts: list[object] = []
        for batch in inputs:
            if "text" not in batch:
                raise ConfigError(f"task {task_metadata.name!r} has inputs without text ({', '.join(batch)}).")
            texts += list(batch["text"])
        task_type = str(task_metadata.type)
        profile = self.policy.profile
        side = profile.side(task_type, None if prompt_type is None else str(prompt_type.value))
        vectors, stats = self.text_encoder.encode(
            texts,
            self.prompt_for(task_metadata).prompt,
            side,
            normalize=profile.normalizes(task_type),
            where=f"{task_metadata.name} ({hf_split}, {hf_subset}, {side} side)",
        )
        self.stats.add(stats)
        return vectors


def load_encoder(
    model: str,
    *,
    num_fewshot: int | str = "all",
    examples: str = CURATED_EXAMPLES,
    instructions: str = DEFAULT_INSTRUCTIONS,
    registry_dirs: Iterable[str | Path] = (),
    **options: Any,
) -> ICLEncoder:
    """Load a model as an mteb encoder.

    Args:
        model: `embedded`, `all-MiniLM-L6-v2`, a model directory, or a hub id such as `BAAI/bge-en-icl`.
        num_fewshot: number of examples in front of every query, or "all" that the task has.
        examples: `curated`, or a folder of example files.
        instructions: instruction set, `default` or `mteb`.
        registry_dirs: folders with further task files.
        options: fields of EncoderOptions (revision, profile, device, dtype, batch_tokens, query_max_tokens, ...).

    Raises:
        ConfigError: a wrong argument, an unknown model, or a model that does not fit its profile.
    """
    shots = parse_num_fewshot(num_fewshot)
    registry = Registry.load([Path(folder) for folder in registry_dirs], examples=examples)
    encoder = load_text_encoder(model, EncoderOptions(**options))
    policy = PromptPolicy(
        registry=registry, profile=encoder.backend.profile, num_fewshot=shots, instructions=instructions
    )
    return ICLEncoder(encoder, policy)
