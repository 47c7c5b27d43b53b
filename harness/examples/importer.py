"""From a FlagEmbedding checkout, or a folder of its example files, to an example set of the user."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal, NamedTuple

from harness.errors import ConfigError
from harness.examples.files import check_set_name, write_example_set
from harness.examples.names import TaskNames
from harness.examples.upstream import ReadFile, read_upstream
from harness.examples.upstream_rows import Finding
from harness.registry.registry import Registry
from harness.registry.spec import ExampleFile
from harness.store.atomic import write_bytes

Version = Literal["2024-08", "2024-11"]
DEFAULT_VERSION: Version = "2024-11"
REPORT_FILE = "IMPORT.md"
# The csv files were uploaded in August 2024, the json files in November; the AIR-Bench files are the same in both.
VERSION_OF_ENDING: dict[str, Version | None] = {".csv": "2024-08", ".json": "2024-11", ".jsonl": None}
# Where a checkout keeps example files, in its present and its earlier layouts; everything else there is other data.
_EXAMPLE_PATHS = re.compile(
    r"(^|/)((evaluation/mteb/examples|examples/mteb|bge-en-icl/MTEB)/[^/]+\.(csv|json)"
    r"|(air_bench/examples|examples/air(-bench)?|AIR-Bench)/(qa|long-doc)/[^/]+\.jsonl)$",
    re.IGNORECASE,
)


class ImportResult(NamedTuple):
    """What an import read."""

    set_name: str
    version: Version
    contents: list[ExampleFile]
    findings: list[Finding]
    files_read: int
    left_out: int
    """Files of the other version."""

    @property
    def losses(self) -> list[Finding]:
        """What is missing or differs from the files."""
        return [finding for finding in self.findings if finding.level != "note"]

    def report(self) -> str:
        """Return the report as markdown."""
        examples = sum(len(content.examples) for content in self.contents)
        lines = [
            f"# Import of the example set {self.set_name} (version {self.version})",
            "",
            f"{self.files_read} files read: {examples} examples of {len(self.contents)} tasks.",
        ]
        if self.left_out:
            lines.append(f"{self.left_out} files of the other version were left out (--version).")
        for level, title in (("skipped", "Skipped"), ("changed", "Changed"), ("note", "Notes")):
            found = [finding for finding in self.findings if finding.level == level]
            if found:
                lines += ["", f"## {title}", "", *(f"- {item.where}: {item.reason}" for item in found)]
        return "\n".join(lines) + "\n"


def find_files(path: Path) -> list[Path]:
    """Return the example files at a path: of a checkout those in its known folders, of any other folder all.

    Raises:
        ConfigError: nothing there.
    """
    if path.is_file():
        if path.suffix.casefold() not in VERSION_OF_ENDING:
            raise ConfigError(f"{path}: a .csv, .json or .jsonl file is expected.")
        return [path]
    if not path.is_dir():
        raise ConfigError(
            f"{path}: no such file or folder. Give a FlagEmbedding checkout or a folder of example files."
        )
    files = [
        item
        for item in sorted(path.rglob("*"))
        if item.suffix.casefold() in VERSION_OF_ENDING
        and item.is_file()
        and not any(part.startswith(".") for part in item.relative_to(path).parts)
    ]
    known = [item for item in files if _EXAMPLE_PATHS.search(item.relative_to(path).as_posix())]
    if not (known or files):
        raise ConfigError(f"{path}: holds no .csv, .json or .jsonl file.")
    return known or files


def _choose_version(files: list[Path], wanted: Version | None) -> Version:
    there = {VERSION_OF_ENDING[item.suffix.casefold()] for item in files} - {None}
    if wanted is None:
        only = {version for version in there if version is not None}
        return only.pop() if len(only) == 1 else DEFAULT_VERSION
    if there and wanted not in there:
        raise ConfigError(
            f"--version {wanted}: only files of the other version are there (csv is 2024-08, json is 2024-11)."
        )
    return wanted


def import_examples(registry: Registry, path: Path, *, set_name: str, version: Version | None = None) -> ImportResult:
    """Read the authors' example files.

    Args:
        registry: gives the task names.
        path: a FlagEmbedding checkout, a folder of example files, or one file.
        set_name: name of the set.
        version: 2024-08 (csv) or 2024-11 (json); None takes what is there, and 2024-11 of both.

    Raises:
        ConfigError: nothing to read, or two different files for one task; all such problems, one line each.
    """
    check_set_name(set_name)
    files = find_files(path)
    version = _choose_version(files, version)
    chosen = [item for item in files if VERSION_OF_ENDING[item.suffix.casefold()] in (None, version)]
    names = TaskNames(registry)
    root = path if path.is_dir() else path.parent
    findings: list[Finding] = []
    kept: dict[str, ReadFile] = {}
    empty: list[tuple[str, ReadFile]] = []
    problems: list[str] = []
    for item in chosen:
        shown = str(item)
        task, reason = names.find(item)
        if task is None:
            findings.append(Finding("skipped", f"{shown}:1", reason))
            continue
        relative = item.relative_to(root).as_posix()
        read = read_upstream(item, shown=shown, origin=f"FlagEmbedding {version}, {relative}")
        first = kept.get(task)
        if not read.examples:
            empty.append((task, read))
        elif first is None:
            kept[task] = read
            findings += read.findings
        elif _texts(first) == _texts(read):
            findings.append(Finding("note", f"{shown}:1", f"an identical copy of {first.path}; counted once."))
        else:
            problems.append(f"{shown}:1: a second, different file for task {task!r}; the first is {first.path}.")
    if problems:
        raise ConfigError("\n".join([*problems, "Give the folder of one of them as PATH."]))
    for task, read in empty:
        if task in kept and read.is_blank:
            reason = f"no example in it; those of {task} are in {kept[task].path}."
            findings.append(Finding("note", f"{read.path}:1", reason))
        else:
            findings += read.findings
    contents = [
        ExampleFile(
            task=task,
            examples=read.examples,
            provenance={
                "set": set_name,
                "imported_from": read.path.relative_to(root).as_posix(),
                "version": version,
                "file_sha256": hashlib.sha256(read.path.read_bytes()).hexdigest(),
            },
        )
        for task, read in sorted(kept.items())
    ]
    return ImportResult(set_name, version, contents, findings, len(chosen), len(files) - len(chosen))


def _texts(read: ReadFile) -> list[tuple[str, str]]:
    return [(example.query, example.response) for example in read.examples]


def write_import(result: ImportResult, folder: Path, *, strict: bool) -> list[Path]:
    """Write the set and its report.

    Raises:
        ConfigError: nothing was imported, or, with `strict`, something was skipped or changed; nothing is written then.
        StorageError: the folder cannot be written.
    """
    if strict and result.losses:
        raise ConfigError("\n".join(str(finding) for finding in result.losses))
    if not result.contents:
        reasons = "\n".join(str(finding) for finding in result.losses)
        raise ConfigError(f"no example could be imported.\n{reasons}".rstrip())
    written = write_example_set(folder, result.contents, extend=False)
    write_bytes(folder / REPORT_FILE, result.report().encode("utf-8"))
    return [*written, folder / REPORT_FILE]
