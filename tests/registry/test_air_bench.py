"""AIR-Bench's sets: our table is the package's, and every set has a real entry."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TaskNotFoundError
from harness.registry import RegisteredTask, Registry
from harness.registry.air_bench import AirBenchSet, air_bench_sets, air_bench_task_name, air_bench_versions

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"AIR-Bench_24.04": 28, "AIR-Bench_24.05": 69}
INSTRUCTION = "Given a question, retrieve passages that answer the question."  # bge-en-icl paper, Table 7
OWN_FILE_LANGUAGES = {"en", "zh"}

ALL_SETS = [one for version in air_bench_versions() for one in air_bench_sets(version)]
NEWEST = {one.name: one for one in ALL_SETS}  # versions come oldest first


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def air_entries(registry: Registry) -> list[RegisteredTask]:
    return [task for task in registry if task.name.startswith("air-bench/")]


@pytest.mark.reference
def test_table_is_that_of_the_package() -> None:
    if importlib.util.find_spec("air_benchmark") is None:
        pytest.skip("AIR-BENCH'S TABLE OF SETS NOT CHECKED: air-benchmark is not installed (extra `air`)")
    tables: dict[str, dict[str, Any]] = importlib.import_module("air_benchmark.tasks").BenchmarkTable

    expected = [
        AirBenchSet(
            version=version,
            name=air_bench_task_name(task_type, domain, language, dataset),
            task_type=task_type,
            domain=domain,
            language=language,
            dataset=dataset,
            splits=tuple(facts["splits"]),
            corpus_size=facts["size"]["corpus"],
            queries=facts["size"]["queries"],
            positives={split: labels["pos_num"] for split, labels in facts["labels"].items()},
            mean_corpus_tokens=facts["token_num"]["corpus"]["avg_token_num"],
            mean_query_tokens={
                split: tokens["avg_token_num"] for split, tokens in facts["token_num"]["queries"].items()
            },
        )
        for version, types in tables.items()
        for task_type, domains in types.items()
        for domain, languages in domains.items()
        for language, datasets in languages.items()
        for dataset, facts in datasets.items()
    ]

    order = sorted(expected, key=lambda one: (one.version, one.task_type, one.domain, one.language, one.dataset))
    assert order == ALL_SETS


@pytest.mark.unit
def test_counts() -> None:
    assert Counter(one.version for one in ALL_SETS) == COUNTS
    assert Counter((one.version, one.task_type) for one in ALL_SETS) == {
        ("AIR-Bench_24.04", "qa"): 13,
        ("AIR-Bench_24.04", "long-doc"): 15,
        ("AIR-Bench_24.05", "qa"): 54,
        ("AIR-Bench_24.05", "long-doc"): 15,
    }
    for version, count in COUNTS.items():
        assert len({one.name for one in air_bench_sets(version)}) == count


@pytest.mark.unit
def test_unknown_version_is_refused_with_a_suggestion() -> None:
    with pytest.raises(TaskNotFoundError, match=r"Did you mean .*'AIR-Bench_24\.05'"):
        air_bench_sets("AIR-Bench_24.5")


@pytest.mark.unit
def test_reading_the_table_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom harness.registry.air_bench import air_bench_sets\nair_bench_sets('AIR-Bench_24.05')\n"
        "print(*[m for m in ('air_benchmark', 'datasets', 'mteb', 'pandas', 'torch') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


@pytest.mark.unit
@pytest.mark.parametrize("name", sorted(NEWEST))
def test_every_set_has_an_entry(registry: Registry, name: str) -> None:
    newest = NEWEST[name]

    entry = registry.get(name)

    assert entry.task_type == "Retrieval"
    assert entry.benchmarks == tuple(one.version for one in ALL_SETS if one.name == name)
    assert entry.main_metric == newest.main_metric
    # One entry serves both versions; its splits are those of the newer one (24.04 is all `test`).
    assert entry.splits == newest.splits
    assert entry.subsets == ("default",)
    assert entry.instruction().text == INSTRUCTION
    assert 5 <= len(entry.examples) <= 8


@pytest.mark.unit
def test_benchmarks_of_the_registry_are_the_tables_of_sets(registry: Registry) -> None:
    for version in air_bench_versions():
        assert {task.name for task in registry.benchmark(version)} == {one.name for one in air_bench_sets(version)}


@pytest.mark.unit
def test_only_other_languages_share_examples_and_say_so(registry: Registry) -> None:
    aliases = [task for task in air_entries(registry) if task.alias_of]

    assert aliases
    for alias in aliases:
        one = NEWEST[alias.name]
        assert one.language not in OWN_FILE_LANGUAGES
        assert one.task_type == "qa"
        assert alias.canonical == f"air-bench/qa/shared/{one.language}"
        shared = registry.get(alias.canonical)
        assert shared.benchmarks == ()
        assert shared.examples == alias.examples
        assert alias.description.startswith("Shared between domains: ")
        assert one.domain in alias.description


@pytest.mark.unit
def test_every_shared_entry_serves_several_sets(registry: Registry) -> None:
    users = Counter(task.canonical for task in air_entries(registry) if task.alias_of)
    shared = {task.name for task in air_entries(registry) if task.name.startswith("air-bench/qa/shared/")}

    assert set(users) == shared
    assert min(users.values()) >= 2


@pytest.mark.unit
def test_no_other_entries_share_a_text(registry: Registry) -> None:
    first: dict[str, str] = {}
    repeated = []
    for task in air_entries(registry):
        if task.name != task.canonical:
            continue
        for example in task.examples:
            for text in (example.query, example.response):
                key = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
                if key in first:
                    repeated.append((first[key], task.name, text))
                first[key] = task.name

    assert repeated == []
