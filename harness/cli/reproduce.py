"""`reproduce`: the command that makes a run again, and what differs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.runners.reproduce import RecordedRun

_PATH = click.Path(path_type=Path)


@click.command("reproduce", short_help="Print or run the command that makes a run again.")
@click.argument("run", metavar="RUN", type=_PATH)
@click.option("-o", "--output-dir", type=_PATH, help="Directory of the new run.  [default: RUN-again]")
@click.option("--run", "do_run", is_flag=True, help="Run it, then compare the results with those of RUN.")
@click.option("--no-cache", is_flag=True, help="Encode everything anew instead of taking vectors from the store.")
@click.option("-q", "--quiet", is_flag=True, help="With --run: no progress and no leaderboard.")
def reproduce_command(run: Path, output_dir: Path | None, do_run: bool, no_cache: bool, quiet: bool) -> int:
    """Print the command that makes the same run again, and what differs on this machine.

    RUN is a run directory or its manifest.json, which alone is read. The command holds the commit of a model from the hub
    and the dtype that was used. The output can be given to a shell: what differs stands in comments.

    Exit code 4 if something differs that changes results (weights, data, prompts, mteb), or, with --run, if a result has
    another key than in RUN.
    """
    from harness.errors import EXIT_NOT_COMPARABLE, EXIT_OK, ConfigError
    from harness.registry.registry import Registry
    from harness.runners.differences import Difference, differences
    from harness.runners.reproduce import command_line, commands, read_run, shell_line

    recorded = read_run(run)
    registry: Registry | None = None
    found: list[Difference] = []
    try:
        registry = Registry.load(recorded.config.registry_dir, examples=recorded.config.examples)
    except ConfigError as error:
        found.append(Difference("task files and examples", "readable", str(error).splitlines()[0], True))
    found += differences(recorded, registry)
    folder = recorded.path.parent.resolve()
    output_dir = output_dir or folder.with_name(f"{folder.name}-again")
    again = commands(recorded, registry or Registry.load(), output_dir=output_dir)
    if no_cache:
        again = [config.model_copy(update={"no_cache": True}) for config in again]
    click.echo(f"# Makes again: {recorded.path} ({len(recorded.tasks)} results)")
    click.echo("# Nothing differs on this machine." if not found else "# What differs on this machine:")
    for one in found:
        click.echo(f"#   {' '.join(str(one).split())}")
    for config in again:
        click.echo(shell_line(command_line(config)))
    if do_run:
        return _run_again(again, recorded, output_dir, quiet=quiet)
    return EXIT_NOT_COMPARABLE if any(one.changes_results for one in found) else EXIT_OK


def _run_again(again: list[RunConfig], recorded: RecordedRun, output_dir: Path, *, quiet: bool) -> int:
    from harness.cli.run import run_settings
    from harness.errors import EXIT_NOT_COMPARABLE, EXIT_OK
    from harness.runners.reproduce import compare_with, read_run

    for config in again:
        code = run_settings(config, quiet=quiet)
        if code != EXIT_OK:
            return code
    comparison = compare_with(recorded, read_run(output_dir))
    for line in comparison.lines():
        click.echo(line)
    return EXIT_OK if comparison.all_equal else EXIT_NOT_COMPARABLE
