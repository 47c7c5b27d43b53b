"""mteb sees an ordinary encoder; the texts it hands over get the prompt that their task and side ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from mteb.cache import ResultCache
from mteb.mocks import ALL_MOCK_TASK_TEST_GRID
from mteb.results.task_result import TaskResult
from mteb.types import PromptType

from harness.errors import ConfigError, FewShotError
from harness.registry.registry import Registry
from harness.runners.adapter import ICLEncoder, load_encoder
from harness.runners.prompts import PromptPolicy
from tests.encoder.stubs import StubBackend, stub_encoder

MOCK_STS = next(task for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.name == "MockSTSTask")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def adapter(registry: Registry, num_fewshot: int | None = 2, **policy: Any) -> ICLEncoder:
    """Return an adapter around a stub that notes the rendered strings."""
    backend = StubBackend()
    choice = PromptPolicy(registry=registry, profile=backend.profile, num_fewshot=num_fewshot, **policy)
    return ICLEncoder(stub_encoder(backend), choice)


def rendered(encoder: ICLEncoder) -> list[str]:
    backend: Any = encoder.text_encoder.backend
    return list(backend.rendered)


def encode(encoder: ICLEncoder, task_name: str, texts: list[str], side: PromptType | None = None) -> np.ndarray:
    metadata = mteb.get_task(task_name).metadata
    batches = [{"text": texts[at : at + 2]} for at in range(0, len(texts), 2)]
    return encoder.encode(batches, task_metadata=metadata, hf_split="test", hf_subset="default", prompt_type=side)


# ---- which texts carry the prompt


@pytest.mark.parametrize(
    ("task_name", "side", "prompted"),
    [
        ("STS12", None, True),
        ("STS12", PromptType.query, True),
        ("STS12", PromptType.document, True),
        ("TwitterURLCorpus", None, True),
        ("TwitterURLCorpus", PromptType.document, True),
        ("TwentyNewsgroupsClustering", None, True),
        ("TwentyNewsgroupsClustering", PromptType.document, True),
        ("Banking77Classification", None, True),
        ("SummEval", PromptType.document, True),
        ("SciFact", PromptType.query, True),
        ("SciFact", PromptType.document, False),
        ("AskUbuntuDupQuestions", PromptType.query, True),
        ("AskUbuntuDupQuestions", PromptType.document, False),
    ],
)
def test_symmetric_tasks_prompt_every_text_and_retrieval_documents_are_bare(
    task_name: str, side: PromptType | None, prompted: bool, registry: Registry
) -> None:
    encoder = adapter(registry)
    task = registry.get(task_name)
    instruction = task.instruction().text
    shown = "".join(
        f"<instruct>{instruction}\n<query>{one.query}\n<response>{one.response}\n\n" for one in task.examples[:2]
    )

    encode(encoder, task_name, ["one text"], side)

    expected = f"{shown}<instruct>{instruction}\n<query>one text\n<response>" if prompted else "one text"
    assert rendered(encoder) == [expected]


def test_both_sides_of_an_evaluated_symmetric_task_are_prompted(tmp_path: Path) -> None:
    encoder = adapter(registry_with_mock_sts(tmp_path), num_fewshot=3)

    mteb.evaluate(encoder, MOCK_STS, cache=None, co2_tracker=False, show_progress_bar=False)

    task = type(MOCK_STS)()
    task.load_data()
    data = task.dataset["test"]
    texts = {*data["sentence1"], *data["sentence2"]}
    assert len(rendered(encoder)) == len(texts)
    assert all(one.count("<instruct>") == 4 for one in rendered(encoder))


def test_an_evaluated_retrieval_task_has_bare_documents(registry: Registry) -> None:
    encoder = adapter(registry, num_fewshot=0)
    task = next(task for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.name == "MockRetrievalTask")

    mteb.evaluate(encoder, task, cache=None, co2_tracker=False, show_progress_bar=False)

    prompted = [one for one in rendered(encoder) if one.startswith("<instruct>")]
    bare = [one for one in rendered(encoder) if "<" not in one]
    assert prompted
    assert bare
    assert len(prompted) + len(bare) == len(rendered(encoder))


def test_other_task_types_prompt_all_but_documents(registry: Registry) -> None:
    encoder = adapter(registry, num_fewshot=0)
    bitext = next(task for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.type == "BitextMining").metadata

    for side in (None, PromptType.query, PromptType.document):
        text = f"text of {side}"
        encoder.encode([{"text": [text]}], task_metadata=bitext, hf_split="t", hf_subset="d", prompt_type=side)

    assert [one.startswith("<instruct>") for one in rendered(encoder)] == [True, True, False]


@pytest.mark.parametrize("part", ["Android", "English", "Gaming", "Gis", "Mathematica", "Physics", "Programmers"])
def test_parts_of_cqadupstack_resolve(part: str, registry: Registry) -> None:
    check_part(part, registry)


@pytest.mark.parametrize("part", ["Stats", "Tex", "Unix", "Webmasters", "Wordpress"])
def test_more_parts_of_cqadupstack_resolve(part: str, registry: Registry) -> None:
    check_part(part, registry)


def check_part(part: str, registry: Registry) -> None:
    encoder = adapter(registry)
    whole = registry.get("CQADupstackRetrieval")

    encode(encoder, f"CQADupstack{part}Retrieval", ["q"], PromptType.query)

    assert rendered(encoder)[0].startswith(f"<instruct>{whole.instruction().text}\n<query>{whole.examples[0].query}")
    assert rendered(encoder)[0].count("<instruct>") == 3


# ---- vectors


def test_classification_is_not_normalised_and_all_else_is(registry: Registry) -> None:
    encoder = adapter(registry)

    raw = encode(encoder, "Banking77Classification", ["a", "b", "c"])
    unit = encode(encoder, "STS12", ["a", "b", "c"])

    assert np.linalg.norm(raw, axis=1).min() > 2
    assert np.allclose(np.linalg.norm(unit, axis=1), 1)
    assert raw.dtype == unit.dtype == np.float32


def test_vectors_are_in_input_order_over_batches(registry: Registry) -> None:
    encoder = adapter(registry)
    texts = [f"text {number}" for number in range(7)]

    together = encode(encoder, "STS12", texts)

    alone = [encode(adapter(registry), "STS12", [text])[0] for text in texts]
    assert np.array_equal(together, np.stack(alone))


def test_counts_of_all_calls_add_up(registry: Registry) -> None:
    encoder = adapter(registry)

    encode(encoder, "STS12", ["a", "b", "a"])
    encode(encoder, "STS12", ["b"])

    assert (encoder.stats.texts, encoder.stats.encoded, encoder.stats.from_store) == (4, 2, 2)


def test_inputs_without_text_are_told(registry: Registry) -> None:
    metadata = mteb.get_task("STS12").metadata

    with pytest.raises(ConfigError, match="task 'STS12' has inputs without text"):
        adapter(registry).encode([{"image": [1]}], task_metadata=metadata, hf_split="test", hf_subset="default")


# ---- examples


def test_an_unregistered_task_with_examples_is_refused(registry: Registry) -> None:
    encoder = adapter(registry, num_fewshot=1)

    with pytest.raises(FewShotError) as raised:
        encoder.encode([{"text": ["a"]}], task_metadata=MOCK_STS.metadata, hf_split="test", hf_subset="default")

    assert str(raised.value) == (
        "task 'MockSTSTask' is not in the registry, so it has no few-shot examples. Ask for "
        "--num-fewshot 0, or add one YAML file for it (docs/adding-a-task.md)."
    )


def test_an_unregistered_task_at_zero_shot_takes_mtebs_instruction(registry: Registry) -> None:
    encoder = adapter(registry, num_fewshot=0)

    encoder.encode([{"text": ["a"]}], task_metadata=MOCK_STS.metadata, hf_split="test", hf_subset="default")

    assert rendered(encoder) == ["<instruct>Retrieve semantically similar text.\n<query>a\n<response>"]


def test_more_examples_than_there_are_is_refused(registry: Registry) -> None:
    with pytest.raises(FewShotError, match=r"--num-fewshot 99 was asked for\. Use --num-fewshot all"):
        encode(adapter(registry, num_fewshot=99), "STS12", ["a"])


def test_k_examples_are_the_first_k_and_all_is_all(registry: Registry) -> None:
    examples = registry.get("STS12").examples
    for shots, count in ((0, 0), (1, 1), (5, 5), (None, len(examples))):
        encoder = adapter(registry, num_fewshot=shots)

        encode(encoder, "STS12", ["a"])

        text = rendered(encoder)[0]
        places = [text.find(f"<query>{one.query}\n<response>{one.response}\n\n") for one in examples]
        assert [at >= 0 for at in places] == [number < count for number in range(len(examples))]
        assert places[:count] == sorted(places[:count])


@pytest.mark.parametrize("value", ["-1", "1.5", "three", "", "1,2"])
def test_a_number_of_examples_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="--num-fewshot"):
        load_encoder("embedded", num_fewshot=value)


# ---- mteb's own machinery


@pytest.mark.model
def test_mock_run_passes_all_text_tasks() -> None:
    results = mteb.mock_run(load_encoder("embedded", num_fewshot=0))

    ran = {name: status for name, status in results.items() if status is not None}
    failed = {name: status for name, status in ran.items() if not isinstance(status, TaskResult)}
    text_tasks = {task.metadata.name for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.modalities == ["text"]}
    assert failed == {}
    assert set(ran) == text_tasks
    assert len(ran) == 28


def registry_with_mock_sts(folder: Path, last_response: str = "third response") -> Registry:
    """Register mteb's mock STS task with three examples."""
    return Registry.load([write_mock_sts(folder, last_response)])


def write_mock_sts(folder: Path, last_response: str = "third response") -> Path:
    pairs = [("first", "first response"), ("second", "second response"), ("third", last_response)]
    entry = {
        "task": "MockSTSTask",
        "type": "STS",
        "main_metric": "cosine_spearman",
        "instruction": {"text": "Retrieve semantically similar text.", "source": "test"},
        "examples": [{"query": query, "response": response, "origin": "test"} for query, response in pairs],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MockSTSTask.yaml").write_text(json.dumps(entry), encoding="utf-8")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResultCache]:
    yield ResultCache(cache_path=tmp_path / "mteb-cache")


def evaluate(encoder: ICLEncoder, cache: ResultCache) -> float:
    result = mteb.evaluate(encoder, MOCK_STS, cache=cache, co2_tracker=False, show_progress_bar=False)
    return float(result.task_results[0].get_score())


@pytest.mark.model
def test_mtebs_result_cache_keeps_two_k_apart(cache: ResultCache, tmp_path: Path) -> None:
    folder = write_mock_sts(tmp_path / "tasks")
    for shots in (0, 3):
        encoder = load_encoder("embedded", num_fewshot=shots, registry_dirs=[folder])
        evaluate(encoder, cache)
        assert encoder.stats.texts > 0, "the second k must not be served from the first one's result"

    again = load_encoder("embedded", num_fewshot=3, registry_dirs=[folder])
    evaluate(again, cache)

    files = sorted(Path(cache.cache_path).rglob("MockSTSTask.json"))
    assert len({file.parent for file in files}) == len(files) == 2
    assert again.stats.texts == 0, "the same k is served from mteb's cache"


def kwargs_of(encoder: ICLEncoder) -> dict[str, Any]:
    return dict(encoder.mteb_model_meta.experiment_kwargs or {})


def test_changing_one_example_changes_the_experiment(tmp_path: Path) -> None:
    first = adapter(registry_with_mock_sts(tmp_path / "a"), num_fewshot=3)
    same = adapter(registry_with_mock_sts(tmp_path / "b"), num_fewshot=3)
    other = adapter(registry_with_mock_sts(tmp_path / "c", "third response!"), num_fewshot=3)

    assert kwargs_of(first) == kwargs_of(same)
    changed = {name for name, value in kwargs_of(other).items() if value != kwargs_of(first)[name]}
    assert changed == {"prompts"}


def test_an_example_that_k_leaves_out_does_not_change_the_experiment(tmp_path: Path) -> None:
    first = adapter(registry_with_mock_sts(tmp_path / "a"), num_fewshot=2)
    other = adapter(registry_with_mock_sts(tmp_path / "c", "third response!"), num_fewshot=2)

    assert kwargs_of(first) == kwargs_of(other)


@pytest.mark.model
def test_what_changes_scores_changes_the_experiment(model_dirs: dict[str, Path]) -> None:
    base: dict[str, Any] = {"num_fewshot": 2}
    settings: list[dict[str, Any]] = [
        base,
        {"num_fewshot": 3},
        {"num_fewshot": "all"},
        {"num_fewshot": 0},
        {**base, "dtype": "bfloat16"},
        {**base, "tokenization": "clean"},
        {**base, "query_max_tokens": 256},
        {**base, "document_max_tokens": 256},
    ]

    encoders = [load_encoder(str(model_dirs["llama"]), **options) for options in settings]

    assert len({encoder.mteb_model_meta.experiment_name for encoder in encoders}) == len(settings)


@pytest.mark.model
def test_a_model_of_a_directory_shares_its_identity_with_no_other(model_dirs: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / model_dirs["llama"].name
    shutil.copytree(model_dirs["llama"], copy)
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    metas = [load_encoder(str(folder), num_fewshot=0).mteb_model_meta for folder in (model_dirs["llama"], copy)]

    assert metas[0].name == metas[1].name
    assert metas[0].revision != metas[1].revision, "other tokenizer, other model"
