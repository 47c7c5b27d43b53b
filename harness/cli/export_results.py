"""Commands of the `export` group for mteb: results repository, model card, per-item outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)
_RUN = click.argument("run", metavar="RUN", type=_PATH)
_DIRECTORY = click.argument("directory", metavar="DIR", type=_PATH)
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace files that exist with other content.")


def _say(written: Any, where: Path) -> None:
    parts = [f"{written.new} new", f"{written.unchanged} unchanged", f"{written.replaced} replaced"]
    click.echo(f"{where}: {', '.join(part for part in parts if not part.startswith('0 ')) or 'no'} files")


@click.command(
    "mteb-results",
    short_help="Write mteb's result files, as its results repository holds them.",
    epilog="""\b
Examples
  icl-harness export mteb-results results/runs/my-run results/mteb
  icl-harness export mteb-results results/runs/my-run ../mteb-results --main kall --strict""",
)
@_RUN
@_DIRECTORY
@click.option("--main", metavar="CONFIGURATION", help="Configuration that stands for the model itself: k0, kall, ...")
@click.option("--strict", is_flag=True, help="Refuse what the public results repository would not take.")
@_OVERWRITE
def mteb_results_command(run: Path, directory: Path, main: str | None, strict: bool, overwrite: bool) -> int:
    """Write the results of RUN below DIR/results, where mteb.ResultCache(DIR) finds them.

    The configuration named by --main (the only one, if there is one) becomes the model's own result; the others go below
    `experiments`, one folder per setting (load_experiments="match_name"). DIR may be a clone of the results repository.
    """
    from harness.export.mteb_results import export_mteb_results
    from harness.export.source import open_run

    source = open_run(run)
    done = export_mteb_results(source, directory, main=main, overwrite=overwrite, strict=strict)
    for configuration, folder in done.folders.items():
        click.echo(f"{configuration}: {folder}")
    _say(done.written, directory)
    if done.aggregates:
        click.echo(f"Made from their parts: {', '.join(done.aggregates)}")
    if source.air_bench:
        click.echo(f"Left out: {source.air_bench} AIR-Bench sets, which are none of mteb's tasks")
    for objection in done.objections:
        click.echo(f"The public results repository would not take it: {objection}")
    return 0


@click.command(
    "model-card",
    short_help="Write a model card with the results of a run.",
    epilog="""\b
Example
  icl-harness export model-card results/runs/my-run my-model --configuration kall --card my-model/README.md --overwrite""",
)
@_RUN
@_DIRECTORY
@click.option("--configuration", metavar="NAME", help="Which results: k0, kall, ...; needed if the run has several.")
@click.option("--card", type=_PATH, help="A card to update; its text and other metadata stay.")
@_OVERWRITE
def model_card_command(
    run: Path, directory: Path, configuration: str | None, card: Path | None, overwrite: bool
) -> int:
    """Write DIR/README.md with the results in its YAML header, and DIR/.eval_results with one file per task."""
    from harness.export.model_card import export_model_card
    from harness.export.source import open_run

    done = export_model_card(open_run(run), directory, configuration=configuration, card=card, overwrite=overwrite)
    _say(done.written, directory)
    if done.left_out:
        click.echo(f"Left out, as mteb does not know them: {', '.join(done.left_out)}")
    return 0


@click.command(
    "predictions",
    short_help="Write the outcome of every query, pair or text.",
    epilog="""\b
Examples
  icl-harness export predictions results/runs/my-run outcomes
  icl-harness export predictions results/runs/my-run outcomes --format jsonl --configuration k0""",
)
@_RUN
@_DIRECTORY
@click.option(
    "--format", "form", type=click.Choice(["parquet", "jsonl", "mteb"]), default="parquet", show_default=True,
    help="mteb: its own <task>_predictions.json (Classification, STS, PairClassification).",
)  # fmt: skip
@click.option("--configuration", metavar="NAME", multiple=True, help="Only this one; may be given several times.")
@_OVERWRITE
def predictions_command(run: Path, directory: Path, form: Any, configuration: tuple[str, ...], overwrite: bool) -> int:
    """Write DIR/CONFIGURATION/TASK.parquet (or .jsonl): one row per item, with model, prompt and data revision beside it."""
    from harness.export.predictions import export_predictions
    from harness.export.source import open_run

    source = open_run(run, whole=False)
    done = export_predictions(source, directory, form=form, configurations=configuration, overwrite=overwrite)
    _say(done.written, directory)
    click.echo(f"{done.rows:,} outcomes of {done.tasks} tasks")
    for name, reason in done.left_out.items():
        click.echo(f"Left out: {name} ({reason})")
    return 0


__all__ = ["model_card_command", "mteb_results_command", "predictions_command"]
