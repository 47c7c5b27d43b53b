"""Made data in AIR-Bench's layout: real names of sets, few texts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.registry import air_bench
from harness.registry.air_bench import AirBenchSet, air_bench_sets

WORDS = [
    "rose",
    "soil",
    "spade",
    "hedge",
    "oven",
    "dough",
    "ladle",
    "recipe",
    "boat",
    "anchor",
    "tide",
    "crane",
    "rope",
    "harbour",
    "kitchen",
    "garden",
]
SMALL = {
    "AIR-Bench_24.04": ("air-bench/qa/finance/en", "air-bench/qa/msmarco/en"),
    "AIR-Bench_24.05": (
        "air-bench/qa/finance/en",
        "air-bench/qa/msmarco/en",
        "air-bench/long-doc/arxiv/en/gemini",
        "air-bench/long-doc/law/en/lex_files_300K-400K",
    ),
}
"""Sets of the made tables: with dev and test, dev alone, test alone."""


def small_set(version: str, name: str) -> AirBenchSet:
    """Return a real set with counts of the made data: 12 + 3 per position in SMALL documents, 5 queries per split."""
    one = next(one for one in air_bench_sets(version) if one.name == name)
    documents = 12 + 3 * SMALL[version].index(name)
    return replace(
        one,
        corpus_size=documents,
        queries=dict.fromkeys(one.splits, 5),
        positives=dict.fromkeys(one.splits, 10),
        mean_corpus_tokens=10,
    )


def use_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program believe that AIR-Bench holds only SMALL; the mini sets stay."""
    original = air_bench._table
    small = {version: tuple(small_set(version, name) for name in names) for version, names in SMALL.items()}

    def table(path: Path) -> dict[str, tuple[AirBenchSet, ...]]:
        return small if path == air_bench.TABLE_FILE else original(path)

    monkeypatch.setattr(air_bench, "_table", table)


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_set(root: Path, one: AirBenchSet, *, seed: int = 0, readme: bool = True) -> None:
    """Write the repositories of a set below `root/AIR-Bench`, as clones of the hub's would lie there.

    Every dev query has two relevant documents and a hard negative.
    """
    rng = random.Random(f"{seed}{one.name}")
    texts = root / "AIR-Bench" / f"{one.task_type}_{one.domain}_{one.language}"
    qrels = root / "AIR-Bench" / f"qrels-{texts.name}-dev"
    folder = f"{one.version}/{one.dataset}"
    documents = [
        {"id": f"doc-{number}", "text": " ".join(rng.choices(WORDS, k=6)) + f" {number}"}
        for number in range(one.corpus_size)
    ]
    write_lines(texts / folder / "corpus.jsonl", documents)
    old = one.version == "AIR-Bench_24.04"
    suffix = one.dataset.replace("-", "_")
    files = [(f"corpus_{suffix}", f"{folder}/corpus.jsonl")]
    for split in one.splits:
        queries = [
            {"id": f"q-{split}-{number}", "text": f"{split} {rng.choice(WORDS)} {rng.choice(WORDS)} {number}"}
            for number in range(one.queries[split])
        ]
        write_lines(texts / folder / f"{split}_queries.jsonl", queries)
        files.append((f"queries_{suffix}" + ("" if old else f"_{split}"), f"{folder}/{split}_queries.jsonl"))
        if split == "dev":
            rows = []
            for query in queries:
                for place, document in enumerate(rng.sample(documents, 3)):
                    rows.append({"qid": query["id"], "docid": document["id"], "relevance": int(place < 2)})
            write_lines(qrels / folder / "dev_qrels.jsonl", rows)
            if readme:
                write_readme(qrels, one.version, [(f"qrels_{suffix}_dev", f"{folder}/dev_qrels.jsonl")])
    if readme:
        write_readme(texts, one.version, files)


def write_readme(folder: Path, version: str, files: list[tuple[str, str]]) -> None:
    """Write or extend a repository's front matter."""
    head = "---\nlicense: cc-by-nc-sa-4.0\nconfigs:\n"
    path = folder / "README.md"
    old = path.read_text(encoding="utf-8").split("configs:\n")[1].split("---")[0] if path.exists() else ""
    entry = f"- config_name: {version}\n  data_files:\n"
    entry += "".join(f"  - split: {split}\n    path: {name}\n" for split, name in files)
    if f"config_name: {version}\n" in old:
        entry = entry.split("data_files:\n")[1]
    path.write_text(f"{head}{old}{entry}---\n# made\n", encoding="utf-8")


def write_benchmark(root: Path, version: str = "AIR-Bench_24.05", *, readme: bool = True) -> Path:
    """Write all sets of SMALL of a version and return the folder for --data-dir."""
    for name in SMALL[version]:
        write_set(root, small_set(version, name), readme=readme)
    return root
