"""What a task record and a manifest must be before anybody compares with them.

`run` makes them, so whatever differs from its own layout is damage or forgery. The checks are on values, not on files:
`stored_run.py` reads run directories with them, the baselines of `harness.check` use them as well.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.errors import ConfigError, ResultSchemaError
from harness.store.run_dir import canonical_sha256, safe_name
from harness.store.schema import SCHEMA_VERSION, ScoreRow
from harness.store.strict_json import one_line

MAX_NAME = 200
_MARKUP = frozenset("<>&|`\\")


@functools.lru_cache(maxsize=65_536)  # the same few hundred names stand in every row of every record
def _name(text: str) -> str:
    if not text or len(text) > MAX_NAME or not text.isprintable() or _MARKUP & set(text):
        raise ValueError(f"{text[:40]!r} is no name")
    return text


def _printable(text: str) -> str:
    if not text or len(text) > MAX_NAME or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is no name")
    return text


def _file_name(text: str) -> str:
    try:
        safe_name(text)
    except ConfigError as error:
        raise ValueError(f"{text[:40]!r} is no name of a task or configuration") from error
    return text


Name = Annotated[str, AfterValidator(_name)]
"""A name of the data: printable, at most 200 characters, nothing that a report could take for markup."""
ModelName = Annotated[str, AfterValidator(_printable)]
"""A folder's name is in it, so it may hold any printable character."""
FileName = Annotated[str, AfterValidator(_file_name)]
"""A name that is also the name of a file."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Scalar = str | int | float | bool | None


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class _Open(BaseModel):
    """A mapping that may hold more than is read here."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Any]


class Protocol(_Open):
    """Task and data."""

    task_name: FileName
    dataset_revision: Annotated[str, StringConstraints(max_length=MAX_NAME)]
    main_metric: Name
    splits: list[Name]
    """Scored ones; none where documents were retrieved for AIR-Bench's board alone."""
    subsets: Annotated[list[Name], Field(min_length=1)]
    limit: Annotated[int, Field(ge=0)]


class Subject(_Open):
    """Model and prompt."""

    model_name: ModelName
    model_revision: Annotated[str, StringConstraints(max_length=MAX_NAME)]
    dtype: Name
    prompt_fingerprint: Annotated[str, StringConstraints(max_length=64)]
    num_fewshot: Annotated[int, Field(ge=0)]


class Identity(_Strict):
    """Everything that a score depends on."""

    subject: Subject
    protocol: Protocol


class StrictRow(ScoreRow):
    """A score of which no value is of another type than its own: the text "0.5" is no score."""

    model_config = ConfigDict(strict=True)


class TaskRecord(_Strict):
    """The record of a finished task (docs/results.md)."""

    schema_version: Literal[1]
    configuration: FileName
    task_name: FileName
    identity: Identity
    result_key: Sha256
    rows: list[StrictRow]
    """As many main rows as `splits` asks for; see check_content."""
    files: dict[str, Sha256]
    details: dict[str, Any]


class ManifestTask(_Open):
    """What the manifest says about a finished task."""

    configuration: FileName
    task_name: FileName
    result_key: Sha256


class ManifestModel(_Open):
    """The model of a run, as far as a comparison reads it."""

    model_name: ModelName
    model_revision: str
    dtype: Name
    device: Name


class Manifest(_Open):
    """The manifest, as far as a comparison reads it."""

    schema_version: Literal[1]
    run_id: FileName
    status: Literal["running", "incomplete", "complete"]
    configuration: dict[str, Any]
    model: ManifestModel
    tasks: list[ManifestTask]
    failures: dict[str, str]
    machine: dict[str, Scalar]
    packages: dict[str, str]


def check_manifest(manifest: Any, where: str) -> dict[str, Any]:
    """Return a manifest, or refuse it.

    Raises:
        ResultSchemaError: of another version, or not what `run` writes.
    """
    _check_version(manifest, where, "manifest")
    _validate(Manifest, manifest, where)
    named = [(task["configuration"], task["task_name"]) for task in manifest["tasks"]]
    twice = next((pair for pair in named if named.count(pair) > 1), None)
    if twice:
        raise ResultSchemaError(f"{where}: names {'/'.join(twice)} twice. The file is damaged or foreign.")
    checked: dict[str, Any] = manifest
    return checked


def check_record(record: Any, where: str) -> dict[str, Any]:
    """Return the record of a task without its hash, or refuse it.

    Args:
        record: the value of the JSON file; not changed.
        where: what the message of an error begins with.

    Raises:
        ResultSchemaError: of another version, altered since it was written, or not what `run` writes.
    """
    _check_version(record, where, "record of a task")
    content = {key: value for key, value in record.items() if key != "content_sha256"}
    if record.get("content_sha256") != canonical_sha256(content):
        raise ResultSchemaError(f"{where}: its content does not match its hash. Run this task again.")
    check_content(content, where)
    return content


def check_content(content: Mapping[str, Any], where: str) -> None:
    """Refuse a record whose parts contradict each other, or a score that no task can have.

    Raises:
        ResultSchemaError: names what is wrong.
    """
    _validate(TaskRecord, content, where)
    if content["result_key"] != canonical_sha256(content["identity"]):
        raise ResultSchemaError(f"{where}: its identity does not match its key. Run this task again.")
    subject, protocol = content["identity"]["subject"], content["identity"]["protocol"]
    expected = {
        "configuration": content["configuration"],
        "task_name": content["task_name"],
        "result_key": content["result_key"],
        "dataset_revision": protocol["dataset_revision"],
        "limit": protocol["limit"],
        "partial": bool(protocol["limit"]),
        **{name: subject[name] for name in Subject.model_fields},
    }
    if protocol["task_name"] != content["task_name"]:
        raise ResultSchemaError(
            f"{where}: is of task {content['task_name']!r}, its identity of {protocol['task_name']!r}. Run it again."
        )
    cells: set[tuple[str, str, str]] = set()
    mains: set[tuple[str, str]] = set()
    for row in content["rows"]:
        for name, value in expected.items():
            if row[name] != value:
                raise ResultSchemaError(
                    f"{where}: a row has {name} {row[name]!r}, the record {value!r}. Run this task again."
                )
        check_row(row, where, main_metric=protocol["main_metric"])
        cell = (row["split"], row["hf_subset"], row["metric"])
        if cell in cells:
            raise ResultSchemaError(f"{where}: has {'/'.join(cell)} twice. Run this task again.")
        cells.add(cell)
        if row["is_main"]:
            mains.add(cell[:2])
    if not (mains or protocol.get("searched_splits")):
        raise ResultSchemaError(f"{where}: has no score. Run this task again.")
    if {cell[:2] for cell in cells} != mains or {split for split, _ in mains} != set(protocol["splits"]):
        raise ResultSchemaError(f"{where}: not every split and subset has its main score. Run this task again.")


def check_row(row: Mapping[str, Any], where: str, *, main_metric: str) -> None:
    """Refuse a row of a foreign metric or with a score that is no fraction.

    Raises:
        ResultSchemaError: names the row.
    """
    for name in ("task_type", "split", "hf_subset", "metric"):
        try:
            _name(row[name])
        except ValueError as error:
            raise ResultSchemaError(f"{where}: {name}: {error}. The file is damaged or foreign.") from error
    if row["is_main"] != (row["metric"] == main_metric):
        raise ResultSchemaError(
            f"{where}: metric {row['metric']!r} is marked as the main one, which is {main_metric!r}. Run this task again."
            if row["is_main"]
            else f"{where}: main metric {main_metric!r} is not marked as such. Run this task again."
        )
    lowest = -1.0 if any(kind in main_metric for kind in ("spearman", "pearson", "kendall")) else 0.0
    if row["is_main"] and not lowest <= row["score"] <= 1.0:
        raise ResultSchemaError(
            f"{where}: main score {row['score']!r} of {main_metric} is outside {lowest:g}..1 "
            "(scores are fractions, not percentages). Run this task again."
        )


def _check_version(value: Any, where: str, what: str) -> None:
    if not isinstance(value, dict):
        raise ResultSchemaError(f"{where}: not a {what}. The file is damaged or foreign.")
    version = value.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ResultSchemaError(
            f"{where}: not a {what} of schema version {SCHEMA_VERSION} (found {str(version)[:20]!r}). "
            "Use the version of the program that wrote it, or run again."
        )


def _validate(model: type[BaseModel], value: Any, where: str) -> None:
    try:
        model.model_validate(value)
    except ValidationError as error:
        raise ResultSchemaError(f"{where}: {first_problem(error)}. The file is damaged or foreign.") from error


def first_problem(error: ValidationError) -> str:
    """Return the first of a validation's problems as a part of a sentence: place and reason, without line breaks."""
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in problem["loc"])
    reason = problem["msg"].removeprefix("Value error, ")
    return one_line(f"{place}: {reason}", 400)
