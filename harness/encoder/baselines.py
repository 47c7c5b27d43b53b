"""The built-in baselines by name: where they come from, what identifies them, and their backends."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

from harness import paths
from harness.encoder import hashing
from harness.encoder.sources import BAG_OF_WORDS, STATIC_BAG, TFIDF, ModelSource
from harness.errors import ConfigError, ModelLoadError

if TYPE_CHECKING:
    from harness.encoder.text_encoder import Backend
    from harness.prompts.profile import ModelProfile

LABEL = "baseline"
ORGANISATION = "icl-harness"


def static_bag_directory() -> Path:
    """Return the packaged folder that holds the static bag's vectors and the embedded model's tokenizer."""
    return paths.PACKAGE_DIR / "encoder" / "embedded_model"


def baseline_source(model: str) -> ModelSource:
    """Return the source of a baseline.

    What decides the vectors of a bag of words is this program and scikit-learn: hashing, splitting and the formula
    belong to its minor version. The texts that TF-IDF is fitted on are known by the data revision of a result, and by
    the key of each vector.

    Raises:
        ModelLoadError: the package holds no static bag.
    """
    if model == STATIC_BAG:
        from harness.encoder.words import STATIC_BAG_FILE

        directory = static_bag_directory()
        missing = [name for name in (STATIC_BAG_FILE, "tokenizer.json") if not (directory / name).is_file()]
        if missing:
            raise ModelLoadError(
                f"{STATIC_BAG}: this installation lacks {', '.join(missing)} in {directory}. Install again."
            )
        weights = hashing.hash_files(directory, [directory / STATIC_BAG_FILE])
        tokenizer = hashing.tokenizer_sha256(directory)
    else:
        from harness.encoder.words import HASHED_DIM, MAX_WORDS, parameters_sha256

        directory = paths.PACKAGE_DIR
        version = ".".join(importlib.metadata.version("scikit-learn").split(".")[:2])
        size = HASHED_DIM if model == BAG_OF_WORDS else MAX_WORDS
        weights = parameters_sha256(method=model, size=size, scikit_learn=version)
        tokenizer = parameters_sha256(words="scikit-learn", scikit_learn=version)
    return ModelSource(
        model_name=f"{ORGANISATION}/{model}",
        revision=hashlib.sha256(f"{weights}{tokenizer}".encode()).hexdigest()[:16],
        directory=directory,
        weights_sha=weights,
        tokenizer_sha=tokenizer,
        label=LABEL,
    )


def baseline_backend(
    model: str, source: ModelSource, profile: ModelProfile, *, device: str, dtype: str, batch_tokens: int | None
) -> Backend:
    """Make the backend of a baseline.

    Raises:
        ConfigError: a device or dtype that it does not have.
        ModelLoadError: damaged files.
    """
    from harness.encoder.words import HashedWords, StaticBag, TfidfWords

    for flag, value, allowed in (("--device", device, ("auto", "cpu")), ("--dtype", dtype, ("auto", "float32"))):
        if value not in allowed:
            raise ConfigError(
                f"{flag} {value}: the baseline {model!r} computes on the CPU in float32. Leave {flag} away."
            )
    if model == BAG_OF_WORDS:
        return HashedWords(profile, batch_tokens=batch_tokens)
    if model == TFIDF:
        return TfidfWords(profile, batch_tokens=batch_tokens)
    return StaticBag(source.directory, profile, batch_tokens=batch_tokens)
