"""The prompt strings: byte for byte as upstream renders them, whatever stands in a text."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import FewShotError
from harness.prompts.profile import ModelProfile, load_profiles
from harness.prompts.template import PromptTemplate, TaskPrompt, build_prompt, fill

PROFILES = load_profiles()
ICL = PROFILES["bge-en-icl"].prompt_template
TEXTS = st.text(max_size=40) | st.sampled_from(
    ["{text}", "{instruction}", "{query}{response}", "{", "}", "{{text}}", "{0}", "%s", "\\n", "\n\n", "<query>"]
)


class Shot(NamedTuple):
    query: str
    response: str


SHOTS = st.builds(Shot, TEXTS, TEXTS)


# Upstream's own code, transcribed from FlagEmbedding 1.4 inference/embedder/decoder_only/icl.py


def upstream_prefix(instruction: str, shots: list[Shot]) -> str:
    """`set_examples`: one example per `get_detailed_example`, joined and followed by a blank line."""
    examples = [f"<instruct>{instruction}\n<query>{shot.query}\n<response>{shot.response}" for shot in shots]
    return "\n\n".join(examples) + "\n\n" if examples else ""


def upstream_query(instruction: str, shots: list[Shot], text: str) -> str:
    """`encode_queries_single_device` for texts under the limit: prefix + wrapped query + suffix."""
    return upstream_prefix(instruction, shots) + f"<instruct>{instruction}\n<query>{text}" + "\n<response>"


# Golden strings


def test_zero_shot_query() -> None:
    prompt = build_prompt(ICL, "Given a question, retrieve passages that answer the question.")

    assert prompt.render_query("what is a virtual interface") == (
        "<instruct>Given a question, retrieve passages that answer the question.\n"
        "<query>what is a virtual interface\n"
        "<response>"
    )


def test_one_example() -> None:
    prompt = build_prompt(ICL, "Classify.", [Shot("I lost it", "card_lost")])

    assert prompt.render_query("PIN?") == (
        "<instruct>Classify.\n<query>I lost it\n<response>card_lost\n\n<instruct>Classify.\n<query>PIN?\n<response>"
    )


def test_three_examples_with_braces_and_line_breaks() -> None:
    shots = [Shot("a {text}", "{response}"), Shot("two\nlines", "{instruction}"), Shot("{query}", "{{}}")]

    prompt = build_prompt(ICL, "Find {text}.", shots)

    assert prompt.render_query("{instruction} {0}") == (
        "<instruct>Find {text}.\n<query>a {text}\n<response>{response}\n\n"
        "<instruct>Find {text}.\n<query>two\nlines\n<response>{instruction}\n\n"
        "<instruct>Find {text}.\n<query>{query}\n<response>{{}}\n\n"
        "<instruct>Find {text}.\n<query>{instruction} {0}\n<response>"
    )


def test_document_is_the_bare_text() -> None:
    prompt = build_prompt(ICL, "Find.", [Shot("a", "b")])

    assert prompt.render_document("A passage {text}.\n") == "A passage {text}.\n"


def test_the_part_that_may_be_cut_holds_neither_prefix_nor_suffix() -> None:
    prompt = build_prompt(ICL, "Find.", [Shot("a", "b")])

    assert prompt.wrap_query("text") == "<instruct>Find.\n<query>text"
    assert prompt.prefix + prompt.wrap_query("text") + prompt.suffix == prompt.render_query("text")


def test_family_without_example_format_refuses_examples() -> None:
    template = PROFILES["e5-mistral"].prompt_template

    with pytest.raises(FewShotError) as caught:
        build_prompt(template, "Find.", [Shot("a", "b")])

    assert str(caught.value) == (
        "this model's profile has no format for few-shot examples. Use --num-fewshot 0, or a profile with `example` in "
        "its template (see docs/profiles.md)."
    )


@pytest.mark.parametrize(
    ("profile", "query", "document"),
    [
        ("bge-en-icl", "<instruct>Find it.\n<query>{}\n<response>", "{}"),
        ("e5-mistral", "Instruct: Find it.\nQuery: {}", "{}"),
        ("qwen3-embedding", "Instruct: Find it.\nQuery:{}", "{}"),
        ("all-minilm-l6-v2", "{}", "{}"),
        ("bag-of-words", "{}", "{}"),
        ("static-bag", "{}", "{}"),
        ("tfidf", "{}", "{}"),
        ("bge-en-v1.5", "Represent this sentence for searching relevant passages: {}", "{}"),
    ],
)
def test_every_built_in_template(profile: str, query: str, document: str) -> None:
    prompt = build_prompt(PROFILES[profile].prompt_template, "Find it.")

    assert prompt.render_query("a text") == query.replace("{}", "a text")
    assert prompt.render_document("a text") == document.replace("{}", "a text")
    assert prompt.prefix == ""


def test_every_profile_is_in_the_table_of_templates() -> None:
    decoders = {"bge-en-icl", "e5-mistral", "qwen3-embedding"}
    assert set(PROFILES) == {*decoders, "all-minilm-l6-v2", "bge-en-v1.5", "bag-of-words", "static-bag", "tfidf"}


# Properties


@given(instruction=TEXTS, shots=st.lists(SHOTS, max_size=4), text=TEXTS)
def test_query_equals_upstream(instruction: str, shots: list[Shot], text: str) -> None:
    prompt = build_prompt(ICL, instruction, shots)

    assert prompt.prefix == upstream_prefix(instruction, shots)
    assert prompt.render_query(text) == upstream_query(instruction, shots, text)


@given(instruction=TEXTS, text=TEXTS, profile=st.sampled_from(sorted(PROFILES)))
def test_fill_never_touches_braces_in_values(instruction: str, text: str, profile: str) -> None:
    template: str = PROFILES[profile].template.query
    before, _, rest = template.partition("{instruction}") if "{instruction}" in template else ("", "", template)
    middle, _, after = rest.partition("{text}")

    filled = fill(template, instruction=instruction, text=text)

    expected = before + (instruction if "{instruction}" in template else "") + middle + text + after
    assert filled == expected


@given(values=st.dictionaries(st.sampled_from(["a", "b", "c"]), TEXTS, min_size=1))
def test_fill_replaces_each_placeholder_once_and_in_place(values: dict[str, str]) -> None:
    template = "|".join("{" + name + "}" for name in ("a", "b", "c"))

    filled = fill(template, **values)

    assert filled == "|".join(values.get(name, "{" + name + "}") for name in ("a", "b", "c"))


@given(shots=st.lists(SHOTS, min_size=1, max_size=5), keep=st.integers(0, 5), text=TEXTS)
def test_dropping_shots_never_changes_the_text_part(shots: list[Shot], keep: int, text: str) -> None:
    full, fewer = build_prompt(ICL, "Find.", shots), build_prompt(ICL, "Find.", shots[:keep])

    assert full.wrap_query(text) == fewer.wrap_query(text)
    assert full.render_document(text) == fewer.render_document(text)
    assert full.render_query(text).endswith(fewer.wrap_query(text) + fewer.suffix)
    assert full.prefix.startswith(fewer.prefix)


PROMPTS = st.builds(
    TaskPrompt,
    instruction=TEXTS,
    prefix=TEXTS,
    query_template=TEXTS,
    suffix=TEXTS,
    document_template=TEXTS,
    num_fewshot=st.integers(0, 9),
)
STRINGS = ("instruction", "prefix", "query_template", "suffix", "document_template")


@given(
    prompt=PROMPTS,
    field=st.sampled_from(STRINGS),
    at=st.integers(0, 40),
    character=st.characters(exclude_categories=["Cs"]),
)
def test_fingerprint_changes_with_any_character(prompt: TaskPrompt, field: str, at: int, character: str) -> None:
    old: str = getattr(prompt, field)

    other = replace(prompt, **{field: old[:at] + character + old[at:]})

    assert other.fingerprint != prompt.fingerprint
    assert (other.query_fingerprint != prompt.query_fingerprint) == (field != "document_template")


@given(prompt=PROMPTS)
def test_fingerprint_is_a_function_of_the_content(prompt: TaskPrompt) -> None:
    assert replace(prompt).fingerprint == prompt.fingerprint
    assert len(prompt.fingerprint) == len(prompt.query_fingerprint) == 64


@given(one=st.lists(SHOTS, max_size=3), other=st.lists(SHOTS, max_size=3))
def test_equal_fingerprints_mean_equal_prompts(one: list[Shot], other: list[Shot]) -> None:
    first, second = build_prompt(ICL, "Find.", one), build_prompt(ICL, "Find.", other)

    assert (first.fingerprint == second.fingerprint) == (first == second)


def test_text_that_moves_between_fields_changes_the_fingerprint() -> None:
    one = TaskPrompt("a", "bc", "", "", "", 0)
    other = TaskPrompt("ab", "c", "", "", "", 0)

    assert one.fingerprint != other.fingerprint
    assert one.query_fingerprint != other.query_fingerprint


def test_fingerprint_is_stable_between_versions() -> None:
    """A changed value means that every stored result is computed anew: change it knowingly."""
    prompt = build_prompt(ICL, "Classify.", [Shot("I lost it", "card_lost")])

    assert prompt.fingerprint == GOLDEN_FINGERPRINT


GOLDEN_FINGERPRINT = "2d128a6ee06b47eb298215853fe8100e80d308eb4e7e16a962c27fa27fdef32b"


def test_template_of_a_profile_is_the_builders_template() -> None:
    profile: ModelProfile = PROFILES["bge-en-icl"]

    assert profile.prompt_template == PromptTemplate(
        query="<instruct>{instruction}\n<query>{text}",
        suffix="\n<response>",
        example="<instruct>{instruction}\n<query>{query}\n<response>{response}",
        separator="\n\n",
        document="{text}",
    )
