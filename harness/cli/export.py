"""`export`: hand the results of a run on."""

from __future__ import annotations

import importlib
from typing import Any

import click

# command -> (module, attribute, line of the list); modules load only when their command is used.
COMMANDS = {
    "air-bench": (
        "harness.cli.export_air_bench", "air_bench_command", "Write a submission for AIR-Bench's board, or check one.",
    ),
    "mteb-results": (
        "harness.cli.export_results", "mteb_results_command", "Write mteb's result files, as its results repository holds them.",
    ),
    "model-card": ("harness.cli.export_results", "model_card_command", "Write a model card with the results of a run."),
    "predictions": ("harness.cli.export_results", "predictions_command", "Write the outcome of every query, pair or text."),
}  # fmt: skip


class _ExportGroup(click.Group):
    """A group that imports a command's module only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Name the commands where one is mistyped."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no export {args[0]!r}. There are: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)


@click.group(
    "export", cls=_ExportGroup, short_help="Hand results on: AIR-Bench's board, mteb's repository, model card."
)
def export_group() -> None:
    """Hand the results of a run on, in the forms that others read. The run itself stays as it is."""
