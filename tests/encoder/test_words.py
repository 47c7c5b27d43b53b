"""The baselines: what their vectors are, what identifies them, and that TF-IDF of one task never serves another."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.encoder import baselines
from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.sources import BASELINES, resolve_source
from harness.encoder.text_encoder import TextEncoder
from harness.encoder.words import STATIC_BAG_FILE, HashedWords, StaticBag, TfidfWords
from harness.errors import ConfigError, FewShotError, ModelLoadError
from harness.prompts.profile import load_profiles
from harness.prompts.template import TaskPrompt, build_prompt
from harness.registry import Registry
from harness.runners.adapter import ICLEncoder
from harness.runners.evaluate import evaluate_unit, load_task, make_task
from harness.runners.prompts import PromptPolicy
from harness.runners.run import execute
from harness.runners.task_texts import task_texts
from harness.runners.tasks import TaskUnit, resolve_units
from tests.toy import METRICS, write_toy_benchmark

WORDS = ["lamp", "river", "piano", "a", "Lamp", "seven", "été", "north-west", "x1", "river's"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join), min_size=2, max_size=12)


def prompt_of(name: str) -> TaskPrompt:
    return build_prompt(load_profiles()[name].prompt_template, "Find it.", ())


def encode(backend: Any, texts: list[str], max_tokens: int = 8192) -> np.ndarray:
    vectors: np.ndarray = backend.encode(texts, prompt_of("tfidf"), "query", max_tokens)[0]
    return vectors


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    product: np.ndarray = unit @ unit.T
    return product


@given(texts=TEXTS)
@settings(max_examples=30, deadline=None)
def test_tfidf_has_the_cosines_of_scikit_learn(texts: list[str]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [*texts, "lamp river"]
    backend = TfidfWords(load_profiles()["tfidf"])
    backend.fit(texts)
    theirs = TfidfVectorizer(sublinear_tf=True).fit(sorted(set(texts))).transform(texts).toarray()

    ours = encode(backend, texts)

    known = theirs.any(axis=1)  # a text without a known word has no direction there, and a constant one here
    expected = theirs[known] @ theirs[known].T
    np.testing.assert_allclose(cosines(ours[known]), expected, atol=1e-5)


@given(texts=TEXTS)
@settings(max_examples=30, deadline=None)
def test_the_hashed_bag_is_scikit_learns_feature_hasher_and_knows_no_order(texts: list[str]) -> None:
    from sklearn.feature_extraction.text import HashingVectorizer

    backend = HashedWords(load_profiles()["bag-of-words"])
    theirs = HashingVectorizer(n_features=4096, norm=None).transform(texts).toarray()

    ours = encode(backend, texts)

    np.testing.assert_array_equal(ours[:, :-1], theirs)
    turned = [" ".join(reversed(text.split(" "))) for text in texts]
    np.testing.assert_array_equal(ours, encode(backend, turned))


@pytest.mark.parametrize("name", ["bag-of-words", "tfidf"])
def test_a_text_without_words_has_a_vector_that_can_be_scored(name: str) -> None:
    encoder = load_text_encoder(name)
    encoder.prepare(lambda: ["lamp river", "piano"])

    vectors, stats = encoder.encode(["", "!", "lamp"], prompt_of(name), "query", normalize=True, where="test")

    assert np.isfinite(vectors).all()
    assert vectors[0] @ vectors[1] == pytest.approx(1)
    assert vectors[0] @ vectors[2] == pytest.approx(0, abs=1e-5)
    assert stats.empty == 1


@pytest.mark.parametrize("name", ["bag-of-words", "tfidf"])
def test_the_length_limit_cuts_words_and_is_counted(name: str) -> None:
    backend: Any = load_text_encoder(name).backend
    if name == "tfidf":
        backend.fit(["one two three four"])

    long, truncated = backend.encode(["one two three four", "one two"], prompt_of(name), "query", 2)

    assert truncated == 1
    np.testing.assert_array_equal(long[0], long[1])


def test_tfidf_refuses_texts_before_it_is_fitted_and_says_where_it_works() -> None:
    encoder = load_text_encoder("tfidf")

    with pytest.raises(ConfigError, match="only `icl-harness run` hands over"):
        encoder.encode(["lamp"], prompt_of("tfidf"), "query", normalize=True, where="test")


def test_the_texts_of_the_task_are_part_of_the_key_of_every_tfidf_vector() -> None:
    encoder = load_text_encoder("tfidf")
    prompt = prompt_of("tfidf")
    shared = ["lamp river", "river river piano"]
    by_task = {}
    for task, texts in {"first": ["lamp"] * 3 + shared, "second": ["river", "organ boat"] + shared}.items():
        encoder.prepare(lambda texts=texts: texts)  # type: ignore[misc]
        by_task[task] = (
            encoder.vector_scope(prompt, "query"),
            encoder.encode(shared, prompt, "query", normalize=True, where="t")[0],
        )
    fresh = load_text_encoder("tfidf")
    fresh.prepare(lambda: ["river", "organ boat", *shared])

    assert by_task["first"][0] != by_task["second"][0]
    assert by_task["first"][1].shape != by_task["second"][1].shape
    np.testing.assert_array_equal(
        by_task["second"][1], fresh.encode(shared, prompt, "query", normalize=True, where="t")[0]
    )


def test_the_fit_depends_on_the_set_of_texts_and_not_on_their_order_or_number() -> None:
    one, other = TfidfWords(load_profiles()["tfidf"]), TfidfWords(load_profiles()["tfidf"])
    one.fit(["lamp", "river lamp", "piano"])
    other.fit(["piano", "river lamp", "lamp", "piano"])

    assert one.fitted == other.fitted != ""
    np.testing.assert_array_equal(encode(one, ["lamp piano"]), encode(other, ["lamp piano"]))


def test_tfidf_of_a_task_without_words_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="nothing to fit"):
        TfidfWords(load_profiles()["tfidf"]).fit(["", "?"])


def units(folder: Path) -> tuple[Registry, list[TaskUnit]]:
    registry_dir, data = write_toy_benchmark(folder)
    registry = Registry.load([registry_dir])
    found = resolve_units(
        registry, benchmarks=("toy",), tasks=(), data_dir=data, splits=(), languages=(), zero_shot_only=True
    )
    return registry, found


@pytest.mark.model
def test_every_text_that_a_task_encodes_is_among_those_that_tfidf_is_fitted_on(tmp_path: Path) -> None:
    registry, found = units(tmp_path)
    profile = load_profiles()["tfidf"]
    policy = PromptPolicy(registry=registry, profile=profile, num_fewshot=0)
    assert {unit.task_type for unit in found} == set(METRICS)
    for unit in found:
        encoder = ICLEncoder(load_text_encoder("tfidf"), policy)
        task = make_task(unit)
        load_task(task, unit)
        fitted = set(task_texts(task))
        seen: list[str] = []
        original = encoder.text_encoder.backend.encode

        def spy(texts: Any, *args: Any, seen: list[str] = seen, original: Any = original) -> Any:
            seen.extend(texts)
            return original(texts, *args)

        encoder.text_encoder.backend.encode = spy  # type: ignore[method-assign]
        evaluate_unit(encoder, unit, make_task(unit), configuration="k0", limit=None, run_id="test")

        assert seen and set(seen) <= fitted, unit.name


@pytest.mark.model
def test_a_run_of_a_baseline_writes_nothing_to_the_store_of_vectors_and_reuses_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.config import build_config

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    registry_dir, data = write_toy_benchmark(tmp_path, ("STS", "Retrieval"))
    config = build_config(
        {
            "model": "tfidf",
            "benchmark": "toy",
            "registry_dir": (registry_dir,),
            "data_dir": data,
            "num_fewshot": "0",
            "output_dir": tmp_path / "out",
            "offline": True,
        }
    )

    first, second = execute(config), execute(config)

    assert (first.evaluated, second.reused) == (2, 2)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["model"]["model_name"] == "icl-harness/tfidf"
    assert manifest["model"]["label"] == "baseline"


# Identity


@pytest.mark.parametrize("name", ["bag-of-words", "tfidf"])
def test_the_identity_holds_the_minor_version_of_scikit_learn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolve_source(name)
    original = importlib.metadata.version

    def other(version: str) -> Any:
        monkeypatch.setattr(
            baselines.importlib.metadata, "version", lambda p: version if p == "scikit-learn" else original(p)
        )
        return resolve_source(name)

    major, minor = original("scikit-learn").split(".")[:2]
    assert other(f"{major}.{minor}.99") == before
    newer = other(f"{major}.{int(minor) + 1}.0")
    assert newer.revision != before.revision
    assert newer.weights_sha != before.weights_sha


def test_the_baselines_have_different_identities_and_one_label() -> None:
    sources = [resolve_source(name) for name in ("bag-of-words", "tfidf")]

    assert len({source.weights_sha for source in sources}) == len({source.revision for source in sources}) == 2
    assert {source.label for source in sources} == {"baseline"}


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_takes_no_examples(name: str) -> None:
    policy = PromptPolicy(registry=Registry.load(), profile=load_profiles()[name], num_fewshot=3)

    with pytest.raises(FewShotError, match=f"profile '{name}' takes no few-shot examples. Use --num-fewshot 0"):
        policy.for_registered("MiniSTS")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "bfloat16"}, "--dtype bfloat16: the baseline 'tfidf' computes on the CPU in float32"),
        ({"device": "cuda"}, "--device cuda: the baseline 'tfidf' computes on the CPU"),
        ({"revision": "main"}, "--revision 'main' belongs to hub models; 'tfidf' is a built-in baseline"),
        ({"profile": "bge-en-icl"}, "model 'tfidf' does not fit profile 'bge-en-icl'"),
    ],
)
def test_what_a_baseline_cannot_do_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_text_encoder("tfidf", EncoderOptions(**options))  # type: ignore[arg-type]


def test_another_model_cannot_take_the_profile_of_a_baseline() -> None:
    with pytest.raises(ConfigError, match="model 'embedded' does not fit profile 'tfidf'"):
        load_text_encoder("embedded", EncoderOptions(profile="tfidf"))


# The static bag


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """A folder with a tokenizer of six words and vectors for them."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {"[UNK]": 0, "</s>": 1, "lamp": 2, "river": 3, "piano": 4, "boat": 5}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    rows = np.random.default_rng(3).standard_normal((6, 5)).astype(np.float16)
    save_file({"vectors": rows}, tmp_path / STATIC_BAG_FILE)
    return tmp_path


def static(folder: Path) -> StaticBag:
    return StaticBag(folder, load_profiles()["static-bag"])


def test_the_static_bag_is_the_mean_of_its_token_vectors_without_special_tokens(bag: Path) -> None:
    from safetensors.numpy import load_file

    rows = load_file(bag / STATIC_BAG_FILE)["vectors"].astype(np.float32)

    vectors = encode(static(bag), ["Lamp river lamp", "boat", ""])

    np.testing.assert_allclose(vectors[0, :-1], rows[[2, 3, 2]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(vectors[1, :-1], rows[5], rtol=1e-6)
    assert not vectors[2, :-1].any() and vectors[2, -1] > 0
    assert vectors.shape == (3, 6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / STATIC_BAG_FILE).unlink(), "the static bag cannot be loaded"),
        (lambda folder: (folder / STATIC_BAG_FILE).write_bytes(b"no tensors"), "the static bag cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json is no tokenizer"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is no tokenizer"),
    ],
    ids=["no vectors", "damaged vectors", "damaged tokenizer", "no tokenizer"],
)
def test_a_damaged_static_bag_is_one_clear_line(bag: Path, spoil: Any, message: str) -> None:
    spoil(bag)

    with pytest.raises(ModelLoadError, match=message):
        static(bag)


def test_vectors_of_another_tokenizer_are_refused(bag: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"vectors": np.ones((3, 5), np.float16)}, bag / STATIC_BAG_FILE)

    with pytest.raises(ModelLoadError, match="a row for each of the tokenizer's 6 tokens is expected"):
        static(bag)


def test_each_file_of_the_static_bag_is_part_of_its_identity(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import save_file

    monkeypatch.setattr(baselines, "static_bag_directory", lambda: bag)
    before = resolve_source("static-bag")
    encoder = load_text_encoder("static-bag")
    assert isinstance(encoder, TextEncoder) and encoder.backend.embed_dim == 6

    save_file({"vectors": np.ones((6, 5), np.float16)}, bag / STATIC_BAG_FILE)
    vectors_changed = resolve_source("static-bag")
    text = (bag / "tokenizer.json").read_text("utf-8")
    (bag / "tokenizer.json").write_text(text.replace('"boat"', '"ship"'), encoding="utf-8")
    both_changed = resolve_source("static-bag")

    assert len({before.revision, vectors_changed.revision, both_changed.revision}) == 3
    assert replace(both_changed, tokenizer_sha="", revision="") == replace(
        vectors_changed, tokenizer_sha="", revision=""
    )


def test_the_packaged_static_bag_knows_related_words() -> None:
    encoder = load_text_encoder("static-bag")
    texts = ["a dog ran across the field", "the puppy chased a cat", "interest rates rose in the spring"]

    vectors, _ = encoder.encode(texts, prompt_of("static-bag"), "query", normalize=True, where="test")

    assert encoder.source.label == "baseline"
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_an_installation_without_the_static_bag_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "static_bag_directory", lambda: tmp_path)

    with pytest.raises(ModelLoadError, match=r"this installation lacks static_bag\.safetensors, tokenizer\.json"):
        load_text_encoder("static-bag")
