"""Exact top-k search over precomputed vectors: ours, mteb's own wrapper, and faiss's flat index where it is installed.

python benchmarks/search.py [--documents 200000 --dim 384 --queries 1000 --k 1000 --threads 1 --repeats 5]

All run in this process, in turns; the medians of CPU and wall seconds go to benchmarks/results/search-cpu.{md,json}. mteb's
wrapper is `SearchEncoderWrapper` with an encoder that returns slices of the vectors, its dataloader replaced, so that only
its arithmetic is measured. The results must be equal, or nothing is written.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
BLOCK = 50_000
"""Documents per block, mteb's corpus_chunk_size."""
TOLERANCE = 1e-5
Dicts = dict[str, dict[str, float]]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


class Rows:
    """A corpus of which only ids and positions matter."""

    def __init__(self, ids: list[str], first: int = 0) -> None:
        self.ids, self.first = ids, first

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, column: str) -> list[str]:
        return self.ids

    def select(self, rows: range) -> Rows:
        """Return a run of rows."""
        return Rows(self.ids[rows.start : rows.stop], self.first + rows.start)


def mteb_search(queries: Any, documents: Any, query_ids: list[str], ids: list[str], k: int) -> Dicts:
    """Search with mteb's wrapper around precomputed vectors."""
    import mteb.models.search_wrappers as wrappers
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction
    from mteb.types import PromptType

    class Precomputed(AbsEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            self.mteb_model_meta = ModelMeta.create_empty({"similarity_fn_name": ScoringFunction.COSINE})

        def encode(self, inputs: Rows, *, prompt_type: PromptType, **_kwargs: Any) -> Any:
            if prompt_type == PromptType.query:
                return queries
            return documents[inputs.first : inputs.first + len(inputs)]

    original = wrappers.create_dataloader
    wrappers.create_dataloader = lambda dataset, **_kwargs: dataset
    try:
        wrapper = wrappers.SearchEncoderWrapper(Precomputed(), corpus_chunk_size=BLOCK)
        where: dict[str, Any] = {"task_metadata": None, "hf_split": "test", "hf_subset": "default"}
        wrapper.index(Rows(ids), encode_kwargs={"show_progress_bar": False}, **where)
        found: Dicts = wrapper.search(Rows(query_ids), top_k=k, encode_kwargs={"show_progress_bar": False}, **where)
        return found
    finally:
        wrappers.create_dataloader = original


def our_search(queries: Any, documents: Any, query_ids: list[str], ids: list[str], k: int, device: str) -> Dicts:
    """Search with harness.search.topk."""
    from harness.search.topk import search

    blocks = (documents[start : start + BLOCK] for start in range(0, len(documents), BLOCK))
    return search(queries, blocks, ids, k, device=device).as_dicts(query_ids, ids)


def faiss_search(queries: Any, documents: Any, query_ids: list[str], ids: list[str], k: int) -> Dicts:
    """Search with faiss's flat index; the vectors are normalised already."""
    import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]

    from harness.search.topk import TopK

    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(documents)
    scores, positions = index.search(queries, k)
    return TopK(positions, scores).as_dicts(query_ids, ids)


def assert_equal(ours: Dicts, theirs: Dicts) -> float:
    """Check that two searches found the same, ties at the k-th score apart; return the greatest score difference."""
    assert ours.keys() == theirs.keys()
    worst = 0.0
    for query_id, mine in ours.items():
        other = theirs[query_id]
        assert len(mine) == len(other)
        last = min(mine.values())
        for document_id in mine.keys() | other.keys():
            if document_id in mine and document_id in other:
                worst = max(worst, abs(mine[document_id] - other[document_id]))
            else:
                score = mine.get(document_id, other.get(document_id, 0.0))
                assert abs(score - last) <= TOLERANCE, (query_id, document_id, score, last)
    assert worst <= TOLERANCE, worst
    return worst


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all peers in turns and return the medians."""
    import numpy as np
    import torch

    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)

    def unit(rows: int) -> Any:
        vectors = rng.standard_normal((rows, options.dim), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    documents, queries = unit(options.documents), unit(options.queries)
    ids, query_ids = [f"d{n}" for n in range(len(documents))], [f"q{n}" for n in range(len(queries))]
    given = (queries, documents, query_ids, ids, options.k)
    peers: dict[str, Callable[[], Any]] = {
        "ours": lambda: our_search(*given, options.device),
        "mteb SearchEncoderWrapper": lambda: mteb_search(*given),
    }
    try:
        import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]

        faiss.omp_set_num_threads(options.threads)
        peers["faiss IndexFlatIP"] = lambda: faiss_search(*given)
    except ImportError:
        print("faiss is not installed: left out", file=sys.stderr)
    tensor, ours = torch.from_numpy(documents), torch.from_numpy(queries)
    scores = torch.empty(len(queries), 512)

    def product() -> None:
        for start in range(0, len(tensor) - 511, 512):
            torch.mm(ours, tensor[start : start + 512].T, out=scores)

    peers["matrix product alone"] = product

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    differences: dict[str, float] = {}
    for turn in range(options.repeats + 1):
        found: dict[str, Any] = {}
        for name, peer in peers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            found[name] = peer()
            if turn:  # the first warms up
                times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
        for name, theirs in found.items():
            if theirs is not None and name != "ours":
                differences[name] = max(differences.get(name, 0.0), assert_equal(found["ours"], theirs))
    rows = [
        {
            "peer": name,
            "cpu_seconds": statistics.median(cpu for cpu, _ in measured),
            "wall_seconds": statistics.median(wall for _, wall in measured),
            "cpu_over_ours": statistics.median(cpu for cpu, _ in measured)
            / statistics.median(cpu for cpu, _ in times["ours"]),
            "max_score_difference": differences.get(name),
            "all_cpu_seconds": [cpu for cpu, _ in measured],
        }
        for name, measured in times.items()
    ]
    return {
        "benchmark": "search",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "command": options.command,
        "versions": {"python": platform.python_version(), **versions("torch", "numpy", "mteb", "faiss-cpu")},
        "settings": {key: value for key, value in vars(options).items() if key not in ("output", "command")},
        "gflop": 2e-9 * options.documents * options.queries * options.dim,
        "rows": rows,
    }


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    settings = report["settings"]
    lines = [
        "# Exact search",
        "",
        f"{settings['documents']:,} documents x {settings['dim']} dimensions x {settings['queries']:,} queries, top-"
        f"{settings['k']}, {settings['threads']} thread(s), {settings['device']}; from vectors to a dict of dicts. Medians of "
        f"{settings['repeats']} turns; results equal (asserted).",
        "",
        "| | CPU s | wall s | CPU / ours | max score difference to ours |",
        "|--|--|--|--|--|",
    ]
    for row in report["rows"]:
        worst = row["max_score_difference"]
        lines.append(
            f"| {row['peer']} | {row['cpu_seconds']:.2f} | {row['wall_seconds']:.2f} | {row['cpu_over_ours']:.2f} | "
            f"{'' if worst is None else f'{worst:.1e}'} |"
        )
    lines += [
        "",
        f"{report['date']}; {report['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + ".",
        "",
        f"`{report['command']}`",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the table."""
    options = parse(arguments)
    options.command = " ".join(["python benchmarks/search.py", *(sys.argv[1:] if arguments is None else arguments)])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)  # before numpy and torch load
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    report = measure(options)
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / f"search-{options.device.split(':')[0]}"
    page = markdown(report)
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
