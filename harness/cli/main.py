"""The command group: verbs are imported when they are used, errors become one line and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from typing import Any

import click

from harness.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_IO, EXIT_TERMINATED, EXIT_USAGE, HarnessError

PROGRAM = "icl-harness"
MAX_ERROR_LINES = 20

# verb -> (module, attribute, line of the command list); modules load only when their verb is used.
VERBS = {
    "run": ("harness.cli.run", "run_command", "Evaluate a model on benchmarks or tasks."),
    "fetch": ("harness.cli.fetch", "fetch_command", "Download models and data for later work without the network."),
    "list": ("harness.cli.list", "list_command", "List tasks, benchmarks, model profiles or reference scores."),
    "validate": ("harness.cli.validate", "validate_command", "Check registry files; every problem with file:line."),
    "prompt": ("harness.cli.prompt", "prompt_command", "Show the exact prompt of a task."),
    "reproduce": ("harness.cli.reproduce", "reproduce_command", "Print or run the command that makes a run again."),
    "report": ("harness.cli.report", "report_command", "Render the leaderboard of one or more runs."),
    "compare": ("harness.cli.compare", "compare_command", "Compare two runs task by task, with paired intervals."),
    "check": ("harness.cli.check", "check_command", "Check a run against a baseline or outside scores; for CI."),
    "baseline": (
        "harness.cli.baseline",
        "baseline_group",
        "Make, show and verify the scores that `check` compares with.",
    ),
    "noise": ("harness.cli.noise", "noise_command", "Measure how far rounding moves scores, for `check`."),
    "examples": ("harness.cli.examples", "examples_group", "Make example sets: import the authors' files, or draw."),
    "cache": ("harness.cli.cache", "cache_group", "Show, check, shrink or clear the store of vectors."),
    "plan": ("harness.cli.plan", "plan_command", "Show what a run would cost, before any weights load."),
    "export": ("harness.cli.export", "export_group", "Hand results on: mteb repository, model card, outcomes."),
    "audit": ("harness.cli.audit", "audit_command", "Look for evaluation texts among the examples (leakage)."),
    "doctor": ("harness.cli.doctor", "doctor_command", "Show versions, devices, caches, and what is missing."),
}

EPILOG = """\b
Exit codes
  0    done
  1    regression; a leak found by `audit` that no waiver names
  2    usage, configuration, registry
  3    incomplete: some task has no result
  4    not comparable
  5    corrupt or untrusted file, or vectors that must not be scored
  70   internal error: a defect of this program
  74   reading or writing failed (disk full, permissions)
  75   temporary: hub not reachable, run locked, data missing under --offline
  130  interrupted; 143 terminated (the same command goes on where it stopped)
With several failures: 5 before 3 before 4 before 1."""


class LazyGroup(click.Group):
    """A group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of VERBS."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb's command."""
        if cmd_name not in VERBS:
            return None
        module, attribute, _ = VERBS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest a verb for a mistyped one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"no verb {args[0]!r}.{hint} Verbs: {', '.join(VERBS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list without importing any verb."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, _, text) in VERBS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
@click.option("-v", "--verbose", is_flag=True, help="Show the log of the libraries as well.")
@click.version_option(package_name="icl-embed-harness", prog_name=PROGRAM)
def cli(debug: bool, verbose: bool) -> None:
    """Evaluate text embedders that learn from examples in their prompt (MTEB, AIR-Bench).

    Start with:  icl-harness run --model embedded --benchmark mini --num-fewshot 0,3
    """
    level = logging.DEBUG if verbose else logging.ERROR
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("harness").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _terminate(*_: object) -> None:
    raise SystemExit(EXIT_TERMINATED)


def _print_error(error: HarnessError) -> None:
    lines = str(error).splitlines() or [type(error).__name__]
    for line in lines[:MAX_ERROR_LINES]:
        click.echo(f"harness: {line}", err=True)
    if len(lines) > MAX_ERROR_LINES:
        click.echo(f"harness: ... and {len(lines) - MAX_ERROR_LINES} more problems.", err=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except HarnessError as error:
        if debug:
            raise
        _print_error(error)
        return error.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("harness: interrupted. The same command goes on with the first unfinished task.", err=True)
        return EXIT_INTERRUPTED
    except SystemExit as error:
        if error.code == EXIT_TERMINATED:
            click.echo("harness: terminated. The same command goes on with the first unfinished task.", err=True)
        return error.code if isinstance(error.code, int) else EXIT_USAGE
    except BrokenPipeError:
        return 0
    except OSError as error:
        if debug:
            raise
        click.echo(f"harness: {error.filename or 'input/output'}: {error.strerror or error}.", err=True)
        return EXIT_IO
    except Exception as error:
        if debug:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        click.echo(f"harness: internal error: {reason}. Please report it with the output under --debug.", err=True)
        return EXIT_INTERNAL
