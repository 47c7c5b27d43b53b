"""Doing the MLP in place and keeping freed memory change no bit, and leave the model as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from harness.encoder.lean import LeanMLPs
from tests.encoder.test_packed import KINDS, build

pytestmark = pytest.mark.model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_place_mlps_give_the_very_same_bits(kind: str, dtype: torch.dtype) -> None:
    model = build(kind, dtype)
    lean = LeanMLPs(model)
    assert len(lean) == 3, "all layers of these families have the gated form"
    hidden = torch.randn(1, 40, 64, dtype=dtype, generator=torch.Generator().manual_seed(3))

    with torch.inference_mode():
        expected = [layer.mlp(hidden) for layer in model.layers]
        kept = hidden.clone()
        lean.enter()
        found = [layer.mlp(hidden) for layer in model.layers]
        lean.leave()
        after = [layer.mlp(hidden) for layer in model.layers]

    assert torch.equal(hidden, kept), "the input is read again by nobody else's leave"
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(expected, after, strict=True))
    assert not any("forward" in vars(layer.mlp) for layer in model.layers)


def test_an_mlp_of_another_form_is_left_alone() -> None:
    model = build("mistral", hidden_act="gelu")

    assert len(LeanMLPs(model)) == 0
    assert len(LeanMLPs(torch.nn.Linear(2, 2))) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt belongs to the GNU C library")
def test_freed_blocks_are_used_again() -> None:
    """Count the page faults of a process that takes and frees twenty blocks of 7 MB again and again, in both settings."""
    program = (
        "import resource, sys, torch\n"
        "from harness.encoder.lean import keep_freed_memory\n"
        "if sys.argv[1] == 'keep': assert keep_freed_memory()\n"
        "def layers(): return [torch.ones(1_800_000) for _ in range(20)]\n"
        "torch.set_num_threads(1); layers()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): layers()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )

    def faults(setting: str) -> int:
        done = subprocess.run([sys.executable, "-c", program, setting], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") * 4 < faults("default")
