"""Small stand-ins of the encoder tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.encoder.sources import ModelSource
from harness.encoder.text_encoder import TextEncoder
from harness.prompts.profile import ModelProfile, load_profiles
from harness.prompts.template import TaskPrompt

BGE = load_profiles()["bge-en-icl"]


@dataclass(frozen=True)
class Pair:
    """A few-shot example without its origin."""

    query: str
    response: str


@dataclass
class StubBackend:
    """A model whose vectors come from a hash of the rendered text; it notes what it was asked to encode."""

    profile: ModelProfile = BGE
    device: str = "cpu"
    dtype: str = "float32"
    embed_dim: int = 8
    batch_tokens: int = 4096
    tokenization: str = "official"
    attention: str = "none"
    tokenizer_repaired: bool = False
    rendered: list[str] = field(default_factory=list)
    spoil: Callable[[np.ndarray], np.ndarray] = lambda vectors: vectors

    def encode(
        self,
        texts: Sequence[str],
        prompt: TaskPrompt,
        side: str,
        max_tokens: int,
        advance: Callable[[int, int], None] | None = None,
    ) -> tuple[np.ndarray, int]:
        """Return one vector per text, none of length 1."""
        render = prompt.render_query if side == "query" else prompt.render_document
        strings = [render(text) for text in texts]
        self.rendered += strings
        if advance is not None:
            advance(len(texts), sum(map(len, texts)))
        rows = [np.frombuffer(hashlib.sha256(one.encode()).digest()[:8], dtype=np.uint8) for one in strings]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), 8) + 1.0
        return self.spoil(vectors), sum(len(text) > max_tokens for text in texts)


def stub_source(**changes: str) -> ModelSource:
    """Return the source of a model that has no files."""
    values = {"weights_sha": "w" * 64, "tokenizer_sha": "t" * 64, "revision": "r" * 16, **changes}
    return ModelSource(model_name="local/stub", directory=Path("/nowhere"), **values)


def stub_encoder(backend: StubBackend | None = None, source: ModelSource | None = None) -> TextEncoder:
    """Return a TextEncoder around a stub."""
    return TextEncoder(
        backend=backend or StubBackend(),
        source=source or stub_source(),
        query_max_tokens=512,
        document_max_tokens=512,
    )
