"""Reading registry files and example sets from folders, with every problem named by file and line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import ConfigError
from harness.registry.spec import ExampleFile, FewShotExample, TaskSpec
from harness.registry.strict_yaml import LocatedData, read_yaml

_M = TypeVar("_M", bound=BaseModel)


class LoadedFile(NamedTuple):
    """A validated registry file and the lines of its values."""

    path: Path
    spec: TaskSpec
    located: LocatedData


def _problems(error: ValidationError, located: LocatedData, path: Path) -> list[str]:
    found = []
    for item in error.errors():
        where = tuple(part for part in item["loc"] if not (isinstance(part, str) and part.startswith("function-")))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "key is not known"
        elif item["type"] == "missing":
            message = "key is missing"
        name = ".".join(str(part) for part in where)
        found.append(f"{path}:{located.line(where)}: {name + ': ' if name else ''}{message}.")
    return found


def validate_file(path: Path, model: type[_M]) -> tuple[_M, LocatedData]:
    """Read one YAML file as a model.

    Raises:
        ConfigError: every problem of the file, one line each, with `file:line`.
    """
    located = read_yaml(path)
    if not isinstance(located.data, dict):
        raise ConfigError(f"{path}:1: a mapping of keys is expected at the top level.")
    try:
        return model.model_validate(located.data), located
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(error, located, path))) from error


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file())


def load_task_files(folders: Iterable[Path]) -> list[LoadedFile]:
    """Read all task files below some folders, in path order.

    Raises:
        ConfigError: every problem of every file, one line each.
    """
    loaded: list[LoadedFile] = []
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            problems.append(f"{folder}: folder of task files does not exist.")
            continue
        for path in _yaml_files(folder):
            try:
                spec, located = validate_file(path, TaskSpec)
            except ConfigError as error:
                problems.append(str(error))
            else:
                loaded.append(LoadedFile(path, spec, located))
    if problems:
        raise ConfigError("\n".join(problems))
    return loaded


def load_example_set(folder: Path) -> dict[str, tuple[FewShotExample, ...]]:
    """Read a user's example set: one YAML file per task with `task` and `examples`.

    Raises:
        ConfigError: every problem of every file, or two files for one task.
    """
    sets: dict[str, tuple[FewShotExample, ...]] = {}
    problems: list[str] = []
    for path in _yaml_files(folder):
        try:
            content, _ = validate_file(path, ExampleFile)
        except ConfigError as error:
            problems.append(str(error))
            continue
        if content.task in sets:
            problems.append(f"{path}:1: a second file of this set for task {content.task!r}.")
        sets[content.task] = tuple(content.examples)
    if not problems and not sets:
        problems.append(f"{folder}: holds no example file (*.yaml).")
    if problems:
        raise ConfigError("\n".join(problems))
    return sets
