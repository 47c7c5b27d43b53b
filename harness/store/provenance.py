"""What a run was made with: code, packages, machine, time. Everything but the numbers."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import paths

PACKAGES = (
    "icl-embed-harness",
    "mteb",
    "air-benchmark",
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "datasets",
    "numpy",
    "scikit-learn",
    "scipy",
    "pandas",
    "pyarrow",
    "pytrec-eval-terrier",
)
_SECRET = re.compile(r"hf_[A-Za-z0-9]{20,}|(?<=://)[^/@\s]+@|(?i:authorization:\s*\S+(\s+\S+)?)")


def redact(text: str) -> str:
    """Take tokens, URL credentials and the home folder out of a text that will be stored."""
    text = _SECRET.sub("***", text)
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that can change a score."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_state() -> dict[str, Any]:
    """Return commit and whether the work tree differs from it; empty outside a checkout."""
    root = paths.PACKAGE_DIR.parent
    if not (root / ".git").exists():
        return {}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def machine(device: str) -> dict[str, Any]:
    """Return what the machine is, as far as it can change scores or speed."""
    info: dict[str, Any] = {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "cpu_count": os.cpu_count(),
        "processor": _processor(),
    }
    import torch

    info["torch_threads"] = torch.get_num_threads()
    if device.startswith("cuda"):
        info["gpu"] = torch.cuda.get_device_name(device)
        info["cuda"] = torch.version.cuda
    return info


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor()
    return platform.processor()


def now() -> str:
    """Return the time as ISO 8601 UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
