"""A run directory as the exports read it: whole, checked, sorted by configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, IncompleteRunError
from harness.registry.air_bench import is_air_bench
from harness.registry.names import suggest
from harness.store.run_dir import RunDir

_NAME_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Result:
    """One finished task under one configuration."""

    record: dict[str, Any]

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.record["task_name"])

    @property
    def subject(self) -> dict[str, Any]:
        """Model and prompt (docs/results.md)."""
        subject: dict[str, Any] = self.record["identity"]["subject"]
        return subject

    @property
    def dataset_revision(self) -> str:
        """Hub revision, or `local:<hash>`."""
        return str(self.record["identity"]["protocol"]["dataset_revision"])

    @property
    def part_of(self) -> str:
        """Aggregate task that this one is a part of; usually empty."""
        return str(self.record["rows"][0]["part_of"])

    def file(self, folder: str) -> str:
        """Return the path of a companion file (`mteb`, `items`), relative to the run directory."""
        names: list[str] = list(self.record["files"])
        return next(name for name in names if name.startswith(f"{folder}/"))


@dataclass(frozen=True)
class FinishedRun:
    """The checked content of a run directory."""

    path: Path
    manifest: dict[str, Any]
    results: dict[str, list[Result]]
    """Configuration -> its finished tasks, by name."""
    air_bench: int
    """Finished AIR-Bench sets, which mteb does not know; they are not among the results."""

    @property
    def model_name(self) -> str:
        """org/name."""
        return str(self.manifest["model"]["model_name"])

    @property
    def revision(self) -> str:
        """Hub commit, or a hash of the weights."""
        return str(self.manifest["model"]["model_revision"])

    def check_target(self, directory: Path) -> None:
        """Refuse to write into a run directory: its own files would be among those that --overwrite replaces.

        Raises:
            ConfigError: the target lies in this run.
        """
        if directory.resolve().is_relative_to(self.path.resolve()):
            raise ConfigError(f"{directory} lies in the run directory {self.path}: choose a folder outside of it.")

    def configuration(self, name: str | None) -> str:
        """Return the configuration that was asked for, or the only one.

        Raises:
            ConfigError: unknown, or not named where there are several.
        """
        known = list(self.results)
        if name is None:
            if len(known) == 1:
                return known[0]
            raise ConfigError(
                f"{self.path} holds the configurations {', '.join(known)}: say which with --configuration."
            )
        if name not in self.results:
            raise ConfigError(
                f"{self.path} has no configuration {name!r}.{suggest(name, known)} It has: {', '.join(known)}."
            )
        return name


def open_run(path: Path, *, whole: bool = True) -> FinishedRun:
    """Read a run directory.

    Args:
        path: run directory.
        whole: refuse a `--limit` run, whose scores compare with nothing.

    Raises:
        ConfigError: no run directory, a partial run, or a model name that can be no path.
        IncompleteRunError: no finished task.
        ResultSchemaError: a damaged file.
    """
    run = RunDir(path)
    manifest = run.manifest()
    if manifest is None:
        raise ConfigError(f"{path} is no run directory: it has no manifest.json.")
    results: dict[str, list[Result]] = {}
    air_bench = 0
    for record in run.verified_records():
        if is_air_bench(str(record["task_name"])):
            air_bench += 1
        else:
            results.setdefault(str(record["configuration"]), []).append(Result(record))
    if not results:
        what = f"only AIR-Bench sets ({air_bench})" if air_bench else "no finished task"
        raise IncompleteRunError(f"{path} holds {what}: nothing to export here.")
    limit = manifest.get("configuration", {}).get("limit")
    if whole and limit is not None:
        raise ConfigError(f"{path} is a --limit {limit} run: its scores are for testing only and are not exported.")
    found = FinishedRun(path, manifest, results, air_bench)
    _check_name(found)
    return found


def _check_name(run: FinishedRun) -> None:
    parts = run.model_name.split("/")
    usable = len(parts) == 2 and all(_NAME_PART.fullmatch(part) and ".." not in part for part in (*parts, run.revision))
    if not usable:
        raise ConfigError(
            f"model {run.model_name!r}, revision {run.revision!r}: not usable as folder names. org/name is expected, of "
            "letters, digits and . _ + -."
        )
