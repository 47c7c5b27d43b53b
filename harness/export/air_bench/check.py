"""`export air-bench --check`: every way in which the board refuses or mis-scores a submission."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from harness.errors import TaskNotFoundError
from harness.export.air_bench.container import list_members, open_zip, read_member
from harness.export.air_bench.ids import IdSource
from harness.export.air_bench.parse import Hits, NotJsonError, parse
from harness.export.air_bench.rankings import check_rankings
from harness.export.air_bench.rules import Finding
from harness.registry.air_bench import AirBenchSet, air_bench_sets, air_bench_versions
from harness.registry.air_bench_layout import NO_RERANKER, file_name, member_path
from harness.registry.names import suggest
from harness.report.text import shorten

_CHECKED_FIELDS = ("benchmark_version", "task_type", "domain", "language", "search_results")


@dataclass
class Check:
    """What a check found."""

    findings: list[Finding]
    version: str = ""
    """Version of AIR-Bench that was checked against."""
    models: list[str] = field(default_factory=list)
    sets: list[AirBenchSet] = field(default_factory=list)
    """The sets that the board would score."""
    against_ids: list[AirBenchSet] = field(default_factory=list)
    """Those of them whose ids were compared with the data."""


class _File(NamedTuple):
    member: str
    fields: dict[str, Any]
    air_set: AirBenchSet | None


def check_zip(path: Path, *, version: str | None = None, ids: IdSource | None = None) -> Check:
    """Check a submission. Nothing is unpacked to disk, and one file is in memory at a time.

    Args:
        path: the zip.
        version: version that will be chosen at the upload; default the one that most of its files name. AIR-Bench_mini, which
            no board has, must be named.
        ids: where ids of documents and queries come from; without it counts are compared.

    Raises:
        StorageError: the file cannot be read.
        TaskNotFoundError: no such version.
    """
    if version is not None:
        air_bench_sets(version)
    opened = open_zip(path)
    if isinstance(opened, Finding):
        return Check([opened])
    with opened as archive:
        scored, findings = list_members(archive)
        check = Check(findings)
        files = []
        for info in sorted(scored, key=lambda one: one.filename):
            file = _check_file(archive, info, check, version, ids)
            if file is not None:
                files.append(file)
    _check_versions(files, check, version)
    _check_models(files, path, check)
    _check_sets(files, check)
    return check


def _check_file(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, check: Check, version: str | None, source: IdSource | None
) -> _File | None:
    content = read_member(archive, info)
    if isinstance(content, Finding):
        check.findings.append(content)
        return None
    # The path says which ids to compare with while parsing; a file under another name is parsed again.
    expected = _set_of_path(info.filename, version)
    ids = source(expected) if expected is not None and source is not None else None
    try:
        parsed = parse(content, ids.documents if ids else None)
    except NotJsonError as error:
        check.findings.append(Finding("not-json", info.filename, f"no JSON: {error}"))
        return None
    if not isinstance(parsed, Hits):
        check.findings.append(
            Finding("not-an-object", info.filename, f"a JSON {type(parsed).__name__}, no object with fields")
        )
        return None
    if parsed.repeated is not None:
        check.findings.append(
            Finding("duplicate-key", info.filename, f"the field {parsed.repeated!r} stands there twice")
        )
    findings, air_set = _check_fields(info.filename, parsed.fields, version)
    check.findings += findings
    if air_set is not None:
        if air_set != expected and source is not None:
            ids = source(air_set)
            parsed = parse(content, ids.documents if ids else None)
        check.findings += check_rankings(info.filename, parsed.fields["search_results"], air_set, ids)
        check.sets.append(air_set)
        if ids is not None:
            check.against_ids.append(air_set)
    return _File(info.filename, parsed.fields, air_set)


def _set_of_path(member: str, version: str | None) -> AirBenchSet | None:
    """Return the set whose place this is; of the sets that both versions have, the newer one's."""
    for name in (version,) if version else reversed(air_bench_versions()):
        for one in air_bench_sets(name):
            if "test" in one.splits and member_path(one, "test") == member:
                return one
    return None


def _check_fields(member: str, fields: dict[str, Any], chosen: str | None) -> tuple[list[Finding], AirBenchSet | None]:
    """Check the fields besides the rankings in the board's order; return the set, if the board would score the file."""
    # air-benchmark 0.0.4 and older called the data set `task_name`, and the board still takes it.
    dataset = fields.get("dataset_name", fields.get("task_name"))
    missing = [name for name in _CHECKED_FIELDS if name not in fields]
    if dataset is None:
        missing.append("dataset_name")
    if missing:
        return [Finding("missing-field", member, f"without {', '.join(missing)}")], None
    findings = []
    if "split" not in fields:
        findings.append(Finding("no-split", member, "without `split`"))
    if "model_name" not in fields:
        findings.append(Finding("no-name", member, "without `model_name`"))
    version = fields["benchmark_version"]
    if not isinstance(version, str) or version not in (*air_bench_versions(), chosen):
        what = f"benchmark_version {version!r} is none of the board's ({', '.join(air_bench_versions())})"
        findings.append(Finding("unknown-version", member, what))
        if not _has_sets(version):
            return findings, None
    split = fields.get("split", "test")
    if split != "test":
        return [*findings, Finding("wrong-split", member, f"its split is {split!r}, not 'test'")], None
    task_type, domain, _ = PurePosixPath(member).parts
    for name, folder in (("task_type", task_type), ("domain", domain)):
        if fields[name] != folder:
            return [*findings, Finding("wrong-folder", member, f"its {name} is {fields[name]!r}")], None
    air_set = _find_set(version, task_type, domain, fields["language"], dataset)
    if isinstance(air_set, str):
        return [*findings, Finding("unknown-set", member, air_set)], None
    if "test" not in air_set.splits:
        what = f"{version} has {air_set.name} for local scoring only"
        return [*findings, Finding("no-test-split", member, what)], None
    if PurePosixPath(member).name != file_name(air_set, "test"):
        findings.append(Finding("file-name", member, f"air-benchmark calls it {file_name(air_set, 'test')}"))
    return findings, air_set


def _has_sets(version: object) -> bool:
    """Whether the sets of a version are known that the board does not have (the mini one)."""
    try:
        return isinstance(version, str) and bool(air_bench_sets(version))
    except TaskNotFoundError:
        return False


def _find_set(version: str, task_type: str, domain: str, language: object, dataset: object) -> AirBenchSet | str:
    sets = air_bench_sets(version)
    for one in sets:
        if (one.task_type, one.domain, one.language, one.dataset) == (task_type, domain, language, dataset):
            return one
    name = f"{task_type}/{domain}/{language}_{dataset}"
    known = [f"{one.task_type}/{one.domain}/{one.language}_{one.dataset}" for one in sets]
    return f"{version} has no set {name}.{suggest(name, known)}".rstrip(".")


def _check_versions(files: list[_File], check: Check, version: str | None) -> None:
    named = [str(file.fields.get("benchmark_version")) for file in files]
    known = (*air_bench_versions(), version)
    counted = [name for name in named if name in known]
    check.version = version or (max(counted, key=lambda name: (counted.count(name), name)) if counted else "")
    for file, name in zip(files, named, strict=True):
        if name in known and name != check.version:
            what = f"it is of {name}, the submission of {check.version}"
            check.findings.append(Finding("wrong-version", file.member, what))
    check.sets = [one for one in check.sets if one.version == check.version]


def _check_models(files: list[_File], path: Path, check: Check) -> None:
    pairs = {
        (str(file.fields["model_name"]), str(file.fields.get("reranker_name", NO_RERANKER)))
        for file in files
        if "model_name" in file.fields
    }
    check.models = sorted({model for model, _ in pairs})
    if len(pairs) > 1:
        names = shorten(sorted(f"{model} with {reranker}" for model, reranker in pairs), 3)
        check.findings.append(Finding("model-name", "", f"the files come from {len(pairs)} models: {names}"))
    elif pairs:
        ((model, reranker),) = pairs
        if path.name != f"{model}_{reranker}.zip":
            what = f"the files say {model!r} with {reranker!r}, the zip is called {path.name!r}"
            check.findings.append(Finding("model-name", "", what))


def _check_sets(files: list[_File], check: Check) -> None:
    seen: dict[str, str] = {}
    for file in files:
        if file.air_set is not None and file.air_set.version == check.version:
            name = file.air_set.name
            if name in seen:
                check.findings.append(Finding("repeated-set", file.member, f"{name} stands also in {seen[name]}"))
            seen[name] = file.member
    for task_type in sorted({one.task_type for one in check.sets}):
        wanted = [one for one in air_bench_sets(check.version) if one.task_type == task_type and "test" in one.splits]
        absent = [f"{one.domain}/{one.language}_{one.dataset}" for one in wanted if one.name not in seen]
        if absent:
            what = f"{len(absent)} of the {len(wanted)} sets of {task_type} are missing: {shorten(absent, 4)}"
            check.findings.append(Finding("missing-set", "", what))
