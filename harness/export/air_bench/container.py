"""The zip itself: what is in it, and whether it can be opened without harm. Nothing is unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.errors import StorageError
from harness.export.air_bench.rules import Finding
from harness.report.text import shorten

MAX_MEMBERS = 1000
"""The larger version has 69 sets."""
MAX_MEMBER_BYTES = 1 << 30
"""The largest result file that can be, 6,319 queries of 1000 hits, has about 300 MB."""
MAX_TOTAL_BYTES = 16 << 30
MAX_RATIO = 100
"""Result files shrink to between a third and a tenth."""
RATIO_FROM_BYTES = 1 << 20
_SCORED_DEPTH = 3
_REGULAR = (0, stat.S_IFREG)


class Members(NamedTuple):
    """What the board's walk over the unpacked zip meets."""

    scored: list[zipfile.ZipInfo]
    """`<task type>/<domain>/<file>.json`."""
    findings: list[Finding]


def open_zip(path: Path) -> zipfile.ZipFile | Finding:
    """Open a zip, or say why it is none.

    Raises:
        StorageError: the file is not there or cannot be read.
    """
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        return Finding("not-a-zip", "", f"{path.name} is no zip, or a truncated one ({error})")


def list_members(archive: zipfile.ZipFile) -> Members:
    """Sort the members as the board's walk does. With an unsafe member nothing is scored."""
    findings = [finding for info in archive.infolist() for finding in _unsafe(info)]
    findings += _size(archive)
    findings += _repeated(archive)
    if findings:
        return Members([], findings)
    scored: list[zipfile.ZipInfo] = []
    for info in archive.infolist():
        if info.is_dir():
            continue
        parts = PurePosixPath(info.filename).parts
        if len(parts) == _SCORED_DEPTH and info.filename.endswith(".json"):
            scored.append(info)
        elif len(parts) == _SCORED_DEPTH - 1:
            what = "a file stands where only folders of domains may stand (macOS and some zip programs add such files)"
            findings.append(Finding("file-in-task-folder", info.filename, what))
        elif info.filename.endswith(".json") and len(parts) != 1:
            what = f"it lies {len(parts)} levels deep; result files are <task type>/<domain>/<language>_<dataset>_test.json"
            findings.append(Finding("not-scored", info.filename, what))
        else:
            findings.append(Finding("stray-file", info.filename, "no result file"))
    if not scored:
        names = shorten([info.filename for info in archive.infolist()], 3) or "the zip is empty"
        findings.append(
            Finding(
                "nothing-to-score", "", f"no file lies at <task type>/<domain>/<language>_<dataset>_test.json ({names})"
            )
        )
    return Members(scored, findings)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | Finding:
    """Read one member, never more than it says it has."""
    try:
        with archive.open(info) as handle:
            content = handle.read(info.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        return Finding("damaged-member", info.filename, f"cannot be unpacked ({error})")
    if len(content) != info.file_size:
        return Finding("damaged-member", info.filename, f"says {info.file_size} bytes and holds {len(content)} or more")
    return content


def _unsafe(info: zipfile.ZipInfo) -> list[Finding]:
    name = info.orig_filename
    found = []
    # `filename` has backslashes mended and is cut at a NUL; what the zip says is `orig_filename`.
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\\" in name or "\0" in name or name[1:2] == ":":
        found.append(
            Finding("unsafe-path", name, "the path leads out of the folder, or has a backslash or drive letter")
        )
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in _REGULAR and not (kind == stat.S_IFDIR and info.is_dir()):
        found.append(Finding("symlink", name, "it is a link or special file"))
    if info.flag_bits & 0x1:
        found.append(Finding("encrypted", name, "it is encrypted"))
    return found


def _size(archive: zipfile.ZipFile) -> list[Finding]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        return [Finding("bomb", "", f"{len(members)} members; a submission has at most 69 result files")]
    total = sum(info.file_size for info in members)
    if total > MAX_TOTAL_BYTES:
        return [Finding("bomb", "", f"unpacks to {total:,} bytes")]
    found = []
    for info in members:
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > MAX_MEMBER_BYTES or (info.file_size > RATIO_FROM_BYTES and ratio > MAX_RATIO):
            what = f"unpacks from {info.compress_size:,} to {info.file_size:,} bytes"
            found.append(Finding("bomb", info.filename, what))
    return found


def _repeated(archive: zipfile.ZipFile) -> list[Finding]:
    seen: dict[str, str] = {}
    found = []
    for info in archive.infolist():
        # Some disks do not tell case apart.
        key = info.filename.rstrip("/").casefold()
        if key in seen:
            found.append(Finding("duplicate-member", info.filename, f"stands there twice, also as {seen[key]}"))
        seen[key] = info.filename
    return found
