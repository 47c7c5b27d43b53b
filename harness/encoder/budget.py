"""How many tokens go through the model at once, from the memory that is free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

FULL_BUDGET = {"cpu": 1024, "cuda": 16_384}
"""More gains nothing: on a CPU a layer's activations then leave the cache, a GPU is compute-bound far below (2 FLOP per weight
and token against 184 FLOP per byte)."""
LEAST_BUDGET = 64
USABLE_SHARE = 0.6
"""Part of the free memory that activations may take; the rest is for the prefix keys, the allocator's gaps and others."""


def free_bytes(device: str) -> int | None:
    """Return the bytes free on the device now, or None where nothing tells."""
    if device.startswith("cuda"):
        free, _total = torch.cuda.mem_get_info(torch.device(device))
        return int(free)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(available[0]) * 1024 if available else None


def bytes_per_token(config: Any, itemsize: int) -> int:
    """Return what one token of a forward pass takes at its peak, in bytes, rounded up.

    Args:
        config: configuration of a transformers decoder.
        itemsize: bytes of one number of the model's dtype.

    In the MLP: residual, normed and result of width `hidden`, gate and up of width `inner`. In the attention: queries, keys,
    values and outputs, each once packed and once in rows that are padded to twice the tokens at worst.
    """
    hidden, inner = int(config.hidden_size), int(config.intermediate_size)
    head = int(getattr(config, "head_dim", None) or hidden // config.num_attention_heads)
    width = head * int(config.num_attention_heads)
    mlp = 3 * hidden + 2 * inner
    attention = 2 * hidden + 3 * 4 * width
    return itemsize * max(mlp, attention) + 8 * int(config.num_attention_heads)


def batch_budget(config: Any, dtype: torch.dtype, device: str) -> int:
    """Return the tokens of one forward pass: the device's full budget, or what fits into its free memory.

    The plan of the batches depends on it, so it is full wherever memory allows, and the same from run to run.
    """
    full = FULL_BUDGET["cuda" if device.startswith("cuda") else "cpu"]
    free = free_bytes(device)
    if free is None:
        return full
    fitting = int(free * USABLE_SHARE) // bytes_per_token(config, dtype.itemsize)
    # Powers of two: a few bytes more or less that are free give the same plan.
    while full > fitting and full > LEAST_BUDGET:
        full //= 2
    return full
