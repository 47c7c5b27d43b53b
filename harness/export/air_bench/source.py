"""The rankings of a run directory, as the exports take them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, IncompleteRunError, ResultSchemaError
from harness.export.air_bench.encode import Ranking
from harness.export.air_bench.write import SetResult
from harness.registry.air_bench import AirBenchSet, air_bench_sets
from harness.registry.air_bench_layout import checked_name, model_folder
from harness.registry.names import suggest
from harness.store.hits import hits_folder, iterate_hits, read_hits
from harness.store.run_dir import RunDir

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class AirRun:
    """One configuration of a run over AIR-Bench."""

    model: str
    """Name for the submission."""
    version: str
    configuration: str
    results: tuple[SetResult, ...]
    """Sets and splits in the order of AIR-Bench's table."""

    def split(self, *names: str) -> list[SetResult]:
        """Return the results of some splits."""
        return [result for result in self.results if result.split in names]

    def absent(self) -> dict[str, list[AirBenchSet]]:
        """Return the board's sets that the run lacks, by task type; a submission without them gets no average."""
        have = {result.air_set.name for result in self.split("test")}
        missing: dict[str, list[AirBenchSet]] = {}
        for one in air_bench_sets(self.version):
            if "test" in one.splits and one.name not in have:
                missing.setdefault(one.task_type, []).append(one)
        return missing


def open_air_run(path: Path, *, configuration: str | None = None, name: str | None = None) -> AirRun:
    """Read what a run has found; the rankings themselves are read when they are written.

    Args:
        path: run directory.
        configuration: k0, kall, ...; needed where the run has several.
        name: name for the submission; default model and configuration.

    Raises:
        ConfigError: no run directory, a --limit run, an unknown configuration, or a name that can be no folder.
        IncompleteRunError: no AIR-Bench set is finished.
        ResultSchemaError: a damaged file.
    """
    run = RunDir(path)
    manifest = run.manifest()
    if manifest is None:
        raise ConfigError(f"{path} is no run directory: it has no manifest.json.")
    limit = manifest.get("configuration", {}).get("limit")
    if limit is not None:
        raise ConfigError(
            f"{path} is a --limit {limit} run: the board would score only a part. Run it without --limit."
        )
    records = [record for record in run.verified_records() if "benchmark_version" in record["identity"]["protocol"]]
    if not records:
        raise IncompleteRunError(f"{path} holds no finished AIR-Bench set. Run it with --benchmark AIR-Bench_24.05.")
    chosen = _chosen(path, records, configuration)
    found = [record for record in records if record["configuration"] == chosen]
    version = str(found[0]["identity"]["protocol"]["benchmark_version"])
    places = {one.name: one for one in air_bench_sets(version)}
    results = [result for record in found for result in _results(path, record, places)]
    order = list(places)
    results.sort(key=lambda result: (order.index(result.air_set.name), result.split))
    model = checked_name(name) if name is not None else model_folder(str(manifest["model"]["model_name"]), chosen)
    return AirRun(model, version, chosen, tuple(results))


def _chosen(path: Path, records: Sequence[dict[str, Any]], configuration: str | None) -> str:
    known = list(dict.fromkeys(str(record["configuration"]) for record in records))
    if configuration is None:
        if len(known) > 1:
            raise ConfigError(f"{path} holds the configurations {', '.join(known)}: say which with --configuration.")
        return known[0]
    if configuration not in known:
        hint = suggest(configuration, known)
        raise ConfigError(f"{path} has no configuration {configuration!r}.{hint} It has: {', '.join(known)}.")
    return configuration


def _results(path: Path, record: dict[str, Any], places: dict[str, AirBenchSet]) -> Iterator[SetResult]:
    task = str(record["task_name"])
    if task not in places:
        raise ResultSchemaError(f"{path}: {task} is no set of {record['identity']['protocol']['benchmark_version']}.")
    for split in SPLITS:
        for file in record["files"]:
            if file.startswith(f"{hits_folder(split)}/"):
                yield SetResult(places[task], split, functools.partial(read_rankings, path / file))


def read_rankings(path: Path) -> Iterator[Ranking]:
    """Yield the rankings of a file of hits, query by query.

    The table is in memory with its ids as numbers (80 MB for 6,319 queries of 1000 hits); texts are made a query at a time.

    Raises:
        ResultSchemaError: the file is damaged.
    """
    for hits in iterate_hits(read_hits(path)):
        yield Ranking(*hits)
