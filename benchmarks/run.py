"""Measure the encoder against its peers, side by side in one process, and check in the same run that all agree.

    make bench            (or: .venv/bin/python benchmarks/run.py [--threads 2] [--quick] [--rows few,peak] [--device cuda])

Every ratio alternates its two sides and takes medians: five rounds, three for peers that are over five times slower. The whole took
90 minutes on one core that does 70 GFLOP/s; a third of that is FlagICLModel at its default batch size.
Writes benchmarks/results/encoder-<device>.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers
from measure import RESULTS, Timing, alternate, assert_equal, computed_flops, machine, timed


@dataclass
class Ratio:
    """One line of the table."""

    name: str
    value: float
    target: str
    detail: str
    ours: Timing | None = None
    other: Timing | None = None


class Suite:
    """The measurements on one machine."""

    def __init__(self, folder: Path, *, threads: int, quick: bool, device: str, dtype: str) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.scale = 4 if quick else 1
        self.directory = peers.build_tiny_mistral(folder)
        self.encoder = peers.load_ours(self.directory, "shared", dtype, device)
        self.tokenizer = self.encoder.tokenizer
        self.examples = peers.examples_of(self.tokenizer)
        self.zero = peers.prompt_of(self.encoder, [])
        self.few = peers.prompt_of(self.encoder, self.examples)
        self.queries = peers.texts_of(self.tokenizer, peers.query_lengths(1000 // self.scale), 3)
        self.documents = peers.texts_of(self.tokenizer, peers.document_lengths(2000 // self.scale), 4)
        self.ratios: list[Ratio] = []

    def ours(self, texts: list[str], prompt: Any, side: str = "query") -> np.ndarray:
        """Encode with nothing kept from an earlier call."""
        self.encoder.packed.forget_prefix()
        return np.asarray(self.encoder.encode(texts, prompt, side, 512)[0])

    def add(self, name: str, value: float, target: str, detail: str, ours: Timing, other: Timing) -> None:
        """Keep and print a line."""
        self.ratios.append(Ratio(name, value, target, detail, ours, other))
        print(f"{name}: {value:.3f} (target {target}; {detail})", flush=True)

    def prefix_tokens(self, prompt: Any) -> int:
        """Return the length of the common beginning of two queries' ids."""
        from harness.encoder.packed import common_prefix_length

        return common_prefix_length(self.encoder.tokenize(self.queries[:8], prompt, "query", 512).ids)

    def few_against_zero(self) -> None:
        """Few-shot at the price of zero-shot."""
        timings, results = alternate(
            {"few": lambda: self.ours(self.queries, self.few), "zero": lambda: self.ours(self.queries, self.zero)}, 5
        )
        naive = peers.load_ours(self.directory, "naive", self.encoder.dtype, self.encoder.device)
        sample = self.queries[:24]
        assert_equal(results["few"][:24], naive.encode(sample, self.few, "query", 512)[0], "shared against naive, k=5")
        assert_equal(
            results["zero"][:24], naive.encode(sample, self.zero, "query", 512)[0], "shared against naive, k=0"
        )
        n, prefix = len(self.queries), self.prefix_tokens(self.few)
        self.add(
            "ours k=5 / ours zero-shot, queries/s",
            timings["zero"].wall / timings["few"].wall,
            ">= 0.82",
            f"N={n}, P={prefix}; {n / timings['few'].wall:.1f} and {n / timings['zero'].wall:.1f} queries/s",
            timings["few"],
            timings["zero"],
        )

    def against_sentence_transformers(self) -> None:
        """Queries and documents against sentence-transformers on the same weights."""
        encode = peers.load_sentence_transformer(self.directory)
        queries = self.queries[: 200 // self.scale * 2]
        head, tail = self.zero.wrap_query(""), self.zero.suffix
        timings, results = alternate(
            {
                "st": lambda: encode(queries, head, tail),
                "zero": lambda: self.ours(queries, self.zero),
                "few": lambda: self.ours(queries, self.few),
            },
            5,
        )
        assert_equal(results["zero"], results["st"], "sentence-transformers zero-shot")
        n = len(queries)
        detail = f"N={n}; sentence-transformers {n / timings['st'].wall:.1f} queries/s"
        st = timings["st"]
        self.add(
            "ours k=5 / sentence-transformers zero-shot",
            st.wall / timings["few"].wall,
            ">= 1.5",
            detail,
            timings["few"],
            st,
        )
        self.add(
            "ours zero-shot / sentence-transformers zero-shot",
            st.wall / timings["zero"].wall,
            ">= 2",
            detail,
            timings["zero"],
            st,
        )
        timings, results = alternate(
            {
                "ours": lambda: self.ours(self.documents, self.zero, "document"),
                "st": lambda: encode(self.documents, "", ""),
            },
            5,
            warm=False,
        )
        assert_equal(results["ours"], results["st"], "sentence-transformers documents")
        n = len(self.documents)
        self.add(
            "documents/s, ours / sentence-transformers (batch 32)",
            timings["st"].wall / timings["ours"].wall,
            ">= 1.15",
            f"N={n}; {n / timings['ours'].wall:.1f} and {n / timings['st'].wall:.1f} documents/s",
            timings["ours"],
            timings["st"],
        )

    def against_flag_icl(self) -> None:
        """Few-shot queries against the authors' own class, at its default and at a tuned batch size."""
        encode = peers.load_flag_icl(self.directory, self.examples)
        queries = self.queries[: 256 // self.scale]
        tuned = min((4, 8, 16), key=lambda size: timed(lambda: encode(queries[: size * 2], size))[0])
        for name, size, target in (("tuned batch", tuned, ">= 13"), ("default batch", 256, ">= 25")):
            timings, results = alternate(
                {"ours": lambda: self.ours(queries, self.few), "flag": lambda s=size: encode(queries, s)},  # type: ignore[misc]
                3,
                warm=False,
            )
            assert_equal(results["ours"], results["flag"], f"FlagICLModel, batch size {size}")
            n = len(queries)
            self.add(
                f"ours k=5 / FlagICLModel k=5, {name}",
                timings["flag"].wall / timings["ours"].wall,
                target,
                f"N={n}, batch size {size}; {n / timings['ours'].wall:.1f} and {n / timings['flag'].wall:.2f} queries/s",
                timings["ours"],
                timings["flag"],
            )

    def text_encoder(self, store: Any) -> Any:
        """Return our encoder as a run uses it, in front of a store of vectors."""
        from harness.encoder.sources import resolve_source
        from harness.encoder.text_encoder import TextEncoder

        self.encoder.packed.forget_prefix()
        return TextEncoder(self.encoder, resolve_source(str(self.directory)), 512, 512, store)

    def retrieval_task(self, store: Any, prompts: list[Any]) -> tuple[int, np.ndarray]:
        """Encode documents and queries of a retrieval task for each prompt; return texts encoded and the last queries."""
        encoder = self.text_encoder(store)
        documents, queries = self.documents[: 1000 // self.scale], self.queries[: 32 // self.scale]
        encoded = 0
        vectors = np.zeros(0)
        for prompt in prompts:
            _, stats = encoder.encode(documents, prompt, "document", normalize=True, where="documents")
            vectors, more = encoder.encode(queries, prompt, "query", normalize=True, where="queries")
            encoded += stats.encoded + more.encoded
        encoder.store.flush()
        return encoded, vectors

    def sweep_against_one_run(self) -> None:
        """Six values of k for hardly more than one: documents are shared, and prefixes grow out of one another."""
        from harness.encoder.memory_store import MemoryStore

        prompts = [peers.prompt_of(self.encoder, self.examples[:count]) for count in range(6)]
        timings, results = alternate(
            {
                "sweep": lambda: self.retrieval_task(MemoryStore(), prompts),
                "one": lambda: self.retrieval_task(MemoryStore(), prompts[:1]),
            },
            5,
            warm=False,
        )
        alone = self.retrieval_task(MemoryStore(), prompts[-1:])[1]
        assert_equal(results["sweep"][1], alone, "k=5 at the end of a sweep against k=5 alone")
        tokens = [
            sum(len(ids) for ids in self.encoder.tokenize(texts, self.zero, side, 512).ids)
            for texts, side in (
                (self.queries[: 32 // self.scale], "query"),
                (self.documents[: 1000 // self.scale], "document"),
            )
        ]
        self.add(
            "sweep k=0..5 / one run at k=0, encode seconds",
            timings["sweep"].wall / timings["one"].wall,
            "<= 1.10",
            f"{results['one'][0]} texts; query tokens, instruction included, 1/{tokens[1] / tokens[0]:.0f} of the documents'",
            timings["one"],
            timings["sweep"],
        )

    def second_run(self) -> None:
        """The same run again in a new directory, with the store on disk."""
        from harness.encoder.memory_store import LayeredStore, MemoryStore
        from harness.encoder.vectors import EmbeddingStore

        firsts, seconds, vectors = [], [], {}
        for number in range(3):
            with tempfile.TemporaryDirectory() as folder:
                for kept in (firsts, seconds):
                    store = LayeredStore(MemoryStore(), EmbeddingStore(Path(folder)))
                    wall, cpu, (encoded, vectors[number]) = timed(lambda s=store: self.retrieval_task(s, [self.few]))  # type: ignore[misc]
                    kept.append((wall, cpu, encoded, vectors[number]))
            if seconds[-1][2] or not np.array_equal(firsts[-1][3], seconds[-1][3]):
                raise SystemExit("the second run encoded texts or gave other vectors; nothing was written")
        first, second = (
            Timing(statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows), 0.0, len(rows))
            for rows in (firsts, seconds)
        )
        self.add(
            "second identical run / first, encode seconds",
            second.wall / first.wall,
            "<= 0.05",
            f"{firsts[0][2]} texts encoded in the first, {seconds[0][2]} in the second (target 0)",
            first,
            second,
        )

    def fraction_of_peak(self) -> None:
        """FLOP/s of few-shot encoding over the machine's matrix product of the model's own MLP shape."""
        torch, encoder = self.torch, self.encoder
        config = encoder.model.config
        rows = encoder.batch_tokens
        left = torch.randn(rows, config.hidden_size, dtype=encoder.model.dtype, device=encoder.device)
        right = torch.randn(config.intermediate_size, config.hidden_size, dtype=left.dtype, device=left.device)

        def product() -> None:
            for _ in range(20):
                torch.nn.functional.linear(left, right)

        ids = encoder.tokenize(self.queries, self.few, "query", 512).ids
        prefix = self.prefix_tokens(self.few)
        flops = computed_flops(config, prefix, [len(one) - prefix for one in ids])
        texts = self.queries
        timings, _ = alternate(
            {"peak": product, "ours": lambda: (encoder.packed.forget_prefix(), encoder.encode_ids(ids, texts))}, 5
        )
        peak = 20 * 2 * rows * config.hidden_size * config.intermediate_size / timings["peak"].wall
        reached = flops / timings["ours"].wall
        self.add(
            f"fraction of the matmul peak, {encoder.dtype}",
            reached / peak,
            ">= 0.80 (float32)",
            f"{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, tokenisation left out",
            timings["ours"],
            timings["peak"],
        )


ROWS: dict[str, Callable[[Suite], None]] = {
    "few": Suite.few_against_zero,
    "peak": Suite.fraction_of_peak,
    "sweep": Suite.sweep_against_one_run,
    "second": Suite.second_run,
    "sentence-transformers": Suite.against_sentence_transformers,
    "flag-icl": Suite.against_flag_icl,
}


def write(suite: Suite, about: dict[str, Any], name: str) -> None:
    """Write the table as markdown and JSON."""
    RESULTS.mkdir(exist_ok=True)
    lines = [
        f"# Encoder speed ({suite.encoder.device}, {suite.encoder.dtype})",
        "",
        f"{about['date']}, {about['processor']}, {about['threads']} threads, load {about['load']} at the end, "
        + ", ".join(f"{package} {version}" for package, version in about["packages"].items()),
        f"Command: `{about['command']}`. Medians; equality of the vectors was asserted in the same run.",
        "",
        "| ratio | measured | target | CPU-seconds ratio | detail |",
        "|--|--|--|--|--|",
    ]
    for one in suite.ratios:
        # the two sides of the fraction of the peak do not do the same work
        alike = one.ours and one.other and "peak" not in one.name
        cpu = f"{one.other.cpu / one.ours.cpu:.2f}" if alike else "-"
        lines.append(f"| {one.name} | {one.value:.3f} | {one.target} | {cpu} | {one.detail} |")
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    document = {"machine": about, "ratios": [asdict(one) for one in suite.ratios]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the suite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="torch threads (peers get the same)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the texts, nothing written")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", help=f"only these measurements, comma-separated ({', '.join(ROWS)}); nothing written")
    options = parser.parse_args()
    rows = options.rows.split(",") if options.rows else list(ROWS)
    if unknown := sorted(set(rows) - ROWS.keys()):
        parser.error(f"--rows {','.join(unknown)}: choose from {', '.join(ROWS)}.")
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(
            Path(folder), threads=options.threads, quick=options.quick, device=options.device, dtype=options.dtype
        )
        for row in rows:
            ROWS[row](suite)
        if not (options.quick or options.rows):
            name = f"encoder-{options.device.replace(':', '-')}"
            write(suite, machine(options.threads, options.device), name)


if __name__ == "__main__":
    main()
