"""The packed, prefix-sharing path equals the plain full forward, and these tests would see it if it did not."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.encoder import shared_attention
from harness.encoder.packed import PackedModel, common_prefix_length, plan_packs, split_pack, unsupported_reason
from harness.encoder.shared_attention import attend_with_lse, attend_with_lse_portable, merge

pytestmark = pytest.mark.model

KINDS = ("mistral", "llama", "qwen2", "qwen3")
TOLERANCE = 1e-5
VOCABULARY = 500


def build(kind: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """Return a random decoder whose weights are spread widely enough (0.3) for every token to move the vector."""
    import transformers

    name = {"mistral": "Mistral", "llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma2": "Gemma2"}[kind]
    settings_ = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "initializer_range": 0.3,
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = getattr(transformers, f"{name}Config")(**{**settings_, **changes})
        return getattr(transformers, f"{name}Model")(config).to(dtype).eval()


@torch.inference_mode()
def plain(model: Any, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the last hidden states of a forward of each whole row by itself."""
    states = [model(input_ids=torch.tensor([list(row)]), use_cache=False).last_hidden_state[0, -1] for row in rows]
    return torch.stack(states).float().numpy()


def packed_vectors(
    packed: PackedModel, rows: Sequence[Sequence[int]], shared: int, budget: int = 512, block: int = 256
) -> np.ndarray:
    packed.set_prefix(rows[0][:shared], block)
    own = [list(row[shared:]) for row in rows]
    vectors = np.zeros((len(rows), packed.model.config.hidden_size), dtype=np.float32)
    for pack in plan_packs([len(one) for one in own], budget):
        vectors[pack] = packed.encode_pack([own[position] for position in pack])
    return vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def rows_of(prefix: int, lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    head = [rng.randrange(3, VOCABULARY) for _ in range(prefix)]
    return [head + [rng.randrange(3, VOCABULARY) for _ in range(length)] for length in lengths]


def difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(unit(left) - unit(right)).max())


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(kind: str) -> tuple[Any, PackedModel]:
    """A model left alone and the same model behind the packed path."""
    return build(kind), PackedModel(build(kind))


@settings(deadline=None, max_examples=25)
@given(
    prefix=st.integers(0, 200),
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=12),
    budget=st.integers(1, 400),
    seed=st.integers(0, 10_000),
)
def test_packed_vectors_equal_the_plain_forward(
    pair: tuple[Any, PackedModel], prefix: int, lengths: list[int], budget: int, seed: int
) -> None:
    model, packed = pair
    rows = rows_of(prefix, lengths, seed)

    found = packed_vectors(packed, rows, prefix, budget)
    expected = plain(model, rows)

    assert difference(found, expected) <= TOLERANCE
    assert np.sum(unit(found) * unit(expected), axis=1).min() >= 0.999999


@pytest.mark.parametrize("prefix", [540, 2000])
def test_long_prefixes_stay_exact(pair: tuple[Any, PackedModel], prefix: int) -> None:
    model, packed = pair
    rows = rows_of(prefix, [1, 40, 513])

    assert difference(packed_vectors(packed, rows, prefix), plain(model, rows)) <= TOLERANCE


def test_growing_and_shrinking_the_prefix_reuses_its_whole_blocks(pair: tuple[Any, PackedModel]) -> None:
    model, packed = pair
    rows = rows_of(128, [5, 9])
    packed.forget_prefix()
    packed_vectors(packed, rows, 70, block=32)
    before = packed.computed_tokens

    longer = packed_vectors(packed, rows, 128, block=32)
    after_longer = packed.computed_tokens
    shorter = packed_vectors(packed, rows, 64, block=32)

    expected = plain(model, rows)
    assert difference(longer, expected) <= TOLERANCE
    assert difference(shorter, expected) <= TOLERANCE
    assert after_longer - before == 128 - 64 + 14  # all but the two whole blocks of 32, and the own tokens
    assert packed.computed_tokens - after_longer == 64 + 64 + 14  # own tokens alone: the prefix was known


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 100), min_size=1, max_size=4),
    last=st.integers(1, 100),
    block=st.sampled_from([8, 32]),
)
def test_vectors_do_not_depend_on_the_prefixes_before(sizes: list[int], last: int, block: int) -> None:
    """A killed run that goes on has not seen the prefixes that an undisturbed one has; both must end with the same bits."""
    packed = _history_model()
    rows = rows_of(100, [3, 8])
    packed.forget_prefix()
    for size in sizes:
        packed.set_prefix(rows[0][:size], block)

    packed.set_prefix(rows[0][:last], block)
    found = packed.encode_pack([row[last:] for row in rows])

    packed.forget_prefix()
    packed.set_prefix(rows[0][:last], block)
    assert np.array_equal(found, packed.encode_pack([row[last:] for row in rows]))


@functools.cache
def _history_model() -> PackedModel:
    return PackedModel(build("mistral"))


def test_documents_between_queries_do_not_lose_the_prefix(pair: tuple[Any, PackedModel]) -> None:
    model, packed = pair
    rows = rows_of(50, [4, 6])
    packed_vectors(packed, rows, 50)
    before = packed.computed_tokens

    documents = packed_vectors(packed, rows, 0)
    queries = packed_vectors(packed, rows, 50)

    assert packed.computed_tokens - before == 110 + 10
    assert difference(documents, queries) <= TOLERANCE
    assert difference(queries, plain(model, rows)) <= TOLERANCE


def test_model_works_as_before_outside_the_packed_path() -> None:
    rows = rows_of(30, [7, 3])
    untouched, model = build("mistral"), build("mistral")
    packed_vectors(PackedModel(model), rows, 30)

    assert np.array_equal(plain(model, rows), plain(untouched, rows))


def test_prefix_keys_are_held_once_whatever_the_number_of_queries() -> None:
    packed = PackedModel(build("mistral"))
    rows = rows_of(2000, [8] * 256)
    packed_vectors(packed, rows, 2000, budget=4096)

    held = sum(key.numel() + value.numel() for key, value in packed._kept)

    assert held == 2 * 3 * 2 * 2000 * 16  # keys and values, layers, key heads, tokens, head dimension
    assert all(
        key.data_ptr() == kept.data_ptr() for (key, _), (kept, _) in zip(packed._prefix, packed._kept, strict=True)
    )


def test_bf16_is_no_further_from_the_truth_than_plain_bf16() -> None:
    rows = rows_of(100, [n % 60 + 1 for n in range(120)])
    truth = unit(plain(build("mistral", initializer_range=0.05), rows))
    half = build("mistral", torch.bfloat16, initializer_range=0.05)
    naive = unit(plain(half, rows))

    shared = unit(packed_vectors(PackedModel(half), rows, 100))

    error_naive = float(np.mean(1 - np.sum(naive * truth, axis=1)))
    error_shared = float(np.mean(1 - np.sum(shared * truth, axis=1)))
    assert error_shared <= 1.5 * error_naive


# The next tests plant one mistake each: the comparison above must see it.


def spoilt_difference(monkeypatch: pytest.MonkeyPatch, attention: Any) -> float:
    rows = rows_of(60, [12, 30, 7])
    monkeypatch.setattr(shared_attention, "shared_prefix_attention", attention)
    return difference(packed_vectors(PackedModel(build("mistral")), rows, 60), plain(build("mistral"), rows))


@pytest.fixture(autouse=True)
def _registered_anew() -> Any:
    yield
    shared_attention.register()


def test_wrong_scale_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    original = shared_attention.shared_prefix_attention

    def scaled(*args: Any, scaling: float, **kwargs: Any) -> Any:
        return original(*args, scaling=scaling * 1.01, **kwargs)

    assert spoilt_difference(monkeypatch, scaled) > 100 * TOLERANCE


def test_soft_cap_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    original = shared_attention.shared_prefix_attention

    def capped(module: Any, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        return original(module, torch.tanh(query / 20) * 20, *args, **kwargs)

    assert spoilt_difference(monkeypatch, capped) > 100 * TOLERANCE


def test_one_wrong_position_is_seen() -> None:
    rows = rows_of(60, [12, 30, 7])
    packed = PackedModel(build("mistral"))
    packed.set_prefix(rows[0][:60])
    packed._prefix_tokens = 61

    wrong = packed.encode_pack([row[60:] for row in rows])

    assert difference(wrong, plain(build("mistral"), rows)) > 100 * TOLERANCE


def test_one_wrong_prefix_token_is_seen() -> None:
    rows = rows_of(60, [12, 30, 7])
    packed = PackedModel(build("mistral"))
    prefix = list(rows[0][:60])
    prefix[31] = 3 if prefix[31] != 3 else 4
    packed.set_prefix(prefix)

    wrong = packed.encode_pack([row[60:] for row in rows])

    assert difference(wrong, plain(build("mistral"), rows)) > 100 * TOLERANCE


def test_ignored_window_would_be_seen_and_is_guarded_against() -> None:
    windowed = build("mistral", sliding_window=32)
    rows = rows_of(60, [12, 30, 7])
    packed = PackedModel(build("mistral", sliding_window=32))

    assert difference(packed_vectors(packed, rows, 60), plain(windowed, rows)) > 100 * TOLERANCE
    assert packed.sees_all_of(32)
    assert not packed.sees_all_of(33)


def test_encoder_takes_the_plain_path_beyond_the_window(tmp_path: Any) -> None:
    from harness.encoder.decoder import DecoderEncoder
    from harness.prompts.profile import load_profiles
    from harness.prompts.template import build_prompt
    from tests.encoder.stubs import Pair
    from tests.models import build_model

    profile = load_profiles()["bge-en-icl"]
    directory = build_model(tmp_path / "windowed", sliding_window=48)
    examples = [Pair("a question about water", "an answer about heat"), Pair("another one", "and its answer")]
    prompt = build_prompt(profile.prompt_template, "Given a question, retrieve passages.", examples)
    texts = ["one", "two words", "a longer text of more words than the others have"]

    shared = DecoderEncoder(directory, profile, device="cpu", attention="shared")
    naive = DecoderEncoder(directory, profile, device="cpu", attention="naive")

    assert max(len(ids) for ids in shared.tokenize(texts, prompt, "query", 512).ids) > 48
    assert difference(shared.encode(texts, prompt, "query", 512)[0], naive.encode(texts, prompt, "query", 512)[0]) == 0


@pytest.mark.parametrize(
    ("kind_", "changes", "reason"),
    [
        ("gemma2", {}, "model type 'gemma2' is not among"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
            "windows differ by layer",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "depends on the input",
        ),
    ],
)
def test_models_that_would_differ_take_the_plain_path(kind_: str, changes: dict[str, Any], reason: str) -> None:
    assert reason in str(unsupported_reason(build(kind_, **changes)))


def test_self_check_refuses_layers_that_do_more(monkeypatch: pytest.MonkeyPatch) -> None:
    original = shared_attention.shared_prefix_attention

    def spoilt(*args: Any, scaling: float, **kwargs: Any) -> Any:
        return original(*args, scaling=scaling * 1.5, **kwargs)

    monkeypatch.setattr(shared_attention, "shared_prefix_attention", spoilt)
    model = build("mistral")

    assert "differ from the plain forward" in str(PackedModel(model).difference_to(lambda rows: plain(model, rows)))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_portable_attention_equals_the_kernel(causal: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, 33, 16).to(dtype) for _ in range(3))

    output, lse = attend_with_lse(query, key, value, 0.25, causal=causal)
    portable, portable_lse = attend_with_lse_portable(query, key, value, 0.25, causal=causal)

    allowed = 1e-5 if dtype == torch.float32 else 3e-2
    assert (output.float() - portable.float()).abs().max() <= allowed
    assert (lse - portable_lse).abs().max() <= allowed


def test_merging_two_key_sets_equals_attending_to_both() -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 2, 5, 8)
    key, value = torch.randn(1, 2, 30, 8), torch.randn(1, 2, 30, 8)
    first = attend_with_lse(query, key[:, :, :11], value[:, :, :11], 0.3, causal=False)
    second = attend_with_lse(query, key[:, :, 11:], value[:, :, 11:], 0.3, causal=False)

    whole, _ = attend_with_lse(query, key, value, 0.3, causal=False)

    assert (merge(*first, *second) - whole).abs().max() <= 1e-6


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6))
def test_common_prefix_is_shared_by_all_and_leaves_each_a_token(ids: list[list[int]]) -> None:
    shared = common_prefix_length(ids)

    assert all(row[:shared] == ids[0][:shared] for row in ids)
    assert all(len(row) > shared for row in ids)
    longer = shared + 1
    assert any(len(row) <= longer or row[:longer] != ids[0][:longer] for row in ids)


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 600))
def test_packs_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    packs = plan_packs(lengths, budget)

    assert sorted(position for pack in packs for position in pack) == list(range(len(lengths)))
    assert all(len(pack) == 1 or sum(lengths[position] for position in pack) <= budget for pack in packs)


def test_splitting_a_pack_keeps_its_order() -> None:
    assert split_pack([3, 1, 2], [0, 5, 5, 5], 10) == [[3, 1], [2]]
