"""AIR-Bench's results of one large set: search, save, load and export, ours against air-benchmark's own path.

python benchmarks/air_bench.py [--documents 200000 --dim 384 --queries 6319 --k 1000 --repeats 1]

Made vectors of the size of AIR-Bench's largest query set. Every step runs in a fresh process, ours and theirs in turns, and
reports CPU seconds, wall seconds and the memory that it needs at its peak. Theirs: faiss's flat index (as in AIR-Bench's example scripts,
but with all queries at once, its fast way; left out where faiss is not installed), then `Evaluator.save_search_results` and
`load_search_results` of the installed air-benchmark. Ours: `harness.search.topk`, `harness.store.hits` with all its checks, and
the exporter. Loading of ours ends in a checked Arrow table, which is what this program works on; into the same dict of dicts as theirs is
a row of its own. The exported file must be theirs byte for byte, or nothing is written.
Results: benchmarks/results/air-bench-cpu.{md,json}.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
BLOCK = 50_000
SET = "air-bench/qa/msmarco/en"
MODEL = "made-k0"
FASTER, SMALLER = 4.0, 6.0
"""What saving and loading must be at least."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=6319)
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="Folder for about 1.5 GB.  [default: the system's]")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def make_vectors(folder: Path, options: argparse.Namespace) -> None:
    """Write unit vectors from a fixed seed."""
    import numpy as np

    rng = np.random.default_rng(0)
    for name, rows in (("documents", options.documents), ("queries", options.queries)):
        vectors = rng.standard_normal((rows, options.dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(folder / f"{name}.npy", vectors)


def ids(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return ids of queries and documents as AIR-Bench has them."""
    return [f"q-{n}" for n in range(options.queries)], [f"doc-{n}" for n in range(options.documents)]


# Each step prepares what a run would have in memory and returns what is measured.


def search_ours(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Stream the documents, as the runner does."""
    import numpy as np

    from harness.search.topk import search

    queries, (_, names) = np.load(folder / "queries.npy"), ids(options)
    documents = np.load(folder / "documents.npy", mmap_mode="r")

    def step() -> None:
        blocks = (documents[start : start + BLOCK] for start in range(0, len(documents), BLOCK))
        found = search(queries, blocks, names, options.k)
        np.save(folder / "indices.npy", found.indices)
        np.save(folder / "scores.npy", found.scores)

    return step


def search_theirs(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Hold all documents in faiss's flat index."""
    import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import numpy as np

    from harness.search.topk import TopK

    faiss.omp_set_num_threads(options.threads)
    queries, (query_ids, names) = np.load(folder / "queries.npy"), ids(options)

    def step() -> None:
        index = faiss.IndexFlatIP(options.dim)
        index.add(np.load(folder / "documents.npy"))
        scores, places = index.search(queries, options.k)
        TopK(places, scores).as_dicts(query_ids, names)

    return step


def save_ours(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Make the table of hits, check it, and write it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.parquet

    from harness.store.hits import hits_table, write_hits

    (queries, names), indices, scores = ids(options), np.load(folder / "indices.npy"), np.load(folder / "scores.npy")
    column = pa.array(names)

    return lambda: write_hits(folder / "ours.parquet", hits_table(queries, column, indices, scores))


def as_dict(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return what a retriever returns to air-benchmark."""
    import numpy as np

    from harness.search.topk import TopK

    return TopK(np.load(folder / "indices.npy"), np.load(folder / "scores.npy")).as_dicts(*ids(options))


def save_theirs(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Write the JSON file."""
    from air_benchmark.evaluation_utils import Evaluator

    found = as_dict(folder, options)
    return lambda: Evaluator.save_search_results(
        model_name=MODEL, reranker_name="NoReranker", search_results=found, output_path=str(folder / "theirs.json"),
        task_type="qa", domain="msmarco", language="en", dataset_name="default", split="dev",
        benchmark_version="AIR-Bench_24.05",
    )  # fmt: skip


def read_ours(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Read and check the file: the form in which this program uses it."""
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401 -- imports are not what is measured

    from harness.store.hits import read_hits

    return lambda: read_hits(folder / "ours.parquet")


def load_ours(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Read and check the file, and make the dict that pytrec_eval takes."""
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401 -- imports are not what is measured

    from harness.store.hits import hits_as_run, read_hits

    return lambda: hits_as_run(read_hits(folder / "ours.parquet"))


def load_theirs(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Parse the JSON file."""
    from air_benchmark.evaluation_utils import Evaluator

    return lambda: Evaluator.load_search_results(str(folder / "theirs.json"))[1]


def export_ours(folder: Path, options: argparse.Namespace) -> Callable[[], Any]:
    """Write the JSON file from the parquet file."""
    from harness.export.air_bench.encode import result_file
    from harness.export.air_bench.source import read_rankings
    from harness.registry.air_bench import air_bench_sets

    (one,) = (one for one in air_bench_sets("AIR-Bench_24.05") if one.name == SET)

    def step() -> None:
        with (folder / "ours.json").open("wb") as handle:
            for piece in result_file(read_rankings(folder / "ours.parquet"), one, "dev", model=MODEL):
                handle.write(piece)

    return step


STEPS: dict[str, dict[str, Callable[[Path, argparse.Namespace], Callable[[], Any]]]] = {
    "search": {"ours": search_ours, "theirs": search_theirs},
    "save": {"ours": save_ours, "theirs": save_theirs},
    "load": {"ours": read_ours, "theirs": load_theirs},
    "load into dicts": {"ours": load_ours},
    "export JSON": {"ours": export_ours},
}
PEERS = {"export JSON": "save", "load into dicts": "load"}
"""Steps that are compared with another step of theirs: their saving writes what our export writes, their loading makes dicts."""


def memory_bytes(name: str) -> int:
    """Return a memory figure of this process: `VmRSS` (now) or `VmHWM` (peak since `reset_peak`)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def reset_peak() -> None:
    """Let the peak begin at what is held now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def child(kind: str, side: str, folder: Path, options: argparse.Namespace, answer: Any) -> None:
    """Run one step and send its cost."""
    try:
        step = STEPS[kind][side](folder, options)
    except ImportError as error:
        answer.send(f"{kind} of {side} left out: {error}")
        return
    reset_peak()
    before, wall, cpu = memory_bytes("VmRSS"), time.perf_counter(), time.process_time()
    kept = step()
    cost = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    answer.send({**cost, "memory_bytes": memory_bytes("VmHWM") - before, "kept": kept is not None})


def run_step(kind: str, side: str, folder: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """Run one step in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(kind, side, folder, options, there))
    process.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        raise SystemExit(f"{kind} of {side} failed (exit {process.exitcode}).") from None
    process.join()
    if isinstance(found, str):
        print(found, file=sys.stderr)
        return None
    print(f"{kind} {side}: {found}", file=sys.stderr)
    measured: dict[str, Any] = found
    return measured


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all steps in turns and return the medians."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        make_vectors(folder, options)
        for _ in range(options.repeats):
            for kind, sides in STEPS.items():
                for side in sides:
                    cost = run_step(kind, side, folder, options)
                    if cost is not None:
                        rows.setdefault((kind, side), []).append(cost)
        sizes = {
            side: (folder / name).stat().st_size for side, name in (("ours", "ours.parquet"), ("theirs", "theirs.json"))
        }
        digests = {hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("ours.json", "theirs.json")}
    if len(digests) != 1:
        raise SystemExit("the exported file is not air-benchmark's, byte for byte: nothing was written.")
    medians = {
        f"{kind}, {side}": {
            name: statistics.median(one[name] for one in costs)
            for name in ("cpu_seconds", "wall_seconds", "memory_bytes")
        }
        for (kind, side), costs in rows.items()
    }
    ratios = {}
    for kind in STEPS:
        theirs = medians.get(f"{PEERS.get(kind, kind)}, theirs")
        ours = medians.get(f"{kind}, ours")
        if theirs and ours:
            ratios[kind] = {name: theirs[name] / max(ours[name], 1e-9) for name in ("cpu_seconds", "wall_seconds")}
    return {
        "benchmark": "air-bench",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "load": list(os.getloadavg()),
        "command": options.command,
        "versions": {
            "python": platform.python_version(),
            **versions("torch", "numpy", "pyarrow", "air-benchmark", "pytrec-eval-terrier", "faiss-cpu"),
        },
        "settings": {key: value for key, value in vars(options).items() if key not in ("output", "command", "scratch")},
        "file_bytes": sizes,
        "smaller": sizes["theirs"] / sizes["ours"],
        "medians": medians,
        "theirs_over_ours": ratios,
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
    settings, sizes, ratios = report["settings"], report["file_bytes"], report["theirs_over_ours"]
    lines = [
        "# Results of a large AIR-Bench set",
        "",
        f"{settings['documents']:,} documents x {settings['dim']} dimensions x {settings['queries']:,} queries, top-{settings['k']}, "
        f'{settings["threads"]} thread(s); each step in a process of its own, median of {settings["repeats"]}. "theirs" is '
        "air-benchmark's own path (search: faiss's flat index as in its example scripts, all queries at once).",
        "",
        "| step | CPU s, theirs | CPU s, ours | theirs / ours, CPU | wall s, theirs | wall s, ours | theirs / ours, wall | memory MB, theirs | "
        "memory MB, ours |",
        "|--|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in STEPS:
        ours = report["medians"].get(f"{kind}, ours")
        theirs = report["medians"].get(f"{PEERS.get(kind, kind)}, theirs")
        cells = [kind]
        for name, scale, digits in (("cpu_seconds", 1, 1), ("wall_seconds", 1, 1), ("memory_bytes", 1e-6, 0)):
            cells += [f"{one[name] * scale:.{digits}f}" if one else "-" for one in (theirs, ours)]
            if name != "memory_bytes":
                cells.append(f"{ratios[kind][name]:.1f}" if kind in ratios else "-")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"File: {sizes['theirs'] / 1e6:.0f} MB of JSON, {sizes['ours'] / 1e6:.0f} MB of parquet: {report['smaller']:.1f} times smaller.",
        "",
        "Memory is what the step needs at its peak above what its process held before. Saving and loading of ours include every check of a file of hits. "
        '"load" ends in the form that each program works on, ours in a checked Arrow table; "load into dicts" ends in their dict of '
        "dicts. The exported JSON was theirs byte for byte; its row compares with their saving.",
        "",
        f"Required: saving and loading at least {FASTER:.0f} times faster, the file at least {SMALLER:.0f} times smaller.",
        "",
        f"{report['date']}; {report['machine']}, load {report['load'][0]:.0f}; "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + ".",
        "",
        f"`{report['command']}`",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the table."""
    options = parse(arguments)
    options.command = " ".join(["python benchmarks/air_bench.py", *(sys.argv[1:] if arguments is None else arguments)])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)  # before numpy and torch load
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    report = measure(options)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "air-bench-cpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (options.output / "air-bench-cpu.md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


if __name__ == "__main__":
    main()
