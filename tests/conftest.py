"""What every test shares: no network, no cache folder of the user, one thread, tiny models built once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Before anything imports huggingface_hub, mteb or torch: they read these once.
_CACHE = tempfile.TemporaryDirectory(prefix="icl-harness-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HARNESS_CACHE"] = str(Path(_CACHE.name) / "harness")
os.environ["MTEB_CACHE"] = str(Path(_CACHE.name) / "mteb")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

MARKERS = {
    "unit": "no weights, no network",
    "model": "a tiny random decoder on the CPU",
    "reference": "against somebody else's code or a real model from a package; skipped where that is missing",
    "gpu": "needs a CUDA device",
    "network": "needs the network",
}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that the suite runs without a configuration file as well."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def model_dirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Directories of tiny bge-en-icl-shaped models, one per tokenizer style (`llama`, `bytes`)."""
    from tests.models import build_model

    folder = tmp_path_factory.mktemp("tiny-models")
    yield {style: build_model(folder / f"bge-en-icl-{style}", style=style) for style in ("llama", "bytes")}
