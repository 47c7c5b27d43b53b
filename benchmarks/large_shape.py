"""Measure the encoder at a large decoder's shape with random weights: what only an accelerator can tell.

    python benchmarks/large_shape.py --device cuda              (Mistral-7B's shape, bfloat16)
    python benchmarks/large_shape.py --device cpu --shape tiny  (the same path on any machine; its figures mean nothing)

Queries of 40 own tokens behind prefixes of 0, 500, 1,000 and 2,000 tokens, documents of 200 tokens, the fraction of the matrix
product's peak, peak memory, and the plain padded forward (what FlagICLModel does per batch, without its discarded probe) beside it.
Equality with the plain forward is asserted in the same run. Writes benchmarks/results/large-shape-<device>.{md,json} at shape 7b.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import RESULTS, computed_flops, machine

SHAPES: dict[str, dict[str, Any]] = {
    # https://huggingface.co/mistralai/Mistral-7B-v0.1 config.json; bge-en-icl has the same.
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32003,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 503,
    },
}
COUNTS = {"7b": (1000, 24, 500), "tiny": (40, 6, 20)}
"""Queries of our path, queries of the plain path, documents."""
QUERY_TOKENS, DOCUMENT_TOKENS = 40, 200
PREFIXES = (0, 500, 1000, 2000)


def build(shape: str, device: str, dtype: str) -> Any:
    """Return a Mistral decoder with random weights, made on the device."""
    import torch
    from transformers import MistralConfig, MistralModel

    config = MistralConfig(**SHAPES[shape], sliding_window=None, max_position_embeddings=32768)
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            return MistralModel(config).eval()
    finally:
        torch.set_default_dtype(default)


def rows_of(prefix: list[int], count: int, own: int, vocabulary: int) -> list[list[int]]:
    """Return `count` rows of ids that share a prefix and have `own` tokens each behind it."""
    rng = np.random.default_rng(1)
    return [prefix + rng.integers(3, vocabulary, own).tolist() for _ in range(count)]


def seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median of some calls after a warm-up; every call ends with vectors on the host."""
    call()
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


class LargeShape:
    """A decoder of one shape, encoded by the packed path and by the plain one."""

    def __init__(self, shape: str, device: str, dtype: str, rounds: int) -> None:
        from harness.encoder.budget import batch_budget
        from harness.encoder.packed import PackedModel

        self.shape, self.device, self.rounds = shape, device, rounds
        self.model = build(shape, device, dtype)
        self.budget = batch_budget(self.model.config, self.model.dtype, device)
        self.packed = PackedModel(self.model)

    def shared(self, rows: list[list[int]], prefix: int) -> np.ndarray:
        """Encode behind the common prefix, computed anew."""
        from harness.encoder.packed import plan_packs

        self.packed.forget_prefix()
        self.packed.set_prefix(rows[0][:prefix])
        own = [row[prefix:] for row in rows]
        vectors = np.zeros((len(rows), self.model.config.hidden_size), np.float32)
        for pack in plan_packs([len(one) for one in own], self.budget):
            vectors[pack] = self.packed.encode_pack([own[position] for position in pack])
        return vectors

    def plain(self, rows: list[list[int]], batch: int = 8) -> np.ndarray:
        """Encode whole rows, some at a time (rows of one length need no padding)."""
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(rows), batch):
                ids = torch.tensor(rows[start : start + batch], device=self.device)
                hidden = self.model(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
                found.append(hidden.float().cpu().numpy())
        return np.concatenate(found)

    def peak_flops(self) -> float:
        """Return FLOP/s of the matrix product of the model's own MLP at the token budget."""
        import torch

        config = self.model.config
        left = torch.randn(self.budget, config.hidden_size, dtype=self.model.dtype, device=self.device)
        right = torch.randn(config.intermediate_size, config.hidden_size, dtype=self.model.dtype, device=self.device)

        def products() -> None:
            for _ in range(20):
                result = torch.nn.functional.linear(left, right)
            result[0, 0].item()  # waits for the device

        return 20 * 2 * self.budget * config.hidden_size * config.intermediate_size / seconds(products, self.rounds)

    def memory(self) -> float:
        """Return the peak of allocated device memory in GiB since the last call; 0 without a GPU."""
        import torch

        if not self.device.startswith("cuda"):
            return 0.0
        peak = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
        return peak

    def table(self) -> dict[str, Any]:
        """Measure everything."""
        queries, plain_queries, documents = COUNTS[self.shape]
        vocabulary = self.model.config.vocab_size
        peak = self.peak_flops()
        lines: list[dict[str, Any]] = []
        zero = 0.0
        for size in PREFIXES:
            head = np.random.default_rng(2).integers(3, vocabulary, size).tolist()
            rows = rows_of(head, queries, QUERY_TOKENS, vocabulary)
            few = rows[:plain_queries]
            self.memory()
            check(self.shared(few, size), self.plain(few), str(self.model.dtype))
            took = seconds(lambda rows=rows, size=size: self.shared(rows, size), self.rounds)  # type: ignore[misc]
            held = self.memory()
            slow = seconds(lambda few=few: self.plain(few), 3)  # type: ignore[misc]
            rate, plain_rate = queries / took, plain_queries / slow
            zero = zero or rate
            flops = computed_flops(self.model.config, size, [QUERY_TOKENS] * queries)
            lines.append(
                {
                    "what": f"queries, P={size}",
                    "texts_per_second": rate,
                    "of_zero_shot": rate / zero,
                    "times_plain": rate / plain_rate,
                    "of_peak": flops / took / peak,
                    "peak_gib": held,
                }
            )
            print(lines[-1], flush=True)
        rows = rows_of([], documents, DOCUMENT_TOKENS, vocabulary)
        took = seconds(lambda: self.shared(rows, 0), self.rounds)
        lines.append(
            {
                "what": f"documents, {DOCUMENT_TOKENS} tokens",
                "texts_per_second": documents / took,
                "of_peak": computed_flops(self.model.config, 0, [DOCUMENT_TOKENS] * documents) / took / peak,
                "peak_gib": self.memory(),
            }
        )
        print(lines[-1], flush=True)
        return {"peak_tflops": peak / 1e12, "batch_tokens": self.budget, "lines": lines}


def check(found: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    """Stop if the two paths disagree by more than the dtype's rounding."""
    left = found / np.linalg.norm(found, axis=1, keepdims=True)
    right = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    cosine = float(np.sum(left * right, axis=1).min())
    if cosine < (0.999999 if dtype == "torch.float32" else 0.99):
        raise SystemExit(f"the packed path differs from the plain one (cosine {cosine:.6f}); nothing was written")


def write(found: dict[str, Any], about: dict[str, Any], name: str) -> None:
    """Write the table as markdown and JSON."""
    lines = [
        f"# Encoder at Mistral-7B's shape, random weights ({about['dtype']})",
        "",
        f"{about['date']}, {about.get('gpu') or about['processor']}, torch {about['torch_build']}, "
        f"transformers {about['packages']['transformers']}. Command: `{about['command']}`.",
        f"Peak of the matrix product {found['peak_tflops']:.1f} TFLOP/s; {found['batch_tokens']} tokens a pass.",
        "",
        "| | texts/s | of zero-shot | times the plain forward | of the matmul peak | peak memory, GiB |",
        "|--|--|--|--|--|--|",
    ]
    for one in found["lines"]:
        zero, plain = one.get("of_zero_shot"), one.get("times_plain")
        lines.append(
            f"| {one['what']} | {one['texts_per_second']:.1f} | {'' if zero is None else f'{zero:.2f}'} "
            f"| {'' if plain is None else f'{plain:.1f}'} | {one['of_peak']:.2f} | {one['peak_gib']:.1f} |"
        )
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": about, **found}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the measurement."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="7b")
    parser.add_argument("--dtype", default="")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    dtype = options.dtype or ("bfloat16" if options.device.startswith("cuda") else "float32")
    found = LargeShape(options.shape, options.device, dtype, options.rounds).table()
    if options.shape == "7b":
        about = {**machine(torch.get_num_threads(), options.device), "dtype": dtype}
        write(found, about, f"large-shape-{options.device.replace(':', '-')}")


if __name__ == "__main__":
    main()
