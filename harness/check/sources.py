"""What the command line names: `RUN`, `RUN:k3`, or a baseline file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from harness.check.baseline_file import read_baseline
from harness.errors import ConfigError
from harness.store.stored_run import ResultSet, read_run


class Source(NamedTuple):
    """Results, and the configuration that was asked for."""

    results: ResultSet
    configuration: str | None


def read_source(name: str) -> Source:
    """Read a run directory or a baseline, with or without `:configuration`.

    Raises:
        ConfigError: neither is there, or it lacks the configuration.
        ResultSchemaError: damaged.
        IncompleteRunError: no run was finished there.
    """
    path, configuration = Path(name), None
    if not path.exists() and ":" in name:
        folder, _, configuration = name.rpartition(":")
        path = Path(folder)
    if not path.exists():
        raise ConfigError(f"{path}: no such run directory or baseline file.")
    results: ResultSet = read_run(path) if path.is_dir() else read_baseline(path)
    there = sorted({one["configuration"] for one in results.records})
    if configuration is not None and configuration not in there:
        raise ConfigError(f"{path}: no configuration {configuration!r}; it has {', '.join(there) or 'none'}.")
    return Source(results, configuration)


def paired_configurations(baseline: Source, candidate: Source) -> dict[str, str]:
    """Return candidate configuration -> baseline configuration; empty pairs equal names.

    Raises:
        ConfigError: it is open which one belongs to which.
    """
    names = [sorted({one["configuration"] for one in side.results.records}) for side in (baseline, candidate)]
    if baseline.configuration is None and candidate.configuration is None:
        if set(names[0]) & set(names[1]):
            return {}
        if len(names[0]) == len(names[1]) == 1:
            return {names[1][0]: names[0][0]}
    chosen = []
    for side, there, other in (
        (baseline, names[0], candidate.configuration),
        (candidate, names[1], baseline.configuration),
    ):
        if side.configuration is not None:
            chosen.append(side.configuration)
        elif other in there:
            chosen.append(str(other))
        elif len(there) == 1:
            chosen.append(there[0])
        else:
            raise ConfigError(
                f"{side.results.path} has the configurations {', '.join(there) or 'none'}: say which, "
                f"as in {side.results.path}:{there[0] if there else 'k0'}."
            )
    return {chosen[1]: chosen[0]}
