"""AIR-Bench's board in small: what its backend does with a zip, with air-benchmark's own evaluator and made judgements."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from air_benchmark.evaluation_utils import DataLoader, Evaluator

K_VALUES = [1, 3, 5, 10, 50, 100, 1000]
SKIPPED = (KeyError, AssertionError, NotADirectoryError)
"""What the backend's loop catches."""


class Loader(DataLoader):  # type: ignore[misc]
    """Judgements by set instead of from the hub; an unknown set fails as `datasets.load_dataset` does."""

    def __init__(self, version: str, qrels: dict[tuple[str, str, str, str], dict[str, dict[str, int]]]) -> None:
        super().__init__(version)
        self.qrels = qrels

    def load_qrels(
        self, task_type: str, domain: str, language: str, dataset_name: str, split: str = "dev"
    ) -> dict[str, dict[str, int]]:
        key = (task_type, domain, language, dataset_name)
        if split != "test" or key not in self.qrels:
            raise ValueError(f"Unknown split qrels_{dataset_name}_{split}")
        return self.qrels[key]


def board(
    path: Path, folder: Path, version: str, qrels: dict[tuple[str, str, str, str], dict[str, dict[str, int]]]
) -> dict[str, Any] | str:
    """Return the scores of a submission, or "skipped: ..." or "crashed: ..."."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        found = Evaluator(Loader(version, qrels)).evaluate_results(str(folder), k_values=K_VALUES, split="test")
    except SKIPPED as error:
        return f"skipped: {type(error).__name__}"
    except Exception as error:
        return f"crashed: {type(error).__name__}"
    return dict(found)
