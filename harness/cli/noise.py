"""`noise`: how far rounding moves scores."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from harness.check.noise import Noise
    from harness.store.stored_run import StoredRun

_PATH = click.Path(path_type=Path)


@click.command(
    "noise",
    epilog="""\b
Examples
  icl-harness noise --model embedded --benchmark mini --num-fewshot 0,3 --repeats 8 --tolerance-file tolerances.yaml
  icl-harness noise results/runs/repeat-* --tolerance-file tolerances.yaml""",
)
@click.argument("runs", nargs=-1, type=_PATH)
@click.option("--tolerance-file", type=_PATH, help="File that the bounds are stored in; others that it holds stay.")
@click.option("--repeats", type=click.IntRange(5, 1000), default=8, show_default=True, help="How often to run.")
@click.option(
    "--keep", type=_PATH, help="Folder for the repeats; a temporary one otherwise. What is there is not run again."
)
@click.option("-m", "--model", help="As in `run`: the model to repeat.")
@click.option("--revision", help="As in `run`.")
@click.option("--profile", help="As in `run`.")
@click.option("-b", "--benchmark", multiple=True, help="As in `run`.")
@click.option("-t", "--tasks", help="As in `run`.")
@click.option("-k", "--num-fewshot", help="As in `run`. The largest noise of the configurations counts.")
@click.option("--data-dir", type=_PATH, help="As in `run`.")
@click.option("--registry-dir", type=_PATH, multiple=True, help="As in `run`.")
@click.option("--offline", is_flag=True, default=None, help="As in `run`.")
@click.option("--batch-tokens", type=int, help="Tokens per batch of the first repeat.")
@click.option("--dtype", help="As in `run`.")
@click.option("--device", help="As in `run`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def noise_command(
    runs: tuple[Path, ...],
    tolerance_file: Path | None,
    repeats: int,
    keep: Path | None,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Measure how far rounding moves scores, per task, model, dtype and hardware class.

    Either from finished run directories RUNS, which differ in --batch-tokens and were made with --no-cache; or, with
    --model, by running --repeats times with other batch plans and threads.
    """
    from harness.check.noise import measure_noise
    from harness.check.tolerance import Tolerances, read_tolerances, write_tolerances
    from harness.store.stored_run import read_run

    given = {key: (None if value == () else value) for key, value in flags.items()}
    named = [key for key, value in given.items() if value is not None]
    if runs and named:
        raise ConfigError(f"give run directories or --{named[0].replace('_', '-')}, not both.")
    if not runs and "model" not in named:
        raise ConfigError("give run directories, or what to repeat: --model M --benchmark B.")
    # A file that cannot be gone on with is told before hours of running.
    old = read_tolerances(tolerance_file) if tolerance_file is not None and tolerance_file.exists() else Tolerances()
    noise = measure_noise([read_run(path) for path in runs] if runs else _repeat(given, repeats, keep, quiet=quiet))
    if tolerance_file is not None:
        write_tolerances(tolerance_file, old.updated(noise.measured))
    if as_json:
        click.echo(json.dumps([one.model_dump() for one in noise.measured], indent=1))
    else:
        _print(noise)
    for warning in noise.warnings:
        click.echo(f"harness: {warning}", err=True)
    if tolerance_file is not None and not as_json:
        click.echo(f"\nWritten: {tolerance_file}")
    return EXIT_OK


def _repeat(flags: dict[str, Any], repeats: int, keep: Path | None, *, quiet: bool) -> Sequence[StoredRun]:
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from harness.cli.progress import RunDisplay
    from harness.config import build_config
    from harness.runners.repeats import run_repeats
    from harness.runners.run import RunHooks

    config = build_config(flags)
    display = RunDisplay(enabled=not quiet)
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icl-harness-noise-")))
        stack.enter_context(display)
        return list(run_repeats(config, repeats, folder, RunHooks(display.message, display.start)))


def _print(noise: Noise) -> None:
    from harness.report.text import visible

    kind: tuple[str, str, str] | None = None
    for one in noise.measured:
        if kind != (one.model, one.dtype, one.hardware):
            kind = (one.model, one.dtype, one.hardware)
            click.echo(visible(f"{one.model}, {one.dtype}, {one.hardware}: {one.repeats} repeats (points)"))
            click.echo(f"  {'task':<44} {'sigma':>9} {'bound':>9}")
        click.echo(f"  {one.task:<44} {one.sigma:>9.3g} {one.bound:>9.3g}")


__all__ = ["noise_command"]
