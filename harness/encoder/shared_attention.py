"""Attention of many packed texts to one shared prefix and to themselves, merged by their log-sum-exps.

Softmax over the keys of two sets equals the two softmaxes weighted by their normalisers, so that the prefix part of all texts is
one dense product against a single copy of the prefix keys (as in Hydragen, arXiv 2402.05099, and cascade inference) and the own
part is ordinary causal attention inside each text. The result is exact up to rounding.

Shapes: T packed own tokens, N texts, L longest own part, P prefix tokens, H query heads, K key heads, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

ATTENTION_NAME = "harness_shared_prefix"


class KeysCaptured(Exception):  # noqa: N818 -- a signal, not a failure
    """Raised inside an attention module once its keys and values are stored and nothing else of it is wanted."""


@dataclass
class PackedBatch:
    """The texts of one forward pass, and what their attention layers share.

    Attributes:
        lengths: `[N]` own tokens of each text, int64 on the model's device.
        prefix: per layer keys and values `[K, P, D]` of the shared prefix; empty without one.
        captured: per layer keys and values `[K, T, D]` of this pass, kept when `keep` is set.
        keep: whether to keep keys and values (the pass computes a prefix).
        capture_only: attention stores keys and values and stops.
        last_only: queries belong to the last token of each text, keys and values come from `captured`.
    """

    lengths: Tensor
    prefix: list[tuple[Tensor, Tensor]]
    keep: bool = False
    capture_only: bool = False
    last_only: bool = False
    captured: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Precompute where the padded form takes its tokens from."""
        lengths = self.lengths
        self.longest = int(lengths.max())
        self.uniform = bool((lengths == self.longest).all())
        starts = torch.cumsum(lengths, 0) - lengths
        columns = torch.arange(self.longest, device=lengths.device)
        self.valid = columns[None, :] < lengths[:, None]  # [N, L]
        self.source = starts[:, None] + torch.minimum(columns[None, :], lengths[:, None] - 1)  # [N, L]
        self.last = starts + lengths - 1  # [N]
        self.flat = self.valid.flatten().nonzero().squeeze(1)  # [T] of N * L

    def to_rows(self, packed: Tensor) -> Tensor:
        """`[heads, T, D]` -> `[N, heads, L, D]`; padding repeats a text's last token."""
        if self.uniform:
            heads, _, dim = packed.shape
            return packed.view(heads, -1, self.longest, dim).transpose(0, 1)
        return packed[:, self.source].transpose(0, 1)

    def to_packed(self, rows: Tensor) -> Tensor:
        """`[N, heads, L, ...]` -> `[heads, T, ...]`, without the padding."""
        flat = rows.transpose(0, 1).flatten(1, 2)
        return flat if self.uniform else flat[:, self.flat]


def attend_with_lse(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, *, causal: bool
) -> tuple[Tensor, Tensor]:
    """Return attention output and the log-sum-exp of its scores.

    Args:
        query: `[B, H, Q, D]`.
        key: `[B, H, S, D]`.
        value: `[B, H, S, D]`.
        scaling: factor of the scores.
        causal: query i sees keys 0..i (Q == S).

    Returns:
        Output `[B, H, Q, D]` in the query's dtype and log-sum-exp `[B, H, Q]` float32.
    """
    if query.device.type == "cpu":
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, scale=scaling
        )
        return output, lse
    if query.device.type == "cuda" and query.dtype in (torch.float16, torch.bfloat16) and query.shape[-1] <= 256:
        found = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, False, scale=scaling)
        return found[0], found[1]
    return attend_with_lse_portable(query, key, value, scaling, causal=causal)


def attend_with_lse_portable(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, *, causal: bool
) -> tuple[Tensor, Tensor]:
    """Do what `attend_with_lse` does with plain products, for devices and dtypes without a kernel that returns the lse."""
    scores = torch.matmul(query.float(), key.float().transpose(-1, -2)) * scaling
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    lse = torch.logsumexp(scores, dim=-1)
    weights = torch.exp(scores - lse[..., None])
    return torch.matmul(weights, value.float()).to(query.dtype), lse


def merge(first: Tensor, first_lse: Tensor, second: Tensor, second_lse: Tensor) -> Tensor:
    """Return the attention over two key sets from the attentions over each.

    Args:
        first: `[..., D]` output over the first set, with log-sum-exp `[...]`.
        first_lse: see `first`.
        second: output over the second set.
        second_lse: see `second`.
    """
    # softmax of two numbers is a sigmoid of their difference: no overflow, one exponential
    share = torch.sigmoid(second_lse - first_lse)[..., None].to(first.dtype)
    return torch.lerp(first, second, share)


def _prefix_part(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Attend `[H, T, D]` queries to `[K, P, D]` keys; the queries of a key head form one long row, keys are not repeated."""
    heads, tokens, dim = query.shape
    key_heads = key.shape[0]
    folded = query.reshape(1, key_heads, heads // key_heads * tokens, dim)
    output, lse = attend_with_lse(folded, key[None], value[None], scaling, causal=False)
    return output.reshape(heads, tokens, dim), lse.reshape(heads, tokens)


def _own_part(query: Tensor, key: Tensor, value: Tensor, scaling: float, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Causal attention inside each text: `[H, T, D]`, `[K, T, D]` -> `[H, T, D]` and `[H, T]`."""
    groups = query.shape[0] // key.shape[0]
    keys = batch.to_rows(key).repeat_interleave(groups, dim=1)
    values = batch.to_rows(value).repeat_interleave(groups, dim=1)
    output, lse = attend_with_lse(batch.to_rows(query), keys, values, scaling, causal=True)
    return batch.to_packed(output), batch.to_packed(lse)


def _last_part(query: Tensor, key: Tensor, value: Tensor, scaling: float, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Attention of each text's last token to its own tokens: query `[H, N, D]` -> `[H, N, D]` and `[H, N]`."""
    heads, texts, dim = query.shape
    key_heads = key.shape[0]
    rows = query.transpose(0, 1).reshape(texts, key_heads, heads // key_heads, dim)
    scores = torch.matmul(rows, batch.to_rows(key).transpose(-1, -2)).float() * scaling  # [N, K, H/K, L]
    scores = scores.masked_fill(~batch.valid[:, None, None, :], float("-inf"))
    lse = torch.logsumexp(scores, dim=-1)
    weights = torch.exp(scores - lse[..., None]).to(value.dtype)
    output = torch.matmul(weights, batch.to_rows(value)).reshape(texts, heads, dim)
    return output.transpose(0, 1), lse.reshape(texts, heads).transpose(0, 1)


def shared_prefix_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    packed: PackedBatch | None = None,
    **_kwargs: Any,
) -> tuple[Tensor, None]:
    """The function registered with transformers; query `[1, H, T, D]`, key and value `[1, K, T, D]`, rotated already.

    Returns:
        `[1, T, H, D]`, as transformers expects it.
    """
    if packed is None:
        raise RuntimeError("the shared-prefix attention runs only inside the packed encoder")
    layer = int(module.layer_idx)
    factor = float(module.head_dim) ** -0.5 if scaling is None else scaling
    queries, keys, values = query[0], key[0], value[0]
    if packed.last_only:
        keys, values = packed.captured[layer]
        output, lse = _last_part(queries, keys, values, factor, packed)
    else:
        if packed.keep or packed.capture_only:
            packed.captured[layer] = (keys, values)
        if packed.capture_only:
            raise KeysCaptured
        output, lse = _own_part(queries, keys, values, factor, packed)
    if packed.prefix:
        prefix_key, prefix_value = packed.prefix[layer]
        prefix_output, prefix_lse = _prefix_part(queries, prefix_key, prefix_value, factor)
        output = merge(output, lse, prefix_output, prefix_lse)
    return output.transpose(0, 1)[None], None


def register() -> None:
    """Make the attention known to transformers under ATTENTION_NAME."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, shared_prefix_attention)
