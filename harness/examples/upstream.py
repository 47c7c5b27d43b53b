"""Reading the authors' own example files (csv, json, jsonl), with a line for every defect."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import ConfigError
from harness.examples.files import make_example
from harness.registry.spec import FewShotExample

MAX_FILE_BYTES = 16 << 20
# The eight spellings of FlagEmbedding's 57 csv files; what counts is the position: first the query, then the response.
CSV_HEADERS = (
    ("query", "pos"),
    ("query", "pos "),
    ("query", "positive"),
    ("text", "label"),
    ("text", "label\t"),
    ("text", "label_text"),
    ("sent1", "sent2"),
    ("sum1", "sum2"),
)
_KNOWN_HEADERS = {tuple(name.strip() for name in header) for header in CSV_HEADERS}
_RESPONSE_KEYS = ("response", "pos")
_TWICE = "\0twice"

Level = Literal["skipped", "changed", "note"]


class Finding(NamedTuple):
    """Something about a file that the user should know.

    `skipped`: content that is not imported. `changed`: a text that differs from the file. `note`: nothing was lost.
    """

    level: Level
    where: str
    """`file:line`."""
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.level}: {self.reason}"


class ReadFile(NamedTuple):
    """The examples of one file."""

    path: Path
    examples: list[FewShotExample]
    findings: list[Finding]
    is_blank: bool
    """Whether there is no row at all: nothing, blank lines, or a header only."""


class _BlankFileError(ConfigError):
    """A file without any row."""


class _Row(NamedTuple):
    line: int
    query: Any
    response: Any
    changes: tuple[str, ...] = ()


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
        reader = {".csv": _csv_rows, ".json": _json_rows, ".jsonl": _jsonl_rows}[path.suffix.casefold()]
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
        is_blank = isinstance(error, _BlankFileError)
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


def _example(row: _Row, origin: str) -> tuple[FewShotExample, list[str]]:
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


def _csv_rows(text: str, shown: str, findings: list[Finding]) -> Iterator[_Row]:
    csv.field_size_limit(MAX_FILE_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    header: tuple[str, ...] | None = None
    rows = 0
    try:
        for cells in reader:
            started, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                findings.append(Finding("note", f"{shown}:{started}", "a blank line."))
                continue
            if header is None:
                header = tuple(cell.strip() for cell in cells)
                if header not in _KNOWN_HEADERS:
                    known = ", ".join(sorted({",".join(pair) for pair in _KNOWN_HEADERS}))
                    raise ConfigError(
                        f"{shown}:{started}: header {','.join(cells)[:60]!r} is none of the authors' spellings ({known})."
                    )
                continue
            rows += 1
            while len(cells) > 2 and not cells[-1].strip():
                cells = cells[:-1]
            if len(cells) != 2:
                reason = f"{len(cells)} column(s) where 2 are expected (is a comma not quoted?)."
                findings.append(Finding("skipped", f"{shown}:{started}", reason))
                continue
            yield _Row(started, cells[0], cells[1])
    except csv.Error as error:
        raise ConfigError(f"{shown}:{line}: malformed csv: {error}.") from error
    if header is None:
        raise _BlankFileError(f"{shown}:1: the file is empty.")
    if rows == 0:
        raise _BlankFileError(f"{shown}:1: the file has a header and no row.")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        found[_TWICE] = True
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


def _json_rows(text: str, shown: str, findings: list[Finding]) -> Iterator[_Row]:
    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    def skip_blanks(position: int) -> int:
        while position < len(text) and text[position] in " \t\r\n":
            position += 1
        return position

    position = skip_blanks(0)
    if position == len(text):
        raise _BlankFileError(f"{shown}:1: the file is empty.")
    if text[position] != "[":
        raise ConfigError(f"{shown}:{line(position)}: a JSON list of examples is expected.")
    position = skip_blanks(position + 1)
    if text[position : position + 1] == "]":
        raise _BlankFileError(f"{shown}:{line(position)}: the list is empty.")
    while True:
        started = position
        try:
            item, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{shown}:{error.lineno}: malformed JSON: {error.msg}.") from error
        except RecursionError as error:
            raise ConfigError(f"{shown}:{line(started)}: nested too deeply.") from error
        row = _object_row(item, line(started), shown, findings)
        if row is not None:
            yield row
        position = skip_blanks(position)
        mark = text[position : position + 1]
        if mark not in (",", "]"):
            raise ConfigError(f"{shown}:{line(position)}: malformed JSON: ',' or ']' expected.")
        position = skip_blanks(position + 1)
        if mark == "]":
            break
    if position != len(text):
        raise ConfigError(f"{shown}:{line(position)}: something follows the list.")


def _jsonl_rows(text: str, shown: str, findings: list[Finding]) -> Iterator[_Row]:
    rows = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            if number <= text.count("\n"):
                findings.append(Finding("note", f"{shown}:{number}", "a blank line."))
            continue
        rows += 1
        try:
            item = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{shown}:{number}: malformed JSON: {error.msg}.") from error
        except RecursionError as error:
            raise ConfigError(f"{shown}:{number}: nested too deeply.") from error
        row = _object_row(item, number, shown, findings)
        if row is not None:
            yield row
    if rows == 0:
        raise _BlankFileError(f"{shown}:1: the file is empty.")


def _object_row(item: Any, line: int, shown: str, findings: list[Finding]) -> _Row | None:
    def skip(reason: str) -> None:
        findings.append(Finding("skipped", f"{shown}:{line}", reason))

    if not isinstance(item, dict):
        skip("an object with query and response is expected.")
        return None
    if _TWICE in item:
        skip("a key occurs twice.")
        return None
    given = [key for key in _RESPONSE_KEYS if key in item]
    if "query" not in item or len(given) != 1:
        skip(f"the keys query and response (or pos) are expected; found: {', '.join(sorted(item)) or 'none'}.")
        return None
    changes = []
    others = sorted(set(item) - {"query", *given})
    if others:
        changes.append(f"left out: {', '.join(others)}.")
    response = item[given[0]]
    if isinstance(response, list):
        if not response:
            skip(f"{given[0]} is an empty list.")
            return None
        if len(response) > 1:
            changes.append(f"the first of {len(response)} texts in {given[0]} is used.")
        response = response[0]
    return _Row(line, item["query"], response, tuple(changes))
