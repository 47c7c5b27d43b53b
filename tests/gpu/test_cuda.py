"""The CUDA path: equal to the plain forward, sparing with memory, standing up to a lack of it (`make test-gpu`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.encoder.decoder import DecoderEncoder
from harness.encoder.packed import PackedModel
from harness.prompts.profile import load_profiles
from harness.prompts.template import build_prompt
from tests.encoder.stubs import Pair
from tests.encoder.test_packed import build, difference, packed_vectors, plain, rows_of, unit
from tests.models import build_model, varied_texts

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import large_shape

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: nothing of the GPU path was tested"),
]

BGE = load_profiles()["bge-en-icl"]
PROMPT = build_prompt(BGE.prompt_template, "Given a question, retrieve passages.", [Pair("a b", "c d")] * 3)


@pytest.fixture
def exact() -> Iterator[None]:
    """Products in full float32, not in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("kind", ["mistral", "llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("prefix", [0, 17, 600])
def test_float32_on_cuda_equals_the_plain_forward_on_the_cpu(kind: str, prefix: int, exact: None) -> None:
    model = build(kind)
    rows = rows_of(prefix, [1, 5, 33, 120, 5])
    expected = plain(model, rows)

    found = packed_vectors(PackedModel(model.to("cuda")), rows, prefix)

    assert difference(found, expected) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_further_from_the_truth_than_the_plain_forward(dtype: torch.dtype) -> None:
    rows = rows_of(300, [1 + number % 60 for number in range(500)])
    truth = unit(plain(build("mistral"), rows))
    model = build("mistral", dtype).to("cuda")
    with torch.inference_mode():
        states = [
            model(input_ids=torch.tensor([row], device="cuda"), use_cache=False).last_hidden_state[0, -1]
            for row in rows
        ]
    naive = unit(torch.stack(states).float().cpu().numpy())

    found = unit(packed_vectors(PackedModel(model), rows, 300))

    def error(vectors: np.ndarray) -> float:
        return float(np.mean(1 - np.sum(vectors * truth, axis=1)))

    assert error(found) <= 1.5 * error(naive)


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    return DecoderEncoder(build_model(tmp_path / "bge-en-icl-gpu", style="bytes"), BGE, device="cuda", dtype="float32")


def test_a_real_lack_of_memory_halves_the_budget_and_gives_the_same_vectors(loaded: Any, exact: None) -> None:
    texts = varied_texts(400, seed=8)
    expected, _ = loaded.encode(texts, PROMPT, "query", 512)
    loaded.packed.forget_prefix()
    used = torch.cuda.memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    loaded.batch_tokens = 1 << 17
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (used + (48 << 20)) / total))
    try:
        found, _ = loaded.encode(texts, PROMPT, "query", 512)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert loaded.batch_tokens < 1 << 17
    assert difference(found, expected) <= 1e-5


def test_one_copy_of_the_prefix_keys_serves_256_queries() -> None:
    model = build("mistral", torch.bfloat16, num_hidden_layers=8).to("cuda")
    packed = PackedModel(model)
    rows = rows_of(2000, [8] * 256)
    packed.set_prefix(rows[0][:2000])
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()

    packed.encode_pack([row[2000:] for row in rows])

    one_copy = 2 * 8 * 2000 * 2 * 16 * 2  # keys and values, layers, tokens, heads, dimension, bytes
    assert torch.cuda.max_memory_allocated() - before < 32 * one_copy, "256 copies would be eight times that"


def test_the_7b_shape_runs_in_bfloat16_and_equals_the_plain_forward() -> None:
    if torch.cuda.mem_get_info()[0] < 24 << 30:
        pytest.skip("the 7B shape needs 24 GiB of free device memory")

    found = large_shape.LargeShape("7b", "cuda", "bfloat16", rounds=1).table()

    rates = {line["what"]: line["texts_per_second"] for line in found["lines"]}
    assert rates["queries, P=2000"] > 0.5 * rates["queries, P=0"]
