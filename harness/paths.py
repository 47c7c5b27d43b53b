"""Where the data that travels with the program lies: in a checkout and in an installed wheel.

A wheel carries `task_examples/` and `results/reference/` under `harness/_data/`; a checkout has them at its top level.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

PACKAGE_DIR = Path(__file__).resolve().parent
_INSTALLED_DATA = PACKAGE_DIR / "_data"


def _data_root() -> Path:
    return _INSTALLED_DATA if _INSTALLED_DATA.is_dir() else PACKAGE_DIR.parent


def cache_dir() -> Path:
    """Return the cache folder: `HARNESS_CACHE`, else the platform's."""
    configured = os.environ.get("HARNESS_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("icl-harness"))


def task_examples_dir() -> Path:
    """Return the folder of the registry's YAML files."""
    return _data_root() / "task_examples"


def reference_dir() -> Path:
    """Return the folder of published reference scores."""
    return _data_root() / "results" / "reference"


def profiles_dir() -> Path:
    """Return the folder of the built-in model profiles."""
    return PACKAGE_DIR / "profiles"


def packaged_dataset_dir(name: str) -> Path:
    """Return the folder of a packaged data set, `name` being a registry entry's `data` value."""
    return PACKAGE_DIR / name
