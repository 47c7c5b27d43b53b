"""A toy benchmark of all seven task types in a temporary folder: registry files and data, a few rows each."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

TOPICS = {
    "garden": ["rose", "soil", "spade", "hedge", "seedling", "compost"],
    "kitchen": ["oven", "dough", "ladle", "recipe", "butter", "saucepan"],
    "harbour": ["boat", "anchor", "tide", "crane", "rope", "lighthouse"],
}
METRICS = {
    "Classification": "accuracy",
    "Clustering": "v_measure",
    "PairClassification": "max_ap",
    "Reranking": "map_at_1000",
    "Retrieval": "ndcg_at_10",
    "STS": "cosine_spearman",
    "Summarization": "cosine_spearman",
}


def sentences(topic: str, count: int, rng: random.Random) -> list[str]:
    """Return sentences about a topic."""
    words = TOPICS[topic]
    return [f"the {rng.choice(words)} and the {rng.choice(words)} number {rng.randint(1, 999)}" for _ in range(count)]


def _write(folder: Path, stem: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_data(folder: Path, task_type: str, seed: int = 0) -> None:
    """Write the data folder of a toy task."""
    rng = random.Random(seed)
    topics = list(TOPICS)
    if task_type in ("Classification", "Clustering"):
        rows = [
            {"text": text, "label": label if task_type == "Classification" else topic}
            for label, topic in enumerate(topics)
            for text in sentences(topic, 12, rng)
        ]
        rng.shuffle(rows)
        _write(folder, "test", rows)
        if task_type == "Classification":
            _write(
                folder,
                "train",
                [{"text": t, "label": n} for n, topic in enumerate(topics) for t in sentences(topic, 10, rng)],
            )
    elif task_type in ("PairClassification", "STS"):
        rows = []
        for number in range(24):
            first = topics[number % 3]
            second = first if number % 2 else topics[(number + 1) % 3]
            pair = {"sentence1": sentences(first, 1, rng)[0], "sentence2": sentences(second, 1, rng)[0]}
            extra = {"score": number / 5} if task_type == "STS" else {"label": number % 2}
            rows.append({**pair, **extra})
        _write(folder, "test", rows)
    elif task_type == "Summarization":
        rows = [
            {
                "id": str(number),
                "text": " ".join(sentences(topic, 3, rng)),
                "human_summaries": sentences(topic, 2, rng),
                "machine_summaries": sentences(topic, 2, rng) + sentences(topics[(number + 1) % 3], 2, rng),
                "relevance": [5.0, 4.0, 2.0, 1.0],
            }
            for number, topic in enumerate(topics * 2)
        ]
        _write(folder, "test", rows)
    else:
        corpus = [
            {"_id": f"d{topic}{number}", "title": "", "text": text}
            for topic in topics
            for number, text in enumerate(sentences(topic, 10, rng))
        ]
        queries = [{"_id": f"q{number}", "text": sentences(topics[number % 3], 1, rng)[0]} for number in range(9)]
        _write(folder, "corpus", corpus)
        _write(folder, "queries", queries)
        _write(
            folder,
            "qrels",
            [
                {"query-id": f"q{number}", "corpus-id": f"d{topics[number % 3]}{k}", "score": 1}
                for number in range(9)
                for k in range(3)
            ],
        )
        if task_type == "Reranking":
            _write(
                folder,
                "top_ranked",
                [
                    {"query-id": f"q{number}", "corpus-ids": [f"d{topic}{k}" for topic in topics for k in range(4)]}
                    for number in range(9)
                ],
            )


def write_registry(folder: Path, task_type: str, *, data: Path | None = None, examples: int = 6) -> Path:
    """Write the registry file of a toy task and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"task: Toy{task_type}",
        f"type: {task_type}",
        "benchmarks: [toy]",
        f"main_metric: {METRICS[task_type]}",
        "instruction:",
        f'  text: "Work on the toy {task_type} texts."',
        '  source: "written for the tests"',
        "examples:",
    ]
    for number in range(examples):
        lines += [
            f'  - query: "the example {task_type} query {number}"',
            f'    response: "its {task_type} response {number}"',
            '    origin: "written for the tests"',
        ]
    if data is not None:
        lines.insert(4, f'data: "{data}"')
    path = folder / f"Toy{task_type}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_toy_benchmark(folder: Path, types: tuple[str, ...] = tuple(METRICS)) -> tuple[Path, Path]:
    """Write registry files and data of toy tasks; return (registry folder, data folder)."""
    registry, data = folder / "registry", folder / "data"
    for seed, task_type in enumerate(types):
        write_registry(registry, task_type)
        write_data(data / f"Toy{task_type}", task_type, seed)
    return registry, data
