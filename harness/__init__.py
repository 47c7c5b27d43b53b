"""Evaluation of in-context-learning text embedders on MTEB and AIR-Bench.

Public names are imported when they are used, so that `import harness` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["HarnessError", "Registry", "RunConfig", "execute", "load_air_retriever", "load_encoder"]

_HOMES = {
    "HarnessError": "harness.errors",
    "Registry": "harness.registry",
    "RunConfig": "harness.config",
    "execute": "harness.runners.run",
    "load_air_retriever": "harness.runners.air_retriever",
    "load_encoder": "harness.runners.adapter",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
