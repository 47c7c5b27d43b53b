"""Encoding of packed texts behind a shared prefix: prefix keys once, no padding, the last layer only where it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.encoder.lean import LeanMLPs
from harness.encoder.shared_attention import ATTENTION_NAME, KeysCaptured, PackedBatch, register

MIN_SHARED_TOKENS = 16
"""A shorter common beginning is not worth a pass of its own."""
PREFIX_BLOCK_TOKENS = 256
"""Tokens of one pass over a prefix: enough to be bound by arithmetic, few enough that k + 1 shares most blocks with k."""

# Decoders whose attention is plain causal softmax and that hand keyword arguments through to the attention function.
# Others (Gemma 2 and 3 with soft caps and windows by layer, encoders, mixtures with other layer forms) take the plain path.
SUPPORTED_TYPES = frozenset({"mistral", "llama", "qwen2", "qwen3"})
# Rotary variants whose angles depend on the length of the input would differ between a packed and a plain pass.
STATIC_ROPE = frozenset({"default", "linear", "llama3"})


def unsupported_reason(model: Any) -> str | None:
    """Return why a model must take the plain path, or None if the packed one gives the same vectors."""
    config = model.config
    if config.model_type not in SUPPORTED_TYPES:
        return f"model type {config.model_type!r} is not among {', '.join(sorted(SUPPORTED_TYPES))}"
    if getattr(config, "attn_logit_softcapping", None):
        return "attention scores are soft-capped"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if "sliding_attention" in kinds and "full_attention" in kinds:
        return "windows differ by layer"
    rope = getattr(config, "rope_parameters", None) or {}
    if str(rope.get("rope_type", "default")) not in STATIC_ROPE:
        return f"rotary embedding {rope.get('rope_type')!r} depends on the input length"
    last = getattr(model, "layers", [None])[-1]
    if not all(hasattr(last, name) for name in ("input_layernorm", "self_attn")) or not hasattr(
        last.self_attn, "q_proj"
    ):
        return "its layers have another form"
    return None


def window_of(model: Any) -> int | None:
    """Return the sliding window in tokens, or None if attention sees everything."""
    window = getattr(model.config, "sliding_window", None)
    if getattr(model.config, "use_sliding_window", True) is False:
        return None
    return int(window) if window else None


def common_prefix_length(ids: Sequence[Sequence[int]]) -> int:
    """Return how many leading ids all rows share, leaving every row at least one token of its own."""
    rows = [list(row) for row in ids]
    return min(_equal_beginning(min(rows), max(rows)), min(len(row) for row in rows) - 1)


def _equal_beginning(first: Sequence[int], second: Sequence[int]) -> int:
    shared = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        shared += 1
    return shared


def plan_packs(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group texts into packs of at most `batch_tokens` own tokens, longest texts first.

    The plan depends on lengths and positions alone. A longer text is a pack of its own.
    """
    order = sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    return split_pack(order, lengths, batch_tokens)


def split_pack(pack: list[int], lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Split one pack again for a smaller budget, keeping its order."""
    parts: list[list[int]] = []
    filled = 0
    for position in pack:
        if parts and filled + lengths[position] <= batch_tokens:
            parts[-1].append(position)
            filled += lengths[position]
        else:
            parts.append([position])
            filled = lengths[position]
    return parts


class _NoQuery(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by the type checker
    """Stands in for a query projection whose result nobody reads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.new_zeros(()).expand(*hidden.shape[:-1], self.width)


class PackedModel:
    """Runs a decoder over packed texts; one instance per loaded model.

    The last computed prefix is kept: another one that begins like it (k + 1 examples) computes only the blocks that differ.
    """

    def __init__(self, model: Any) -> None:
        """Switch the model to the shared-prefix attention."""
        register()
        self.model = model
        self.plain_attention = str(model.config._attn_implementation)
        self.device = next(model.parameters()).device
        self._kept_ids: list[int] = []
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._prefix: list[tuple[Tensor, Tensor]] = []
        self._prefix_tokens = 0
        self.computed_tokens = 0
        """Tokens that went through the model, prefix passes included."""
        last = model.layers[-1]
        self._last_forward = last.forward
        self._last_layer = last
        self._no_query = _NoQuery(last.self_attn.q_proj.out_features)
        self._mlps = LeanMLPs(model)

    def sees_all_of(self, tokens: int) -> bool:
        """Whether every token of an input of this length sees all tokens before it (no sliding window cuts them off)."""
        window = window_of(self.model)
        return window is None or tokens <= window

    def difference_to(self, plain: Callable[[Sequence[Sequence[int]]], np.ndarray]) -> str | None:
        """Compare with the plain forward on a few made-up inputs; return what is wrong, or None.

        A guard against a model or library version whose layers do more than the packed path knows of.
        """
        rng = np.random.default_rng(0)
        highest = int(self.model.config.vocab_size)
        prefix = rng.integers(3, highest, 24).tolist()
        rows = [prefix + rng.integers(3, highest, size).tolist() for size in (1, 7, 19)]
        expected = plain(rows)
        self.set_prefix(prefix)
        found = self.encode_pack([row[len(prefix) :] for row in rows])
        cosine = np.sum(expected * found, axis=1) / (
            np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1) + 1e-30
        )
        allowed = 1e-5 if self.model.dtype == torch.float32 else 2e-2
        worst = float(1 - cosine.min())
        return None if worst <= allowed else f"its vectors differ from the plain forward's (1 - cosine {worst:.1e})"

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        self.model.set_attn_implementation(ATTENTION_NAME)
        self._last_layer.forward = self._pruned_last_layer
        self._mlps.enter()
        try:
            yield
        finally:
            self._mlps.leave()
            self._last_layer.forward = self._last_forward
            self.model.set_attn_implementation(self.plain_attention)

    def _pruned_last_layer(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Compute keys and values of all tokens and everything else for the last token of each text alone."""
        packed: PackedBatch = kwargs["packed"]
        layer, attention = self._last_layer, self._last_layer.self_attn
        projection = attention.q_proj
        packed.capture_only = True
        attention.q_proj = self._no_query
        try:
            attention(hidden_states=layer.input_layernorm(hidden_states), **kwargs)
        except KeysCaptured:
            pass
        finally:
            attention.q_proj = projection
            packed.capture_only = False
        if packed.keep:
            return hidden_states[:, -1:]  # a prefix pass is read for its keys and values only
        cos, sin = kwargs["position_embeddings"]
        last = packed.last
        packed.last_only = True
        kwargs = {**kwargs, "position_embeddings": (cos[:, last], sin[:, last])}
        if kwargs.get("position_ids") is not None:
            kwargs["position_ids"] = kwargs["position_ids"][:, last]
        try:
            return self._last_forward(hidden_states[:, last], *args, **kwargs)
        finally:
            packed.last_only = False

    def _run(self, rows: Sequence[Sequence[int]], start: int, packed: PackedBatch) -> Tensor:
        ids = torch.from_numpy(np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]))
        positions = torch.from_numpy(np.concatenate([np.arange(start, start + len(row)) for row in rows]))
        self.computed_tokens += len(ids)
        output: Tensor = self.model(
            input_ids=ids[None].to(self.device),
            position_ids=positions[None].to(self.device),
            use_cache=False,
            packed=packed,
        ).last_hidden_state
        return output[0]

    @property
    def prefix_ids(self) -> list[int]:
        """Token ids of the prefix that packs stand behind now."""
        return self._kept_ids[: self._prefix_tokens]

    def forget_prefix(self) -> None:
        """Drop the kept keys and values."""
        self._kept_ids, self._kept = [], []
        self._prefix, self._prefix_tokens = [], 0

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def set_prefix(self, ids: Sequence[int], block_tokens: int = PREFIX_BLOCK_TOKENS) -> None:
        """Choose the prefix of the packs that follow; whole blocks that the kept one begins with are not computed again.

        Blocks make its keys a function of `ids` and `block_tokens` alone, to the last bit: a process that goes on after a
        kill, or that meets k = 5 without k = 3 before it, ends with the very same vectors.

        Args:
            ids: token ids of the prefix; none means that the packs stand alone, and keeps what is there for later.
            block_tokens: tokens of one forward pass over the prefix.

        What was computed before an error is kept, so that a second call goes on from there.
        """
        ids = list(ids)
        self._prefix, self._prefix_tokens = [], 0
        if ids and ids != self._kept_ids:
            known = _equal_beginning(ids, self._kept_ids) // block_tokens * block_tokens
            while known < len(ids):
                self._extend_kept(ids[: known + block_tokens], known)
                known = len(self._kept_ids)
            if len(self._kept_ids) > len(ids):
                self._kept = [(key[:, : len(ids)], value[:, : len(ids)]) for key, value in self._kept]
                self._kept_ids = ids
        if ids:
            self._prefix, self._prefix_tokens = self._kept, len(ids)

    def _extend_kept(self, ids: list[int], known: int) -> None:
        """Compute keys and values of `ids[known:]` behind the first `known` kept ones."""
        before = [(key[:, :known], value[:, :known]) for key, value in self._kept] if known else []
        packed = PackedBatch(torch.tensor([len(ids) - known], device=self.device), before, keep=True)
        with self._active():
            self._run([ids[known:]], known, packed)
        new = [packed.captured[layer] for layer in range(len(self.model.layers))]
        if before:
            pairs = zip(before, new, strict=True)
            new = [(torch.cat([k0, k1], dim=1), torch.cat([v0, v1], dim=1)) for (k0, v0), (k1, v1) in pairs]
        self._kept, self._kept_ids = [(key.contiguous(), value.contiguous()) for key, value in new], ids

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def encode_pack(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """Encode the own tokens of some texts behind the current prefix.

        Args:
            rows: own token ids of N texts, each at least one.

        Returns:
            `[N, hidden]` float32: hidden states of the last tokens.
        """
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        packed = PackedBatch(lengths, self._prefix)
        with self._active():
            hidden = self._run(rows, self._prefix_tokens, packed)
        return np.asarray(hidden.float().cpu().numpy(), dtype=np.float32)
