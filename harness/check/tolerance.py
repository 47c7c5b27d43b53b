"""How far rounding may move a score: measured bounds from a tolerance file, start values until there are any.

Files hold points (score x 100), as people read them; this module returns fractions, as scores are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.errors import ConfigError, ResultSchemaError
from harness.registry.strict_yaml import MAX_FILE_BYTES, RegistryFileError, check_bytes, parse_yaml
from harness.store.atomic import write_bytes
from harness.store.records import FileName, ModelName, Name, first_problem
from harness.store.strict_json import parse_json, read_file

FORMAT = "icl-harness-tolerances"
VERSION = 1
POINT = 0.01
"""One point as a fraction."""
EFFECT_FLOOR = 0.1 * POINT
"""The smallest drop of a changed subject that counts, however sure."""
SMALLEST_BOUND = 0.01 * POINT
"""Scores are printed to this digit, so no bound is below it."""
START_POINTS: Mapping[str, float] = {
    "STS": 0.03,
    "PairClassification": 0.05,
    "Retrieval": 0.10,
    "Classification": 0.10,
    "Reranking": 0.10,
    "Summarization": 0.15,
    "Clustering": 0.30,
}
"""Points. Chosen from batch plans and dtypes of all-MiniLM-L6-v2 on a CPU and from repeated public results."""
OTHER_START_POINTS = 0.10
MOST_POINTS = 10.0
"""No rounding moves a score further; a larger number in a file is a mistake of units."""

_HEADER = (
    "# Written by `icl-harness noise`: how far rounding moves a score, from repeats with different batch plans.\n"
    "# sigma and bound are in points (score x 100). Tasks that are not here get start values.\n"
)
Hardware = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f<>|`]+$")]


class Bound(NamedTuple):
    """How far a score may move without a change of what is measured."""

    value: float
    """A fraction: 0.0003 is 0.03 points."""
    measured: bool
    source: str
    """What an output shows beside it."""


class Measured(BaseModel):
    """The noise of one task under one model, dtype and hardware class."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    task: FileName
    model: ModelName
    dtype: Name
    hardware: Hardware
    repeats: Annotated[int, Field(ge=2, le=100_000)]
    sigma: Annotated[float, Field(ge=0, le=MOST_POINTS)]
    """Standard deviation of the score over the repeats, points; the largest of the configurations."""
    bound: Annotated[float, Field(gt=0, le=MOST_POINTS)]
    """Points."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what the noise belongs to."""
        return self.task, self.model, self.dtype, self.hardware


class _File(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal["icl-harness-tolerances"]
    version: Literal[1]
    measured: list[Measured]


class Tolerances:
    """Measured bounds, and the start values for everything else."""

    def __init__(self, measured: Sequence[Measured] = ()) -> None:
        self.measured = tuple(measured)
        self._by_key = {one.key: one for one in measured}

    def bound(self, task: str, task_type: str, *, model: str, dtype: str, hardware: str) -> Bound:
        """Return the bound of a task.

        Args:
            task: its name.
            task_type: decides the start value.
            model: name of the model, as in its results.
            dtype: of the weights.
            hardware: `hardware_class` of both runs; empty where they differ, which no repeats have measured.
        """
        found = self._by_key.get((task, model, dtype, hardware))
        if found is not None:
            return Bound(found.bound * POINT, True, f"measured: {found.repeats} repeats, {hardware}, {dtype}")
        points = START_POINTS.get(task_type, OTHER_START_POINTS)
        return Bound(points * POINT, False, f"start value, not measured: {task_type}")

    def updated(self, measured: Sequence[Measured]) -> Tolerances:
        """Return these tolerances with new measurements in the place of old ones of the same key."""
        merged = {**self._by_key, **{one.key: one for one in measured}}
        return Tolerances([merged[key] for key in sorted(merged)])


def hardware_class(manifest: Mapping[str, Any]) -> str:
    """Return the class of hardware of a run, `cpu: AMD EPYC`; empty if its manifest does not say."""
    machine, device = manifest.get("machine", {}), str(manifest.get("model", {}).get("device", ""))
    kind = device.partition(":")[0]
    name = machine.get("gpu") if kind == "cuda" else machine.get("processor")
    return f"{kind}: {name}" if kind and name else ""


def read_tolerances(path: Path | None) -> Tolerances:
    """Read a tolerance file, YAML or JSON; without one there are only the start values.

    Raises:
        ConfigError: there is no such file.
        ResultSchemaError: malformed, of another version, or a number that no noise can be.
    """
    if path is None:
        return Tolerances()
    if not path.exists() and not path.is_symlink():
        raise ConfigError(
            f"{path}: no such tolerance file. Make it: icl-harness noise RUN RUN ... --tolerance-file {path}"
        )
    raw = read_file(path, limit=MAX_FILE_BYTES, follow=False)
    data = _parse(raw, path)
    version = data.get("version") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ResultSchemaError(f"{path}: not a tolerance file ('format: {FORMAT}' is missing).")
    if version != VERSION or isinstance(version, bool):
        raise ResultSchemaError(f"{path}: tolerances of version {str(version)[:20]!r}, this program reads {VERSION}.")
    try:
        measured = _File.model_validate(data).measured
    except ValidationError as error:
        raise ResultSchemaError(f"{path}: {first_problem(error)}. sigma and bound are points (score x 100).") from error
    keys = [one.key for one in measured]
    twice = next((one for one in keys if keys.count(one) > 1), None)
    if twice:
        raise ResultSchemaError(f"{path}: {', '.join(twice)} stands there twice.")
    return Tolerances(measured)


def _parse(raw: bytes, path: Path) -> Any:
    if path.suffix == ".json":  # YAML 1.1 takes 1e-05 for a text
        return parse_json(raw, str(path))
    try:
        return parse_yaml(check_bytes(raw, str(path)), str(path)).data
    except RegistryFileError as error:
        raise ResultSchemaError(str(error.problems[0])) from error


def write_tolerances(path: Path, tolerances: Tolerances) -> None:
    """Write a tolerance file atomically.

    Raises:
        StorageError: it cannot be written; an old one is kept.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "measured": [one.model_dump() for one in tolerances.measured],
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    write_bytes(path, (_HEADER + text).encode())


__all__ = ["Bound", "Measured", "Tolerances", "hardware_class", "read_tolerances", "write_tolerances"]
