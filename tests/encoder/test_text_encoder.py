"""Texts are checked, encoded once per identity, and no vector without a meaning is handed out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.memory_store import MemoryStore
from harness.encoder.sources import resolve_source
from harness.encoder.text_encoder import TextEncoder
from harness.errors import EncodingError, InputTextError
from harness.prompts.template import TaskPrompt, build_prompt
from harness.types import Side
from tests.encoder.stubs import BGE, Pair, StubBackend, stub_encoder, stub_source

pytestmark = pytest.mark.unit

INSTRUCTION = "Given a question, retrieve passages."
EXAMPLES = (Pair("what is it", "It is this."), Pair("who came", "She came."), Pair("where", "There."))


def prompt_with(examples: tuple[Pair, ...] = EXAMPLES, instruction: str = INSTRUCTION, **template: str) -> TaskPrompt:
    return build_prompt(replace(BGE.prompt_template, **template), instruction, examples)


def encode(
    encoder: TextEncoder, texts: list[Any], side: Side = "query", *, prompt: TaskPrompt | None = None
) -> np.ndarray:
    return encoder.encode(texts, prompt or prompt_with(), side, normalize=False, where="STS12 (test)")[0]


# ---- texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "STS12 (test): text 1 is NoneType (None), not a string. Mend the data set."),
        (7.5, "STS12 (test): text 1 is float (7.5), not a string. Mend the data set."),
        (b"ab", "STS12 (test): text 1 is bytes (b'ab'), not a string. Mend the data set."),
        (
            "ab\ud800",
            "STS12 (test): text 1 holds the lone surrogate '\\ud800' at character 2. Mend the data set.",
        ),
    ],
)
def test_a_text_that_cannot_be_encoded_is_named(text: object, expected: str) -> None:
    encoder = stub_encoder()

    with pytest.raises(InputTextError) as raised:
        encode(encoder, ["fine", text])

    assert str(raised.value) == expected
    assert isinstance(raised.value, TypeError)


def test_empty_texts_are_encoded_and_counted() -> None:
    _, stats = stub_encoder().encode(["", " \n", "a"], prompt_with(), "query", normalize=True, where="x")

    assert (stats.texts, stats.encoded, stats.empty) == (3, 3, 2)


# ---- vectors


def put(value: float, row: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    def spoil(vectors: np.ndarray) -> np.ndarray:
        vectors[row] = value
        return vectors

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (put(float("nan")), r"the vector of text 1 \('second'\) is not finite \(1 of 3 such vectors\)"),
        (put(float("inf")), r"the vector of text 1 \('second'\) is not finite"),
        (put(0.0, row=2), r"the vector of text 2 \('third'\) is zero"),
        (lambda vectors: vectors[:-1], r"an array of shape \(2, 8\) for 3 texts; \(3, 8\) was expected"),
        (lambda vectors: vectors[:, :5], r"an array of shape \(3, 5\) for 3 texts"),
        (lambda vectors: vectors[0], r"an array of shape \(8,\) for 3 texts"),
    ],
)
def test_a_vector_that_must_not_be_scored_stops_the_run(
    spoil: Callable[[np.ndarray], np.ndarray], expected: str
) -> None:
    encoder = stub_encoder(StubBackend(spoil=spoil))

    with pytest.raises(EncodingError, match=r"^STS12 \(test\): .*" + expected) as raised:
        encode(encoder, ["first", "second", "third"])

    assert raised.value.exit_code == 5
    assert len(encoder.store.get([])) == 0
    assert encoder.store.used_bytes == 0, "a refused vector must not be kept"


def test_vectors_are_normalised_on_request_alone_and_the_store_keeps_them_raw() -> None:
    encoder = stub_encoder()
    raw = encode(encoder, ["a", "b"])

    normalised, stats = encoder.encode(["a", "b"], prompt_with(), "query", normalize=True, where="x")

    assert stats.encoded == 0
    assert np.allclose(np.linalg.norm(normalised, axis=1), 1.0)
    assert np.linalg.norm(raw, axis=1).min() > 2.0
    assert normalised.dtype == np.float32
    assert np.array_equal(encode(encoder, ["a", "b"]), raw)


# ---- the store


def test_duplicates_are_encoded_once_and_come_back_in_order() -> None:
    backend = StubBackend()
    encoder = stub_encoder(backend)

    vectors, stats = encoder.encode(["b", "a", "b", "b", "a"], prompt_with(), "document", normalize=False, where="x")

    assert backend.rendered == ["b", "a"]
    assert (stats.texts, stats.encoded, stats.from_store) == (5, 2, 3)
    assert np.array_equal(vectors[[0, 1]], vectors[[2, 4]])
    assert np.array_equal(vectors[0], vectors[3])
    assert not np.array_equal(vectors[0], vectors[1])


def test_a_second_call_takes_known_texts_from_the_store() -> None:
    backend = StubBackend()
    encoder = stub_encoder(backend)
    encode(encoder, ["a", "b"], "document")

    _, stats = encoder.encode(["c", "b", "a"], prompt_with(()), "document", normalize=False, where="x")

    assert backend.rendered == ["a", "b", "c"]
    assert (stats.encoded, stats.from_store) == (1, 2)


def test_counts_add_up_over_calls() -> None:
    encoder = stub_encoder()
    _, total = encoder.encode(["a", "a"], prompt_with(), "query", normalize=False, where="x")
    _, more = encoder.encode(["a", "b"], prompt_with(), "query", normalize=False, where="x")

    total.add(more)

    assert (total.texts, total.encoded, total.from_store, total.tokens) == (4, 2, 2, 2)


@dataclass
class AheadBackend(StubBackend):
    """Notes in which order it is asked to tokenise and to encode."""

    calls: list[tuple[str, int]] = field(default_factory=list)

    def tokenize_ahead(self, texts: Any, prompt: TaskPrompt, side: str, max_tokens: int) -> None:
        self.calls.append(("tokenize", len(texts)))

    def encode(self, texts: Any, *arguments: Any, **more: Any) -> Any:
        self.calls.append(("encode", len(texts)))
        return super().encode(texts, *arguments, **more)


def test_the_next_slice_is_tokenised_while_one_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.encoder.text_encoder.SLICE_TEXTS", 4)
    backend = AheadBackend()
    texts = [f"text {number} {'x' * (number % 5)}" for number in range(10)]

    found = encode(stub_encoder(backend), texts)

    assert backend.calls == [
        ("tokenize", 4),
        ("tokenize", 4),
        ("encode", 4),
        ("tokenize", 2),
        ("encode", 4),
        ("encode", 2),
    ]
    assert np.array_equal(found, encode(stub_encoder(), texts))


def test_a_full_store_forgets_and_nothing_else() -> None:
    backend = StubBackend()
    encoder = stub_encoder(backend)
    encoder.store = MemoryStore(limit_bytes=40)

    first = encode(encoder, ["a", "b", "c"], "document")
    second = encode(encoder, ["a", "b", "c"], "document")

    assert np.array_equal(first, second)
    assert backend.rendered == ["a", "b", "c", "b", "c"]


def test_nothing_to_encode_is_no_error() -> None:
    vectors, stats = stub_encoder().encode([], prompt_with(), "query", normalize=True, where="x")

    assert (vectors.shape, stats.texts) == ((0, 8), 0)


# ---- what a vector depends on


def scope(
    side: Side = "query",
    *,
    backend: StubBackend | None = None,
    source: dict[str, str] | None = None,
    prompt: TaskPrompt | None = None,
    **lengths: int,
) -> str:
    encoder = stub_encoder(backend, stub_source(**(source or {})))
    for name, value in lengths.items():
        setattr(encoder, name, value)
    return encoder.vector_scope(prompt or prompt_with(), side)


def changed_profile(**values: object) -> StubBackend:
    return StubBackend(profile=BGE.model_copy(update=values))


MODEL_CHANGES: dict[str, dict[str, Any]] = {
    "weights": {"source": {"weights_sha": "w" * 63 + "x"}},
    "tokenizer": {"source": {"tokenizer_sha": "t" * 63 + "x"}},
    "dtype": {"backend": StubBackend(dtype="bfloat16")},
    "tokenization": {"backend": StubBackend(tokenization="clean")},
    "pooling": {"backend": changed_profile(pooling="model")},
    "end token": {"backend": changed_profile(end_token="<eos>")},
    "begin token": {"backend": changed_profile(begin_token=None)},
}
ONE_CHARACTER = (EXAMPLES[0], Pair("who came", "She came!"), EXAMPLES[2])
QUERY_CHANGES: dict[str, dict[str, Any]] = {
    "length": {"query_max_tokens": 511},
    "instruction": {"prompt": prompt_with(instruction=INSTRUCTION + " ")},
    "one character of one example": {"prompt": prompt_with(ONE_CHARACTER)},
    "example order": {"prompt": prompt_with((EXAMPLES[1], EXAMPLES[0], EXAMPLES[2]))},
    "one example less": {"prompt": prompt_with(EXAMPLES[:2])},
    "query template": {"prompt": prompt_with(query="<instruct>{instruction}\n<query> {text}")},
    "suffix": {"prompt": prompt_with(suffix="\n<response> ")},
    "separator": {"prompt": prompt_with(separator="\n")},
    "example template": {"prompt": prompt_with(example="<query>{query}\n<response>{response}")},
}


@pytest.mark.parametrize("name", [*MODEL_CHANGES, *QUERY_CHANGES])
def test_a_querys_vector_is_not_reused_after_a_change_of(name: str) -> None:
    assert scope(**{**MODEL_CHANGES, **QUERY_CHANGES}[name]) != scope()


@pytest.mark.parametrize("name", [*MODEL_CHANGES, "length", "template"])
def test_a_documents_vector_is_not_reused_after_a_change_of(name: str) -> None:
    changes = {
        **MODEL_CHANGES,
        "length": {"document_max_tokens": 511},
        "template": {"prompt": prompt_with(document="passage: {text}")},
    }

    assert scope("document", **changes[name]) != scope("document")


@pytest.mark.parametrize("name", QUERY_CHANGES)
def test_a_documents_vector_depends_on_neither_examples_nor_instruction(name: str) -> None:
    assert scope("document", **QUERY_CHANGES[name]) == scope("document")


def test_k_does_not_matter_to_documents() -> None:
    assert len({scope("document", prompt=prompt_with(EXAMPLES[:k])) for k in range(4)}) == 1
    assert len({scope("query", prompt=prompt_with(EXAMPLES[:k])) for k in range(4)}) == 4


def test_the_sides_are_kept_apart() -> None:
    bare = prompt_with((), query="{text}", suffix="")

    assert scope("query", prompt=bare) != scope("document", prompt=bare)


def test_zero_shot_equals_an_empty_example_list() -> None:
    zero = build_prompt(BGE.prompt_template, INSTRUCTION)
    empty = build_prompt(BGE.prompt_template, INSTRUCTION, [])

    assert zero == empty
    assert zero.render_query("x") == f"<instruct>{INSTRUCTION}\n<query>x\n<response>"
    assert scope(prompt=zero) == scope(prompt=empty)


@pytest.mark.model
def test_one_byte_of_a_weight_or_of_the_tokenizer_changes_the_scope(
    model_dirs: dict[str, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "bge-en-icl-copy"
    shutil.copytree(model_dirs["llama"], copy)
    encoder = stub_encoder(source=resolve_source(str(copy)))
    scopes = [encoder.vector_scope(prompt_with(), "query")]

    for name in ("model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"):
        file = copy / name
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        encoder.source = resolve_source(str(copy))
        scopes.append(encoder.vector_scope(prompt_with(), "query"))

    assert len(set(scopes)) == 5


@pytest.mark.model
def test_loaded_options_reach_the_scope(model_dirs: dict[str, Path]) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"dtype": "bfloat16"},
        {"tokenization": "clean"},
        {"tokenization": "official-4x"},
        {"query_max_tokens": 256},
    ]
    loaded = [load_text_encoder(str(model_dirs["llama"]), EncoderOptions(**one)) for one in options]

    assert len({encoder.vector_scope(prompt_with(), "query") for encoder in loaded}) == 5
