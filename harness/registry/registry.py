"""The registry: from a benchmark task's name to its instruction and few-shot examples."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness import paths
from harness.errors import ConfigError, FewShotError, TaskNotFoundError
from harness.registry.load import LoadedFile, load_example_set, load_task_files
from harness.registry.spec import DatasetRef, FewShotExample, Instruction, TaskSpec

DEFAULT_INSTRUCTIONS = "default"
CURATED_EXAMPLES = "curated"


@dataclass(frozen=True)
class RegisteredTask:
    """A task name resolved to what its prompt and its evaluation need."""

    name: str
    """The name that was asked for: a task, an alias or a part of an aggregate."""
    canonical: str
    """The registry file's own task."""
    task_type: str
    main_metric: str
    benchmarks: tuple[str, ...]
    splits: tuple[str, ...]
    subsets: tuple[str, ...]
    dataset: DatasetRef | None
    data: Path | None
    description: str
    parts: tuple[str, ...]
    part_of: str | None
    instructions: dict[str, Instruction]
    examples: tuple[FewShotExample, ...]
    examples_set: str
    path: Path

    def instruction(self, instruction_set: str = DEFAULT_INSTRUCTIONS) -> Instruction:
        """Return the instruction of a set.

        Raises:
            ConfigError: the entry has no text in that set.
        """
        found = self.instructions.get(instruction_set)
        if found is None:
            raise ConfigError(
                f"task {self.name!r} has no instruction in the set {instruction_set!r} "
                f"(it has: {', '.join(self.instructions)}). Add it to {self.path}."
            )
        return found

    def first_examples(self, num_fewshot: int | None) -> tuple[FewShotExample, ...]:
        """Return the first k examples in file order; None means all.

        Raises:
            FewShotError: more examples were asked for than there are, or all of none.
        """
        if num_fewshot is None:
            if not self.examples:
                raise FewShotError(
                    f"task {self.name!r} has no examples in the set {self.examples_set!r}, so "
                    f"--num-fewshot all has nothing to show. Add some to {self.path} or ask for --num-fewshot 0."
                )
            return self.examples
        if num_fewshot > len(self.examples):
            raise FewShotError(
                f"task {self.name!r} has {len(self.examples)} examples in the set {self.examples_set!r}, but "
                f"--num-fewshot {num_fewshot} was asked for. Use --num-fewshot all (as shipped) or a smaller number."
            )
        return self.examples[:num_fewshot]


def suggest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Return " Did you mean ...?" for the known names nearest to a mistyped one, or ""."""
    wanted = name.casefold()

    def likeness(candidate: str) -> float:
        folded = candidate.casefold()
        # A shortened name ("Banking77") should find the long one, so its beginning is compared as well.
        return max(
            difflib.SequenceMatcher(None, wanted, folded).ratio(),
            difflib.SequenceMatcher(None, wanted, folded[: len(wanted)]).ratio() - 0.05,
        )

    scored = sorted(((likeness(candidate), candidate) for candidate in set(known)), reverse=True)
    close = [candidate for value, candidate in scored[:limit] if value >= 0.6]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


class Registry:
    """All registry files of a session, indexed by task, alias and part."""

    def __init__(self, files: list[LoadedFile], *, examples_set: str = CURATED_EXAMPLES) -> None:
        """Index the files.

        Raises:
            ConfigError: two files or aliases claim one name; all such problems in one message.
        """
        self.files = files
        self.examples_set = examples_set
        self._tasks: dict[str, RegisteredTask] = {}
        problems: list[str] = []
        for file in files:
            for task in _expand(file, examples_set):
                other = self._tasks.get(task.name)
                if other is not None:
                    problems.append(
                        f"{file.path}:1: task name {task.name!r} is already taken by {other.path}."
                    )
                    continue
                self._tasks[task.name] = task
        if problems:
            raise ConfigError("\n".join(problems))

    @classmethod
    def load(cls, extra_dirs: Iterable[Path] = (), *, examples: str = CURATED_EXAMPLES) -> Registry:
        """Load the shipped registry, folders of further task files and an example set.

        Args:
            extra_dirs: folders with more task files (one YAML file per task).
            examples: `curated`, or a folder of example files (`task`, `examples`) that replace the curated ones;
                a task which that folder lacks then has no examples.

        Raises:
            ConfigError: any malformed file; all problems in one message, a line each.
        """
        registry = cls(load_task_files([paths.task_examples_dir(), *extra_dirs]))
        if examples == CURATED_EXAMPLES:
            return registry
        folder = Path(examples)
        if not folder.is_dir():
            raise ConfigError(
                f"--examples {examples!r} is neither 'curated' nor a folder of example files."
            )
        return registry.with_examples(load_example_set(folder), name=folder.name)

    def with_examples(self, sets: dict[str, tuple[FewShotExample, ...]], *, name: str) -> Registry:
        """Return a copy whose examples are those of another set.

        Raises:
            TaskNotFoundError: the set names a task that the registry lacks.
        """
        for task_name in sets:
            self.get(task_name)
        by_canonical = {self.get(task_name).canonical: examples for task_name, examples in sets.items()}
        copy = Registry([], examples_set=name)
        copy.files = self.files
        copy._tasks = {
            key: replace(task, examples=by_canonical.get(task.canonical, ()), examples_set=name)
            for key, task in self._tasks.items()
        }
        return copy

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterable[RegisteredTask]:  # type: ignore[override]
        return iter(self._tasks.values())

    def get(self, name: str) -> RegisteredTask:
        """Return the entry of a task, alias or part.

        Raises:
            TaskNotFoundError: no entry has that name; the message holds suggestions.
        """
        task = self._tasks.get(name)
        if task is None:
            raise TaskNotFoundError(
                f"task {name!r} is not in the registry.{suggest(name, self._tasks)} See: icl-harness list tasks"
            )
        return task

    def benchmarks(self) -> list[str]:
        """Return the names of all benchmarks, sorted."""
        return sorted({name for task in self._tasks.values() for name in task.benchmarks})

    def benchmark(self, name: str) -> list[RegisteredTask]:
        """Return the tasks that a benchmark counts, by type and name.

        Raises:
            TaskNotFoundError: no task belongs to that benchmark; the message holds suggestions.
        """
        tasks = [task for task in self._tasks.values() if name in task.benchmarks]
        if not tasks:
            known = self.benchmarks()
            raise TaskNotFoundError(
                f"benchmark {name!r} is not known.{suggest(name, known)} Known: {', '.join(known)}."
            )
        return sorted(tasks, key=lambda task: (task.task_type, task.name))


def _expand(file: LoadedFile, examples_set: str) -> list[RegisteredTask]:
    """Make the entries of one file: the task itself, its aliases and its parts."""
    spec: TaskSpec = file.spec
    data = None
    if spec.data is not None:
        packaged = paths.packaged_dataset_dir(spec.data)
        data = packaged if packaged.is_dir() else (file.path.parent / spec.data).resolve()
    own = RegisteredTask(
        name=spec.task,
        canonical=spec.task,
        task_type=spec.type,
        main_metric=spec.main_metric,
        benchmarks=tuple(spec.benchmarks),
        splits=tuple(spec.splits),
        subsets=tuple(spec.subsets),
        dataset=spec.dataset,
        data=data,
        description=spec.description,
        parts=tuple(part.name for part in spec.parts),
        part_of=None,
        instructions={DEFAULT_INSTRUCTIONS: spec.instruction, **spec.other_instructions},
        examples=tuple(spec.examples),
        examples_set=examples_set,
        path=file.path,
    )
    entries = [own]
    entries += [
        replace(
            own,
            name=alias.name,
            main_metric=alias.main_metric or own.main_metric,
            benchmarks=tuple(alias.benchmarks),
            splits=tuple(alias.splits or own.splits),
            subsets=tuple(alias.subsets or own.subsets),
            dataset=alias.dataset,
            parts=(),
            instructions={**own.instructions, **alias.other_instructions},
        )
        for alias in spec.aliases
    ]
    entries += [
        replace(
            own,
            name=part.name,
            benchmarks=tuple(part.benchmarks),
            dataset=part.dataset,
            parts=(),
            part_of=own.name,
        )
        for part in spec.parts
    ]
    return entries
