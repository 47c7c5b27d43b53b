"""Every input ends with the token the vector is read from, or the model is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from harness.encoder.decoder import DecoderEncoder
from harness.encoder.repair import check_special_tokens, ensure_ends
from harness.errors import ModelLoadError
from harness.prompts.profile import load_profiles
from tests.models import Ends, Style, build_model, build_tokenizer

pytestmark = pytest.mark.unit


def tokenizer_of(directory: Path, **options: Any) -> Any:
    build_tokenizer(directory, **options)
    return AutoTokenizer.from_pretrained(str(directory))


@pytest.mark.parametrize("style", ["llama", "bytes"])
def test_a_proper_tokenizer_is_left_alone(style: Style, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, style=style)
    before = tokenizer.backend_tokenizer.to_str()

    assert ensure_ends(tokenizer, "<s>", "</s>", "here") is False

    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("style", ["llama", "bytes"])
@pytest.mark.parametrize("ends", ["begin", "none"])
def test_missing_ends_are_put_back_and_said(
    style: Style, ends: Ends, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = tokenizer_of(tmp_path, style=style, ends=ends)
    proper = tokenizer_of(tmp_path / "proper", style=style)

    with caplog.at_level(logging.WARNING, logger="harness"):
        assert ensure_ends(tokenizer, "<s>", "</s>", "here") is True

    for text in ("", "a", "two words", "<query>x\n<response>", "😀" * 9):
        assert tokenizer(text)["input_ids"] == proper(text)["input_ids"]
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == proper(text)["input_ids"][1:-1]
        cut = tokenizer(text, truncation=True, max_length=3)["input_ids"]
        assert (cut[0], cut[-1], len(cut) <= 3) == (1, 2, True)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("harness")] == [
        "here: the tokenizer left out </s>; repaired (every input now ends with it)"
    ]


def test_a_family_without_begin_token_gets_the_end_alone(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, style="bytes", ends="none")

    assert ensure_ends(tokenizer, None, "</s>", "here") is True

    assert tokenizer("a")["input_ids"][-1] == 2
    assert tokenizer("a")["input_ids"][0] != 1


@pytest.mark.parametrize("flags", [{"add_eos_token": True}, {"add_bos_token": True, "add_eos_token": True}])
def test_flags_of_transformers_4_in_the_configuration_end_up_the_same(flags: dict[str, bool], tmp_path: Path) -> None:
    build_tokenizer(tmp_path, style="llama", ends="begin")
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **flags}), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))

    ensure_ends(tokenizer, "<s>", "</s>", "here")

    ids = tokenizer("two words")["input_ids"]
    assert (ids.count(1), ids.count(2), ids[0], ids[-1]) == (1, 1, 1, 2)


class Unrepairable:
    """A tokenizer in Python alone that knows the tokens and never adds them."""

    unk_token_id = 0

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": [{"<s>": 1, "</s>": 2}.get(text, 5)]}

    def convert_tokens_to_ids(self, token: str) -> int:
        return {"<s>": 1, "</s>": 2}.get(token, 0)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"#{one}" for one in ids]


def test_a_tokenizer_that_cannot_be_repaired_stops_the_run() -> None:
    with pytest.raises(ModelLoadError) as raised:
        ensure_ends(Unrepairable(), "<s>", "</s>", "models/x")

    assert str(raised.value) == (
        "models/x: inputs do not end with '</s>' (got ['#5']) and the tokenizer could not be repaired. "
        "The vector would be read from the wrong token."
    )


@pytest.mark.parametrize("style", ["llama", "bytes"])
def test_missing_special_tokens_are_all_named(style: Style, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, style=style)

    with pytest.raises(
        ModelLoadError, match=r"^here: the tokenizer lacks <inst>, <resp> as single tokens, which"
    ) as raised:
        check_special_tokens(tokenizer, ["<inst>", "<query>", "<resp>"], "here")
    assert "\n" not in str(raised.value)


def test_an_end_token_of_another_family_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no single token '<\|endoftext\|>'"):
        ensure_ends(tokenizer_of(tmp_path, style="llama"), None, "<|endoftext|>", "here")


@pytest.mark.model
def test_the_encoder_records_the_repair_and_reads_the_end_token(tmp_path: Path, model_dirs: dict[str, Path]) -> None:
    profile = load_profiles()["bge-en-icl"]
    broken = build_model(tmp_path / "bge-en-icl-broken", ends="begin")

    repaired = DecoderEncoder(broken, profile, device="cpu")

    assert repaired.tokenizer_repaired is True
    assert DecoderEncoder(model_dirs["llama"], profile, device="cpu").tokenizer_repaired is False
