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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,._+()/-]{0,127}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _check_name(value: str) -> str:
    # Names become parts of paths: no way out of a folder, no empty or hidden part.
    parts = value.split("/")
    if not _NAME.fullmatch(value) or any(part in ("", ".") or ".." in part or part != part.strip() for part in parts):
        raise ValueError(
            f"{value!r} is not a usable name: at most 128 letters, digits, blanks and , . _ + ( ) / - are allowed, "
            "the first a letter or digit, and no '..' or empty part between slashes"
        )
    return value


def _check_word(value: str) -> str:
    if not _WORD.fullmatch(value) or ".." in value:
        raise ValueError(f"{value!r} is not usable here: at most 64 letters, digits and . _ - are allowed")
    return value


def _check_text(value: str) -> str:
    if not value.strip():
        raise ValueError("text is empty")
    if value != unicodedata.normalize("NFC", value):
        raise ValueError("text is not in Unicode normal form C: letters and accents must be one character (NFC)")
    for character in value:
        if unicodedata.category(character) == "Cc" and character not in "\n\t":
            raise ValueError(f"text holds the control character U+{ord(character):04X}")
    return value


def _check_example_text(value: str) -> str:
    _check_text(value)
    if len(value) > MAX_EXAMPLE_CHARS:
        raise ValueError(f"text has {len(value)} characters; at most {MAX_EXAMPLE_CHARS} are allowed")
    for token in CONTROL_TOKENS:
        if token in value:
            raise ValueError(f"text holds the control token {token}, which would break the prompt apart")
    return value


Name = Annotated[str, AfterValidator(_check_name)]
Word = Annotated[str, AfterValidator(_check_word)]
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
            raise ValueError("query and response are equal, so the example shows nothing")
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
    main_metric: Word | None = None
    splits: list[Word] | None = Field(default=None, min_length=1)
    subsets: list[Word] | None = Field(default=None, min_length=1)
    dataset: DatasetRef | None = None
    other_instructions: dict[Word, Instruction] = {}


class TaskPart(_Model):
    """One of the sub-tasks of which an aggregate task is the mean (CQADupstack).

    What a part does not say, it takes from the aggregate.
    """

    name: Name
    benchmarks: list[Name] = []
    dataset: DatasetRef | None = None
    data: Text | None = None
    """Packaged or local data folder of a part that mteb does not know."""
    description: str = ""
    other_instructions: dict[Word, Instruction] = {}
    examples: list[FewShotExample] = []
    """Examples of this part alone; without any it takes those of the aggregate."""

    @model_validator(mode="after")
    def _consistent(self) -> TaskPart:
        if "default" in self.other_instructions:
            raise ValueError("other_instructions must not hold 'default': a part takes the aggregate's `instruction`")
        if self.dataset is not None and self.data is not None:
            raise ValueError("dataset and data exclude each other: a hub data set, or a folder of files")
        return self


class TaskSpec(_Model):
    """One registry file."""

    task: Name
    type: TaskType
    benchmarks: list[Name] = []
    """Benchmarks that count this task."""
    main_metric: Word
    """mteb's key of the main score."""
    splits: list[Word] = Field(default=["test"], min_length=1)
    subsets: list[Word] = Field(default=["default"], min_length=1)
    dataset: DatasetRef | None = None
    """Hub data set of a task that mteb knows."""
    data: Text | None = None
    """Packaged or local data folder of a task that mteb does not know."""
    description: str = ""
    parts: list[TaskPart] = []
    aliases: list[TaskAlias] = []
    instruction: Instruction
    """The text the model was evaluated with by its authors (set `default`)."""
    other_instructions: dict[Word, Instruction] = {}
    labels: LabelNames | None = None
    examples: list[FewShotExample] = []
    examples_shared_by: list[Name] = []
    """Tasks of other files that use these very examples by declaration."""

    @model_validator(mode="after")
    def _consistent(self) -> TaskSpec:
        if "default" in self.other_instructions:
            raise ValueError("other_instructions must not hold 'default': that is the key `instruction`")
        if self.dataset is not None and self.data is not None:
            raise ValueError("dataset and data exclude each other: a hub data set, or a folder of files")
        return self


class ExampleFile(_Model):
    """A file of a user's example set: it replaces the examples of one task."""

    task: Name
    examples: list[FewShotExample] = Field(min_length=1)
    provenance: dict[str, str | int | float | bool | list[str] | list[int]] = {}
