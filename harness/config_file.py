"""Settings files: strict YAML whose every problem is named with its line, and the resolved copies that a run keeps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import ConfigError
from harness.registry.registry import suggest
from harness.registry.strict_yaml import LocatedData, read_yaml

# A folder's hidden files and anything that could leave it are no name for a folder of results.
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class SettingsFile:
    """A parsed settings file: keys with underscores, and where each value stands."""

    path: Path
    values: dict[str, Any]
    located: LocatedData
    _names: dict[str, str]
    """Key with underscores -> the key as it is written."""

    def where(self, *keys: str | int) -> str:
        """Return `file:line` of a value, given by its keys with underscores."""
        written = [self._names.get(key, key) if isinstance(key, str) else key for key in keys]
        return f"{self.path}:{self.located.line(tuple(written))}"

    def unknown_keys(self, values: dict[str, Any], known: Collection[str], *above: str | int) -> list[str]:
        """Return one problem per key that is no setting, with the nearest known one."""
        return [
            f"{self.where(*above, key)}: {self._names.get(key, key)!r} is no setting.{suggest(key, known)}"
            for key in values
            if key not in known
        ]

    def locate(self, problem: str) -> str:
        """Put `file:line` before a problem that quotes a value of this file; another one is returned as it is."""
        quoted = [(text, line) for text, line in self._quotable() if text in problem]
        if not quoted:
            return problem
        _, line = min(quoted, key=lambda found: problem.index(found[0]))
        return f"{self.path}:{line}: {problem}"

    def _quotable(self) -> Iterator[tuple[str, int]]:
        def walk(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str, int]]:
            if isinstance(value, dict):
                for key, inner in value.items():
                    yield from walk(inner, (*path, key))
            elif isinstance(value, list):
                for index, inner in enumerate(value):
                    yield from walk(inner, (*path, index))
            elif isinstance(value, str):
                # `tasks: A, B` is one text that messages quote by its parts.
                for part in {value, *(piece.strip() for piece in value.split(","))}:
                    if part:
                        yield repr(part), self.located.line(path)

        yield from walk(self.located.data, ())


def read_settings(path: Path) -> SettingsFile:
    """Read a settings file.

    Raises:
        ConfigError: it cannot be read, is malformed, is no mapping, or gives a key in two spellings; with `file:line`.
    """
    located = read_yaml(path)
    if not isinstance(located.data, dict):
        raise ConfigError(f"{path}:1: a mapping of settings (`key: value`) is expected.")
    names: dict[str, str] = {}
    values = _plain(located.data, names)
    if len(values) != len(located.data):
        raise ConfigError(f"{path}: a setting is given twice, with '-' and with '_'.")
    return SettingsFile(path, values, located, names)


def _plain(mapping: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the mapping with underscores for hyphens in the keys, mappings inside lists too."""
    plain: dict[str, Any] = {}
    for key, value in mapping.items():
        name = str(key).replace("-", "_")
        names[name] = str(key)
        is_list = isinstance(value, list)
        plain[name] = [_plain(one, names) if isinstance(one, dict) else one for one in value] if is_list else value
    return plain


def dump_settings(values: dict[str, Any], remark: str) -> bytes:
    """Return settings as YAML that `read_settings` reads back to equal values.

    Args:
        values: plain JSON values; None is left out, as it means "not set".
        remark: comment of the first line.
    """
    kept = {key: value for key, value in values.items() if value is not None}
    # Escapes instead of raw letters: the strict reader refuses some line breaks of Unicode.
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=False, default_flow_style=None, width=120)
    return f"# {remark}\n{text}".encode()


def folder_name(text: str) -> str:
    """Return a text as the name of a folder: letters, digits and . _ - alone."""
    return _UNUSABLE.sub("_", text).strip(".") or "run"
