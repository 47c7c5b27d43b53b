"""Runs the command line in a forked process: everything heavy is imported once, by the fork server."""

from __future__ import annotations

import os
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import datasets  # noqa: F401
import mteb  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch

import harness.encoder.decoder
import harness.encoder.sentence
import harness.encoder.vectors
import harness.report.files
import harness.runners.campaign  # noqa: F401
from harness.cli.main import main
from harness.store import provenance


def start(arguments: list[str], *, cache: Path, folder: Path) -> Any:
    """Start `icl-harness ARGUMENTS` in a folder, with a cache of its own; return the process."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_command, args=(arguments, str(cache), str(folder)))
    process.start()
    return process


def _command(arguments: list[str], cache: str, folder: str) -> None:
    os.chdir(folder)
    os.environ["HARNESS_CACHE"] = cache
    torch.set_num_threads(1)
    # The checkout may be edited or committed to while the processes of one test follow each other.
    provenance.git_state = lambda: {}
    sys.stderr = open(Path(folder) / "stderr.txt", "a")  # noqa: SIM115 -- open until the process ends
    sys.stdout = sys.stderr
    sys.exit(main(arguments))
