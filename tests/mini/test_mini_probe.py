"""The in-context probe: balanced, without leaks, at chance without examples, and what its builder writes."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import sys
import zlib
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from harness import paths
from harness.encoder.load import load_text_encoder
from harness.encoder.sources import ModelSource
from harness.encoder.text_encoder import TextEncoder
from harness.prompts.profile import load_profiles
from harness.registry import RegisteredTask, Registry

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("MiniProbeSeen", "MiniProbeUnseen")
CANDIDATES = 8
ATTRIBUTES_OF_A_TEXT = 4
CEILING = 1 / ATTRIBUTES_OF_A_TEXT
"""A model that is told nothing ranks a sentence's candidates once; at most one of the sentence's four queries is right."""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    path = ROOT / "tools" / "mini_probe" / "build.py"
    spec = importlib.util.spec_from_file_location("mini_probe_build", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def parts() -> list[RegisteredTask]:
    registry = Registry.load()
    return [registry.get(part) for group in GROUPS for part in registry.get(group).parts]


def rows(task: RegisteredTask, stem: str) -> list[dict[str, Any]]:
    assert task.data is not None
    return [json.loads(line) for line in (task.data / f"{stem}.jsonl").read_text(encoding="utf-8").splitlines()]


def right(task: RegisteredTask) -> dict[str, str]:
    return {row["query-id"]: row["corpus-id"] for row in rows(task, "qrels")}


def candidates(task: RegisteredTask) -> dict[str, list[str]]:
    return {row["query-id"]: row["corpus-ids"] for row in rows(task, "top_ranked")}


def frames() -> dict[frozenset[str], list[RegisteredTask]]:
    """The parts that ask about the same sentences."""
    found: dict[frozenset[str], list[RegisteredTask]] = {}
    for task in parts():
        found.setdefault(frozenset(row["text"] for row in rows(task, "queries")), []).append(task)
    return found


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_the_files_are_what_the_builder_writes(build: ModuleType) -> None:
    stale = [str(path) for path, text in build.all_files().items() if (ROOT / path).read_text("utf-8") != text]

    assert not stale, "run: python tools/mini_probe/build.py"


def test_both_groups_are_counted_by_the_mini_benchmark_and_by_their_own() -> None:
    registry = Registry.load()

    for group in GROUPS:
        assert registry.get(group).benchmarks == ("mini", "mini-probe")
        assert len(registry.get(group).parts) == 8
        assert registry.get(group).main_metric == "precision_at_1"
    assert not set(registry.get(GROUPS[0]).parts) & set(registry.get(GROUPS[1]).parts)


@pytest.mark.parametrize("task", parts(), ids=lambda task: task.name)
def test_each_part_has_forty_queries_with_eight_candidates_and_one_right(task: RegisteredTask) -> None:
    asked, offered = right(task), candidates(task)
    labels = {row["_id"]: row["text"] for row in rows(task, "corpus")}

    assert len(asked) == len(offered) == len(rows(task, "queries")) == 40
    assert all(name == text for name, text in labels.items())
    for query, answer in asked.items():
        assert len(set(offered[query])) == len(offered[query]) == CANDIDATES
        assert answer in offered[query]
        assert offered[query] == sorted(offered[query])  # the order tells nothing


@pytest.mark.parametrize("task", parts(), ids=lambda task: task.name)
def test_values_are_balanced_and_wrong_as_often_as_right(task: RegisteredTask) -> None:
    asked = right(task)
    as_right = Counter(asked.values())
    offered = Counter(itertools.chain.from_iterable(candidates(task).values()))

    assert len(set(as_right.values())) == 1
    assert {value: offered[value] for value in as_right} == {value: 2 * count for value, count in as_right.items()}


def test_parts_of_a_frame_share_texts_and_candidates_and_differ_in_what_is_right() -> None:
    for tasks in frames().values():
        assert len(tasks) == ATTRIBUTES_OF_A_TEXT
        assert all(candidates(task) == candidates(tasks[0]) for task in tasks)
        for query, offered in candidates(tasks[0]).items():
            answers = [right(task)[query] for task in tasks]
            assert len(set(answers)) == ATTRIBUTES_OF_A_TEXT and set(answers) <= set(offered)
            # one wrong value of each attribute beside the right one
            kinds = [{*right(task).values()} for task in tasks]
            assert [len(kind & set(offered)) for kind in kinds] == [2] * ATTRIBUTES_OF_A_TEXT


def test_half_of_the_labels_stand_in_the_text_and_no_wrong_one_does() -> None:
    for tasks in frames().values():
        texts = {row["_id"]: words(row["text"]) for row in rows(tasks[0], "queries")}
        for task in tasks:
            assert sum(answer in texts[query] for query, answer in right(task).items()) == 20
        for query, offered in candidates(tasks[0]).items():
            answers = {right(task)[query] for task in tasks}
            assert len(answers & set(texts[query])) == 2
            assert not (set(offered) - answers) & set(texts[query])


def test_no_text_is_there_twice_and_no_example_is_a_query() -> None:
    queries = [" ".join(words(row["text"])) for tasks in frames().values() for row in rows(tasks[0], "queries")]
    examples = {" ".join(words(example.query)) for task in parts() for example in task.examples}
    grams = [
        {tuple(text.split()[at : at + 5]) for at in range(len(text.split()) - 4)} for text in [*queries, *examples]
    ]

    assert len(queries) == len(set(queries)) == 160
    assert len(examples) == 32 and not examples & set(queries)
    for one, other in itertools.combinations(grams, 2):
        assert len(one & other) <= 0.4 * min(len(one), len(other))


def test_the_examples_of_a_frame_are_the_same_sentences_with_other_responses() -> None:
    for tasks in frames().values():
        shown = {tuple(example.query for example in task.examples) for task in tasks}
        assert len(shown) == 1
        for task in tasks:
            responses = [example.response for example in task.examples]
            values = set(right(task).values())
            assert len(responses) == 8 and set(responses) == values
            stated = [
                response in words(example.query) for response, example in zip(responses, task.examples, strict=True)
            ]
            assert sum(stated) == 4


def test_the_vague_instruction_is_the_same_everywhere_and_the_precise_one_names_the_attribute() -> None:
    assert {task.instruction().text for task in parts()} == {"Find the matching label."}
    precise = [task.instruction("precise").text for task in parts()]
    assert len(set(precise)) == len(precise) == 16


class Noise:
    """A random vector for each text; it reads no prompt."""

    dtype = device = attention = "none"
    tokenization = "words"
    tokenizer_repaired = False
    batch_tokens = 1
    embed_dim = 64

    def __init__(self, profile: Any, seed: int) -> None:
        self.profile = profile
        self.seed = seed

    def encode(self, texts: Any, _prompt: Any, _side: str, _max: int, _advance: Any = None) -> tuple[Any, int]:
        draws = [np.random.default_rng([self.seed, zlib.crc32(text.encode())]) for text in texts]
        return np.array([rng.standard_normal(self.embed_dim) for rng in draws], dtype=np.float32), 0


def noise(seed: int, tmp_path: Path) -> TextEncoder:
    profile = load_profiles()["bag-of-words"]
    source = ModelSource("tests/noise", "1", tmp_path, "0", "0")
    return TextEncoder(Noise(profile, seed), source, 256, 256)


def scores(text_encoder: TextEncoder) -> dict[str, float]:
    """The accuracy of each group without examples, through the product's evaluation."""
    from harness.runners.adapter import ICLEncoder
    from harness.runners.evaluate import evaluate_unit, make_task
    from harness.runners.prompts import PromptPolicy
    from harness.runners.tasks import resolve_units

    registry = Registry.load()
    policy = PromptPolicy(registry=registry, profile=text_encoder.backend.profile, num_fewshot=0)
    encoder = ICLEncoder(text_encoder, policy)
    units = resolve_units(
        registry, benchmarks=("mini-probe",), tasks=(), data_dir=None, splits=(), languages=(), zero_shot_only=True
    )
    found: dict[str, list[float]] = {}
    for unit in units:
        done = evaluate_unit(encoder, unit, make_task(unit), configuration="k0", limit=None, run_id="test")
        found.setdefault(unit.part_of, []).append(next(row.score for row in done.rows if row.is_main))
    return {group: sum(values) / len(values) for group, values in found.items()}


def test_without_examples_words_alone_reach_a_quarter_and_noise_an_eighth(tmp_path: Path) -> None:
    by_words, by_noise = scores(load_text_encoder("bag-of-words")), scores(noise(7, tmp_path))

    assert set(by_words) == set(by_noise) == set(GROUPS)
    for group in GROUPS:
        # Two of the four right labels stand in the text and no wrong one: word overlap reaches the ceiling and no more.
        assert by_words[group] == pytest.approx(CEILING, abs=1e-9)
        # 320 queries in sets of four with one ranking each: 80 draws of 0 or 1 of 4, standard error 0.014.
        assert abs(by_noise[group] - 1 / CANDIDATES) < 0.05


def test_the_data_of_the_probe_lie_in_the_package() -> None:
    assert all(task.data is not None and task.data.is_relative_to(paths.PACKAGE_DIR / "mini") for task in parts())
