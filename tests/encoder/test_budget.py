"""The token budget is the device's full one, and less only where memory is short."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.encoder import budget
from harness.encoder.budget import FULL_BUDGET, LEAST_BUDGET, batch_budget, bytes_per_token, free_bytes

pytestmark = pytest.mark.unit

MISTRAL = SimpleNamespace(
    hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_key_value_heads=8, head_dim=128
)


def budget_at(monkeypatch: pytest.MonkeyPatch, free: int | None, device: str = "cuda") -> int:
    monkeypatch.setattr(budget, "free_bytes", lambda _device: free)
    return batch_budget(MISTRAL, torch.bfloat16, device)


def test_ample_memory_gives_the_full_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget_at(monkeypatch, 60 << 30) == FULL_BUDGET["cuda"]
    assert budget_at(monkeypatch, 60 << 30, "cpu") == FULL_BUDGET["cpu"]


def test_unknown_memory_gives_the_full_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget_at(monkeypatch, None, "cpu") == FULL_BUDGET["cpu"]


def test_short_memory_halves_the_budget_and_a_few_bytes_do_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    each = bytes_per_token(MISTRAL, 2)
    free = int(5000 * each / budget.USABLE_SHARE)

    assert budget_at(monkeypatch, free) == 4096
    assert budget_at(monkeypatch, free + (64 << 20)) == 4096


def test_no_memory_at_all_still_tries_the_least_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget_at(monkeypatch, 0) == LEAST_BUDGET


def test_a_full_pass_at_the_7b_shape_is_a_few_gigabytes() -> None:
    taken = FULL_BUDGET["cuda"] * bytes_per_token(MISTRAL, 2)

    # The MLP's two wide activations alone are 16,384 x 2 x 14,336 x 2 bytes = 0.94 GB.
    assert 0.94e9 < taken < 4e9


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="free memory is read from /proc/meminfo")
def test_free_memory_of_this_machine_is_below_its_size() -> None:
    total = int(Path("/proc/meminfo").read_text(encoding="utf-8").split("MemTotal:")[1].split()[0]) * 1024

    found = free_bytes("cpu")

    assert found is not None
    assert 0 < found < total
