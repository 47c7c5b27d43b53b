"""`export`: hand the results of a run on."""

from __future__ import annotations

import click

from harness.cli.export_results import model_card_command, mteb_results_command, predictions_command


@click.group("export", short_help="Hand results on: mteb's results repository, model card, per-item outcomes.")
def export_group() -> None:
    """Hand the results of a run on, in the forms that others read. The run itself stays as it is."""


export_group.add_command(mteb_results_command)
export_group.add_command(model_card_command)
export_group.add_command(predictions_command)
