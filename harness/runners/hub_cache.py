"""The prepared data sets in the cache of `datasets`, and which revision of them is read without the network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DatasetUnavailableError

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_offline() -> bool:
    """Whether `datasets` has been told to stay off the network."""
    import datasets.config

    return bool(datasets.config.HF_HUB_OFFLINE)


def dataset_folder(repo: str) -> Path:
    """Return the folder in which `datasets` keeps a hub data set as prepared."""
    import datasets.config
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = repo.rpartition("/")
    folder = f"{owner}___{camelcase_to_snakecase(name)}" if owner else camelcase_to_snakecase(name)
    return Path(datasets.config.HF_DATASETS_CACHE) / folder


def prepared_folders(repo: str, revision: str) -> list[Path]:
    """Return the folders of a data set as prepared at a revision (config/version/revision)."""
    return [path.parent for path in dataset_folder(repo).glob(f"*/*/{revision}/dataset_info.json")]


def take_pinned_revision(task: AbsTask) -> None:
    """Have `datasets` read a task's data at the task's revision, off the network.

    Without the network `datasets` takes the newest prepared folder, whatever its revision; the score would then be stored
    under a revision that it was not made with. The right folder is therefore made the newest.

    Raises:
        DatasetUnavailableError: the data is there at other revisions alone.
    """
    repo, revision = task.metadata.dataset.get("path"), task.metadata.dataset.get("revision")
    if not repo or not revision or not _COMMIT.fullmatch(str(revision)):
        return
    wanted = prepared_folders(str(repo), str(revision))
    if wanted:
        for folder in wanted:
            if any(other.stat().st_mtime >= folder.stat().st_mtime for other in _others(folder)):
                os.utime(folder)
        return
    found = {path.name for path in dataset_folder(str(repo)).glob("*/*/*") if _COMMIT.fullmatch(path.name)}
    if found:
        raise DatasetUnavailableError(
            f"task {task.metadata.name!r}: {repo} is on this machine at revision {', '.join(sorted(found))}, not at "
            f"{revision}, which the task names. Fetch it: icl-harness fetch --tasks {task.metadata.name}"
        )


def _others(folder: Path) -> list[Path]:
    """Return the other prepared folders of the same configuration."""
    return [other for other in folder.parent.parent.glob("*/*") if other.is_dir() and other != folder]
