"""The embedded model: a small in-context embedder in bge-en-icl's format that ships with the package.

Four layers of a Mistral decoder, 3.9 million parameters, trained for this project; the model card beside the weights says on
what, how well it does and what it cannot do. It is a model directory like any other and is loaded by the same code.
"""

from __future__ import annotations

from pathlib import Path

from harness import paths


def embedded_directory() -> Path:
    """Return the packaged model directory."""
    return paths.PACKAGE_DIR / "encoder" / "embedded_model"
