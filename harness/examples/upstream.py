"""Reading the authors' own example files (csv, json, jsonl), with a line for every defect."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

from harness.errors import ConfigError
from harness.examples.files import make_example
from harness.examples.upstream_rows import BlankFileError, Finding, Row, csv_rows, json_rows, jsonl_rows
from harness.registry.spec import FewShotExample

MAX_FILE_BYTES = 16 << 20


class ReadFile(NamedTuple):
    """The examples of one file."""

    path: Path
    examples: list[FewShotExample]
    findings: list[Finding]
    is_blank: bool
    """Whether there is no row at all: nothing, blank lines, or a header only."""


def read_upstream(path: Path, *, shown: str, origin: str) -> ReadFile:
    """Read one example file.

    Args:
        path: a .csv, .json or .jsonl file.
        shown: the file's name in messages.
        origin: text that becomes `origin` of its examples, followed by the line.
    """
    findings: list[Finding] = []
    examples: list[FewShotExample] = []
    seen: set[tuple[str, str]] = set()
    is_blank = False
    try:
        text = _decode(path.read_bytes(), shown)
        reader = {".csv": csv_rows, ".json": json_rows, ".jsonl": jsonl_rows}[path.suffix.casefold()]
        for row in reader(text, shown, findings):
            where = f"{shown}:{row.line}"
            try:
                example, changes = _example(row, f"{origin}:{row.line}")
            except ConfigError as error:
                findings.append(Finding("skipped", where, f"{error}."))
                continue
            if (example.query, example.response) in seen:
                findings.append(Finding("skipped", where, "the same example a second time."))
                continue
            seen.add((example.query, example.response))
            findings += [Finding("changed", where, change) for change in (*row.changes, *changes)]
            examples.append(example)
    except OSError as error:
        findings.append(Finding("skipped", f"{shown}:1", f"cannot be read: {error.strerror}."))
    except ConfigError as error:
        # A file that breaks off is not used at all: which of its rows are whole cannot be known.
        where, _, reason = str(error).partition(": ")
        findings.append(Finding("skipped", where, reason))
        examples = []
        is_blank = isinstance(error, BlankFileError)
    return ReadFile(path, examples, findings, is_blank)


def _decode(raw: bytes, shown: str) -> str:
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{shown}:1: the file has {len(raw)} bytes; at most {MAX_FILE_BYTES} are read.")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{shown}:1: the file is UTF-16. Save it as UTF-8.")
    nul = raw.find(b"\0")
    if nul >= 0:
        line = raw.count(b"\n", 0, nul) + 1
        raise ConfigError(f"{shown}:{line}: the file holds a NUL byte.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}:{line}: not UTF-8 (byte {raw[error.start]:#04x}).") from error


def _example(row: Row, origin: str) -> tuple[FewShotExample, list[str]]:
    changes: list[str] = []
    values = []
    for name, value in (("query", row.query), ("response", row.response)):
        if not isinstance(value, str):
            raise ConfigError(f"{name} is {_kind(value)}; a text is expected")
        mended = value.replace("\r\n", "\n")
        if mended != value:
            changes.append(f"{name}: line ends inside the text became LF.")
        normal = unicodedata.normalize("NFC", mended)
        if normal != mended:
            changes.append(f"{name}: brought to Unicode normal form C.")
        if any("\ud800" <= character <= "\udfff" for character in normal):
            raise ConfigError(f"{name} holds half a surrogate pair")
        values.append(normal)
    return make_example(values[0], values[1], origin), changes


def _kind(value: object) -> str:
    names = {type(None): "missing", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")
