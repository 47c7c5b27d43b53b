"""Model profiles: which model takes which, and what is refused in a profile file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigError, TaskNotFoundError
from harness.prompts.profile import ModelProfile, find_profile, load_profiles
from harness.types import TASK_TYPES

GOOD = """\
name: mine
source: a test
kind: decoder
models: [org/mine]
template:
  query: "Instruct: {instruction}\\nQuery: {text}"
"""


def test_every_profile_file_loads_under_its_own_name() -> None:
    profiles = load_profiles()

    assert list(profiles) == [
        "all-minilm-l6-v2",
        "bag-of-words",
        "bge-en-icl",
        "bge-en-v1.5",
        "e5-mistral",
        "qwen3-embedding",
        "static-bag",
        "tfidf",
    ]
    assert all(profile.source for profile in profiles.values())


def test_bge_en_icl_is_as_upstream_has_it() -> None:
    profile = load_profiles()["bge-en-icl"]

    assert (profile.begin_token, profile.end_token, profile.pooling) == ("<s>", "</s>", "last_token")
    assert profile.special_tokens == ["<instruct>", "<query>", "<response>"]
    assert (profile.query_max_tokens, profile.document_max_tokens) == (512, 512)
    assert profile.tokenization == "official"
    assert [name for name in TASK_TYPES if not profile.normalizes(name)] == ["Classification"]


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("embedded", "bge-en-icl"),
        ("BAAI/bge-en-icl", "bge-en-icl"),
        ("baai/BGE-en-icl", "bge-en-icl"),
        ("all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("sentence-transformers/all-MiniLM-L12-v2", "all-minilm-l6-v2"),
        ("BAAI/bge-small-en-v1.5", "bge-en-v1.5"),
        ("BAAI/bge-large-en-v1.5", "bge-en-v1.5"),
        ("intfloat/e5-mistral-7b-instruct", "e5-mistral"),
        ("Salesforce/SFR-Embedding-Mistral", "e5-mistral"),
        ("Salesforce/SFR-Embedding-2_R", "e5-mistral"),
        ("Linq-AI-Research/Linq-Embed-Mistral", "e5-mistral"),
        ("Qwen/Qwen3-Embedding-8B", "qwen3-embedding"),
    ],
)
def test_model_finds_its_profile(model: str, profile: str) -> None:
    assert find_profile(model).name == profile


@pytest.mark.parametrize(
    ("folder", "profile"),
    [
        ("bge-en-icl", "bge-en-icl"),
        ("bge-en-icl-my-finetune", "bge-en-icl"),
        ("BGE-EN-ICL", "bge-en-icl"),
        ("bge-base-en-v1.5", "bge-en-v1.5"),
        ("models--BAAI--bge-en-icl/snapshots/971c7e1", "bge-en-icl"),
        ("models--Qwen--Qwen3-Embedding-0.6B/snapshots/abc", "qwen3-embedding"),
    ],
)
def test_directory_finds_its_profile_by_name(folder: str, profile: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)

    assert find_profile(str(tmp_path / folder)).name == profile
    assert find_profile(f"{tmp_path / folder}/").name == profile


def test_the_current_directory_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bge-en-icl").mkdir()
    monkeypatch.chdir(tmp_path / "bge-en-icl")

    assert find_profile(".").name == "bge-en-icl"


@pytest.mark.parametrize("model", ["bge-en-icl-nonsense", "chuhac/bge-en-icl-bf16", "/no/such/bge-en-icl"])
def test_a_name_alone_never_takes_a_profile_by_its_beginning(model: str) -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        find_profile(model)

    assert str(caught.value) == (
        f"no profile (prompt format) fits model {model!r}. By its name it may be of the family 'bge-en-icl': if so, give "
        "--profile bge-en-icl. See docs/profiles.md"
    )
    assert find_profile(model, "bge-en-icl").name == "bge-en-icl"


def test_model_of_no_known_family() -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        find_profile("org/other")

    assert str(caught.value) == (
        "no profile (prompt format) fits model 'org/other'. Give --profile NAME (all-minilm-l6-v2, bag-of-words, "
        "bge-en-icl, bge-en-v1.5, e5-mistral, qwen3-embedding, static-bag, tfidf) or a profile file. See docs/profiles.md"
    )


def test_mistyped_model_is_answered_with_near_names() -> None:
    with pytest.raises(TaskNotFoundError, match="Did you mean 'BAAI/bge-en-icl'"):
        find_profile("BAAI/bge-en-ilc")


def test_mistyped_profile_is_answered_with_near_names() -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        find_profile("embedded", "bge-en-ilc")

    assert str(caught.value) == (
        "profile 'bge-en-ilc' is not known. Did you mean 'bge-en-icl' or 'bge-en-v1.5'? Known: all-minilm-l6-v2, "
        "bag-of-words, bge-en-icl, bge-en-v1.5, e5-mistral, qwen3-embedding, static-bag, tfidf; or give the path of a profile file (*.yaml). See: "
        "icl-harness list models"
    )


# Profile files


def write(folder: Path, content: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_profile_file(tmp_path: Path) -> None:
    profile = find_profile("org/other", write(tmp_path, GOOD))

    assert profile.name == "mine"
    assert profile.prompt_template.query == "Instruct: {instruction}\nQuery: {text}"
    assert (profile.begin_token, profile.end_token, profile.query_max_tokens) == ("<s>", "</s>", 512)
    assert profile.prompted_types == list(TASK_TYPES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "Query: {text}",
            "Query: {txt}",
            "5: template: query holds {txt}, which nothing fills in; it may hold {instruction} and {text}.",
        ),
        ("Query: {text}", "Query: ", "5: template: query must hold {text}."),
        (
            "Query: {text}",
            "Query: {text}\\nAnswer:",
            "5: template: query must end with {text}; put what follows the text into suffix, which is never cut.",
        ),
        (
            'Query: {text}"\n',
            'Query: {text}"\n  suffix: "{text}"\n',
            "5: template: suffix holds {text}, which nothing fills in; it may hold no placeholder.",
        ),
        (
            'Query: {text}"\n',
            'Query: {text}"\n  example: "{query}"\n',
            "5: template: example must hold {query} and {response}.",
        ),
        (
            'Query: {text}"\n',
            'Query: {text}"\n  document: "passage: "\n',
            "5: template: document must hold {text}.",
        ),
        (
            "kind: decoder",
            "kind: encoder",
            "3: kind: 'encoder' is not one of decoder, sentence-transformer, words. Did you mean 'decoder'?",
        ),
        (
            "kind: decoder",
            "kind: sentence-transformer",
            "1: kind sentence-transformer goes with pooling: model, not last_token.",
        ),
        (
            "name: mine",
            "name: My Model",
            "1: name: 'My Model' is not usable: small letters, digits and . _ - are allowed.",
        ),
        (
            "models: [org/mine]",
            "prompted_types: [Retreival]",
            "4: prompted_types.0: 'Retreival' is not one of Classification, Clustering, PairClassification, Reranking, "
            "Retrieval, STS, Summarization. Did you mean 'Retrieval'?",
        ),
        (
            "models: [org/mine]",
            "query_max_token: 512",
            "4: query_max_token: key is not known. Did you mean 'query_max_tokens' or 'document_max_tokens'? Known keys: "
            f"{', '.join(ModelProfile.model_fields)}.",
        ),
        (
            "models: [org/mine]",
            "query_max_tokens: 4",
            "4: query_max_tokens: input should be greater than or equal to 8.",
        ),
        ("source: a test\n", "", "1: source: key is missing."),
    ],
)
def test_wrong_profile_file_is_told_word_for_word(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert GOOD.count(old) == 1
    path = write(tmp_path, GOOD.replace(old, new))

    with pytest.raises(ConfigError) as caught:
        find_profile("org/other", path)

    assert str(caught.value).removeprefix(f"{path}:") == message


def test_missing_profile_file() -> None:
    with pytest.raises(ConfigError) as caught:
        find_profile("org/other", "nothing.yaml")

    assert str(caught.value) == "nothing.yaml: cannot be read: No such file or directory."


# Sides


@pytest.mark.parametrize(
    ("profile", "task_type", "prompt_type", "side"),
    [
        ("bge-en-icl", "Retrieval", "query", "query"),
        ("bge-en-icl", "Retrieval", "document", "document"),
        ("bge-en-icl", "Reranking", "document", "document"),
        ("bge-en-icl", "STS", None, "query"),
        ("bge-en-icl", "STS", "document", "query"),
        ("bge-en-icl", "Classification", None, "query"),
        ("bge-en-icl", "BitextMining", None, "query"),
        ("bge-en-icl", "InstructionRetrieval", "document", "document"),
        ("bge-en-v1.5", "Retrieval", "query", "query"),
        ("bge-en-v1.5", "Classification", None, "document"),
        ("bge-en-v1.5", "STS", None, "document"),
    ],
)
def test_side_of_a_text(profile: str, task_type: str, prompt_type: str | None, side: str) -> None:
    assert load_profiles()[profile].side(task_type, prompt_type) == side
