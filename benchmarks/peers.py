"""The models and peers of the speed measurements: one tiny Mistral, encoded by us, FlagICLModel and sentence-transformers."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query."
SHAPE = {
    "hidden_size": 512,
    "intermediate_size": 1792,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "initializer_range": 0.02,
}
"""28.3 M linear parameters: the largest shape whose peers finish on two cores."""


@dataclass(frozen=True)
class Example:
    """One few-shot example."""

    query: str
    response: str


def build_tiny_mistral(folder: Path) -> Path:
    """Write the model (fixed seed) with a byte-level BPE tokenizer in bge-en-icl's format."""
    from tests.models import build_model

    directory = folder / "bge-en-icl-tiny"
    return directory if directory.is_dir() else build_model(directory, style="bytes", **SHAPE)


def texts_of(tokenizer: Any, lengths: Sequence[int], seed: int) -> list[str]:
    """Return texts of about the wanted numbers of tokens."""
    from tests.models import WORDS

    rng = random.Random(seed)
    texts = []
    for length in lengths:
        words: list[str] = []
        while len(tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]) < length:
            words += [rng.choice(WORDS) for _ in range(max(1, length // 4 - len(words)))] or [rng.choice(WORDS)]
        texts.append(" ".join(words))
    return texts


def query_lengths(count: int, seed: int = 1) -> list[int]:
    """Return query lengths of 10 to 60 tokens."""
    rng = random.Random(seed)
    return [rng.randint(10, 45) for _ in range(count)]


def document_lengths(count: int, seed: int = 2) -> list[int]:
    """Return document lengths as MSMARCO's passages have them: log-normal, mean 79 tokens, at most 300."""
    rng = np.random.default_rng(seed)
    return [int(min(300, max(8, value))) for value in rng.lognormal(np.log(71), 0.45, count)]


def load_ours(directory: Path, attention: str, dtype: str = "float32", device: str = "cpu") -> Any:
    """Load our encoder."""
    from harness.encoder.decoder import DecoderEncoder
    from harness.prompts.profile import load_profiles

    return DecoderEncoder(directory, load_profiles()["bge-en-icl"], device=device, dtype=dtype, attention=attention)  # type: ignore[arg-type]


def prompt_of(encoder: Any, examples: Sequence[Example]) -> Any:
    """Return the prompt with some examples."""
    from harness.prompts.template import build_prompt

    return build_prompt(encoder.profile.prompt_template, INSTRUCTION, examples)


def examples_of(tokenizer: Any, count: int = 5, tokens: int = 540) -> list[Example]:
    """Return examples whose prefix, template and instruction included, has about `tokens` tokens."""
    each = tokens // count - 45
    queries = texts_of(tokenizer, [each // 4] * count, 11)
    responses = texts_of(tokenizer, [each - each // 4] * count, 12)
    return [Example(query, response) for query, response in zip(queries, responses, strict=True)]


def load_flag_icl(directory: Path, examples: Sequence[Example]) -> Callable[[list[str], int], np.ndarray]:
    """Load FlagICLModel on the same weights; returns encode(queries, batch_size)."""
    from FlagEmbedding import FlagICLModel

    model = FlagICLModel(
        str(directory),
        query_instruction_for_retrieval=INSTRUCTION,
        examples_for_task=[{"instruct": INSTRUCTION, "query": one.query, "response": one.response} for one in examples]
        or None,
        use_fp16=False,
        devices="cpu",
        normalize_embeddings=False,
    )
    return lambda queries, batch_size: np.asarray(model.encode_queries(queries, batch_size=batch_size), np.float32)


def load_sentence_transformer(directory: Path) -> Callable[[list[str], str, str], np.ndarray]:
    """Load sentence-transformers on the same weights, pooled on the last token; returns encode(texts, prefix, suffix)."""
    from sentence_transformers import SentenceTransformer, models

    transformer = models.Transformer(str(directory), max_seq_length=2048)
    pooling = models.Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken")
    pipeline = SentenceTransformer(modules=[transformer, pooling], device="cpu")

    def encode(texts: list[str], prefix: str, suffix: str) -> np.ndarray:
        strings = [prefix + text + suffix for text in texts]
        return np.asarray(pipeline.encode(strings, batch_size=32, show_progress_bar=False), np.float32)

    return encode
