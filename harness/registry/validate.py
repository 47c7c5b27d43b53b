"""All problems of the registry and of an example set, each with its file and line.

Loading checks each file's form and that no name is taken twice. This module goes on after a bad file, and adds what loading
need not know: how many examples there are and how long, which tasks share them, and where label names come from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness import paths
from harness.registry.load import LoadedFile, scan_example_set, scan_task_files
from harness.registry.names import suggest
from harness.registry.registry import CURATED_EXAMPLES, Registry, data_folder, example_set_folder, name_problems
from harness.registry.spec import TaskAlias, TaskPart, TaskSpec
from harness.registry.strict_yaml import Problem
from harness.registry.tokens import estimate_tokens

MIN_EXAMPLES = 5
MAX_EXAMPLE_TOKENS = 256
"""bge-en-icl was trained with queries and responses of at most 256 tokens each (paper section 4)."""
MAX_PREFIX_TOKENS = 1536
"""Its training cut prompts at 2,048 tokens, 512 of them for the text itself."""
_MARKER_TOKENS = 8
_LABEL_TYPES = ("Classification", "Clustering")
_MAX_LABEL_ROWS = 200_000

_Place = tuple[str | int, ...]
"""Keys and positions that lead to a value of a file."""


@dataclass(frozen=True)
class ValidationReport:
    """What a validation looked at and what it found."""

    files: int
    tasks: int
    """Names that resolve: tasks, aliases and parts."""
    examples: int
    unverified_labels: tuple[str, ...]
    """Tasks whose label names nobody has compared with the data."""
    problems: list[Problem] = field(default_factory=list)


def validate_registry(
    extra_dirs: Iterable[Path] = (),
    *,
    examples: str = CURATED_EXAMPLES,
    more_checks: Callable[[list[LoadedFile]], list[Problem]] | None = None,
) -> ValidationReport:
    """Check the shipped registry, folders of further task files and an example set.

    Of an example set only form and task names are checked: the authors' own sets are longer than our limits.

    Args:
        extra_dirs: folders with more task files.
        examples: `curated`, or a folder of example files.
        more_checks: a further check over all files of good form (the comparison with mteb's own names).

    Raises:
        ConfigError: `examples` is no folder. Every other finding is in the report.
    """
    set_folder = None if examples == CURATED_EXAMPLES else example_set_folder(examples)
    files, form_problems = scan_task_files([paths.task_examples_dir(), *extra_dirs])
    problems = [*form_problems, *name_problems(files)]
    known = {name for file in files for name in _names(file.spec)}
    shipped_benchmarks = {name for file in files if _is_shipped(file) for name in _benchmarks(file.spec)}
    for file in files:
        strict = _is_shipped(file) or bool(shipped_benchmarks & _benchmarks(file.spec))
        problems += _file_problems(file, strict=strict)
        if not form_problems:
            problems += _unknown_sharers(file, known)
    problems += _shared_examples(files)
    file_count, example_count = (
        len(files),
        sum(len(owner.examples) for file in files for _, owner in _owners(file.spec)),
    )
    if set_folder is not None:
        set_files, set_problems = scan_example_set(set_folder)
        problems += set_problems
        if not problems:
            problems += Registry(files).unknown_tasks(set_files)
        file_count += len(set_files)
        example_count += sum(len(file.content.examples) for file in set_files)
    if more_checks is not None:
        problems += more_checks(files)
    return ValidationReport(
        files=file_count + len({problem.path for problem in form_problems}),
        tasks=len(known),
        examples=example_count,
        unverified_labels=tuple(file.spec.task for file in files if file.spec.labels and not file.spec.labels.verified),
        problems=sorted(set(problems)),
    )


def _is_shipped(file: LoadedFile) -> bool:
    return file.path.is_relative_to(paths.task_examples_dir())


def _names(spec: TaskSpec) -> list[str]:
    return [spec.task, *(alias.name for alias in spec.aliases), *(part.name for part in spec.parts)]


def _benchmarks(spec: TaskSpec) -> set[str]:
    entries: list[TaskSpec | TaskAlias | TaskPart] = [spec, *spec.aliases, *spec.parts]
    return {name for entry in entries for name in entry.benchmarks}


def _at(file: LoadedFile, where: _Place, message: str) -> Problem:
    return Problem(str(file.path), file.located.line(where), message)


def _file_problems(file: LoadedFile, *, strict: bool) -> Iterator[Problem]:
    """Check one file by itself.

    Args:
        file: a file of good form.
        strict: whether it is shipped or claims to belong to a shipped benchmark, so that scores are compared.
    """
    spec = file.spec
    for where, owner in _owners(spec):
        if strict and len(owner.examples) < MIN_EXAMPLES:
            yield _at(
                file,
                (*where, "examples"),
                f"a benchmark task needs at least {MIN_EXAMPLES} examples; there are {len(owner.examples)}.",
            )
        yield from _too_long(file, where, owner)
    if strict and spec.dataset is not None and spec.type in _LABEL_TYPES and spec.labels is None:
        yield _at(
            file,
            (),
            f"key labels is missing: a {spec.type} task says where its label names come from (source, verified).",
        )
    folders: list[tuple[_Place, Path | None]] = [((), data_folder(file))]
    folders += [(("parts", index), data_folder(file, part)) for index, part in enumerate(spec.parts)]
    for where, folder in folders:
        if folder is not None and not folder.is_dir():
            yield _at(file, (*where, "data"), f"data folder {folder} does not exist.")
    if spec.type in _LABEL_TYPES:
        own = dict(folders)
        for where, owner in _owners(spec):
            folder = own[where] or own[()]
            if folder is None or folder.is_dir():
                yield from _bad_labels(file, where, owner, set() if folder is None else _label_names(folder))


def _owners(spec: TaskSpec) -> list[tuple[_Place, TaskSpec | TaskPart]]:
    """Return what has examples of its own: the task, or its parts, with their places in the file."""
    parts: list[tuple[_Place, TaskSpec | TaskPart]] = [
        (("parts", index), part) for index, part in enumerate(spec.parts) if part.examples
    ]
    # An aggregate whose parts all have examples needs none itself: it is never run as a whole.
    if spec.examples or len(parts) < len(spec.parts) or not parts:
        return [((), spec), *parts]
    return parts


def _too_long(file: LoadedFile, place: _Place, owner: TaskSpec | TaskPart) -> Iterator[Problem]:
    prefix = 0
    instruction = estimate_tokens(file.spec.instruction.text)
    begin = "".join(f"{part}." for part in place)
    for index, example in enumerate(owner.examples):
        for name, text in (("query", example.query), ("response", example.response)):
            tokens = estimate_tokens(text)
            prefix += tokens
            if tokens > MAX_EXAMPLE_TOKENS:
                yield _at(
                    file,
                    (*place, "examples", index, name),
                    f"{begin}examples.{index}.{name} has about {tokens} tokens; the limit is {MAX_EXAMPLE_TOKENS}. Shorten it.",
                )
        prefix += instruction + _MARKER_TOKENS
    if prefix > MAX_PREFIX_TOKENS:
        yield _at(
            file,
            (*place, "examples"),
            f"all examples together have about {prefix} tokens; the limit is {MAX_PREFIX_TOKENS}. Shorten or drop some.",
        )


def _label_names(folder: Path) -> set[str]:
    """Return the label names of a data folder's jsonl files; empty if it has none or only numbers."""
    names: set[str] = set()
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number >= _MAX_LABEL_ROWS:
                    return set()
                try:
                    row = json.loads(line) if line.strip() else {}
                except json.JSONDecodeError:
                    return set()  # told with its line when the task is run
                label = row.get("label_text", row.get("label")) if isinstance(row, dict) else None
                if isinstance(label, str):
                    names.add(label)
    return names


def _bad_labels(file: LoadedFile, place: _Place, owner: TaskSpec | TaskPart, known: set[str]) -> Iterator[Problem]:
    for index, example in enumerate(owner.examples):
        where = (*place, "examples", index, "response")
        label = example.response
        if label != label.strip() or "\n" in label:
            yield _at(file, where, f"examples.{index}.response: a label is one line without blanks around it.")
        elif known and label not in known:
            yield _at(
                file, where, f"examples.{index}.response: {label!r} is no label of the data.{suggest(label, known)}"
            )


def _unknown_sharers(file: LoadedFile, known: set[str]) -> Iterator[Problem]:
    for index, name in enumerate(file.spec.examples_shared_by):
        if name not in known:
            message = f"examples_shared_by names {name!r}, which is no task of the registry.{suggest(name, known)}"
            yield _at(file, ("examples_shared_by", index), message)


def _shared_examples(files: list[LoadedFile]) -> Iterator[Problem]:
    """Find queries that occur twice, in one file or in two that declare no sharing.

    The parts of one aggregate may show the same queries with different responses.
    """
    seen: dict[str, tuple[LoadedFile, _Place]] = {}
    for file, (place, owner) in ((one, entry) for one in files for entry in _owners(one.spec)):
        own: dict[str, int] = {}
        for index, example in enumerate(owner.examples):
            key = " ".join(example.query.casefold().split())
            where = (*place, "examples", index, "query")
            if key in own:
                yield _at(file, where, f"examples.{index}.query stands in examples.{own[key]} as well.")
                continue
            own[key] = index
            other, other_where = seen.setdefault(key, (file, where))
            if other is not file and not _declared(file.spec, other.spec):
                yield _at(
                    file,
                    where,
                    f"examples.{index}.query is an example of task {other.spec.task!r} too "
                    f"({other.path}:{other.located.line(other_where)}). Write another, "
                    f"or declare it there: examples_shared_by: [{file.spec.task}].",
                )


def _declared(one: TaskSpec, other: TaskSpec) -> bool:
    return bool(set(one.examples_shared_by) & set(_names(other)) or set(other.examples_shared_by) & set(_names(one)))
