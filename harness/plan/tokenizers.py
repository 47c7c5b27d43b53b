"""Counting tokens without transformers: with the model's own tokenizer file where it is at hand, else by estimate.

`transformers` takes seconds to import; the `tokenizers` library reads the same tokenizer.json at once. Its ids may differ by
a blank or two around special tokens from what the encoder makes (docs/prompts.md), which does not matter for a plan.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.encoder.embedded import embedded_directory
from harness.encoder.sources import EMBEDDED, MINILM, MINILM_ID, minilm_package_dir
from harness.errors import ModelLoadError
from harness.registry.tokens import estimate_tokens


class TokenCounter(Protocol):
    """Counts tokens of texts, without begin and end tokens."""

    source: str
    """Where the counts come from, for people."""
    exact: bool
    """False for an estimate."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""


class FileTokenizer:
    """A tokenizer.json."""

    exact = True

    def __init__(self, path: Path, source: str) -> None:
        """Read it.

        Raises:
            ModelLoadError: it is no tokenizer file.
        """
        from tokenizers import Tokenizer

        self.source = source
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises no narrower type
            raise ModelLoadError(f"{path}: not a tokenizer ({' '.join(str(error).split())[:120]}).") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(one) for one in encoded]


class SentencePieceTokenizer:
    """A sentencepiece model with the profile's special tokens, each of which is one token."""

    exact = True

    def __init__(self, path: Path, special_tokens: Sequence[str], source: str) -> None:
        import sentencepiece

        self.source = source
        self._model: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self._special = re.compile("|".join(map(re.escape, special_tokens))) if special_tokens else None

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""
        if self._special is None:
            return [len(ids) for ids in self._model.encode(list(texts))]
        special = self._special
        return [
            len(special.findall(text)) + sum(len(self._model.encode(piece)) for piece in special.split(text) if piece)
            for text in texts
        ]


class Estimate:
    """The registry's estimate: 0.87 to 1.28 times the exact count in English."""

    exact = False
    source = "estimated from the characters (no tokenizer of the model on this machine)"

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return about how many tokens each text has."""
        return [estimate_tokens(text) for text in texts]


def mistral_model_file() -> Path | None:
    """Return Mistral-7B-v0.1's sentencepiece model as mistral-common carries it, if that is installed."""
    spec = importlib.util.find_spec("mistral_common")
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("sentencepiece") is None:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / "tokenizer.model.v1"
    return path if path.is_file() else None


def model_folder(model: str, revision: str | None = None) -> Path | None:
    """Return a folder of this machine with a model's tokenizer.json, without writing or fetching anything."""
    if model == EMBEDDED:
        return embedded_directory()
    candidates: list[Path] = []
    if Path(model).is_dir():
        candidates = [Path(model)]
    elif model in (MINILM, MINILM_ID) and (packaged := minilm_package_dir()) is not None:
        candidates = [packaged]
    else:
        home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
        hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
        name = MINILM_ID if model == MINILM else model
        repository = hub / f"models--{name.replace('/', '--')}"
        reference = repository / "refs" / (revision or "main")
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
        candidates = [repository / "snapshots" / commit] if commit else []
        candidates += sorted(repository.glob("snapshots/*"))
    return next((folder for folder in candidates if (folder / "tokenizer.json").is_file()), None)


def embed_dim(model: str, revision: str | None, known: dict[str, int]) -> int | None:
    """Return D of a model from its config.json, else from the packaged table; None where neither knows it."""
    folder = model_folder(model, revision)
    if folder is not None and (folder / "config.json").is_file():
        try:
            size: object = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("hidden_size")
        except (ValueError, AttributeError):
            size = None
        if isinstance(size, int):
            return int(size)
    return known.get(MINILM_ID if model == MINILM else model)


def find_counter(model: str, revision: str | None, family: str, special_tokens: Sequence[str]) -> TokenCounter:
    """Return the best token counter for a model that this machine has."""
    folder = model_folder(model, revision)
    if folder is not None:
        return FileTokenizer(folder / "tokenizer.json", "the model's own tokenizer")
    file = mistral_model_file() if family == "mistral" else None
    if file is not None:
        return SentencePieceTokenizer(file, special_tokens, "Mistral-7B-v0.1's tokenizer (mistral-common)")
    return Estimate()
