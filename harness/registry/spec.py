"""What one registry file holds: a benchmark task, its instruction texts and its few-shot examples."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from harness.types import TaskType

# Markers that would let an example close its own field and open another (FlagEmbedding icl.py template).
CONTROL_TOKENS = ("<instruct>", "<query>", "<response>", "<s>", "</s>", "<unk>", "<pad>", "<|endoftext|>")
MAX_EXAMPLE_CHARS = 16_384
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 ,._+()/-]{0,127}$")


def _check_name(value: str) -> str:
    if not _NAME.match(value) or ".." in value:
        raise ValueError(f"{value!r} is not a usable name (letters, digits, blanks and , . _ + ( ) / -, at most 128)")
    return value


def _check_text(value: str) -> str:
    if not value.strip():
        raise ValueError("text is empty")
    if value != unicodedata.normalize("NFC", value):
        raise ValueError("text is not in Unicode normal form C")
    if any(ord(ch) < 32 and ch not in "\n\t" for ch in value):
        raise ValueError("text holds a control character")
    return value


def _check_example_text(value: str) -> str:
    _check_text(value)
    if len(value) > MAX_EXAMPLE_CHARS:
        raise ValueError(f"text has {len(value)} characters; at most {MAX_EXAMPLE_CHARS} are allowed")
    for token in CONTROL_TOKENS:
        if token in value:
            raise ValueError(f"text holds the control token {token}")
    return value


Name = Annotated[str, AfterValidator(_check_name)]
Text = Annotated[str, AfterValidator(_check_text)]
ExampleText = Annotated[str, AfterValidator(_check_example_text)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FewShotExample(_Model):
    """One demonstration that is put in front of every query of its task."""

    query: ExampleText
    response: ExampleText
    origin: Text
    """Where the example comes from: "written for this project", a train row, an imported file."""

    @model_validator(mode="after")
    def _differs(self) -> FewShotExample:
        if self.query.strip() == self.response.strip():
            raise ValueError("query and response are equal")
        return self


class Instruction(_Model):
    """An instruction text and where it comes from."""

    text: ExampleText
    source: Text


class DatasetRef(_Model):
    """A data set on the hub at a fixed revision."""

    path: Text
    revision: Text


class LabelNames(_Model):
    """Where the label names used as responses come from."""

    source: Text
    verified: bool


class TaskAlias(_Model):
    """Another benchmark task that takes this entry's instruction and examples."""

    name: Name
    benchmarks: list[Name] = []
    main_metric: str | None = None
    splits: list[str] | None = None
    subsets: list[str] | None = None
    dataset: DatasetRef | None = None
    other_instructions: dict[Name, Instruction] = {}


class TaskPart(_Model):
    """One of the sub-tasks of which an aggregate task is the mean (CQADupstack)."""

    name: Name
    benchmarks: list[Name] = []
    dataset: DatasetRef | None = None


class TaskSpec(_Model):
    """One registry file."""

    task: Name
    type: TaskType
    benchmarks: list[Name] = []
    """Benchmarks that count this task."""
    main_metric: str
    """mteb's key of the main score."""
    splits: list[str] = ["test"]
    subsets: list[str] = ["default"]
    dataset: DatasetRef | None = None
    """Hub data set of a task that mteb knows."""
    data: str | None = None
    """Packaged or local data folder of a task that mteb does not know."""
    description: str = ""
    parts: list[TaskPart] = []
    aliases: list[TaskAlias] = []
    instruction: Instruction
    """The text the model was evaluated with by its authors (set `default`)."""
    other_instructions: dict[Name, Instruction] = {}
    labels: LabelNames | None = None
    examples: list[FewShotExample] = Field(default=[])
    examples_shared_by: list[Name] = []
    """Tasks of other files that use these very examples by declaration."""

    @model_validator(mode="after")
    def _consistent(self) -> TaskSpec:
        seen: set[tuple[str, str]] = set()
        for example in self.examples:
            pair = (example.query, example.response)
            if pair in seen:
                raise ValueError(f"the example with query {example.query[:60]!r} occurs twice")
            seen.add(pair)
        if "default" in self.other_instructions:
            raise ValueError("other_instructions must not hold 'default': that is the key `instruction`")
        return self


class ExampleFile(_Model):
    """A file of a user's example set: it replaces the examples of one task."""

    task: Name
    examples: list[FewShotExample]
    provenance: dict[str, str | int | float | bool | list[str] | list[int]] = {}
