"""What a killed process left to do is encoded in the batches that it would have had: every bit is equal."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.encoder import text_encoder
from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.vectors import EmbeddingStore
from harness.prompts.template import TaskPrompt, build_prompt
from tests.encoder.stubs import BGE, Pair
from tests.models import WORDS

pytestmark = pytest.mark.model

EXAMPLES = (Pair("what is heat", "a form of energy"), Pair("river", "water"), Pair("doctor", "a school"))


class Killed(Exception):
    """Stands for a SIGKILL: nothing after it runs, and what is pending in memory is lost."""


class DyingStore(EmbeddingStore):
    """A store whose process dies after some calls of `put`."""

    puts_left = 10**9

    def put(self, keys: Any, vectors: Any, scope: str = "") -> None:
        """Keep vectors, or die before."""
        if self.puts_left == 0:
            raise Killed
        self.puts_left -= 1
        super().put(keys, vectors, scope)


def make_texts(count: int) -> list[str]:
    rng = random.Random(3)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(count)]


def encode(model: Path, store: EmbeddingStore, calls: list[list[str]], prompt: TaskPrompt) -> np.ndarray:
    encoder = load_text_encoder(str(model), EncoderOptions(profile="bge-en-icl", device="cpu", batch_tokens=64))
    encoder.store = store
    return np.concatenate([encoder.encode(texts, prompt, "query", normalize=False, where="test")[0] for texts in calls])


@pytest.mark.parametrize("killed_after", range(1, 9))
def test_vectors_after_a_kill_equal_those_of_an_undisturbed_process_bit_for_bit(
    tmp_path: Path, model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    monkeypatch.setattr(text_encoder, "SLICE_TEXTS", 10)
    texts, prompt = make_texts(75), build_prompt(BGE.prompt_template, "Find what is meant.", EXAMPLES)
    calls = [texts[:7], texts[:48], texts[40:]]  # calls share texts, as tasks do
    model = model_dirs["bytes"]
    whole = encode(model, EmbeddingStore(tmp_path / "whole", shard_texts=20), calls, prompt)

    dying = DyingStore(tmp_path / "killed", shard_texts=20)
    dying.puts_left = killed_after
    with pytest.raises(Killed):
        encode(model, dying, calls, prompt)
    resumed = encode(model, EmbeddingStore(tmp_path / "killed", shard_texts=20), calls, prompt)

    assert np.array_equal(whole, resumed)
