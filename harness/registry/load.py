"""Reading registry files and example sets from folders, with every problem named by file and line."""

from __future__ import annotations

import datetime
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.registry.names import suggest
from harness.registry.spec import ExampleFile, TaskSpec
from harness.registry.strict_yaml import LocatedData, Problem, RegistryFileError, read_yaml

_M = TypeVar("_M", bound=BaseModel)
_Location = tuple[str | int, ...]


class LoadedFile(NamedTuple):
    """A validated registry file and the lines of its values."""

    path: Path
    spec: TaskSpec
    located: LocatedData


class LoadedExamples(NamedTuple):
    """A validated file of an example set."""

    path: Path
    content: ExampleFile
    located: LocatedData


class Scan(NamedTuple, Generic[_M]):
    """What a folder of files gave: the good ones, and the problems of the others."""

    files: list[tuple[Path, _M, LocatedData]]
    problems: list[Problem]


def _unwrap(annotation: Any) -> Any:
    """Return the type behind Annotated and Optional."""
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = next(option for option in get_args(annotation) if option is not type(None))
    return annotation


def _known_keys(model: type[BaseModel], where: _Location) -> list[str]:
    """Return the keys that are allowed in the mapping at a location."""
    current: Any = model
    for part in where:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = _unwrap(current.model_fields[str(part)].annotation)
        else:  # list[item] or dict[key, value]
            current = _unwrap(get_args(current)[-1])
    return list(current.model_fields)


def _not_a_text(value: object) -> str:
    if value is None:
        return "a text is expected, and there is none"
    if isinstance(value, (list, dict)):
        return f"a text is expected, not a {'list' if isinstance(value, list) else 'mapping of keys'}"
    kind = "a number"
    if isinstance(value, bool):
        kind = "a truth value (as it does yes, no, on, off)"
    elif isinstance(value, datetime.date):
        kind = "a date"
    return f"a text is expected, but YAML reads {value!s} as {kind}: put it in quotes"


def _explain(item: Any, model: type[BaseModel], where: _Location) -> str:
    """Say in plain words what pydantic found."""
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(model, where[:-1])
        return f"key is not known.{suggest(str(where[-1]), known)} Known keys: {', '.join(known)}"
    if kind == "missing":
        return "key is missing"
    if kind in ("string_type", "string_unicode"):
        return _not_a_text(value) if kind == "string_type" else "text holds half of a surrogate pair"
    if kind == "literal_error":
        names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
        return f"{value!r} is not one of {', '.join(names)}.{suggest(str(value), names)}"
    if kind in ("list_type", "too_short"):
        return "a list is expected, [a, b] or lines that begin with '- '" if kind == "list_type" else "list is empty"
    if kind in ("model_type", "dict_type"):
        return "a mapping of keys is expected (key: value)"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:] if message.startswith("Input ") else message


def _problems(error: ValidationError, model: type[BaseModel], located: LocatedData, path: Path) -> list[Problem]:
    found: dict[_Location, Problem] = {}
    for item in error.errors():
        where: _Location = item["loc"]
        # pydantic appends the members of a union and "[key]"; those are no places in the file.
        while where and where not in located.lines and item["type"] != "missing":
            where = where[:-1]
        name = ".".join(str(part) for part in where)
        trimmed = where != item["loc"] and not str(item["loc"][-1]).startswith("[")
        message = "the value is of a kind that is not allowed here" if trimmed else _explain(item, model, where)
        # The message of a missing or refused value names it; one place is told once.
        end = "" if message.endswith((".", "?")) else "."
        found.setdefault(where, Problem(str(path), located.line(where), f"{name and name + ': '}{message}{end}"))
    return list(found.values())


def validate_file(path: Path, model: type[_M]) -> tuple[_M, LocatedData]:
    """Read one YAML file as a model.

    Raises:
        RegistryFileError: every problem of the file, one line each, with `file:line`.
    """
    located = read_yaml(path)
    if not isinstance(located.data, dict):
        raise RegistryFileError([Problem(str(path), 1, "a mapping of keys is expected at the top level.")])
    try:
        return model.model_validate(located.data), located
    except ValidationError as error:
        raise RegistryFileError(_problems(error, model, located, path)) from error


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file())


def scan_folders(folders: Iterable[Path], model: type[_M]) -> Scan[_M]:
    """Read all YAML files below some folders as a model, in path order; nothing is raised for a bad file."""
    scan: Scan[_M] = Scan([], [])
    for folder in folders:
        if not folder.is_dir():
            scan.problems.append(Problem(str(folder), 0, "no such folder; one with task files (*.yaml) is expected."))
            continue
        for path in _yaml_files(folder):
            try:
                scan.files.append((path, *validate_file(path, model)))
            except RegistryFileError as error:
                scan.problems.extend(error.problems)
    return scan


def scan_task_files(folders: Iterable[Path]) -> tuple[list[LoadedFile], list[Problem]]:
    """Read all task files below some folders, in path order: the good ones, and the problems of the others."""
    scan = scan_folders(folders, TaskSpec)
    return [LoadedFile(*file) for file in scan.files], scan.problems


def scan_example_set(folder: Path) -> tuple[list[LoadedExamples], list[Problem]]:
    """Read a user's example set: one YAML file per task with `task` and `examples`."""
    scan = scan_folders([folder], ExampleFile)
    files: dict[str, LoadedExamples] = {}
    problems = list(scan.problems)
    for entry in scan.files:
        file = LoadedExamples(*entry)
        task = file.content.task
        if task in files:
            line = file.located.line(("task",))
            first = files[task]
            message = f"a second file for task {task!r}; the first is {first.path}. Keep one of them."
            problems.append(Problem(str(file.path), line, message))
        else:
            files[task] = file
    if not problems and not files:
        problems.append(Problem(str(folder), 0, "holds no example file (*.yaml with `task` and `examples`)."))
    return list(files.values()), problems
