"""Device, memory and the folders that a run writes to."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.doctor.finding import Finding, note, ok, problem
from harness.encoder.hashing import cache_dir
from harness.errors import ConfigError

_LITTLE_DISK_BYTES = 1 << 30
_SIZE_SECONDS = 2.0
"""Longest time spent on measuring one folder."""


def device_findings() -> Iterator[Finding]:
    """Show the device that `--device auto` takes, and a GPU that this torch cannot use."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001 -- a broken installation raises whatever its loader raises
        reason = " ".join(str(error).split())[:160]
        yield problem("device", f"torch cannot be imported: {reason}", "pip install --force-reinstall torch")
        return
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = f"{torch.cuda.get_device_name()}, {torch.cuda.device_count()} in all"
        memory = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        yield ok("device", f"cuda: {name}, {memory}, CUDA {torch.version.cuda}")
        if not torch.cuda.is_bf16_supported():
            yield note("bfloat16", "this GPU computes it slowly or not at all", "--dtype float16 or float32")
    else:
        yield ok("device", f"cpu, {torch.get_num_threads()} threads")
        if shutil.which("nvidia-smi"):
            built = "for the CPU alone" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
            cure = "install a torch for this GPU's driver: pip install torch, without -c constraints.txt (pytorch.org)"
            yield note(
                "gpu", f"there is a driver (nvidia-smi), but torch {torch.__version__}, {built}, sees no GPU", cure
            )
    yield ok("memory", _memory())


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{total / 2**30:.0f} GiB, {os.cpu_count()} processors"


def caches() -> dict[str, tuple[Path, str]]:
    """Return the folders that runs write to, each with the variable that moves it."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return {
        "vectors": (cache_dir() / "embeddings", "HARNESS_CACHE"),
        "hub cache": (Path(os.environ.get("HF_HUB_CACHE") or home / "hub"), "HF_HUB_CACHE or HF_HOME"),
        "data cache": (Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets"), "HF_DATASETS_CACHE or HF_HOME"),
        "mteb cache": (Path(os.environ.get("MTEB_CACHE") or Path.home() / ".cache" / "mteb"), "MTEB_CACHE"),
        "working folder": (Path.cwd(), ""),
    }


def folder_findings() -> Iterator[Finding]:
    """Check that every cache can be written and has room, and how large it is."""
    for name, (folder, variable) in caches().items():
        yield folder_finding(name, folder, variable)
    yield from limit_findings()


def folder_finding(name: str, folder: Path, variable: str) -> Finding:
    """Check one folder, or the nearest existing folder above it, by writing a file and removing it."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    cure = f"set {variable} to a folder that can be written" if variable else "go to a folder that can be written"
    if not existing.is_dir():
        return problem(name, f"{folder}: {existing} is no folder", cure)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return problem(name, f"{folder}: not writable ({error.strerror})", cure)
    free = shutil.disk_usage(existing).free
    size = "" if name == "working folder" else f"{_size(folder)}, "
    value = f"{folder} ({size}{free / 1e9:.0f} GB free)"
    if free < _LITTLE_DISK_BYTES:
        room = f"free some disk, or set {variable} to a larger one" if variable else "free some disk"
        return problem(name, value, room)
    return ok(name, value)


def _size(folder: Path) -> str:
    """Return the size of a folder, or what was counted of it in two seconds."""
    if not folder.is_dir():
        return "empty"
    total, deadline = 0, time.monotonic() + _SIZE_SECONDS
    for root, _, names in os.walk(folder):
        for one in names:
            try:
                total += os.lstat(os.path.join(root, one)).st_size  # noqa: PTH118 -- a million times
            except OSError:
                continue
        if time.monotonic() > deadline:
            return f"more than {total / 1e9:.1f} GB"
    return f"{total / 1e9:.1f} GB"


def limit_findings() -> Iterator[Finding]:
    """Check the size limit of the store of vectors."""
    from harness.runners.run import cache_limit

    try:
        limit = cache_limit()
    except ConfigError as error:
        yield problem("vector limit", str(error), "unset HARNESS_CACHE_MAX_BYTES, or give a number of bytes")
    else:
        yield ok("vector limit", f"{limit / 1e9:.0f} GB (HARNESS_CACHE_MAX_BYTES)")
