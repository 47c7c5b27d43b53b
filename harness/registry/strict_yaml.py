"""Strict YAML reading: UTF-8 only, no duplicate keys, anchors or tags, a size limit, and a line for every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.errors import ConfigError

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_NODES = 20_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What the parser says, and what a newcomer to YAML should look for.
_HINTS = (
    ("mapping values are not allowed", "A text with ': ' in it must stand in quotes; keys of one level begin alike."),
    ("cannot start any token", "Indent with blanks, not tabs; a text that begins with @, % or ` must stand in quotes."),
    ("did not find expected key", "Look for a wrong indent, or a quotation mark inside a quoted text."),
    ("did not find expected", "Look for a missing bracket or quotation mark, or a wrong indent."),
    ("unknown escape character", "A backslash in a double-quoted text is written twice."),
    ("but found another document", "A file holds one document; '---' begins another."),
    ("could not find expected ':'", "A key needs a colon and a blank behind it."),
    ("unexpected end of stream", "A quoted text is not closed."),
)


class Problem(NamedTuple):
    """One thing that is wrong in a file."""

    path: str
    line: int
    """1-based; 0 where no line can be named."""
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


class RegistryFileError(ConfigError):
    """Files that cannot be used; the message has one line per problem."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep the problems, each once, for those that list them."""
        problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class LocatedData(NamedTuple):
    """Parsed YAML and where each value stands."""

    data: Any
    lines: dict[tuple[str | int, ...], int]
    """Path of keys and indices -> 1-based line."""

    def line(self, path: tuple[str | int, ...]) -> int:
        """Return the line of a value, or of its nearest known parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1) if path else 1


def _refuse(where: str, line: int, message: str) -> RegistryFileError:
    return RegistryFileError([Problem(where, line, message)])


def check_bytes(raw: bytes, where: str) -> str:
    """Return the text of a file; refuse encodings and characters that no YAML file of this program needs.

    Raises:
        RegistryFileError: with `file:line`.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise _refuse(where, 1, f"file is larger than {MAX_FILE_BYTES} bytes, which is the limit.")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _refuse(where, 1, "file is UTF-16. Save it as UTF-8 without a byte order mark.")
    if raw[:3] == b"\xef\xbb\xbf":
        raise _refuse(where, 1, "file begins with a byte order mark. Save it as UTF-8 without one.")
    for bad, name, mend in (
        (b"\x00", "a NUL byte", "Remove it."),
        (b"\r", "carriage returns", "Save it with LF line ends."),
        ("\u0085".encode(), "the line break U+0085", "Write \\x85 in a double-quoted text."),
        ("\u2028".encode(), "the line break U+2028", "Write \\u2028 in a double-quoted text."),
        ("\u2029".encode(), "the line break U+2029", "Write \\u2029 in a double-quoted text."),
    ):
        position = raw.find(bad)
        if position >= 0:
            raise _refuse(where, raw.count(b"\n", 0, position) + 1, f"file holds {name}. {mend}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refuse(where, line, f"not UTF-8 (byte {raw[error.start]:#04x}). Save the file as UTF-8.") from error


def _syntax_error(error: yaml.YAMLError, text: str, where: str) -> RegistryFileError:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        reason = str(error.problem or error.context)
        hint = next((" " + hint for part, hint in _HINTS if part in reason), "")
        return _refuse(where, mark.line + 1 if mark else 1, f"malformed YAML: {reason}.{hint}")
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return _refuse(where, line, f"file holds the control character U+{_ordinal(error.character):04X}. Remove it.")
    return _refuse(where, 1, f"malformed YAML: {' '.join(str(error).split())}.")


def _ordinal(character: int | str | bytes) -> int:
    return character if isinstance(character, int) else ord(character)


def _check_events(text: str, where: str) -> None:
    """Refuse what no registry file needs and what makes small files large in memory."""
    depth = 0
    problems: list[Problem] = []
    for nodes, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if nodes > MAX_NODES:
            raise _refuse(where, line, f"file has more than {MAX_NODES} keys and values, which is the limit.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refuse(where, line, f"nested deeper than {MAX_DEPTH} levels.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problems.append(
                Problem(where, line, "anchors and aliases (& and *) are not allowed: write the value out, or quote it.")
            )
        if getattr(event, "tag", None):
            problems.append(Problem(where, line, "tags (!) are not allowed: a text that begins with ! needs quotes."))
    if problems:
        raise RegistryFileError(problems)


def parse_yaml(text: str, where: str) -> LocatedData:
    """Parse one YAML document, keeping the line of every value.

    Raises:
        RegistryFileError: malformed YAML, a duplicate key, an anchor, alias or tag, or nesting over 16 levels; with
            `file:line`.
    """
    try:
        _check_events(text, where)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, where) from error

    lines: dict[tuple[str | int, ...], int] = {}
    problems: list[Problem] = []
    constructor = yaml.SafeLoader("")

    def build(current: Any, path: tuple[str | int, ...]) -> Any:
        lines.setdefault(path, current.start_mark.line + 1)
        if isinstance(current, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in current.value:
                line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    problems.append(Problem(where, line, "a key must be plain text."))
                    continue
                key = str(key_node.value)
                if key in mapping:
                    problems.append(Problem(where, line, f"key {key!r} occurs twice."))
                    continue
                lines[(*path, key)] = line
                mapping[key] = build(value_node, (*path, key))
            return mapping
        if isinstance(current, yaml.SequenceNode):
            return [build(item, (*path, index)) for index, item in enumerate(current.value)]
        try:
            return constructor.construct_object(current, deep=True)
        except (yaml.YAMLError, ValueError):
            problems.append(
                Problem(
                    where, current.start_mark.line + 1, f"{current.value[:40]!r} cannot be read. Write it in quotes."
                )
            )
            return None

    data = None if node is None else build(node, ())
    if problems:
        raise RegistryFileError(problems)
    return LocatedData(data, lines)


def read_yaml(path: Path) -> LocatedData:
    """Read one YAML file strictly.

    Raises:
        RegistryFileError: the file cannot be read or is malformed, with `file:line`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _refuse(str(path), 0, f"cannot be read: {error.strerror}.") from error
    return parse_yaml(check_bytes(raw, str(path)), str(path))
