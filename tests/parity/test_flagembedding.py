"""Our inputs and vectors are FlagICLModel's (PyPI FlagEmbedding 1.4.2), and the published token ids come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.encoder.decoder import DecoderEncoder
from harness.encoder.tokenization import PromptTokenizer, load_tokenizer
from harness.prompts.profile import ModelProfile, load_profiles
from harness.prompts.template import TaskPrompt, build_prompt
from tests.models import ICL_TOKENS, Ends, build_mistral_tokenizer, build_model, mistral_v1_file, varied_texts

pytestmark = pytest.mark.reference

TOLERANCE = 1e-5
INSTRUCTION = "Given a question, retrieve passages that answer the {question} 'as is'."
GOLDENS = Path(__file__).parent / "transformers4_ids.json"


@dataclass(frozen=True)
class Pair:
    query: str
    response: str


EXAMPLES = [
    Pair("what is a virtual interface", "A virtual interface is a software-defined one.\n\nIt mimics hardware."),
    Pair("  leading blank and 😀", "réponse with trailing blank "),
    Pair("שאלה", "word " * 40),
    Pair("braces {text} {} {0}", "tab\there"),
    Pair("do n't ask", "▁marked"),
]


@pytest.fixture(scope="module")
def flag_icl_class() -> Any:
    """FlagICLModel, or a skip that says what was not checked."""
    try:
        from FlagEmbedding import FlagICLModel
    except ImportError as error:
        pytest.skip(
            f"PARITY WITH FlagICLModel NOT CHECKED: FlagEmbedding is not installed ({error}); pip install '.[reference]'"
        )
    return FlagICLModel


@pytest.fixture(scope="module")
def bge() -> ModelProfile:
    return load_profiles()["bge-en-icl"]


@pytest.fixture(scope="module", params=["llama", "bytes"])
def directory(request: pytest.FixtureRequest, model_dirs: dict[str, Path]) -> Path:
    return model_dirs[request.param]


@pytest.fixture(scope="module")
def ours(directory: Path, bge: ModelProfile) -> DecoderEncoder:
    return DecoderEncoder(directory, bge, device="cpu", dtype="float32")


class Reference:
    """FlagICLModel on the CPU in fp32, with a record of what reached its model."""

    def __init__(self, flag_icl_class: Any, directory: Path, num_fewshot: int, **options: Any) -> None:
        shown = [{"query": one.query, "response": one.response} for one in EXAMPLES[:num_fewshot]]
        self.model = flag_icl_class(
            str(directory),
            use_fp16=False,
            devices="cpu",
            query_instruction_for_retrieval=INSTRUCTION,
            examples_for_task=shown or None,
            **options,
        )
        self.rows: list[list[int]] = []
        forward = self.model.model.forward

        def recording(*args: Any, **inputs: Any) -> Any:
            for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
                self.rows.append(ids[mask.bool()].tolist())
            return forward(*args, **inputs)

        self.model.model.forward = recording

    def encode(self, texts: list[str], side: str, lengths: Sequence[int]) -> tuple[list[list[int]], np.ndarray]:
        """Return what the model was fed for each text, and the vectors.

        Args:
            texts: N texts.
            side: query or document.
            lengths: tokens that each text is expected to have; they undo FlagICLModel's sorting, and if they are wrong
                the ids differ as well.
        """
        self.rows.clear()
        batch_size = 8
        encode = self.model.encode_queries if side == "query" else self.model.encode_corpus
        vectors = np.asarray(encode(texts, batch_size=batch_size))
        order = np.argsort([-length for length in lengths])  # as icl.py sorts; the same call, as it is not stable
        fed: list[list[int]] = [[] for _ in texts]
        probe = min(batch_size, len(texts))  # icl.py runs the first batch twice
        for position, row in zip(order, self.rows[probe:], strict=True):
            fed[position] = row
        return fed, vectors


def prompt_of(profile: ModelProfile, num_fewshot: int) -> TaskPrompt:
    return build_prompt(profile.prompt_template, INSTRUCTION, EXAMPLES[:num_fewshot])


def assert_same(
    reference: Reference, encoder: DecoderEncoder, prompt: TaskPrompt, side: str, texts: list[str]
) -> None:
    ids = encoder.tokenize(texts, prompt, side, 512).ids
    vectors, _ = encoder.encode(texts, prompt, side, 512)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    fed, expected = reference.encode(texts, side, [len(row) for row in ids])

    different = [repr(text[:60]) for text, mine, theirs in zip(texts, ids, fed, strict=True) if mine != theirs]
    assert not different, f"{len(different)} of {len(texts)} texts have other token ids: {different[:5]}"
    worst = float(np.abs(vectors - expected).max())
    print(f"{side} k={prompt.num_fewshot}: {len(texts)} texts, max |difference| {worst:.1e}")  # noqa: T201
    assert worst <= TOLERANCE


@pytest.mark.parametrize("num_fewshot", [0, 1, 3, 5])
def test_queries_equal_flag_icl_model(
    num_fewshot: int, flag_icl_class: Any, directory: Path, ours: DecoderEncoder, bge: ModelProfile
) -> None:
    texts = varied_texts(240, seed=num_fewshot)

    reference = Reference(flag_icl_class, directory, num_fewshot)

    assert_same(reference, ours, prompt_of(bge, num_fewshot), "query", texts)


def test_documents_equal_flag_icl_model(
    flag_icl_class: Any, directory: Path, ours: DecoderEncoder, bge: ModelProfile
) -> None:
    reference = Reference(flag_icl_class, directory, 3)

    assert_same(reference, ours, prompt_of(bge, 3), "document", varied_texts(240, seed=9))
