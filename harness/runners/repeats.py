"""The same run several times with other batch plans and threads, from which `noise` learns how far rounding goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.config import RunConfig
from harness.errors import IncompleteRunError
from harness.runners.run import RunHooks, execute
from harness.store.stored_run import StoredRun, read_run

PLANS = (1, 1 / 2, 1 / 4, 2, 1 / 8, 4, 3 / 4, 3 / 8, 3 / 2, 1 / 16)
"""Tokens of a batch, as multiples of the first repeat's."""


def run_repeats(config: RunConfig, repeats: int, folder: Path, hooks: RunHooks) -> Iterator[StoredRun]:
    """Do a run several times, each in a directory of its own below `folder`; yield each as it is done.

    Vectors are computed anew every time. A repeat that is there already is not done again.

    Raises:
        IncompleteRunError: a task of a repeat failed.
    """
    import torch

    threads, most = torch.get_num_threads(), os.cpu_count() or 1
    first: int | None = config.batch_tokens
    try:
        for number in range(repeats):
            plan = PLANS[number % len(PLANS)]
            # From the second round on the plans are new ones, between those of the first.
            tokens = None if first is None else max(int(first * plan) + number // len(PLANS), 1)
            torch.set_num_threads(1 + number % most)
            path = folder / f"repeat-{number + 1}"
            hooks.message(f"repeat {number + 1} of {repeats}")
            settings = config.model_copy(update={"output_dir": path, "batch_tokens": tokens, "no_cache": True})
            summary = execute(settings, replace(hooks, render=None))
            for name, failure in summary.failures.items():
                raise IncompleteRunError(f"repeat {number + 1}: {name}: {failure}")
            run = read_run(path)
            first = first or int(run.records[0]["details"]["batch_tokens"])
            yield run
    finally:
        torch.set_num_threads(threads)
