"""Strict YAML reading: UTF-8 only, no duplicate keys, no anchors, a size limit, and a line for every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.errors import ConfigError

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 16

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class LocatedData(NamedTuple):
    """Parsed YAML and where each value stands."""

    data: Any
    lines: dict[tuple[str | int, ...], int]
    """Path of keys and indices -> 1-based line."""

    def line(self, path: tuple[str | int, ...]) -> int:
        """Return the line of a value, or of its nearest known parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def _check_bytes(raw: bytes, where: str) -> str:
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{where}:1: file is {len(raw)} bytes; at most {MAX_FILE_BYTES} are read.")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{where}:1: file is UTF-16. Save it as UTF-8 without a byte order mark.")
    if raw[:3] == b"\xef\xbb\xbf":
        raise ConfigError(f"{where}:1: file begins with a byte order mark. Save it as UTF-8 without one.")
    for bad, name, mend in (
        (b"\x00", "a NUL byte", "Remove it."),
        (b"\r", "carriage returns", "Save it with LF line ends."),
    ):
        position = raw.find(bad)
        if position >= 0:
            line = raw.count(b"\n", 0, position) + 1
            raise ConfigError(f"{where}:{line}: file holds {name}. {mend}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{where}:{line}: not UTF-8 (byte {raw[error.start]:#04x}).") from error


def parse_yaml(text: str, where: str) -> LocatedData:
    """Parse one YAML document, keeping the line of every value.

    Raises:
        ConfigError: malformed YAML, a duplicate key, an anchor or alias, or nesting over 16 levels,
            with `file:line`.
    """
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ConfigError(
                    f"{where}:{event.start_mark.line + 1}: anchors and aliases (& and *) are not allowed here."
                )
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{where}:{line}: malformed YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}:1: malformed YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise ConfigError(f"{where}:1: nested too deeply.") from error

    lines: dict[tuple[str | int, ...], int] = {}
    constructor = yaml.SafeLoader("")

    def build(current: Any, path: tuple[str | int, ...]) -> Any:
        lines[path] = current.start_mark.line + 1
        if len(path) > MAX_DEPTH:
            raise ConfigError(f"{where}:{lines[path]}: nested deeper than {MAX_DEPTH} levels.")
        if isinstance(current, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in current.value:
                key = str(key_node.value)
                if key in mapping:
                    raise ConfigError(f"{where}:{key_node.start_mark.line + 1}: key {key!r} occurs twice.")
                mapping[key] = build(value_node, (*path, key))
                lines[(*path, key)] = key_node.start_mark.line + 1
            return mapping
        if isinstance(current, yaml.SequenceNode):
            return [build(item, (*path, index)) for index, item in enumerate(current.value)]
        try:
            return constructor.construct_object(current, deep=True)  # type: ignore[no-untyped-call]
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"{where}:{lines[path]}: {current.value!r} cannot be read.") from error

    return LocatedData(None if node is None else build(node, ()), lines)


def read_yaml(path: Path) -> LocatedData:
    """Read one YAML file strictly.

    Raises:
        ConfigError: the file cannot be read or is malformed, with `file:line`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    return parse_yaml(_check_bytes(raw, str(path)), str(path))
