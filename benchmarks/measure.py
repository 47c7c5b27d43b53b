"""What the measurements share: timing in turns, equality, floating point operations, the machine."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT))


@dataclass
class Timing:
    """Medians of one side of a ratio, in seconds."""

    wall: float
    cpu: float
    spread: float
    """(max - min) / median of the wall times."""
    rounds: int


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall seconds, CPU seconds and the result of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def alternate(
    calls: dict[str, Callable[[], Any]], rounds: int, *, warm: bool = True
) -> tuple[dict[str, Timing], dict[str, Any]]:
    """Call the sides in turn, `rounds` times after one warm-up each; return medians and last results.

    Long sides go without the warm-up: their start is a small part of them.
    """
    walls: dict[str, list[float]] = {name: [] for name in calls}
    cpus: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, Any] = {}
    for number in range(rounds + warm):
        for name, call in calls.items():
            wall, cpu, results[name] = timed(call)
            if number >= warm:
                walls[name].append(wall)
                cpus[name].append(cpu)
    timings = {
        name: Timing(
            statistics.median(walls[name]),
            statistics.median(cpus[name]),
            (max(walls[name]) - min(walls[name])) / statistics.median(walls[name]),
            len(walls[name]),
        )
        for name in calls
    }
    return timings, results


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def assert_equal(left: np.ndarray, right: np.ndarray, what: str) -> None:
    """Stop if two encoders disagree."""
    worst = float(np.abs(unit(left) - unit(right)).max())
    cosine = float(np.sum(unit(left) * unit(right), axis=1).min())
    if worst > 1e-5 or cosine < 0.999999:
        raise SystemExit(f"{what}: vectors differ (max {worst:.1e}, cosine {cosine:.7f}); nothing was written")


def computed_flops(config: Any, prefix: int, own: list[int]) -> float:
    """Return the floating point operations of one shared pass: 2 x linear parameters x computed tokens + attention."""
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    head = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    key_value = 2 * hidden * head * config.num_key_value_heads
    rest = 2 * hidden * head * config.num_attention_heads + 3 * hidden * inner
    tokens = prefix + sum(own)
    linear = 2 * tokens * (layers - 1) * (key_value + rest) + 2 * tokens * key_value + 2 * len(own) * rest
    width = head * config.num_attention_heads
    pairs = sum(length * prefix + length * (length + 1) / 2 for length in own) + prefix * (prefix + 1) / 2
    return float(linear + 4 * width * pairs * (layers - 1))


def machine(threads: int, device: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    import torch

    from harness.store.provenance import machine as describe

    names = ("torch", "transformers", "sentence-transformers", "FlagEmbedding", "tokenizers", "numpy")
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        **describe(device),
        "threads": threads,
        "load": Path("/proc/loadavg").read_text(encoding="utf-8").split()[0] if platform.system() == "Linux" else "",
        "torch_build": torch.__version__,
        "packages": versions,
    }
