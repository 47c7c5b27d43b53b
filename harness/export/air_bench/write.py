"""Writing a submission zip, or the folder layout that `AIRBench.evaluate_dev` reads; a set at a time, each file atomically."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import ConfigError
from harness.export.air_bench.encode import Ranking, result_file
from harness.registry.air_bench import AirBenchSet
from harness.registry.air_bench_layout import NO_RERANKER, member_path
from harness.store.atomic import replacing

COMPRESSION_LEVEL = 6
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member: one run gives one zip, bit by bit."""
_VERSION = re.compile(rb'"benchmark_version": "([^"\n]{1,40})"')
_HEAD_BYTES = 1024


class SetResult(NamedTuple):
    """The rankings of one set and split."""

    air_set: AirBenchSet
    split: str
    rankings: Callable[[], Iterable[Ranking]]
    """Reads them anew each time."""

    @property
    def member(self) -> str:
        """Path inside a submission."""
        return member_path(self.air_set, self.split)


def write_zip(results: Sequence[SetResult], path: Path, *, model: str, overwrite: bool = False) -> int:
    """Write a submission; return its size in bytes. Sets of other splits than `test` must not be among the results.

    Raises:
        ConfigError: the file exists.
        ResultSchemaError: a ranking that the board would not score as it stands.
        StorageError: it cannot be written; nothing is left behind.
    """
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists. Give another --output, or --overwrite.")
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for result in sorted(results, key=lambda one: one.member):
            info = zipfile.ZipInfo(result.member, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info._compresslevel = COMPRESSION_LEVEL  # type: ignore[attr-defined]  # `open` takes no level
            with archive.open(info, "w") as handle:
                for piece in result_file(result.rankings(), result.air_set, result.split, model=model):
                    handle.write(piece)
    return path.stat().st_size


def write_folder(results: Sequence[SetResult], folder: Path, *, model: str, overwrite: bool = False) -> list[Path]:
    """Write `<folder>/<model>/NoReranker/...`; return the files.

    Raises:
        ConfigError: the folder holds another version of AIR-Bench, which makes evaluate_dev stop, or a file exists.
        ResultSchemaError: a ranking that the board would not score as it stands.
        StorageError: a file cannot be written.
    """
    root = folder / model / NO_RERANKER
    versions = {result.air_set.version for result in results}
    for file in sorted(folder.glob("*/*/*/*/*.json")):
        with file.open("rb") as handle:
            found = _VERSION.search(handle.read(_HEAD_BYTES))
        if found and found.group(1).decode("utf-8", "replace") not in versions:
            raise ConfigError(
                f"{file} is of {found.group(1).decode('utf-8', 'replace')}: air-benchmark refuses a folder of several versions. "
                f"Give another folder for {', '.join(sorted(versions))}."
            )
    paths = [root / result.member for result in results]
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise ConfigError(f"{existing[0]} exists. Give another folder, or --overwrite.")
    for path, result in zip(paths, results, strict=True):
        with replacing(path) as temporary, temporary.open("wb") as handle:
            for piece in result_file(result.rankings(), result.air_set, result.split, model=model):
                handle.write(piece)
    return paths
