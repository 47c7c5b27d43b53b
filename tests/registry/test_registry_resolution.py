"""From a task's name to its entry: aliases, parts, benchmarks, instruction and example sets, suggestions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.errors import ConfigError, FewShotError, TaskNotFoundError
from harness.prompts.profile import load_profiles
from harness.prompts.template import build_prompt
from harness.registry import RegisteredTask, Registry, suggest
from harness.registry.spec import FewShotExample
from harness.runners.prompts import PromptPolicy

TOY = """\
task: {name}
type: STS
benchmarks: [{benchmark}]
main_metric: cosine_spearman
data: ./data
instruction:
  text: Retrieve similar text.
  source: a test
examples:
  - query: How tall is {name}?
    response: What height does {name} have?
    origin: a test
  - query: Is {name} open on Sundays?
    response: Can one visit {name} at the weekend?
    origin: a test
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def write_set(folder: Path, *tasks: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        (folder / f"{task}.yaml").write_text(
            f"task: {task}\nexamples:\n  - {{query: q of {task}, response: r of {task}, origin: a test}}\n",
            encoding="utf-8",
        )
    return folder


# Benchmarks


@pytest.mark.parametrize(
    ("benchmark", "types"),
    [
        (
            "MTEB(eng, v1)",
            {
                "Classification": 12,
                "Clustering": 11,
                "PairClassification": 3,
                "Reranking": 4,
                "Retrieval": 15,
                "STS": 10,
                "Summarization": 1,
            },
        ),
        (
            "MTEB(eng, v2)",
            {
                "Classification": 8,
                "Clustering": 8,
                "PairClassification": 3,
                "Reranking": 2,
                "Retrieval": 10,
                "STS": 9,
                "Summarization": 1,
            },
        ),
    ],
)
def test_benchmark_counts_by_type(registry: Registry, benchmark: str, types: dict[str, int]) -> None:
    assert Counter(task.task_type for task in registry.benchmark(benchmark)) == types


def test_mini_has_every_task_type(registry: Registry) -> None:
    assert len({task.task_type for task in registry.benchmark("mini")}) == 7


def test_benchmark_order_is_by_type_and_name(registry: Registry) -> None:
    tasks = registry.benchmark("MTEB(eng, v1)")

    assert [(task.task_type, task.name) for task in tasks] == sorted((task.task_type, task.name) for task in tasks)


def test_every_benchmark_task_has_instruction_and_examples(registry: Registry) -> None:
    for benchmark in registry.benchmarks():
        named = registry.benchmark(benchmark)
        # An aggregate that has no examples of its own is shown by its parts.
        tasks = [registry.get(name) for task in named for name in ((task.name,) if task.examples else task.parts)]
        assert len(tasks) >= len(named)
        for task in tasks:
            assert task.instruction().text.strip(), task.name
            assert len(task.first_examples(5)) == 5, task.name
            assert task.first_examples(None) == task.examples, task.name


# Aliases and parts


def test_alias_takes_instruction_and_examples_and_keeps_its_own_data(registry: Registry) -> None:
    task, alias = registry.get("STS22"), registry.get("STS22.v2")

    assert (alias.alias_of, task.alias_of) == ("STS22", None)
    assert alias.instruction().text == task.instruction().text
    assert alias.examples == task.examples
    assert alias.benchmarks == ("MTEB(eng, v2)",)
    assert task.benchmarks == ("MTEB(eng, v1)",)
    assert alias.dataset != task.dataset


def test_parts_of_cqadupstack(registry: Registry) -> None:
    aggregate = registry.get("CQADupstackRetrieval")

    assert len(aggregate.parts) == 12
    for name in aggregate.parts:
        part = registry.get(name)
        assert (part.part_of, part.alias_of, part.parts) == ("CQADupstackRetrieval", None, ())
        assert part.examples == aggregate.examples
        assert part.instruction().text == aggregate.instruction().text
        assert part.dataset is not None


PARTED = """\
task: Whole
type: STS
benchmarks: [own]
main_metric: cosine_spearman
description: "the whole"
instruction: {text: Retrieve similar text., source: a test}
other_instructions:
  short: {text: Similar., source: a test}
parts:
  - name: Left
    data: ./left
    description: "the left part"
    other_instructions:
      precise: {text: Retrieve left text., source: a test}
    examples:
      - {query: one, response: left one, origin: a test}
      - {query: two, response: left two, origin: a test}
  - name: Right
    data: ./right
    examples:
      - {query: one, response: right one, origin: a test}
"""


def test_a_part_may_have_its_own_data_examples_and_further_instructions(tmp_path: Path) -> None:
    (tmp_path / "Whole.yaml").write_text(PARTED, encoding="utf-8")
    registry = Registry.load([tmp_path])

    left, right = registry.get("Left"), registry.get("Right")

    assert [task.name for task in registry.benchmark("own")] == ["Whole"]
    assert (left.part_of, left.task_type, left.main_metric) == ("Whole", "STS", "cosine_spearman")
    assert (left.data, right.data) == (tmp_path / "left", tmp_path / "right")
    assert (left.description, right.description) == ("the left part", "the whole")
    assert [example.response for example in left.examples] == ["left one", "left two"]
    assert [example.response for example in right.first_examples(1)] == ["right one"]
    assert left.instruction() == right.instruction() == registry.get("Whole").instruction()
    assert (set(left.instructions), set(right.instructions)) == ({"default", "short", "precise"}, {"default", "short"})


def test_examples_of_an_aggregate_whose_parts_have_their_own_name_the_parts(tmp_path: Path) -> None:
    (tmp_path / "Whole.yaml").write_text(PARTED, encoding="utf-8")
    whole = Registry.load([tmp_path]).get("Whole")

    assert whole.first_examples(0) == ()
    for k in (1, None):
        with pytest.raises(FewShotError, match=r"each of its 2 parts has others\. Name one of them: Left, Right\.$"):
            whole.first_examples(k)


def test_v1_counts_the_aggregate_and_v2_two_parts(registry: Registry) -> None:
    v1 = [task.name for task in registry.benchmark("MTEB(eng, v1)") if "CQADupstack" in task.name]
    v2 = [task.name for task in registry.benchmark("MTEB(eng, v2)") if "CQADupstack" in task.name]

    assert v1 == ["CQADupstackRetrieval"]
    assert v2 == ["CQADupstackGamingRetrieval", "CQADupstackUnixRetrieval"]


def test_iteration_and_membership_cover_aliases_and_parts(registry: Registry) -> None:
    names = [task.name for task in registry]

    assert len(names) == len(set(names))
    assert {"STS22", "STS22.v2", "CQADupstackTexRetrieval"} <= set(names)
    assert "STS22.v2" in registry
    assert "STS99" not in registry


# Instruction sets


def test_instruction_sets(registry: Registry) -> None:
    task = registry.get("Banking77Classification")

    assert task.instruction("default").text == "Given a online banking query, find the corresponding intents."
    assert task.instruction("mteb").text == "Given a online banking query, find the corresponding intents"


def test_every_mteb_task_has_both_instruction_sets(registry: Registry) -> None:
    for benchmark in ("MTEB(eng, v1)", "MTEB(eng, v2)"):
        for task in registry.benchmark(benchmark):
            assert {"default", "mteb"} <= set(task.instructions), task.name


def test_unknown_instruction_set_names_those_there_are(registry: Registry) -> None:
    task = registry.get("STS12")

    with pytest.raises(ConfigError) as caught:
        task.instruction("paper")

    assert str(caught.value) == (
        f"task 'STS12' has no instruction in the set 'paper' (it has: default, mteb). Add it to {task.path}."
    )


# Number of examples


def test_first_examples_are_the_first_in_file_order(registry: Registry) -> None:
    task = registry.get("STS12")

    assert task.first_examples(0) == ()
    assert [task.first_examples(k) for k in (1, 3)] == [task.examples[:1], task.examples[:3]]
    assert task.first_examples(None) == task.examples


def test_more_examples_than_there_are_names_all(registry: Registry) -> None:
    task = registry.get("STS12")

    with pytest.raises(FewShotError) as caught:
        task.first_examples(99)

    assert str(caught.value) == (
        f"task 'STS12' has {len(task.examples)} examples in the set 'curated', but --num-fewshot 99 was asked for. "
        "Use --num-fewshot all (as shipped) or a smaller number."
    )


def test_all_of_no_examples_is_refused(tmp_path: Path) -> None:
    registry = Registry.load(examples=str(write_set(tmp_path / "mine", "STS13")))
    task = registry.get("STS12")

    with pytest.raises(FewShotError) as caught:
        task.first_examples(None)

    assert str(caught.value) == (
        "task 'STS12' has no examples in the set 'mine', so --num-fewshot all has nothing to show. "
        f"Add some to {task.path} or ask for --num-fewshot 0."
    )


# Example sets in a folder


def test_example_set_replaces_the_examples(tmp_path: Path, registry: Registry) -> None:
    other = Registry.load(examples=str(write_set(tmp_path / "mine", "STS12", "CQADupstackRetrieval")))

    assert [example.query for example in other.get("STS12").examples] == ["q of STS12"]
    assert other.get("STS12").examples_set == "mine"
    assert other.get("STS13").examples == ()
    assert other.get("STS12").instruction() == registry.get("STS12").instruction()
    assert other.benchmarks() == registry.benchmarks()


def test_examples_of_a_task_serve_its_aliases_and_parts(tmp_path: Path) -> None:
    registry = Registry.load(examples=str(write_set(tmp_path, "STS22", "CQADupstackRetrieval")))

    assert registry.get("STS22.v2").examples[0].query == "q of STS22"
    assert registry.get("CQADupstackTexRetrieval").examples[0].query == "q of CQADupstackRetrieval"


def test_examples_of_an_alias_or_part_are_its_own(tmp_path: Path) -> None:
    registry = Registry.load(examples=str(write_set(tmp_path, "STS22", "STS22.v2", "CQADupstackTexRetrieval")))

    assert registry.get("STS22").examples[0].query == "q of STS22"
    assert registry.get("STS22.v2").examples[0].query == "q of STS22.v2"
    assert registry.get("CQADupstackTexRetrieval").examples[0].query == "q of CQADupstackTexRetrieval"
    assert registry.get("CQADupstackUnixRetrieval").examples == ()


def test_example_set_with_unknown_tasks_names_each_file(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "STS12", "SST12", "SciFakt")

    with pytest.raises(ConfigError) as caught:
        Registry.load(examples=str(folder))

    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{folder}/SST12.yaml:1: task 'SST12' is not in the registry. Did you mean 'STS12'")
    assert lines[1] == f"{folder}/SciFakt.yaml:1: task 'SciFakt' is not in the registry. Did you mean 'SciFact'?"


def test_example_set_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example_sets" / "paper").mkdir(parents=True)

    with pytest.raises(ConfigError) as caught:
        Registry.load(examples="paper")

    assert str(caught.value) == (
        "--examples 'paper' is neither 'curated' (the examples of the registry) nor a folder of example files. "
        "Did you mean 'example_sets/paper'?"
    )


def test_set_in_the_working_folder_has_that_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_set(tmp_path / "mine", "STS12"))

    assert Registry.load(examples=".").get("STS12").examples_set == "mine"


# A task of one's own


def test_one_yaml_file_adds_a_task(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TOY.format(name="Tower", benchmark="mine"), encoding="utf-8")

    registry = Registry.load([tmp_path])

    task = registry.get("Tower")
    assert task.data == tmp_path / "data"
    assert [entry.name for entry in registry.benchmark("mine")] == ["Tower"]
    prompt = build_prompt(
        load_profiles()["bge-en-icl"].prompt_template, task.instruction().text, task.first_examples(1)
    )
    assert prompt.render_query("Is it high?") == (
        "<instruct>Retrieve similar text.\n<query>How tall is Tower?\n<response>What height does Tower have?\n\n"
        "<instruct>Retrieve similar text.\n<query>Is it high?\n<response>"
    )


def test_data_folder_of_a_user_is_never_looked_for_in_the_package(tmp_path: Path) -> None:
    text = TOY.format(name="Tower", benchmark="mine").replace("./data", "mini/MiniSTS")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")

    assert Registry.load([tmp_path]).get("Tower").data == tmp_path / "mini" / "MiniSTS"


def test_own_task_cannot_take_the_name_of_a_shipped_one(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "mine.yaml").write_text(TOY.format(name="STS12", benchmark="mine"), encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        Registry.load([tmp_path])

    assert str(caught.value) == (
        f"{tmp_path}/mine.yaml:1: a second file for task 'STS12'; the first is {registry.get('STS12').path}:1. "
        "Keep one of them."
    )


def test_the_same_folder_twice_is_one_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TOY.format(name="Tower", benchmark="mine"), encoding="utf-8")

    assert "Tower" in Registry.load([tmp_path, tmp_path])


# Suggestions


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("STS21", "STS12"),
        ("banking77classification", "Banking77Classification"),
        ("Banking77", "Banking77Classification"),
        ("SciFct", "SciFact"),
        ("TwentyNewsgroups", "TwentyNewsgroupsClustering"),
        ("CQADupstackRetreival", "CQADupstackRetrieval"),
    ],
)
def test_unknown_task_is_answered_with_near_names(registry: Registry, wrong: str, right: str) -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        registry.get(wrong)

    assert str(caught.value).startswith(f"task {wrong!r} is not in the registry. Did you mean ")
    assert repr(right) in str(caught.value)
    assert str(caught.value).endswith("? See: icl-harness list tasks")


def test_unknown_task_that_is_like_nothing(registry: Registry) -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        registry.get("???")

    assert str(caught.value) == "task '???' is not in the registry. See: icl-harness list tasks"


@pytest.mark.parametrize(("wrong", "right"), [("MTEB(eng,v2)", "MTEB(eng, v2)"), ("minni", "mini")])
def test_unknown_benchmark_is_answered_with_near_names(registry: Registry, wrong: str, right: str) -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        registry.benchmark(wrong)

    assert str(caught.value).startswith(f"benchmark {wrong!r} is not known. Did you mean {right!r}")
    assert str(caught.value).endswith(f"Known: {', '.join(registry.benchmarks())}.")


def test_suggest_says_nothing_for_strange_names() -> None:
    assert suggest("zzz", ["abc", "def"]) == ""
    assert suggest("abd", ["abc", "def"]) == " Did you mean 'abc'?"


# Fingerprints


def fingerprints(registry: Registry, num_fewshot: int | None = None) -> dict[str, str]:
    policy = PromptPolicy(registry=registry, profile=load_profiles()["bge-en-icl"], num_fewshot=num_fewshot)
    return {task.name: policy.for_registered(task.name).prompt.fingerprint for task in registry if task.examples}


def with_changed_example(registry: Registry, task: RegisteredTask, index: int) -> Registry:
    """Return the curated examples with one character more in one response."""
    sets = {
        entry.name: entry.examples
        for entry in registry
        if entry.name == entry.canonical or entry.examples != registry.get(entry.canonical).examples
    }
    examples = list(sets[task.canonical])
    old = examples[index]
    examples[index] = FewShotExample(query=old.query, response=old.response + ".", origin=old.origin)
    return registry.with_examples({**sets, task.canonical: tuple(examples)}, name="curated")


@pytest.mark.parametrize("name", ["STS12", "STS22", "CQADupstackRetrieval", "MiniRetrieval"])
def test_one_character_changes_the_fingerprint_of_exactly_its_tasks(registry: Registry, name: str) -> None:
    task = registry.get(name)

    before, after = fingerprints(registry), fingerprints(with_changed_example(registry, task, 0))

    changed = {key for key in before if before[key] != after[key]}
    assert changed == {entry.name for entry in registry if entry.canonical == name}


def test_an_example_behind_the_first_k_changes_nothing(registry: Registry) -> None:
    other = with_changed_example(registry, registry.get("STS12"), 4)

    assert fingerprints(registry, 4) == fingerprints(other, 4)
    assert fingerprints(registry, 5) != fingerprints(other, 5)


def test_fingerprints_are_the_same_in_every_load(registry: Registry) -> None:
    assert fingerprints(registry) == fingerprints(Registry.load())
