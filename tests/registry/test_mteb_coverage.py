"""Every task of mteb's two English benchmarks has a real entry, with what mteb says of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from harness.registry import RegisteredTask, Registry

pytestmark = pytest.mark.unit

COUNTS = {"MTEB(eng, v1)": 56, "MTEB(eng, v2)": 41}
# bge-en-icl's own texts (FlagEmbedding evaluation/mteb/prompts.py) where mteb's task has none.
TEXT_OF_TYPE = {
    "STS": "Retrieve semantically similar text.",
    "Summarization": "Given a news summary, retrieve other semantically similar summaries.",
}
CQADUPSTACK = (
    "Given a question, retrieve detailed question descriptions from Stackexchange that are duplicates to the given "
    "question."
)
# Tasks of v2 without a text in mteb: they take the entry of a task of v1.
TWINS = {
    "ArXivHierarchicalClusteringP2P": "ArxivClusteringP2P",
    "ArXivHierarchicalClusteringS2S": "ArxivClusteringS2S",
    "ClimateFEVERHardNegatives": "ClimateFEVER",
    "FEVERHardNegatives": "FEVER",
    "HotpotQAHardNegatives": "HotpotQA",
    "Touche2020Retrieval.v3": "Touche2020",
}


@cache
def tasks_of(benchmark: str) -> dict[str, Any]:
    import mteb

    return {task.metadata.name: task for task in mteb.get_benchmark(benchmark).tasks}


@cache
def all_tasks() -> dict[str, Any]:
    """Return the tasks of both benchmarks and the parts of CQADupstack."""
    v1, v2 = (tasks_of(benchmark) for benchmark in COUNTS)
    parts = {part.metadata.name: part for part in v1["CQADupstackRetrieval"].tasks}
    assert len(parts) == 12
    return {**v1, **v2, **parts}


@cache
def registry() -> Registry:
    return Registry.load()


def own_text(task: Any) -> str | None:
    """Return the text that mteb's metadata has for the query side."""
    prompt = task.metadata.prompt
    return prompt.get("query") if isinstance(prompt, dict) else prompt


def differing(said: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {key: (said.get(key), expected[key]) for key in expected if said.get(key) != expected[key]}


@pytest.mark.parametrize(("benchmark", "count"), COUNTS.items())
def test_benchmark_has_the_tasks_of_mteb(benchmark: str, count: int) -> None:
    entries = registry().benchmark(benchmark)

    assert {entry.name for entry in entries} == set(tasks_of(benchmark))
    assert len(entries) == len({entry.name for entry in entries}) == count


def test_parts_of_cqadupstack() -> None:
    entry = registry().get("CQADupstackRetrieval")
    parts = [part.metadata.name for part in all_tasks()["CQADupstackRetrieval"].tasks]

    assert list(entry.parts) == parts
    for name in parts:
        part = registry().get(name)
        assert part.part_of == entry.name
        assert part.examples == entry.examples
        assert part.instructions == entry.instructions


def test_entries_say_what_mteb_says() -> None:
    def said(entry: RegisteredTask) -> dict[str, Any]:
        return {
            "type": entry.task_type,
            "splits": entry.splits,
            "subsets": entry.subsets,
            "main_score": entry.main_metric,
            "dataset": entry.dataset and (entry.dataset.path, entry.dataset.revision),
        }

    def expected(task: Any) -> dict[str, Any]:
        data = task.metadata.dataset
        return {
            "type": task.metadata.type,
            "splits": tuple(task.eval_splits),
            "subsets": tuple(task.hf_subsets),
            "main_score": task.metadata.main_score,
            "dataset": None if task.is_aggregate else (data["path"], data["revision"]),
        }

    found = {name: differing(said(registry().get(name)), expected(task)) for name, task in all_tasks().items()}

    assert len(found) == 56 + 12 + 41 - 25 - 2  # 25 tasks are in both benchmarks, 2 parts are tasks of v2
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_entries_have_five_to_eight_examples() -> None:
    counts = {name: len(registry().get(name).examples) for name in all_tasks()}

    assert {name: count for name, count in counts.items() if not 5 <= count <= 8} == {}


def test_default_instructions_of_v1() -> None:
    expected: dict[str, str] = {}
    with_stop = 0
    for name, task in tasks_of("MTEB(eng, v1)").items():
        text = own_text(task)
        with_stop += text is not None
        expected[name] = TEXT_OF_TYPE.get(task.metadata.type, CQADUPSTACK) if text is None else f"{text}."
    said = {name: registry().get(name).instruction().text for name in expected}

    assert with_stop == 44
    assert list(expected.values()).count(CQADUPSTACK) == 1
    assert differing(said, expected) == {}


def test_default_instructions_of_v2() -> None:
    expected: dict[str, str] = {}
    for name, task in {**tasks_of("MTEB(eng, v2)"), **all_tasks()}.items():
        text = own_text(task)
        if text is not None:
            expected[name] = f"{text}."
        elif name in TWINS:
            expected[name] = f"{own_text(tasks_of('MTEB(eng, v1)')[TWINS[name]])}."
            assert registry().get(name).alias_of == TWINS[name]
        else:
            expected[name] = TEXT_OF_TYPE.get(task.metadata.type, CQADUPSTACK)
    said = {name: registry().get(name).instruction().text for name in expected}

    assert differing(said, expected) == {}


def test_instruction_set_mteb_is_what_mteb_gives() -> None:
    def given(task: Any) -> str:
        # mteb encodes the parts of an aggregate, each with its own text.
        return own_text(task) or (given(task.tasks[0]) if task.is_aggregate else str(task.abstask_prompt))

    expected = {name: given(task) for name, task in all_tasks().items()}
    said = {name: registry().get(name).instruction("mteb").text for name in expected}

    assert differing(said, expected) == {}


def test_every_instruction_names_its_source() -> None:
    for name in all_tasks():
        for instruction in registry().get(name).instructions.values():
            assert instruction.source.strip(), name
