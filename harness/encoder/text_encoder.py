"""Texts in, scored-ready vectors out: checks, de-duplication, the store and normalisation around a model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from harness.encoder.checks import check_texts, check_vectors
from harness.encoder.memory_store import MemoryStore, VectorStore, text_key
from harness.encoder.sources import ModelSource
from harness.encoder.words import FittedBackend
from harness.prompts.profile import ModelProfile
from harness.prompts.template import TaskPrompt
from harness.types import Side

Advance = Callable[[int, int], None]
SLICE_TEXTS = 1024
"""Texts that are encoded, checked and handed to the store together, while the next slice is tokenised."""
ENCODER_VERSION = 1
"""Counts changes of this program that change vectors; vectors of another version are never served."""


class Backend(Protocol):
    """A loaded model: DecoderEncoder, SentenceEncoder, and the baselines of harness/encoder/words.py."""

    profile: ModelProfile
    device: str
    dtype: str
    embed_dim: int
    batch_tokens: int
    attention: str
    tokenizer_repaired: bool

    @property
    def tokenization(self) -> str:
        """How texts become ids."""

    def encode(
        self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int, advance: Advance | None = None
    ) -> tuple[np.ndarray, int]:
        """Return vectors `[N, D]` float32, not normalised, and the number of texts that were cut."""


@runtime_checkable
class TokenizesAhead(Protocol):
    """A backend that can tokenise the next texts while it encodes others."""

    def tokenize_ahead(self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int) -> None:
        """Begin to tokenise what a later `encode` will be called with."""


@dataclass
class EncodeStats:
    """What a task or a run cost; counts of texts, not of distinct texts, unless said."""

    texts: int = 0
    """Texts that were asked for."""
    encoded: int = 0
    """Distinct texts that went through the model; the others came from the store."""
    tokens: int = 0
    """Tokens that went through the model."""
    truncated: int = 0
    """Encoded texts that lost their end to the length limit."""
    empty: int = 0
    """Encoded texts without a visible character."""
    seconds: float = 0.0

    @property
    def from_store(self) -> int:
        """Texts that needed no encoding."""
        return self.texts - self.encoded

    def add(self, other: EncodeStats) -> None:
        """Add another count to this one."""
        self.texts += other.texts
        self.encoded += other.encoded
        self.tokens += other.tokens
        self.truncated += other.truncated
        self.empty += other.empty
        self.seconds += other.seconds


@dataclass
class TextEncoder:
    """A loaded model with its identity, its lengths and the store of its vectors."""

    backend: Backend
    source: ModelSource
    query_max_tokens: int
    document_max_tokens: int
    store: VectorStore = field(default_factory=MemoryStore)
    on_start: Callable[[int, str], Advance | None] | None = None
    """Called with the number of texts to encode and a title; returns the progress callback."""
    lasting: bool = True
    """Whether vectors are worth keeping on disk; those of a baseline are cheaper to make than to read."""

    def identity(self) -> dict[str, str | int | bool]:
        """Return everything but the prompt and the text that a vector depends on."""
        backend = self.backend
        return {
            "encoder_version": ENCODER_VERSION,
            # Across major versions of transformers the same tokenizer files gave other ids (docs/prompts.md).
            "transformers": importlib.metadata.version("transformers").split(".")[0],
            "weights_sha": self.source.weights_sha,
            "tokenizer_sha": self.source.tokenizer_sha,
            "profile": backend.profile.name,
            "pooling": backend.profile.pooling,
            "begin_token": backend.profile.begin_token or "",
            "end_token": backend.profile.end_token or "",
            "tokenization": backend.tokenization,
            "dtype": backend.dtype,
        }

    def vector_scope(self, prompt: TaskPrompt, side: Side) -> str:
        """Return the hash of all that the vector of a text of this side depends on, the text apart.

        A document's scope holds neither instruction nor examples, so that all values of k share its vectors.
        """
        parts = {
            **self.identity(),
            "side": side,
            "prompt": prompt.query_fingerprint if side == "query" else prompt.document_template,
            "max_tokens": self.query_max_tokens if side == "query" else self.document_max_tokens,
        }
        if isinstance(self.backend, FittedBackend):
            parts["fitted"] = self.backend.fitted
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def prepare(self, texts: Callable[[], Iterable[str]]) -> None:
        """Hand a task's texts to a model whose vectors depend on them, before any of them is encoded.

        Args:
            texts: gives all texts of the task; called only by such a model.
        """
        if isinstance(self.backend, FittedBackend):
            self.backend.fit(texts())

    def encode(
        self, texts: Sequence[object], prompt: TaskPrompt, side: Side, *, normalize: bool, where: str
    ) -> tuple[np.ndarray, EncodeStats]:
        """Encode texts of one side of a task.

        Args:
            texts: N texts.
            prompt: the task's prompt.
            side: which template they take.
            normalize: divide every vector by its Euclidean length.
            where: task and side, for messages.

        Returns:
            Vectors `[N, D]` float32 in the order of the texts, and what it cost.

        Raises:
            InputTextError: a text that cannot be encoded.
            EncodingError: a vector that must not be scored.
        """
        started = time.perf_counter()
        checked = check_texts(texts, where)
        scope = self.vector_scope(prompt, side)
        keys = [text_key(scope, text) for text in checked]
        known = self.store.get(keys)
        missing: dict[bytes, str] = {key: text for key, text in zip(keys, checked, strict=True) if key not in known}
        stats = EncodeStats(texts=len(checked), encoded=len(missing))
        if missing:
            if len(set(keys)) > SLICE_TEXTS:
                # By length, so that a slice holds texts of like length. The order depends on the texts of the call alone, so that
                # what a killed process left to do is the rest of the same order, in the same batches, with the same rounding.
                missing = dict(sorted(missing.items(), key=lambda item: -len(item[1])))
            self._encode_missing(missing, known, prompt, side, stats, where)
        vectors = (
            np.stack([known[key] for key in keys]) if keys else np.zeros((0, self.backend.embed_dim), dtype=np.float32)
        )
        if normalize:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        stats.seconds = time.perf_counter() - started
        return vectors, stats

    def _encode_missing(
        self,
        missing: dict[bytes, str],
        known: dict[bytes, np.ndarray],
        prompt: TaskPrompt,
        side: Side,
        stats: EncodeStats,
        where: str,
    ) -> None:
        report = self.on_start(len(missing), where) if self.on_start else None

        def advance(done: int, tokens: int) -> None:
            stats.tokens += tokens
            if report is not None:
                report(done, tokens)

        limit = self.query_max_tokens if side == "query" else self.document_max_tokens
        # Slices, so that a kill loses at most one of them and the tokenizer can run ahead of the model.
        items = list(missing.items())
        slices = [items[start : start + SLICE_TEXTS] for start in range(0, len(items), SLICE_TEXTS)]
        ahead = self.backend if isinstance(self.backend, TokenizesAhead) and len(slices) > 1 else None
        for number, one in enumerate(slices):
            if ahead is not None:
                for later in slices[number + 1 : number + 2] if number else slices[:2]:
                    ahead.tokenize_ahead([text for _, text in later], prompt, side, limit)
            keys, texts = zip(*one, strict=True)
            vectors, truncated = self.backend.encode(texts, prompt, side, limit, advance)
            check_vectors(vectors, texts, self.backend.embed_dim, where)
            self.store.put(keys, vectors)
            known.update(zip(keys, vectors, strict=True))
            stats.truncated += truncated
            stats.empty += sum(not text.strip() for text in texts)
