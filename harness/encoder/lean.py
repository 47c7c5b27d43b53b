"""The gated MLP of a layer without its two spare copies, and an allocator that keeps freed memory for the next layer.

Both leave every bit of the result as it is. A layer's activations are megabytes: glibc fetches blocks of that size from the system
and gives them back each time, and the pages cost more than the arithmetic on them (benchmarks/results/encoder-cpu.md).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# mallopt(3): parameters of the GNU C library, malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
KEPT_BYTES = 1 << 30
"""Freed memory that the process keeps at most at the end of its heap."""
REUSED_BYTES = 32 << 20
"""Blocks up to this size come from the heap; the largest value that every version of the library takes."""


def keep_freed_memory() -> bool:
    """Let the process use freed blocks again instead of fetching new pages; return whether the C library did so."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, REUSED_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))


def _lean_forward(mlp: Any) -> Callable[[Tensor], Tensor]:
    def forward(hidden: Tensor) -> Tensor:
        gate = torch.nn.functional.silu(mlp.gate_proj(hidden), inplace=True)
        result: Tensor = mlp.down_proj(gate.mul_(mlp.up_proj(hidden)))
        return result

    return forward


class LeanMLPs:
    """The MLPs of a model whose two element-wise steps can be done in place.

    Only those of the form down(silu(gate(x)) * up(x)) are taken; in inference nobody reads what is overwritten.
    """

    def __init__(self, model: Any) -> None:
        """Find them; nothing is changed yet."""
        found = [getattr(layer, "mlp", None) for layer in getattr(model, "layers", [])]
        self._mlps = [mlp for mlp in found if mlp is not None and _is_gated_silu(mlp)]
        self._forwards = [_lean_forward(mlp) for mlp in self._mlps]

    def __len__(self) -> int:
        return len(self._mlps)

    def enter(self) -> None:
        """Put the lean form in place."""
        for mlp, forward in zip(self._mlps, self._forwards, strict=True):
            mlp.forward = forward

    def leave(self) -> None:
        """Put the model's own form back."""
        for mlp in self._mlps:
            del mlp.forward


def _is_gated_silu(mlp: Any) -> bool:
    parts = ("gate_proj", "up_proj", "down_proj")
    if not all(isinstance(getattr(mlp, name, None), torch.nn.Linear) for name in parts):
        return False
    activation = getattr(mlp, "act_fn", None)
    return isinstance(activation, torch.nn.SiLU) or type(activation).__name__ == "SiLUActivation"
