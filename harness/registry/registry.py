"""The registry: from a benchmark task's name to its instruction and few-shot examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness import paths
from harness.errors import ConfigError, FewShotError, TaskNotFoundError
from harness.registry.air_bench import is_air_bench
from harness.registry.load import LoadedExamples, LoadedFile, scan_example_set, scan_task_files
from harness.registry.names import suggest
from harness.registry.spec import DatasetRef, FewShotExample, Instruction, TaskPart, TaskSpec
from harness.registry.strict_yaml import Problem, RegistryFileError

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

    @property
    def alias_of(self) -> str | None:
        """The task whose instruction and examples an alias takes; None for tasks and parts."""
        return self.canonical if self.part_of is None and self.name != self.canonical else None

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """The splits that get a score on this machine: of AIR-Bench, only the judgements of dev are public."""
        return tuple(split for split in self.splits if split == "dev") if is_air_bench(self.name) else self.splits

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
        if num_fewshot != 0 and not self.examples and self.parts:
            raise FewShotError(
                f"task {self.name!r} has no examples of its own in the set {self.examples_set!r}: each of its "
                f"{len(self.parts)} parts has others. Name one of them: {', '.join(self.parts)}."
            )
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


class Registry:
    """All registry files of a session, indexed by task, alias and part."""

    def __init__(self, files: list[LoadedFile], *, examples_set: str = CURATED_EXAMPLES) -> None:
        """Index the files.

        Raises:
            RegistryFileError: two files or aliases claim one name; all such problems in one message.
        """
        self.files = files
        self.examples_set = examples_set
        problems = name_problems(files)
        if problems:
            raise RegistryFileError(problems)
        self._tasks = {task.name: task for file in files for task, _ in _expand(file, examples_set)}

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
        files, problems = scan_task_files([paths.task_examples_dir(), *extra_dirs])
        problems += name_problems(files)
        set_files: list[LoadedExamples] = []
        if examples != CURATED_EXAMPLES:
            set_files, set_problems = scan_example_set(example_set_folder(examples))
            problems += set_problems
        if problems:
            raise RegistryFileError(problems)
        registry = cls(files)
        if examples == CURATED_EXAMPLES:
            return registry
        unknown = registry.unknown_tasks(set_files)
        if unknown:
            raise RegistryFileError(unknown)
        sets = {file.content.task: tuple(file.content.examples) for file in set_files}
        return registry.with_examples(sets, name=Path(examples).resolve().name)

    def unknown_tasks(self, files: Iterable[LoadedExamples]) -> list[Problem]:
        """Return a problem for each file of an example set whose task the registry lacks."""
        return [
            Problem(
                str(file.path),
                file.located.line(("task",)),
                f"task {file.content.task!r} is not in the registry.{suggest(file.content.task, self._tasks)}",
            )
            for file in files
            if file.content.task not in self._tasks
        ]

    def with_examples(self, sets: dict[str, tuple[FewShotExample, ...]], *, name: str) -> Registry:
        """Return a copy whose examples are those of another set.

        A task takes the examples under its own name. An alias or part without any takes those of its task.

        Raises:
            TaskNotFoundError: the set names a task that the registry lacks.
        """
        for task_name in sets:
            self.get(task_name)
        copy = Registry([], examples_set=name)
        copy.files = self.files
        copy._tasks = {
            key: replace(task, examples=sets.get(key, sets.get(task.canonical, ())), examples_set=name)
            for key, task in self._tasks.items()
        }
        return copy

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[RegisteredTask]:
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


def example_set_folder(examples: str) -> Path:
    """Return the folder that an --examples value other than `curated` names.

    Raises:
        ConfigError: it is no folder.
    """
    folder = Path(examples)
    if not folder.is_dir():
        in_sets = Path("example_sets") / examples
        hint = f" Did you mean {str(in_sets)!r}?" if in_sets.is_dir() else ""
        raise ConfigError(
            f"--examples {examples!r} is neither {CURATED_EXAMPLES!r} (the examples of the registry) nor a folder of "
            f"example files.{hint}"
        )
    return folder


def name_problems(files: Iterable[LoadedFile]) -> list[Problem]:
    """Return a problem for every task, alias or part name that an earlier one has taken."""
    taken: dict[str, tuple[str, str, tuple[Path, int]]] = {}
    problems: list[Problem] = []
    for file in files:
        for position, (task, line) in enumerate(_expand(file, CURATED_EXAMPLES)):
            role = "task" if position == 0 else "alias" if task.part_of is None else "part"
            entry = (file.path, position)
            other_role, place, other = taken.setdefault(task.name, (role, f"{file.path}:{line}", entry))
            if other == entry:  # the first of its name, or the same folder given twice
                continue
            if role == other_role == "task":
                message = f"a second file for task {task.name!r}; the first is {place}. Keep one of them."
            else:
                message = f"{role} {task.name!r} is already the name of the {other_role} at {place}."
            problems.append(Problem(str(file.path), line, message))
    return problems


def data_folder(file: LoadedFile, part: TaskPart | None = None) -> Path | None:
    """Return the data folder of an entry or of one of its parts.

    It is packaged for a shipped file and lies beside the file for a user's.
    """
    name = file.spec.data if part is None else part.data
    if name is None:
        return None
    if file.path.is_relative_to(paths.task_examples_dir()):
        return paths.packaged_dataset_dir(name)
    return (file.path.parent / name).resolve()


def _expand(file: LoadedFile, examples_set: str) -> list[tuple[RegisteredTask, int]]:
    """Make the entries of one file, each with its line: the task itself, its aliases and its parts."""
    spec: TaskSpec = file.spec
    own = RegisteredTask(
        name=spec.task,
        canonical=spec.task,
        task_type=spec.type,
        main_metric=spec.main_metric,
        benchmarks=tuple(spec.benchmarks),
        splits=tuple(spec.splits),
        subsets=tuple(spec.subsets),
        dataset=spec.dataset,
        data=data_folder(file),
        description=spec.description,
        parts=tuple(part.name for part in spec.parts),
        part_of=None,
        instructions={DEFAULT_INSTRUCTIONS: spec.instruction, **spec.other_instructions},
        examples=tuple(spec.examples),
        examples_set=examples_set,
        path=file.path,
    )
    aliases = [
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
    parts = [
        replace(
            own,
            name=part.name,
            benchmarks=tuple(part.benchmarks),
            dataset=part.dataset,
            data=data_folder(file, part) or own.data,
            description=part.description or own.description,
            parts=(),
            part_of=spec.task,
            instructions={**own.instructions, **part.other_instructions},
            examples=tuple(part.examples) or own.examples,
        )
        for part in spec.parts
    ]
    line = file.located.line
    return [
        (own, line(("task",))),
        *((alias, line(("aliases", index, "name"))) for index, alias in enumerate(aliases)),
        *((part, line(("parts", index, "name"))) for index, part in enumerate(parts)),
    ]


__all__ = ["CURATED_EXAMPLES", "DEFAULT_INSTRUCTIONS", "RegisteredTask", "Registry", "name_problems", "suggest"]
