"""The packaged model is what its card says: a small Mistral in bge-en-icl's format, the same vectors everywhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from harness.encoder.embedded import embedded_directory
from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.sources import resolve_source
from harness.errors import ConfigError
from harness.prompts.profile import find_profile
from harness.prompts.template import build_prompt
from harness.registry.spec import FewShotExample

pytestmark = pytest.mark.model

DIRECTORY = embedded_directory()
CARD = (DIRECTORY / "README.md").read_text(encoding="utf-8")
# Another number of threads sums in another order: some units in the last place of float32 numbers of size 1.
THREADS_BOUND = 1e-5
TEXTS = ["A dog barks.", "", "\n", "two lines\nof text", "é\U0001f600", "word " * 600]
EXAMPLES = [
    FewShotExample(query="a cup of tea on the table", response="tea", origin="test"),
    FewShotExample(query="he bought milk for the cat", response="milk", origin="test"),
    FewShotExample(query="the guests had wine", response="wine", origin="test"),
]


def encoder(**options: str) -> object:
    return load_text_encoder("embedded", EncoderOptions(**options)).backend


def prompt(examples: list[FewShotExample]) -> object:
    return build_prompt(find_profile("embedded").template, "Find the label.", examples)


def test_weights_stay_within_the_stated_size_and_are_float16() -> None:
    path = DIRECTORY / "model.safetensors"
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping

    assert sum(tensor.size for tensor in tensors.values()) <= 8_000_000
    assert path.stat().st_size <= 16_000_000
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float16"}
    assert json.loads((DIRECTORY / "config.json").read_text())["model_type"] == "mistral"


def test_card_names_the_weights_and_their_size() -> None:
    sha = hashlib.sha256((DIRECTORY / "model.safetensors").read_bytes()).hexdigest()
    with safe_open(DIRECTORY / "model.safetensors", "np") as file:
        parameters = sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118

    assert re.findall(r"sha256 `([0-9a-f]{64})`", CARD) == [sha]
    assert f"{parameters:,} parameters" in CARD


def test_source_has_no_remark_and_comes_from_the_package() -> None:
    source = resolve_source("embedded")

    assert (source.model_name, source.label, source.directory) == ("icl-harness/embedded", "", DIRECTORY)


def test_tokenizer_lower_cases_and_keeps_special_tokens_whole() -> None:
    tokenizer = encoder().tokenizer  # type: ignore[attr-defined]

    assert tokenizer("A Dog barks")["input_ids"] == tokenizer("a dog BARKS")["input_ids"]
    assert tokenizer.convert_tokens_to_ids(["<s>", "</s>", "<instruct>", "<query>", "<response>"]) == [1, 2, 3, 4, 5]
    ids = tokenizer("<instruct>Find it.\n<query>a dog\n<response>")["input_ids"]
    assert (ids[0], ids[1], ids[-2], ids[-1]) == (1, 3, 5, 2)
    assert len(tokenizer) <= 8192


def test_every_text_gets_a_finite_vector_that_is_not_zero() -> None:
    for side in ("query", "document"):
        vectors, _ = encoder().encode(TEXTS, prompt(EXAMPLES), side, 512)  # type: ignore[attr-defined]

        assert np.isfinite(vectors).all()
        assert (np.linalg.norm(vectors, axis=1) > 0).all()


def test_shared_prefix_and_plain_forward_give_the_same_vectors() -> None:
    shared, _ = encoder(attention="shared").encode(TEXTS, prompt(EXAMPLES), "query", 512)  # type: ignore[attr-defined]
    plain, _ = encoder(attention="naive").encode(TEXTS, prompt(EXAMPLES), "query", 512)  # type: ignore[attr-defined]

    cosine = (shared * plain).sum(1) / (np.linalg.norm(shared, axis=1) * np.linalg.norm(plain, axis=1))
    assert cosine.min() > 1 - 1e-4


def test_vectors_are_the_same_again_and_within_the_bound_at_two_threads() -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 1, 2):
            torch.set_num_threads(number)
            vectors, _ = encoder().encode(TEXTS[:1] + TEXTS[3:], prompt(EXAMPLES), "query", 512)  # type: ignore[attr-defined]
            found.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    finally:
        torch.set_num_threads(threads)

    assert (found[0] == found[1]).all()
    assert np.abs(found[0] - found[2]).max() <= THREADS_BOUND


def test_label_examples_turn_a_query_towards_what_they_ask_for() -> None:
    query = ["the violinist drank a glass of beer in the old barn beside a rose"]
    model = encoder()
    plain, _ = model.encode(query, prompt([]), "query", 512)  # type: ignore[attr-defined]
    steered, _ = model.encode(query, prompt(EXAMPLES), "query", 512)  # type: ignore[attr-defined]
    labels, _ = model.encode(["beer", "barn", "rose"], prompt([]), "document", 512)  # type: ignore[attr-defined]

    def likeness(vectors: np.ndarray) -> np.ndarray:
        found: np.ndarray = labels @ vectors[0] / np.linalg.norm(labels, axis=1) / np.linalg.norm(vectors[0])
        return found

    assert likeness(steered)[0] > likeness(plain)[0]
    assert likeness(steered).argmax() == 0


def test_static_bag_has_a_vector_for_every_token() -> None:
    with safe_open(DIRECTORY / "static_bag.safetensors", "np") as file:
        vectors = file.get_tensor("vectors")
    tokenizer = encoder().tokenizer  # type: ignore[attr-defined]

    assert vectors.shape[0] == len(tokenizer)
    assert vectors.dtype == np.float16
    assert np.isfinite(vectors).all()
    assert Path(DIRECTORY / "static_bag.safetensors").stat().st_size < 5_000_000


def test_bfloat16_is_refused_and_auto_is_float32_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--dtype bfloat16: the embedded model .* Use --dtype float32 or float16\."):
        load_text_encoder("embedded", EncoderOptions(dtype="bfloat16"))
    monkeypatch.setattr(
        "harness.encoder.decoder.pick_dtype", lambda dtype, _: dtype
    )  # what `auto` becomes on CUDA is not asked

    assert load_text_encoder("embedded", EncoderOptions()).backend.dtype == "float32"
    assert load_text_encoder("embedded", EncoderOptions(dtype="float16")).backend.dtype == "float16"
