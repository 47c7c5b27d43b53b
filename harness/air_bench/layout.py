"""Where the data of a set lie: AIR-Bench's repositories on the hub, or the same folders on this machine.

The hub's repositories are `AIR-Bench/<task>_<domain>_<language>` (corpus, queries) and, for dev,
`AIR-Bench/qrels-<task>_<domain>_<language>-dev`; the version is the configuration, the data set a part of the split's name
(air_benchmark/evaluation_utils/data_loader.py 0.1.0).
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from harness import paths
from harness.errors import DatasetUnavailableError, ResultSchemaError
from harness.registry.air_bench import MINI_VERSION, AirBenchSet

ORGANISATION = "AIR-Bench"
_OLD_VERSION = "AIR-Bench_24.04"
"""Its splits carry no `_dev` or `_test`."""


def text_repository(one: AirBenchSet) -> str:
    """Return the name of the repository with corpus and queries."""
    return f"{one.task_type}_{one.domain}_{one.language}"


def qrels_repository(one: AirBenchSet) -> str:
    """Return the name of the repository with the public judgements of the dev split."""
    return f"qrels-{text_repository(one)}-dev"


def repositories(one: AirBenchSet) -> list[str]:
    """Return the repositories that the splits of a set need."""
    return [text_repository(one), *([qrels_repository(one)] if "dev" in one.splits else [])]


def split_name(one: AirBenchSet, part: str, split: str = "") -> str:
    """Return the hub's name of a part of a set.

    Args:
        one: the set.
        part: `corpus`, `queries` or `qrels`.
        split: `dev` or `test`; empty for the corpus.
    """
    name = f"{part}_{one.dataset.replace('-', '_')}"
    return name if part == "corpus" or one.version == _OLD_VERSION else f"{name}_{split}"


def local_root(one: AirBenchSet, data_dir: Path | None) -> Path | None:
    """Return the folder that holds the set's repositories, or None if they must come from the hub or its cache.

    Searched: `--data-dir`, with or without a folder `AIR-Bench` in it; the package, for the mini sets; and, as air-benchmark
    does it through `datasets`, a folder `AIR-Bench` in the current directory.
    """
    places = []
    if data_dir is not None:
        places += [data_dir / ORGANISATION, data_dir]
    if one.version == MINI_VERSION:
        places.append(paths.PACKAGE_DIR / "mini" / "air_bench" / ORGANISATION)
    places.append(Path(ORGANISATION))
    return next((place for place in places if (place / text_repository(one)).is_dir()), None)


def on_this_machine(one: AirBenchSet) -> bool:
    """Whether the caches of the hub's libraries know all repositories of a set; no network is touched."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    datasets = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")
    return all(
        (hub / f"datasets--{ORGANISATION}--{name}").is_dir() or (datasets / f"{ORGANISATION}___{name}").is_dir()
        for name in repositories(one)
    )


def local_files(root: Path, repository: str, one: AirBenchSet, part: str, split: str = "") -> list[Path]:
    """Return the files of a part of a set, as the repository's README says or, without one, by their usual names.

    Raises:
        DatasetUnavailableError: the repository, the configuration, the split or a file is not there.
        ResultSchemaError: the README is damaged, or points out of its folder.
    """
    folder = root / repository
    if not folder.is_dir():
        hint = " Only --splits dev needs it." if part == "qrels" else ""
        raise DatasetUnavailableError(
            f"{one.name}: no folder {folder}.{hint} It is {ORGANISATION}/{repository} on the hub."
        )
    wanted = split_name(one, part, split)
    configurations = _configurations(folder)
    if not configurations:
        stem = part if part == "corpus" else f"{split}_{part}"
        patterns = [f"{one.version}/{one.dataset}/{stem}.jsonl"]
    elif one.version not in configurations:
        raise DatasetUnavailableError(
            f"{folder}/README.md: no configuration {one.version!r} (it has: {', '.join(configurations)})."
        )
    elif wanted not in configurations[one.version]:
        known = ", ".join(configurations[one.version])
        raise DatasetUnavailableError(f"{folder}/README.md: {one.version} has no split {wanted!r} (it has: {known}).")
    else:
        patterns = configurations[one.version][wanted]
    found: list[Path] = []
    for pattern in patterns:
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise ResultSchemaError(f"{folder}/README.md: split {wanted!r} points out of its folder ({pattern!r}).")
        files = sorted(folder.glob(pattern))
        if not files:
            raise DatasetUnavailableError(f"{one.name}: {folder / pattern} is not there. Is the download complete?")
        found += files
    return found


def _configurations(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return configuration -> split -> paths from a README's front matter; empty without one."""
    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    try:
        text = readme.read_text(encoding="utf-8")
        if not text.startswith("---"):
            return {}
        front: Any = yaml.safe_load(text.split("---", 2)[1])
        return {
            str(one["config_name"]): {
                str(file["split"]): [file["path"]] if isinstance(file["path"], str) else [str(p) for p in file["path"]]
                for file in one["data_files"]
            }
            for one in (front or {}).get("configs") or ()
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ResultSchemaError(
            f"{readme}: its front matter is not that of a data set ({type(error).__name__}). Fetch it again."
        ) from error
