"""Waivers: hits that a reviewer has looked at and accepts, each with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from harness.errors import ConfigError
from harness.registry.strict_yaml import read_yaml

SHA_CHARACTERS = 16


def text_sha(text: str) -> str:
    """Return what names an example text in a waiver: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:SHA_CHARACTERS]


def packaged_waivers() -> Path:
    """Return the file of the waivers for the curated examples."""
    return Path(__file__).with_name("waivers.yaml")


def _check_filled(value: str) -> str:
    if not value.strip():
        raise ValueError("text is empty")
    return value


_Filled = Annotated[str, AfterValidator(_check_filled)]


class Waiver(BaseModel):
    """One accepted hit: this example text may be found in that evaluation task."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: _Filled
    """Task of the example."""
    text_sha: _Filled
    """First 16 hex digits of the SHA-256 of the example's text; a changed example needs a new waiver."""
    evaluation_task: _Filled
    """Task whose evaluation text it was found in."""
    reason: _Filled
    reviewed_by: _Filled


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """Read a YAML list of waivers.

    Raises:
        ConfigError: every problem of the file, one line each, with `file:line`.
    """
    located = read_yaml(path)
    if located.data is None:
        return ()
    if not isinstance(located.data, list):
        raise ConfigError(f"{path}:1: a list of waivers is expected.")
    waivers: list[Waiver] = []
    problems: list[str] = []
    seen: set[tuple[str, str, str]] = set()
    for number, item in enumerate(located.data):
        line = located.line((number,))
        try:
            waiver = Waiver.model_validate(item)
        except ValidationError as error:
            for problem in error.errors():
                where = (number, *problem["loc"])
                name = ".".join(str(part) for part in problem["loc"])
                message = problem["msg"].removeprefix("Value error, ")
                problems.append(f"{path}:{located.line(where)}: {name + ': ' if name else ''}{message}.")
            continue
        key = (waiver.task, waiver.text_sha, waiver.evaluation_task)
        if key in seen:
            problems.append(f"{path}:{line}: a second waiver for {waiver.task!r} in {waiver.evaluation_task!r}.")
        if len(waiver.text_sha) != SHA_CHARACTERS or set(waiver.text_sha) - set("0123456789abcdef"):
            problems.append(f"{path}:{line}: text_sha: {SHA_CHARACTERS} lower-case hex digits are expected.")
        seen.add(key)
        waivers.append(waiver)
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(waivers)


def find_waiver(waivers: Sequence[Waiver], task: str, sha: str, evaluation_task: str) -> Waiver | None:
    """Return the waiver of a hit, if there is one."""
    for waiver in waivers:
        if (waiver.task, waiver.text_sha, waiver.evaluation_task) == (task, sha, evaluation_task):
            return waiver
    return None
