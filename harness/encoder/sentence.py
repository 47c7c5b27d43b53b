"""A sentence-transformers pipeline as a text encoder, for models that take no examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.encoder.decoder import DTYPES, LOAD_ERRORS, Advance, pick_device, pick_dtype
from harness.errors import ModelLoadError
from harness.prompts.profile import ModelProfile
from harness.prompts.template import TaskPrompt

CHUNK_TEXTS = 4096


class SentenceEncoder:
    """Encodes texts with the model's own pipeline (pooling and modules of its modules.json)."""

    kind = "sentence-transformer"
    tokenization = "model"
    tokenizer_repaired = False

    def __init__(
        self,
        directory: Path,
        profile: ModelProfile,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the pipeline.

        Raises:
            ModelLoadError: the directory cannot be loaded by sentence-transformers.
        """
        from sentence_transformers import SentenceTransformer

        self.profile = profile
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype, self.device)
        if not (directory / "modules.json").is_file():
            # sentence-transformers would make up a mean-pooling pipeline for any model.
            raise ModelLoadError(
                f"{directory} has no modules.json, so it is no sentence-transformers model, which profile "
                f"{profile.name!r} needs. Is this the right --profile?"
            )
        try:
            self.model = SentenceTransformer(
                str(directory),
                device=self.device,
                trust_remote_code=trust_remote_code,
                model_kwargs={"dtype": DTYPES[self.dtype]},
            )
        except LOAD_ERRORS as error:
            raise ModelLoadError(
                f"{directory}: the model cannot be loaded: {' '.join(str(error).split())[:300]}"
            ) from error
        self.model.eval()
        self.embed_dim = int(self.model.get_embedding_dimension() or 0)
        self.batch_tokens = batch_tokens or 32 * profile.document_max_tokens
        self.attention = "model"

    def encode(
        self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int, advance: Advance | None = None
    ) -> tuple[np.ndarray, int]:
        """Encode texts of one side; see DecoderEncoder.encode."""
        self.model.max_seq_length = max_tokens
        render = prompt.render_query if side == "query" else prompt.render_document
        # The pipeline pads to the longest text of a batch and sorts by length itself.
        batch_size = max(1, self.batch_tokens // max_tokens)
        vectors: list[np.ndarray] = []
        truncated = 0
        for start in range(0, len(texts), CHUNK_TEXTS):
            chunk = [render(text) for text in texts[start : start + CHUNK_TEXTS]]
            lengths = self._lengths(chunk)
            truncated += sum(length > max_tokens for length in lengths)
            encoded = self.model.encode(chunk, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
            vectors.append(np.asarray(encoded, dtype=np.float32))
            if advance is not None:
                advance(len(chunk), sum(min(length, max_tokens) for length in lengths))
        return (np.concatenate(vectors) if vectors else np.zeros((0, self.embed_dim), np.float32)), truncated

    def _lengths(self, texts: list[str]) -> list[int]:
        encoded = self.model.tokenizer(texts, truncation=False, add_special_tokens=True, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]
