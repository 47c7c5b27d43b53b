"""Write the packaged mini AIR-Bench and its table from the texts beside this file.

    python tools/mini_air_bench/build.py

A text file holds groups: `D` lines are documents, `q 1 | ...` is a dev and `t 3,4 | ...` a test query with the numbers of the
documents in its group that answer it. In the two QA sets the other documents of the group are judged 0 (hard negatives), as
AIR-Bench's QA sets do it. The documents of a QA set are shuffled with a fixed seed; those of the long text keep their order.
Output: harness/mini/air_bench/AIR-Bench/ in the layout of AIR-Bench's repositories, and harness/registry/air_bench_mini.json.
The judgements of the test split are not written: they would be the board's.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from harness.registry.air_bench import MINI_TABLE_FILE, MINI_VERSION  # noqa: E402

DATA = ROOT / "harness" / "mini" / "air_bench" / "AIR-Bench"
SETS = (
    ("long-doc", "foundry", "bell-book"),
    ("qa", "harbour", "default"),
    ("qa", "mountain", "default"),
)
SEED = 20240924
TOKENS_PER_WORD = 4 / 3
"""A rough rate for English; AIR-Bench's table counts tokens too."""


class Query(NamedTuple):
    """A query and the documents of its group."""

    text: str
    relevant: list[str]
    others: list[str]


def read(path: Path) -> tuple[list[str], dict[str, list[Query]]]:
    """Return the documents and the queries of each split."""
    documents: list[str] = []
    queries: dict[str, list[Query]] = {"dev": [], "test": []}
    for group in path.read_text(encoding="utf-8").split("\n# "):
        lines = group.splitlines()
        own = [line[2:] for line in lines if line.startswith("D ")]
        for line in lines:
            match = re.fullmatch(r"([qt]) ([\d,]+) \| (.+)", line)
            if match:
                numbers = [int(number) - 1 for number in match[2].split(",")]
                relevant = [own[number] for number in numbers]
                others = [text for text in own if text not in relevant]
                queries["dev" if match[1] == "q" else "test"].append(Query(match[3], relevant, others))
        documents += own
    return documents, queries


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a jsonl file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def readme(folder: Path, files: dict[str, str], what: str) -> None:
    """Write a repository's README with its configuration."""
    lines = ["---", "license: mit", "configs:", f"- config_name: {MINI_VERSION}", "  data_files:"]
    for split, path in files.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    text = f"{what} Written for icl-embed-harness with a large language model; see docs/mini-benchmark.md there."
    (folder / "README.md").write_text("\n".join([*lines, "---", "", text, ""]), encoding="utf-8")


def tokens(texts: list[str]) -> int:
    """Return a rough mean number of tokens."""
    return round(TOKENS_PER_WORD * sum(len(text.split()) for text in texts) / len(texts))


def build(task_type: str, domain: str, dataset: str) -> dict[str, Any]:
    """Write one set and return its row of the table."""
    documents, queries = read(HERE / f"{domain}.txt")
    rng = random.Random(SEED)
    if task_type == "qa":
        rng.shuffle(documents)
    ids = {text: f"doc-{number}" for number, text in enumerate(documents)}
    texts, qrels = DATA / f"{task_type}_{domain}_en", DATA / f"qrels-{task_type}_{domain}_en-dev"
    folder, suffix = f"{MINI_VERSION}/{dataset}", dataset.replace("-", "_")
    write(texts / folder / "corpus.jsonl", ({"id": ids[text], "text": text} for text in documents))
    number = 0
    judged = []
    for split, some in queries.items():
        rng.shuffle(some)
        rows = []
        for query in some:
            rows.append({"id": f"q-{number}", "text": query.text})
            if split == "dev":
                relevance = [(text, 1) for text in query.relevant]
                relevance += [(text, 0) for text in query.others if task_type == "qa"]
                judged += [{"qid": f"q-{number}", "docid": ids[text], "relevance": grade} for text, grade in relevance]
            number += 1
        write(texts / folder / f"{split}_queries.jsonl", rows)
    write(qrels / folder / "dev_qrels.jsonl", judged)
    parts = {f"corpus_{suffix}": f"{folder}/corpus.jsonl"}
    parts |= {f"queries_{suffix}_{split}": f"{folder}/{split}_queries.jsonl" for split in queries}
    readme(texts, parts, "Corpus and queries.")
    readme(qrels, {f"qrels_{suffix}_dev": f"{folder}/dev_qrels.jsonl"}, "Judgements of the dev queries.")
    name = f"air-bench-mini/{task_type}/{domain}/en"
    return {
        "name": name if dataset == "default" else f"{name}/{dataset}",
        "task_type": task_type,
        "domain": domain,
        "language": "en",
        "dataset": dataset,
        "splits": list(queries),
        "corpus_size": len(documents),
        "queries": {split: len(some) for split, some in queries.items()},
        "positives": {split: sum(len(query.relevant) for query in some) for split, some in queries.items()},
        "mean_corpus_tokens": tokens(documents),
        "mean_query_tokens": {split: tokens([query.text for query in some]) for split, some in queries.items()},
    }


if __name__ == "__main__":
    shutil.rmtree(DATA, ignore_errors=True)
    table = {MINI_VERSION: [build(*one) for one in SETS]}
    MINI_TABLE_FILE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
