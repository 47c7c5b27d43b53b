"""Few-shot is only real if the demonstrations' token ids are in what the model is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mteb import get_task

from harness.encoder.packed import PREFIX_BLOCK_TOKENS
from harness.prompts.template import TaskPrompt, build_prompt, fill
from harness.registry.registry import Registry
from harness.runners.adapter import ICLEncoder, load_encoder
from tests.encoder.stubs import BGE, Pair

pytestmark = pytest.mark.model

TEXTS = ["how do I change the pin of my card", "", "a" * 4000]


def missing_examples(ids: Sequence[int], expected: Sequence[Sequence[int]]) -> list[int]:
    """Return the numbers of the demonstrations whose ids do not stand in `ids`, each behind the one before it."""
    missing, at = [], 0
    for number, wanted in enumerate(expected):
        size = len(wanted)
        found = next((i for i in range(at, len(ids) - size + 1) if list(ids[i : i + size]) == list(wanted)), None)
        if found is None:
            missing.append(number)
        else:
            at = found + size
    return missing


def demonstration_ids(backend: Any, instruction: str, examples: Sequence[Any]) -> list[list[int]]:
    """Return the ids of each demonstration with its separator; both ends lie at special tokens."""
    template = BGE.prompt_template
    strings = [
        fill(template.example or "", instruction=instruction, query=one.query, response=one.response)
        + template.separator
        for one in examples
    ]
    return [backend.tokenizer(one, add_special_tokens=False)["input_ids"] for one in strings]


class Fed:
    """The ids that entered the model, one entry per row of a forward pass."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []

    def watch(self, encoder: ICLEncoder) -> ICLEncoder:
        """Record from now on what reaches the embedding matrix of an encoder's model."""
        backend: Any = encoder.text_encoder.backend

        def record(_module: Any, inputs: tuple[Any, ...]) -> None:
            self.rows += inputs[0].tolist()

        backend.model.get_input_embeddings().register_forward_pre_hook(record)
        return encoder

    def first(self) -> tuple[list[int], list[list[int]]]:
        """Return what went in first, the blocks of a shared prefix joined, and the rows behind it."""
        count = next(number for number, row in enumerate(self.rows, start=1) if len(row) != PREFIX_BLOCK_TOKENS)
        return [one for row in self.rows[:count] for one in row], self.rows[count:]


@pytest.fixture
def fed() -> Fed:
    return Fed()


def encode(encoder: ICLEncoder, task_name: str) -> None:
    metadata = get_task(task_name).metadata
    encoder.encode([{"text": TEXTS}], task_metadata=metadata, hf_split="test", hf_subset="default")


@pytest.mark.parametrize("tokenization", ["official", "official-4x", "clean"])
@pytest.mark.parametrize("model", ["embedded", "llama", "bytes"])
def test_every_example_reaches_the_model_in_order(
    model: str, tokenization: str, model_dirs: dict[str, Path], fed: Fed
) -> None:
    options = {"num_fewshot": "all", "tokenization": tokenization, "attention": "naive"}
    encoder = fed.watch(load_encoder(str(model_dirs.get(model, model)), **options))
    task = Registry.load().get("Banking77Classification")
    expected = demonstration_ids(encoder.text_encoder.backend, task.instruction().text, task.examples)

    encode(encoder, "Banking77Classification")

    assert len(task.examples) >= 8
    assert len(fed.rows) == len(TEXTS)
    for row in fed.rows:
        assert missing_examples(row, expected) == []
        assert row[1 : 1 + sum(map(len, expected))] == [one for ids in expected for one in ids]


@pytest.mark.parametrize("model", ["embedded", "llama", "bytes"])
def test_a_shared_prefix_holds_every_example_and_is_computed_once(
    model: str, model_dirs: dict[str, Path], fed: Fed
) -> None:
    options = {"num_fewshot": "all", "attention": "shared"}
    encoder = fed.watch(load_encoder(str(model_dirs.get(model, model)), **options))
    task = Registry.load().get("Banking77Classification")
    expected = demonstration_ids(encoder.text_encoder.backend, task.instruction().text, task.examples)

    encode(encoder, "Banking77Classification")

    prefix, rest = fed.first()
    assert missing_examples(prefix, expected) == []
    assert rest
    assert all(missing_examples(row, expected)[:1] == [0] for row in rest)


@pytest.mark.parametrize("attention", ["naive", "shared"])
@pytest.mark.parametrize("dropped", range(8))
def test_the_check_fails_if_an_example_is_missing(dropped: int, attention: str, fed: Fed) -> None:
    encoder = fed.watch(load_encoder("embedded", num_fewshot=8, attention=attention))
    task = Registry.load().get("Banking77Classification")
    expected = demonstration_ids(encoder.text_encoder.backend, task.instruction().text, task.examples[:8])
    left = [one for number, one in enumerate(task.examples[:8]) if number != dropped]
    spoilt = build_prompt(BGE.prompt_template, task.instruction().text, left)
    choice = encoder.policy.for_registered("Banking77Classification")
    encoder.choices["Banking77Classification"] = replace(choice, prompt=spoilt)

    encode(encoder, "Banking77Classification")

    assert missing_examples(fed.first()[0], expected) == [dropped]


def test_the_check_fails_if_examples_are_in_another_order() -> None:
    expected = [[1, 2, 3], [4, 5]]

    assert missing_examples([9, 1, 2, 3, 4, 5, 9], expected) == []
    assert missing_examples([9, 4, 5, 1, 2, 3, 9], expected) == [1]


def test_zero_shot_feeds_no_example(fed: Fed) -> None:
    encoder = fed.watch(load_encoder("embedded", num_fewshot=0, attention="naive"))
    backend: Any = encoder.text_encoder.backend

    encode(encoder, "Banking77Classification")

    marker = backend.tokenizer.convert_tokens_to_ids("<instruct>")
    assert all(row.count(marker) == 1 for row in fed.rows)


def test_examples_change_the_vectors_and_zero_shot_equals_an_empty_list(model_dirs: dict[str, Path]) -> None:
    encoder = load_encoder(str(model_dirs["llama"]), num_fewshot=0).text_encoder

    def vectors(*examples: Pair) -> np.ndarray:
        prompt: TaskPrompt = build_prompt(BGE.prompt_template, "Classify.", examples)
        encoder.store.__init__()  # type: ignore[misc]
        return encoder.encode(["a question"], prompt, "query", normalize=True, where="x")[0]

    zero = encoder.encode(
        ["a question"], build_prompt(BGE.prompt_template, "Classify."), "query", normalize=True, where="x"
    )[0]

    assert np.array_equal(vectors(), zero)
    assert np.abs(vectors(Pair("a", "b")) - zero).max() > 0.01
    assert np.abs(vectors(Pair("a", "b")) - vectors(Pair("a", "c"))).max() > 0.01
