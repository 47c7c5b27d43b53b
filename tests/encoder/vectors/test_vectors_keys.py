"""A vector is found again under exactly what it was made from, and under nothing else."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.encoder.text_encoder import TextEncoder
from harness.encoder.vectors import EmbeddingStore
from harness.prompts.profile import ModelProfile
from harness.prompts.template import PromptTemplate, build_prompt
from harness.types import Side
from tests.encoder.stubs import BGE, Pair, StubBackend, stub_source

EXAMPLES = (
    Pair("how do banks verify cheques", "They look at the signature."),
    Pair("Überweisung stornieren", "Call the bank, at once."),
    Pair("lost card", "Block it."),
)


@dataclass(frozen=True)
class Setup:
    """Everything that a vector may depend on."""

    text: str = "where is my café card?"
    side: Side = "query"
    instruction: str = "Given a question, retrieve passages that answer it."
    examples: tuple[Pair, ...] = EXAMPLES
    template: PromptTemplate = field(default_factory=lambda: BGE.prompt_template)
    profile: ModelProfile = BGE
    source: tuple[tuple[str, str], ...] = ()
    backend: tuple[tuple[str, Any], ...] = ()
    query_max_tokens: int = 512
    document_max_tokens: int = 512

    def texts_encoded(self, directory: Path) -> int:
        """Encode the text with what the store in this folder holds; return how many texts went to the model."""
        backend = StubBackend(profile=self.profile, **dict(self.backend))
        with EmbeddingStore(directory) as store:
            encoder = TextEncoder(
                backend=backend,
                source=stub_source(**dict(self.source)),
                query_max_tokens=self.query_max_tokens,
                document_max_tokens=self.document_max_tokens,
                store=store,  # type: ignore[arg-type]
            )
            prompt = build_prompt(self.template, self.instruction, self.examples)
            vectors, stats = encoder.encode([self.text], prompt, self.side, normalize=False, where="test")
        expected, _ = StubBackend().encode([self.text], prompt, self.side, 512)
        assert np.array_equal(vectors, expected)
        assert stats.encoded == len(backend.rendered)
        return stats.encoded


QUERY = Setup()
DOCUMENT = Setup(side="document")


def change(base: Setup = QUERY, **changes: Any) -> Setup:
    return dataclasses.replace(base, **changes)


def template(base: Setup = QUERY, **changes: str) -> Setup:
    return change(base, template=dataclasses.replace(BGE.prompt_template, **changes))


def profile(base: Setup = QUERY, **changes: Any) -> Setup:
    return change(base, profile=BGE.model_copy(update=changes))


def example(number: int, **changes: str) -> Setup:
    pairs = list(EXAMPLES)
    pairs[number] = dataclasses.replace(pairs[number], **changes)
    return change(examples=tuple(pairs))


def of_source(base: Setup, name: str, alter: Callable[[str], str]) -> Setup:
    return change(base, source=((name, alter({"weights_sha": "w" * 64, "tokenizer_sha": "t" * 64}[name])),))


FIRST, SECOND, THIRD = EXAMPLES
CHANGES: dict[str, tuple[Setup, Setup]] = {
    # name: (what is stored, what is asked)
    "weights, first digit": (QUERY, of_source(QUERY, "weights_sha", lambda sha: "x" + sha[1:])),
    "weights, last digit": (QUERY, of_source(QUERY, "weights_sha", lambda sha: sha[:-1] + "x")),
    "weights of a document": (DOCUMENT, of_source(DOCUMENT, "weights_sha", lambda sha: sha[:-1] + "x")),
    "tokenizer": (QUERY, of_source(QUERY, "tokenizer_sha", lambda sha: sha[:-1] + "x")),
    "tokenizer of a document": (DOCUMENT, of_source(DOCUMENT, "tokenizer_sha", lambda sha: sha[:-1] + "x")),
    "profile": (QUERY, profile(name="other")),
    "profile of a document": (DOCUMENT, profile(DOCUMENT, name="other")),
    "pooling": (QUERY, profile(pooling="model")),
    "pooling of a document": (DOCUMENT, profile(DOCUMENT, pooling="model")),
    "begin token": (QUERY, profile(begin_token="<bos>")),
    "no begin token": (QUERY, profile(begin_token=None)),
    "end token": (QUERY, profile(end_token="<eos>")),
    "no end token": (QUERY, profile(end_token=None)),
    "tokenization": (QUERY, change(backend=(("tokenization", "clean"),))),
    "tokenization of transformers 4": (QUERY, change(backend=(("tokenization", "official-4x"),))),
    "tokenization of a document": (DOCUMENT, change(DOCUMENT, backend=(("tokenization", "clean"),))),
    "bfloat16": (QUERY, change(backend=(("dtype", "bfloat16"),))),
    "float16": (QUERY, change(backend=(("dtype", "float16"),))),
    "bfloat16 document": (DOCUMENT, change(DOCUMENT, backend=(("dtype", "bfloat16"),))),
    "query length": (QUERY, change(query_max_tokens=511)),
    "document length": (DOCUMENT, change(DOCUMENT, document_max_tokens=513)),
    "a query as a document": (QUERY, change(side="document")),
    "a document as a query": (DOCUMENT, change(DOCUMENT, side="query")),
    "instruction, one character": (QUERY, change(instruction=QUERY.instruction[:-1] + "!")),
    "instruction, case": (QUERY, change(instruction=QUERY.instruction.lower())),
    "instruction, space at the end": (QUERY, change(instruction=QUERY.instruction + " ")),
    "instruction, none": (QUERY, change(instruction="")),
    "query template": (QUERY, template(query=BGE.prompt_template.query.replace("<query>", "<Query>"))),
    "suffix": (QUERY, template(suffix=BGE.prompt_template.suffix + "\n")),
    "no suffix": (QUERY, template(suffix="")),
    "separator": (QUERY, template(separator="\n")),
    "example template": (QUERY, template(example=(BGE.prompt_template.example or "") + " ")),
    "document template": (DOCUMENT, template(DOCUMENT, document="passage: {text}")),
    "one example less": (QUERY, change(examples=EXAMPLES[:2])),
    "other example left out": (change(examples=EXAMPLES[:2]), change(examples=EXAMPLES[1:])),
    "no examples": (QUERY, change(examples=())),
    "an example twice": (QUERY, change(examples=(*EXAMPLES, FIRST))),
    "order of the examples": (QUERY, change(examples=(SECOND, FIRST, THIRD))),
    "order of the last examples": (QUERY, change(examples=(FIRST, THIRD, SECOND))),
    "example query, one character": (QUERY, example(0, query=FIRST.query + "?")),
    "example query, case": (QUERY, example(2, query="Lost card")),
    "example query, Unicode form": (QUERY, example(1, query=unicodedata.normalize("NFD", SECOND.query))),
    "example response, one character": (QUERY, example(1, response="Call the bank; at once.")),
    "example response, space": (QUERY, example(2, response="Block it. ")),
    "query and response exchanged": (QUERY, example(2, query="Block it.", response="lost card")),
    "text, one character": (QUERY, change(text="where is my café card")),
    "text, case": (QUERY, change(text="Where is my café card?")),
    "text, space at the end": (QUERY, change(text=QUERY.text + " ")),
    "text, space in front": (QUERY, change(text=" " + QUERY.text)),
    "text, line end": (QUERY, change(text=QUERY.text + "\n")),
    "text, NUL": (QUERY, change(text=QUERY.text + "\0")),
    "text, Unicode form": (QUERY, change(text=unicodedata.normalize("NFD", QUERY.text))),
    "text, no-break space": (QUERY, change(text=QUERY.text.replace(" ", "\u00a0", 1))),
    "text of a document, one character": (DOCUMENT, change(DOCUMENT, text="where is my café card")),
    "no text": (QUERY, change(text="")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_single_change_misses_and_no_change_hits(name: str, tmp_path: Path) -> None:
    stored, asked = CHANGES[name]
    assert stored != asked
    assert stored.texts_encoded(tmp_path) == 1
    assert stored.texts_encoded(tmp_path) == 0

    assert asked.texts_encoded(tmp_path) == 1

    assert asked.texts_encoded(tmp_path) == 0
    assert stored.texts_encoded(tmp_path) == 0


def test_there_are_at_least_forty_changes_of_one_field() -> None:
    assert len(CHANGES) >= 40


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (DOCUMENT, change(DOCUMENT, examples=())),
        (DOCUMENT, change(DOCUMENT, instruction="Another task.")),
        (DOCUMENT, change(DOCUMENT, query_max_tokens=64)),
        (QUERY, change(document_max_tokens=64)),
        (QUERY, change(source=(("revision", "q" * 16),))),
        (QUERY, change(backend=(("batch_tokens", 7),))),
        (QUERY, change(backend=(("device", "cuda:1"),))),
    ],
)
def test_what_a_vector_does_not_depend_on_hits(stored: Setup, asked: Setup, tmp_path: Path) -> None:
    assert stored.texts_encoded(tmp_path) == 1

    assert asked.texts_encoded(tmp_path) == 0
