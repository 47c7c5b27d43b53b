"""The rows of the authors' example files: csv, json and jsonl, each with its line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from harness.errors import ConfigError

MAX_FIELD_CHARACTERS = 16 << 20
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


class BlankFileError(ConfigError):
    """A file without any row."""


class Row(NamedTuple):
    """One example as the file has it, unchecked."""

    line: int
    query: Any
    response: Any
    changes: tuple[str, ...] = ()
    """What was left out of it."""


def csv_rows(text: str, shown: str, findings: list[Finding]) -> Iterator[Row]:
    """Yield the rows of a csv file with one of the known headers, by column position.

    Raises:
        ConfigError: an unknown header or malformed csv, with `file:line`.
        BlankFileError: no row.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
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
            if len(cells) < 2 or any(cell.strip() for cell in cells[2:]):
                reason = f"{len(cells)} column(s) where 2 are expected (is a comma not quoted?)."
                findings.append(Finding("skipped", f"{shown}:{started}", reason))
                continue
            yield Row(started, cells[0], cells[1])
    except csv.Error as error:
        raise ConfigError(f"{shown}:{line}: malformed csv: {error}.") from error
    if header is None:
        raise BlankFileError(f"{shown}:1: the file is empty.")
    if rows == 0:
        raise BlankFileError(f"{shown}:1: the file has a header and no row.")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        found[_TWICE] = True
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


def json_rows(text: str, shown: str, findings: list[Finding]) -> Iterator[Row]:
    """Yield the objects of a JSON list.

    Raises:
        ConfigError: no list, or malformed JSON, with `file:line`.
        BlankFileError: nothing in it.
    """

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    def skip_blanks(position: int) -> int:
        while position < len(text) and text[position] in " \t\r\n":
            position += 1
        return position

    position = skip_blanks(0)
    if position == len(text):
        raise BlankFileError(f"{shown}:1: the file is empty.")
    if text[position] != "[":
        raise ConfigError(f"{shown}:{line(position)}: a JSON list of examples is expected.")
    position = skip_blanks(position + 1)
    if text[position : position + 1] == "]":
        raise BlankFileError(f"{shown}:{line(position)}: the list is empty.")
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


def jsonl_rows(text: str, shown: str, findings: list[Finding]) -> Iterator[Row]:
    """Yield the objects of a file with one JSON object per line.

    Raises:
        ConfigError: a line is no JSON, with `file:line`.
        BlankFileError: no object.
    """
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
        raise BlankFileError(f"{shown}:1: the file is empty.")


def _object_row(item: Any, line: int, shown: str, findings: list[Finding]) -> Row | None:
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
    return Row(line, item["query"], response, tuple(changes))
