"""Token ids of bge-en-icl's public tokenizer: the authors' notebook, the budget of 507, and transformers 4."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.encoder.repair import ensure_ends
from harness.encoder.tokenization import PromptTokenizer, load_tokenizer
from harness.errors import ModelLoadError
from harness.prompts.profile import Tokenization, load_profiles
from harness.prompts.template import TaskPrompt, build_prompt
from tests.encoder.stubs import Pair
from tests.models import build_mistral_tokenizer, mistral_v1_file

GOLDENS = Path(__file__).parent / "transformers4_ids.json"
BGE = load_profiles()["bge-en-icl"]
EXAMPLES = [
    Pair(f"{word} question", f"{word} answer " * 30) for word in ("first", "second", "third", "fourth", "fifth")
]


def prompt_of(num_fewshot: int) -> TaskPrompt:
    return build_prompt(BGE.prompt_template, "Given a question, retrieve passages.", EXAMPLES[:num_fewshot])


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the Mistral-7B-v0.1 tokenizer with bge-en-icl's three tokens, as transformers 4 wrote it."""
    if mistral_v1_file() is None:
        pytest.skip(
            "GOLDEN TOKEN IDS NOT CHECKED: mistral-common or sentencepiece is not installed; pip install '.[test]' sentencepiece"
        )
    directory = tmp_path_factory.mktemp("mistral")
    build_mistral_tokenizer(directory)
    return directory


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory, mistral: Path) -> Path:
    """The same tokenizer where transformers 5 does not take tokenizer.json as it stands."""
    directory = tmp_path_factory.mktemp("mistral-rebuilt")
    build_mistral_tokenizer(directory, model_type=None)
    return directory


def prompt_tokenizer(directory: Path, tokenization: Tokenization) -> PromptTokenizer:
    tokenizer = load_tokenizer(directory, tokenization)
    ensure_ends(tokenizer, "<s>", "</s>", str(directory))
    return PromptTokenizer(tokenizer, BGE, tokenization)


@pytest.mark.parametrize(
    ("text", "ids"),
    [("embedding", [1, 28643, 2]), ("I love machine learning and nlp", [1, 315, 2016, 5599, 5168, 304, 307, 12312, 2])],
)
@pytest.mark.parametrize("tokenization", ["official", "official-4x", "clean"])
def test_ids_of_the_authors_notebook_come_out(
    text: str, ids: list[int], tokenization: Tokenization, mistral: Path, rebuilt: Path
) -> None:
    prompt = prompt_of(0)

    for directory in (mistral, rebuilt):
        tokenizer = prompt_tokenizer(directory, tokenization)
        assert tokenizer.documents(prompt, [text], 512).ids == [ids]


@pytest.mark.parametrize("tokenization", ["official", "official-4x", "clean"])
def test_the_budget_of_512_tokens_is_507_and_the_prefix_is_never_cut(tokenization: Tokenization, mistral: Path) -> None:
    tokenizer = prompt_tokenizer(mistral, tokenization)
    long = "protein " * 3000
    for num_fewshot in (0, 5):
        prompt = prompt_of(num_fewshot)
        prefix = tokenizer.tokenizer(prompt.prefix, add_special_tokens=False)["input_ids"]

        tokenized = tokenizer.queries(prompt, ["short", long], 512)

        assert tokenizer.query_budget(prompt, 512) == 507
        assert tokenized.truncated == 1
        assert all(ids[1 : len(prefix) + 1] == prefix for ids in tokenized.ids)
        assert all(ids[-3:] == [13, 32002, 2] for ids in tokenized.ids)
        # 507 of instruction and text, <s>, the suffix's two and </s>; the round trip adds a `▁` to both markers.
        assert len(tokenized.ids[1]) - len(prefix) == 511 + (0 if tokenization == "clean" else 2)


def test_official_4x_gives_the_two_blanks_of_transformers_4(rebuilt: Path) -> None:
    goldens = json.loads(GOLDENS.read_text(encoding="utf-8"))
    prompt = build_prompt(BGE.prompt_template, goldens["instruction"])
    lengths = {}
    for tokenization in ("clean", "official", "official-4x"):
        tokenizer = prompt_tokenizer(rebuilt, tokenization)
        ids = tokenizer.queries(prompt, ["how much protein should a female eat"], 512).ids[0]
        lengths[tokenization] = (len(ids), ids.count(28705))

    assert lengths == {"clean": (29, 0), "official": (29, 0), "official-4x": (31, 2)}


def test_official_4x_equals_transformers_4_for_blanks_and_special_tokens_in_texts(mistral: Path, rebuilt: Path) -> None:
    goldens = json.loads(GOLDENS.read_text(encoding="utf-8"))
    rows = goldens["rows"]
    texts = [row["text"] for row in rows]
    zero = build_prompt(BGE.prompt_template, goldens["instruction"])
    one = build_prompt(BGE.prompt_template, goldens["instruction"], [Pair(*goldens["example"])])
    for directory in (mistral, rebuilt):
        tokenizer = prompt_tokenizer(directory, "official-4x")

        assert tokenizer.queries(zero, texts, 512).ids == [row["query"] for row in rows]
        assert tokenizer.queries(one, texts, 512).ids == [row["query_1_shot"] for row in rows]
        assert tokenizer.documents(zero, texts, 512).ids == [row["document"] for row in rows]


def test_official_4x_without_tokenizer_json_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"official-4x needs a tokenizer\.json"):
        load_tokenizer(tmp_path, "official-4x")
