"""A made submission: two sets of AIR-Bench with few queries and documents, as rankings, judgements and ids."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.export.air_bench.encode import Ranking
from harness.export.air_bench.ids import Ids
from harness.export.air_bench.write import SetResult, write_zip
from harness.registry.air_bench import AirBenchSet, air_bench_sets

VERSION = "AIR-Bench_24.05"
MODEL = "made__model-k0"
LAW, GEMINI = "qa/law/en_default_test.json", "long-doc/arxiv/en_gemini_test.json"
SETS: dict[str, AirBenchSet] = {
    one.name: one
    for one in air_bench_sets(VERSION)
    if one.name in ("air-bench/qa/law/en", "air-bench/long-doc/arxiv/en/gemini")
}
DOCUMENTS = [f"doc-{n}" for n in range(30)]
QUERIES = {"test": [f"q-{n}" for n in range(4)], "dev": [f"q-{n}" for n in range(10, 13)]}
IDS = Ids(frozenset(DOCUMENTS), frozenset(QUERIES["test"]), frozenset(QUERIES["dev"]))
QRELS = {
    (one.task_type, one.domain, one.language, one.dataset): {
        query: {f"doc-{number}": 1, f"doc-{number + 7}": 1, "doc-29": 0} for number, query in enumerate(QUERIES["test"])
    }
    for one in SETS.values()
}
Change = Callable[[dict[str, Any]], Any]


def rankings(split: str = "test") -> list[Ranking]:
    """Return rankings of every query over all documents; each query's first relevant one has another rank."""
    found = []
    for number, query in enumerate(QUERIES[split]):
        order = DOCUMENTS[-number:] + DOCUMENTS[:-number] if number else list(DOCUMENTS)
        found.append(Ranking(query, order, [1 - place / 64 for place in range(len(order))]))
    return found


def results(*splits: str) -> list[SetResult]:
    """Return the rankings of both sets; gemini has no dev split."""
    return [
        SetResult(one, split, lambda split=split: rankings(split))  # type: ignore[misc]
        for one in SETS.values()
        for split in splits
        if split in one.splits
    ]


def submission(folder: Path) -> Path:
    """Write a good submission."""
    path = folder / f"{MODEL}_NoReranker.zip"
    write_zip(results("test"), path, model=MODEL)
    return path


def contents(path: Path) -> dict[str, Any]:
    """Return member -> parsed JSON."""
    with zipfile.ZipFile(path) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def rewrite(path: Path, members: dict[str, Any]) -> Path:
    """Write a zip of other members under the same name; values are texts, bytes, or what becomes JSON."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name, value if isinstance(value, str | bytes) else json.dumps(value))
    return path
