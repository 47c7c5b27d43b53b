"""Example sets on disk: one YAML file per task, as `run --examples DIR` reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.errors import ConfigError
from harness.registry.load import scan_example_set
from harness.registry.spec import ExampleFile, FewShotExample
from harness.store.atomic import write_bytes

SETS_DIR = Path("example_sets")
"""Where sets go and are looked for by name, below the current folder."""
_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Dumper(yaml.SafeDumper):
    """Plain YAML that the strict reader takes: no anchors, texts in double quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')


def _key_values(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.MappingNode:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=False)
    for key, _ in node.value:
        key.style = None
    return node


_Dumper.add_representer(str, _quoted)
_Dumper.add_representer(dict, _key_values)


def check_set_name(name: str) -> str:
    """Return the name of a set.

    Raises:
        ConfigError: not usable as a folder's name, or the name of the curated set.
    """
    if not _SET_NAME.fullmatch(name) or name.casefold() == "curated":
        raise ConfigError(
            f"--set {name!r}: letters, digits and . _ - are expected (at most 64), and not 'curated', which is ours."
        )
    return name


def make_example(query: str, response: str, origin: str) -> FewShotExample:
    """Return a validated example.

    Raises:
        ConfigError: what is wrong with it, without a place.
    """
    try:
        return FewShotExample(query=query, response=response, origin=origin)
    except ValidationError as error:
        reasons = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
            reasons.append((where + ": " if where else "") + item["msg"].removeprefix("Value error, "))
        raise ConfigError("; ".join(reasons)) from error


def file_name(task: str) -> str:
    """Return the file name of a task in a set."""
    return task.replace("/", "_").replace(" ", "_") + ".yaml"


def dump_example_file(content: ExampleFile) -> str:
    """Return an example file's text; the same content gives the same bytes."""
    text: str = yaml.dump(
        content.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20
    )
    return text


def write_example_set(folder: Path, contents: list[ExampleFile], *, extend: bool) -> list[Path]:
    """Write the files of a set and read them back.

    Args:
        folder: folder of the set.
        contents: one per task.
        extend: whether the folder may hold files of other tasks.

    Raises:
        ConfigError: the folder holds files that these do not replace, or a file is not read back as it was.
        StorageError: the folder cannot be written.
    """
    by_name = {file_name(content.task): content for content in contents}
    if not extend and folder.is_dir():
        others = sorted(path.name for path in folder.rglob("*.y*ml") if path.name not in by_name)
        if others:
            raise ConfigError(
                f"{folder} holds {len(others)} other example file(s) ({', '.join(others[:3])} ...), which would become part "
                "of the set. Empty the folder or choose another --set or --output-dir."
            )
    for name, content in by_name.items():
        write_bytes(folder / name, dump_example_file(content).encode("utf-8"))
    files, problems = scan_example_set(folder)
    read_back = {file.content.task: file.content for file in files}
    for content in contents:
        if read_back.get(content.task) != content:
            problems_text = "; ".join(str(problem) for problem in problems) or "the texts differ"
            raise ConfigError(
                f"{folder / file_name(content.task)}: is not read back as it was written ({problems_text})."
            )
    return [folder / name for name in by_name]
