"""The decoder's vectors depend on the text alone: not on its batch, its place or a shortage of memory."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.encoder.decoder import DecoderEncoder, pick_device
from harness.encoder.packed import common_prefix_length
from harness.errors import EncodingError, ModelLoadError, PromptBudgetError
from harness.prompts.profile import ModelProfile, load_profiles
from harness.prompts.template import build_prompt
from tests.encoder.stubs import Pair
from tests.models import varied_texts

pytestmark = pytest.mark.model

BGE = load_profiles()["bge-en-icl"]
PROMPT = build_prompt(BGE.prompt_template, "Given a question, retrieve passages.", [Pair("a b", "c d"), Pair("e", "f")])


@pytest.fixture(
    scope="module", params=[("llama", "naive"), ("bytes", "naive"), ("llama", "shared"), ("bytes", "shared")]
)
def encoder(request: pytest.FixtureRequest, model_dirs: dict[str, Path]) -> DecoderEncoder:
    style, attention = request.param
    return load(model_dirs[style], attention=attention)


def load(directory: Path, profile: ModelProfile = BGE, **options: Any) -> DecoderEncoder:
    return DecoderEncoder(directory, profile, device="cpu", **options)


@pytest.mark.parametrize("side", ["query", "document"])
def test_a_batch_of_one_equals_a_batch_of_many(encoder: DecoderEncoder, side: str) -> None:
    texts = varied_texts(60, seed=11)
    encoder.batch_tokens = 8192
    together, _ = encoder.encode(texts, PROMPT, side, 512)

    alone = np.concatenate([encoder.encode([text], PROMPT, side, 512)[0] for text in texts])

    difference = np.abs(unit(together) - unit(alone)).max()
    assert difference <= 1e-6
    assert np.abs(unit(together)[0] - unit(together)[-1]).max() > 0.1, "the model must tell texts apart to show this"


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def fingerprinting(model_dirs: dict[str, Path]) -> DecoderEncoder:
    """An encoder whose model is replaced by sums over the ids of a row, and that counts what it is given."""
    encoder = load(model_dirs["llama"], attention="naive")
    encoder.embed_dim = 3
    encoder._forward = fake_forward  # type: ignore[method-assign]
    return encoder


def fake_forward(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array([[len(row), sum(row), row[-1]] for row in rows], dtype=np.float32)


@settings(deadline=None, max_examples=200)
@given(
    ids=st.lists(st.lists(st.integers(0, 90), min_size=1, max_size=30), max_size=60),
    budget=st.integers(1, 500),
)
def test_vectors_come_back_in_input_order(fingerprinting: DecoderEncoder, ids: list[list[int]], budget: int) -> None:
    fingerprinting.batch_tokens = budget

    vectors = fingerprinting.encode_ids(ids, [""] * len(ids))

    assert vectors.tolist() == fake_forward(ids).tolist() if ids else vectors.shape == (0, 3)


def test_progress_adds_up_to_all_texts_and_tokens(encoder: DecoderEncoder) -> None:
    seen: list[tuple[int, int]] = []
    texts = varied_texts(40, seed=2)
    encoder.batch_tokens = 700

    encoder.encode(texts, PROMPT, "query", 512, lambda done, tokens: seen.append((done, tokens)))

    ids = encoder.tokenize(texts, PROMPT, "query", 512).ids
    tokens = sum(len(one) for one in ids)
    if encoder.packed is not None:
        # The common beginning goes through the model once, or not at all where an earlier call left it behind.
        encoder.packed.forget_prefix()
        seen.clear()
        encoder.encode(texts, PROMPT, "query", 512, lambda done, count: seen.append((done, count)))
        tokens -= (len(ids) - 1) * common_prefix_length(ids)
    assert (sum(done for done, _ in seen), sum(count for _, count in seen)) == (40, tokens)


def limit_memory(encoder: DecoderEncoder, monkeypatch: pytest.MonkeyPatch, tokens: int, error: RuntimeError) -> None:
    """Let every forward of more than `tokens` tokens fail; padding counts where there is any."""
    owner, name = (encoder, "_forward") if encoder.packed is None else (encoder.packed, "encode_pack")
    forward = getattr(owner, name)

    def limited(rows: Sequence[Sequence[int]]) -> np.ndarray:
        lengths = [len(row) for row in rows]
        if (max(lengths) * len(rows) if encoder.packed is None else sum(lengths)) > tokens:
            raise error
        return np.asarray(forward(rows))

    monkeypatch.setattr(owner, name, limited)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_budget_and_gives_the_same_vectors(
    encoder: DecoderEncoder, error: RuntimeError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    texts = varied_texts(90, seed=8)
    encoder.batch_tokens = 8000
    expected, _ = encoder.encode(texts, PROMPT, "query", 512)
    limit_memory(encoder, monkeypatch, 2100, error)
    done: list[int] = []

    with caplog.at_level(logging.WARNING, logger="harness"):
        vectors, _ = encoder.encode(texts, PROMPT, "query", 512, lambda count, tokens: done.append(count))

    assert np.abs(unit(vectors) - unit(expected)).max() <= 1e-6
    assert encoder.batch_tokens == 2000
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory: token budget halved to 4000",
        "out of memory: token budget halved to 2000",
    ]
    assert sum(done) == 90


def test_out_of_memory_at_a_single_text_names_it(encoder: DecoderEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(encoder, monkeypatch, 100, torch.OutOfMemoryError("CUDA out of memory"))
    encoder.batch_tokens = 4000

    with pytest.raises(EncodingError, match=r"out of memory at a single text of \d+ tokens \('word word"):
        encoder.encode(["short", "word " * 300, "word " * 310], PROMPT, "document", 512)


def limit_prefix(encoder: DecoderEncoder, monkeypatch: pytest.MonkeyPatch, tokens: int) -> list[int]:
    """Let every prefix pass of more than `tokens` tokens fail; returns the sizes of those that went through."""
    packed = encoder.packed
    assert packed is not None
    extend = packed._extend_kept
    passed: list[int] = []

    def limited(ids: list[int], known: int) -> None:
        if len(ids) - known > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        passed.append(len(ids) - known)
        extend(ids, known)

    monkeypatch.setattr(packed, "_extend_kept", limited)
    return passed


LONG_PROMPT = build_prompt(BGE.prompt_template, "Find it.", [Pair("who is it " * 60, "it is this one " * 60)] * 2)


def test_out_of_memory_inside_the_prefix_computes_it_in_smaller_parts(
    model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(model_dirs["bytes"], attention="shared", batch_tokens=4096)
    texts = varied_texts(20, seed=4)
    expected, _ = encoder.encode(texts, LONG_PROMPT, "query", 512)
    assert encoder.packed is not None
    encoder.packed.forget_prefix()
    passed = limit_prefix(encoder, monkeypatch, 100)

    vectors, _ = encoder.encode(texts, LONG_PROMPT, "query", 512)

    assert encoder.batch_tokens == 64
    assert max(passed) <= 64 < sum(passed) == len(encoder.packed.prefix_ids)
    assert np.abs(unit(vectors) - unit(expected)).max() <= 1e-6


def test_a_prefix_that_never_fits_is_named(model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(model_dirs["bytes"], attention="shared")
    assert encoder.packed is not None
    encoder.packed.forget_prefix()
    limit_prefix(encoder, monkeypatch, 0)

    with pytest.raises(
        EncodingError, match=r"out of memory at the \d+ tokens of examples and instruction .*--num-fewshot"
    ):
        encoder.encode(["a", "b"], LONG_PROMPT, "query", 512)


def test_tokenizing_ahead_changes_nothing(model_dirs: dict[str, Path]) -> None:
    encoder = load(model_dirs["llama"])
    first, second = [*varied_texts(12, seed=1), "word " * 100], ["word " * 90, *varied_texts(12, seed=2)]
    expected = [encoder.encode(texts, PROMPT, "query", 64) for texts in (first, second)]

    encoder.tokenize_ahead(first, PROMPT, "query", 64)
    encoder.tokenize_ahead(second, PROMPT, "query", 64)
    found = [encoder.encode(texts, PROMPT, "query", 64) for texts in (first, second)]
    other = encoder.encode(first, PROMPT, "document", 64)

    for (vectors, truncated), (expected_vectors, expected_truncated) in zip(found, expected, strict=True):
        assert np.array_equal(vectors, expected_vectors)
        assert truncated == expected_truncated > 0
    assert not np.allclose(other[0], found[0][0]), "what was tokenised for queries must not serve documents"


def test_an_error_of_the_tokenizer_thread_reaches_the_caller(model_dirs: dict[str, Path]) -> None:
    encoder = load(model_dirs["llama"])

    encoder.tokenize_ahead(["a"], PROMPT, "query", 5)

    with pytest.raises(PromptBudgetError, match="--query-max-tokens 5"):
        encoder.encode(["a"], PROMPT, "query", 5)


def test_another_runtime_error_is_not_taken_for_a_lack_of_memory(
    encoder: DecoderEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(encoder, monkeypatch, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    with pytest.raises(RuntimeError, match="mat1"):
        encoder.encode(["a"], PROMPT, "document", 512)


def test_no_text_gives_no_vector(encoder: DecoderEncoder) -> None:
    vectors, truncated = encoder.encode([], PROMPT, "query", 512)

    assert (vectors.shape, truncated) == ((0, 64), 0)


def test_truncated_counts_the_texts_that_lost_their_end(encoder: DecoderEncoder) -> None:
    texts = ["short", "word " * 600, "also short", "word " * 700]

    assert encoder.encode(texts, PROMPT, "query", 512)[1] == 2
    assert encoder.encode(texts, PROMPT, "document", 512)[1] == 2
    assert max(len(ids) for ids in encoder.tokenize(texts, PROMPT, "document", 512).ids) == 512


def test_a_text_that_just_fits_is_not_truncated(encoder: DecoderEncoder) -> None:
    ids = encoder.tokenize(["word " * 20], PROMPT, "document", 512).ids[0]

    assert encoder.tokenize(["word " * 20], PROMPT, "document", len(ids)).truncated == 0
    assert encoder.tokenize(["word " * 20], PROMPT, "document", len(ids) - 1).truncated == 1


def test_an_instruction_that_fills_the_budget_is_refused(encoder: DecoderEncoder) -> None:
    prompt = build_prompt(BGE.prompt_template, "classify " * 40)

    with pytest.raises(PromptBudgetError, match=r"--query-max-tokens 32 leaves .* Use at least \d+\."):
        encoder.tokenize(["a"], prompt, "query", 32)


def test_the_least_budget_of_that_message_works(encoder: DecoderEncoder) -> None:
    with pytest.raises(PromptBudgetError) as raised:
        encoder.tokenize(["a"], PROMPT, "query", 8)
    least = int(str(raised.value).rsplit(" ", 1)[1].rstrip("."))

    assert encoder.tokenize(["a"], PROMPT, "query", least).ids
    with pytest.raises(PromptBudgetError):
        encoder.tokenize(["a"], PROMPT, "query", least - 1)


def test_clean_tokenization_reads_the_text_once(model_dirs: dict[str, Path]) -> None:
    encoder = load(model_dirs["llama"], tokenization="clean")
    text = "  two blanks <query> 😀"

    ids = encoder.tokenize([text], PROMPT, "query", 512).ids[0]

    assert ids == encoder.tokenizer(PROMPT.render_query(text))["input_ids"]


def test_bfloat16_on_the_cpu_is_near_float32(model_dirs: dict[str, Path]) -> None:
    texts = ["a question", "heat and water"]
    exact, _ = load(model_dirs["llama"]).encode(texts, PROMPT, "document", 512)
    rough = load(model_dirs["llama"], dtype="bfloat16")

    vectors, _ = rough.encode(texts, PROMPT, "document", 512)

    assert (rough.dtype, vectors.dtype) == ("bfloat16", np.float32)
    assert (unit(vectors) * unit(exact)).sum(axis=1).min() > 0.9


def test_cuda_without_a_device_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ModelLoadError, match=r"^--device cuda: torch sees no CUDA device here\. Use --device cpu\.$"):
        pick_device("cuda")


def test_a_model_that_looks_ahead_is_refused(model_dirs: dict[str, Path], tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    directory = tmp_path / "bge-en-icl-bidirectional"
    shutil.copytree(model_dirs["llama"], directory)
    (directory / "model.safetensors").unlink()
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=800, initializer_range=0.3, **sizes)).save_pretrained(directory)

    with pytest.raises(ModelLoadError, match="this is no causal decoder"):
        load(directory)
