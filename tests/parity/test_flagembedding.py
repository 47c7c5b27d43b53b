"""Our inputs and vectors are FlagICLModel's (PyPI FlagEmbedding 1.4.2)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.encoder.decoder import DecoderEncoder
from harness.prompts.profile import ModelProfile, load_profiles
from harness.prompts.template import TaskPrompt, build_prompt
from tests.encoder.stubs import Pair
from tests.models import Ends, Style, build_model, varied_texts

pytestmark = pytest.mark.reference

TOLERANCE = 1e-5
INSTRUCTION = "Given a question, retrieve passages that answer the {question} 'as is'."


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
def ours(directory: Path, bge: ModelProfile) -> list[DecoderEncoder]:
    return both_paths(directory, bge)


def both_paths(directory: Path, profile: ModelProfile) -> list[DecoderEncoder]:
    """Return our encoder with whole inputs and, where that is exact, with a shared prefix."""
    return [
        DecoderEncoder(directory, profile, device="cpu", dtype="float32", attention="naive"),
        DecoderEncoder(directory, profile, device="cpu", dtype="float32", attention="auto"),
    ]


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

    def encode(
        self, texts: list[str], side: str, lengths: Sequence[int], batch_size: int
    ) -> tuple[list[list[int]], np.ndarray]:
        """Return what the model was fed for each text, and the vectors.

        Args:
            texts: N texts.
            side: query or document.
            lengths: tokens that each text is expected to have; they undo FlagICLModel's sorting, and if they are wrong
                the ids differ as well.
            batch_size: FlagICLModel's own.
        """
        self.rows.clear()
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


def largest_difference(
    reference: Reference,
    encoders: Sequence[DecoderEncoder],
    prompt: TaskPrompt,
    side: str,
    texts: list[str],
    batch_size: int = 1,
) -> float:
    """Assert that the token ids are equal and return the largest difference of normalised vectors.

    FlagICLModel pads on the left, which moves a short text of a batch to higher positions, and the rounding of the
    rotary angles there moves its vector by up to 4e-5 at these weights. A batch of one has no padding.
    """
    ids = encoders[0].tokenize(texts, prompt, side, 512).ids

    fed, expected = reference.encode(texts, side, [len(row) for row in ids], batch_size)

    different = [repr(text[:60]) for text, mine, theirs in zip(texts, ids, fed, strict=True) if mine != theirs]
    assert not different, f"{len(different)} of {len(texts)} texts have other token ids: {different[:5]}"
    worst = []
    for encoder in encoders:
        vectors, _ = encoder.encode(texts, prompt, side, 512)
        worst.append(float(np.abs(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) - expected).max()))
        print(
            f"{side} k={prompt.num_fewshot} {encoder.attention}: {len(texts)} texts, max |difference| {worst[-1]:.1e}"
        )
    return max(worst)


@pytest.mark.parametrize("num_fewshot", [0, 1, 3, 5])
def test_queries_equal_flag_icl_model(
    num_fewshot: int, flag_icl_class: Any, directory: Path, ours: list[DecoderEncoder], bge: ModelProfile
) -> None:
    texts = varied_texts(200, seed=num_fewshot)

    reference = Reference(flag_icl_class, directory, num_fewshot)

    assert largest_difference(reference, ours, prompt_of(bge, num_fewshot), "query", texts) <= TOLERANCE


def test_documents_equal_flag_icl_model(
    flag_icl_class: Any, directory: Path, ours: list[DecoderEncoder], bge: ModelProfile
) -> None:
    reference = Reference(flag_icl_class, directory, 3)

    assert largest_difference(reference, ours, prompt_of(bge, 3), "document", varied_texts(200, seed=9)) <= TOLERANCE


def test_padded_batches_differ_by_the_rounding_of_flag_icl_model_alone(
    flag_icl_class: Any, directory: Path, ours: list[DecoderEncoder], bge: ModelProfile
) -> None:
    texts = varied_texts(48, seed=3)
    prompt = prompt_of(bge, 3)
    exact = exact_vectors(ours[0], ours[0].tokenize(texts, prompt, "query", 512).ids)
    reference = Reference(flag_icl_class, directory, 3)

    difference = largest_difference(reference, ours, prompt, "query", texts, batch_size=16)

    for encoder in ours:
        vectors, _ = encoder.encode(texts, prompt, "query", 512)
        assert np.abs(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) - exact).max() <= TOLERANCE
    assert difference <= 2e-4


@torch.inference_mode()
def exact_vectors(encoder: DecoderEncoder, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Return normalised vectors computed one by one in double precision."""
    model = copy.deepcopy(encoder.model).double()
    rows = [model(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0, -1] for row in ids]
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()


@pytest.mark.parametrize("style", ["llama", "bytes"])
@pytest.mark.parametrize("ends", ["begin", "none"])
def test_a_tokenizer_without_end_token_is_repaired_to_the_proper_one(
    style: Style, ends: Ends, flag_icl_class: Any, model_dirs: dict[str, Path], bge: ModelProfile, tmp_path: Path
) -> None:
    broken = build_model(tmp_path / "bge-en-icl-broken", style=style, ends=ends)
    texts = varied_texts(45, seed=5)

    encoders = both_paths(broken, bge)

    assert all(encoder.tokenizer_repaired for encoder in encoders)
    reference = Reference(flag_icl_class, model_dirs[style], 1)
    assert largest_difference(reference, encoders, prompt_of(bge, 1), "query", texts) <= TOLERANCE
    assert largest_difference(reference, encoders, prompt_of(bge, 1), "document", texts) <= TOLERANCE


def test_a_sliding_window_shorter_than_the_prompt_equals_flag_icl_model(
    flag_icl_class: Any, bge: ModelProfile, tmp_path: Path
) -> None:
    directory = build_model(tmp_path / "bge-en-icl-window", sliding_window=96, layers=3)
    reference = Reference(flag_icl_class, directory, 3)

    texts = varied_texts(50, seed=6)
    assert largest_difference(reference, both_paths(directory, bge), prompt_of(bge, 3), "query", texts) <= TOLERANCE
