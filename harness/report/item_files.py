"""Reading the per-item outcomes of runs: items/<configuration>/<task>.parquet (docs/results.md)."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError, ResultSchemaError
from harness.paths import cache_dir
from harness.report.consistency import FOLDERS_ATTRIBUTE
from harness.report.resample_memo import ResampleMemo
from harness.store.run_dir import safe_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

KEYS = ("split", "hf_subset", "experiment", "item")
"""What pairs the outcomes of two runs."""

_safe = functools.lru_cache(maxsize=4096)(safe_name)

MEMO_FILE = "intervals.sqlite"
"""Below the cache folder: resamples of earlier reports."""


class ItemSource:
    """The items of some runs, and the resamples of them that earlier reports have made."""

    def __init__(self, folders: Mapping[str, Sequence[str]], memo: ResampleMemo) -> None:
        """Keep where the runs are.

        Args:
            folders: run_id -> its run directories.
            memo: where resamples are remembered.
        """
        self._folders = folders
        self.memo = memo

    def path(self, run_id: str, configuration: str, task: str) -> str | None:
        """Return the file of a task's items; None without."""
        try:
            name = f"items/{_safe(configuration)}/{_safe(task)}.parquet"
        except ConfigError:  # no run has written a file of such a name
            return None
        paths = (f"{folder}/{name}" for folder in self._folders.get(run_id, ()))
        # Asked thousands of times by a report of many models, where pathlib takes most of the time.
        return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113

    def __call__(self, run_id: str, configuration: str, task: str, columns: Sequence[str]) -> pa.Table | None:
        """Return the items with KEYS and those of the columns there are; None without.

        Raises:
            ResultSchemaError: the file is damaged.
        """
        path = self.path(run_id, configuration, task)
        return None if path is None else _read(Path(path), columns)


def item_source(scores: pd.DataFrame | None) -> ItemSource:
    """Return a reader of the items of the runs that `load_scores` has read."""
    folders: Mapping[str, Sequence[str]] = scores.attrs.get(FOLDERS_ATTRIBUTE, {}) if scores is not None else {}
    return ItemSource(folders, ResampleMemo(cache_dir() / MEMO_FILE))


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as handle:
            file = pq.ParquetFile(handle)
            there = file.schema_arrow.names
            table = file.read(columns=[name for name in (*KEYS, *columns) if name in there])
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ResultSchemaError(
            f"{path}: not a readable parquet file ({reason}). Give the run's command again, or leave the intervals "
            "away with --no-intervals."
        ) from error
    missing = [name for name in KEYS if name not in there]
    if missing and table.num_rows:
        raise ResultSchemaError(f"{path}: has no column {missing[0]!r}, so it holds no outcomes. Run this task again.")
    return table
