"""Baselines that look words up: no network, no examples, no order of words.

They stand beside embedders in a table and say what word overlap (`bag-of-words`, `tfidf`) and word meaning without
attention (`static-bag`) reach. Their vectors are cheap, so they are never kept on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from harness.errors import ConfigError, ModelLoadError
from harness.prompts.profile import ModelProfile
from harness.prompts.template import TaskPrompt

Advance = Callable[[int, int], None]

HASHED_DIM = 4096
"""Buckets of the hashed bag; the mini benchmark's tasks have at most 6,000 different words."""
MAX_WORDS = 32_768
"""Most frequent words that TF-IDF keeps. Vectors are dense, so this bounds them to 128 KiB each."""
CHUNK_TEXTS = 1024
STATIC_BAG_FILE = "static_bag.safetensors"
NO_WORD = np.float32(1e-6)
"""A last, constant dimension, so that a text without any known word is no zero vector."""


@runtime_checkable
class FittedBackend(Protocol):
    """A backend whose vectors depend on the texts of the task, beside the text itself."""

    fitted: str
    """Hash of those texts; empty before `fit`. Part of the key of every vector."""

    def fit(self, texts: Iterable[str]) -> None:
        """Learn from all texts of a task, before the first of them is encoded."""


class _WordBackend:
    """What the three have in common: float32 on the CPU, prompts rendered, lengths counted in words."""

    device = "cpu"
    dtype = "float32"
    attention = "none"
    tokenization = "words"
    tokenizer_repaired = False
    embed_dim: int
    _split: Callable[[str], list[Any]]
    """A text's words, or its token ids."""

    def __init__(self, profile: ModelProfile, *, batch_tokens: int | None = None) -> None:
        self.profile = profile
        self.batch_tokens = batch_tokens or profile.document_max_tokens

    def _vectors(self, texts: list[list[Any]]) -> np.ndarray:
        raise NotImplementedError

    def encode(
        self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int, advance: Advance | None = None
    ) -> tuple[np.ndarray, int]:
        """Encode texts of one side; see DecoderEncoder.encode. The last dimension is constant."""
        render = prompt.render_query if side == "query" else prompt.render_document
        found: list[np.ndarray] = []
        truncated = 0
        for start in range(0, len(texts), CHUNK_TEXTS):
            words = [self._split(render(text)) for text in texts[start : start + CHUNK_TEXTS]]
            truncated += sum(len(one) > max_tokens for one in words)
            words = [one[:max_tokens] for one in words]
            vectors = self._vectors(words)
            found.append(np.hstack([vectors, np.full((len(words), 1), NO_WORD, np.float32)]))
            if advance is not None:
                advance(len(words), sum(map(len, words)))
        return (np.concatenate(found) if found else np.zeros((0, self.embed_dim), np.float32)), truncated


def _word_splitter() -> Callable[[str], list[str]]:
    from sklearn.feature_extraction.text import CountVectorizer

    # scikit-learn's own: small letters, runs of two or more word characters.
    return CountVectorizer().build_analyzer()  # type: ignore[no-any-return]


class HashedWords(_WordBackend):
    """Counts of words, hashed into a fixed number of buckets with signs, so that collisions cancel on average."""

    embed_dim = HASHED_DIM + 1

    def __init__(self, profile: ModelProfile, *, batch_tokens: int | None = None) -> None:
        """Make the hasher; nothing is loaded."""
        from sklearn.feature_extraction import FeatureHasher

        super().__init__(profile, batch_tokens=batch_tokens)
        self._split = _word_splitter()
        self._hasher = FeatureHasher(HASHED_DIM, input_type="string", dtype=np.float32)

    def _vectors(self, texts: list[list[Any]]) -> np.ndarray:
        return np.asarray(self._hasher.transform(texts).toarray(), dtype=np.float32)


def _itself(words: list[str]) -> list[str]:
    return words


class TfidfWords(_WordBackend):
    """scikit-learn's TF-IDF with sublinear term frequency, fitted on the texts of the task that is evaluated."""

    def __init__(self, profile: ModelProfile, *, batch_tokens: int | None = None) -> None:
        """Make the backend; it encodes nothing before `fit`."""
        super().__init__(profile, batch_tokens=batch_tokens)
        self._split = _word_splitter()
        self._vectorizer: Any = None
        self.embed_dim = MAX_WORDS + 1
        self.fitted = ""

    def fit(self, texts: Iterable[str]) -> None:
        """Count in how many of the different texts each word occurs.

        Raises:
            ConfigError: no text holds a word.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        different = sorted(set(texts))
        vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=_itself, max_features=MAX_WORDS, dtype=np.float32)
        try:
            vectorizer.fit(self._split(text) for text in different)
        except ValueError as error:
            raise ConfigError(
                "tfidf: no text of the task holds a word of two letters, so there is nothing to fit."
            ) from error
        self._vectorizer = vectorizer
        self.embed_dim = len(vectorizer.vocabulary_) + 1
        self.fitted = hashlib.sha256("\0".join(different).encode("utf-8", "surrogatepass")).hexdigest()

    def _vectors(self, texts: list[list[Any]]) -> np.ndarray:
        if self._vectorizer is None:
            raise ConfigError(
                "tfidf is fitted on the texts of a task, which only `icl-harness run` hands over. Take bag-of-words here."
            )
        return np.asarray(self._vectorizer.transform(texts).toarray(), dtype=np.float32)


class StaticBag(_WordBackend):
    """The mean of one vector per token of the embedded model's tokenizer: word meaning without any attention."""

    tokenization = "model"

    def __init__(self, directory: Path, profile: ModelProfile, *, batch_tokens: int | None = None) -> None:
        """Load the vectors `[V, D]` of static_bag.safetensors and tokenizer.json of a folder.

        Raises:
            ModelLoadError: a file is missing, damaged, or does not fit the other.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        super().__init__(profile, batch_tokens=batch_tokens)
        path = directory / STATIC_BAG_FILE
        try:
            table = load_file(path)
            self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{directory}: the static bag cannot be loaded: {' '.join(str(error).split())[:200]}"
            ) from error
        except Exception as error:  # tokenizers raises bare Exception for a damaged file
            raise ModelLoadError(
                f"{directory}/tokenizer.json is no tokenizer: {' '.join(str(error).split())[:200]}"
            ) from error
        vectors = table.get("vectors")
        if vectors is None or vectors.ndim != 2 or len(vectors) < self._tokenizer.get_vocab_size():
            raise ModelLoadError(
                f"{path}: a tensor `vectors` with a row for each of the tokenizer's {self._tokenizer.get_vocab_size()} "
                "tokens is expected."
            )
        self._split = self._token_ids
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._rows = vectors.astype(np.float32)
        self.embed_dim = self._rows.shape[1] + 1

    def _token_ids(self, text: str) -> list[Any]:
        ids: list[Any] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _vectors(self, texts: list[list[Any]]) -> np.ndarray:
        vectors = np.zeros((len(texts), self._rows.shape[1]), dtype=np.float32)
        for number, ids in enumerate(texts):
            if ids:
                vectors[number] = self._rows[ids].mean(axis=0)
        return vectors


def parameters_sha256(**parameters: object) -> str:
    """Return the hash of what decides a baseline's vectors; it stands where a model has the hash of its weights."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
