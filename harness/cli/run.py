"""`run`: evaluate a model."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.campaign import Campaign
    from harness.config import RunConfig
    from harness.report.table import LeaderboardTable
    from harness.runners.run import RunSummary

_PATH = click.Path(path_type=Path)


@click.command(
    "run",
    epilog="""\b
Examples
  icl-harness run --model embedded --benchmark mini --num-fewshot 0,3
  icl-harness run --model BAAI/bge-en-icl --benchmark "MTEB(eng, v2)" --num-fewshot 0,all
  icl-harness run --model BAAI/bge-en-icl --benchmark AIR-Bench_24.05 --languages en --splits dev --num-fewshot 0,all
  icl-harness run --model ./my-model --profile bge-en-icl --tasks STS16,SciFact --data-dir ./data --offline
  icl-harness run --config campaign.yaml""",
)
@click.option(
    "-m", "--model", help="embedded, all-MiniLM-L6-v2, bag-of-words, tfidf, static-bag, a model directory, or a hub id."
)
@click.option("--revision", help="Hub commit, tag or branch of the model.")
@click.option("--profile", help="Model profile by name or file; found by the model's name otherwise.")
@click.option("-b", "--benchmark", multiple=True, help="Benchmark; may be given several times.")
@click.option("-t", "--tasks", help="Task names, comma-separated.")
@click.option("-k", "--num-fewshot", help="Examples per query, comma-separated; 'all' = as shipped (the default).")
@click.option(
    "--fewshot-seed", help="Seeds, comma-separated: examples chosen and ordered by each instead of file order."
)
@click.option("--examples", help="Example set: 'curated' (the default) or a folder of example files.")
@click.option(
    "--instructions", help="Instruction set: 'default' (as bge-en-icl was evaluated), 'mteb', or another of the tasks."
)
@click.option("-o", "--output-dir", type=_PATH, help="Run directory; by default one under results/runs/.")
@click.option("--data-dir", type=_PATH, help="Folder with local data, one sub-folder per task.")
@click.option("--registry-dir", type=_PATH, multiple=True, help="Folder with further task files.")
@click.option("--offline", is_flag=True, default=None, help="Never touch the network.")
@click.option("--limit", type=int, help="At most N items per split: FOR TESTING ONLY, the run is marked partial.")
@click.option(
    "--splits", help="Evaluation splits, comma-separated; the benchmark's own otherwise. AIR-Bench: dev,test."
)
@click.option(
    "--languages", help="Comma-separated; ISO 639-3 codes for MTEB (eng,deu), AIR-Bench's own for it (en,de)."
)
@click.option("--task-types", help="AIR-Bench: qa, long-doc.")
@click.option("--domains", help="AIR-Bench: domains, comma-separated (law,finance).")
@click.option("--datasets", help="AIR-Bench: names of data sets, comma-separated (default,gpt3).")
@click.option("--batch-tokens", type=int, help="Tokens per batch, padding included.")
@click.option("--query-max-tokens", type=int, help="Length limit of instruction and query; examples are never cut.")
@click.option("--document-max-tokens", type=int, help="Length limit of documents.")
@click.option("--dtype", help="auto, float32, bfloat16 or float16.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, ...")
@click.option("--tokenization", type=click.Choice(["official", "official-4x", "clean"]), help="See docs/prompts.md.")
@click.option(
    "--attention", type=click.Choice(["auto", "shared", "naive"]), help="shared: the common prefix once; naive: plain."
)
@click.option("--trust-remote-code", is_flag=True, default=None, help="Run code of the model's repository (recorded).")
@click.option(
    "--no-cache", is_flag=True, default=None, help="Neither use nor fill the store of vectors (icl-harness cache)."
)
@click.option(
    "--config", type=_PATH, help="YAML file with these settings, or a campaign (docs/campaigns.md); flags win."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no leaderboard, only the closing lines.")
def run_command(config: Path | None, quiet: bool, **flags: Any) -> int:
    """Evaluate a model on benchmarks or tasks, at one or several numbers of few-shot examples.

    Results are kept task by task in the run directory. The same command again does only what is missing; after a change
    of a weight, an example, an instruction, a length or the data it repeats exactly the tasks that this touches.
    """
    # Before the libraries are imported: they print bars of their own into ours.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from harness.campaign import Campaign, load_config

    settings = load_config({key: (None if value == () else value) for key, value in flags.items()}, config)
    if isinstance(settings, Campaign):
        return _run_campaign(settings, quiet=quiet)
    return run_settings(settings, quiet=quiet)


def run_settings(settings: RunConfig, *, quiet: bool) -> int:
    """Do one run, show what it does and its leaderboard; return the exit code."""
    from harness.cli.progress import RunDisplay
    from harness.report.files import write_leaderboard
    from harness.runners.run import RunHooks, execute

    tables: list[LeaderboardTable] = []

    def render(path: Path) -> None:
        # Kept for the terminal: intervals over large tasks take a while, so they are computed once.
        tables.extend(write_leaderboard(path, registry_dirs=settings.registry_dir))

    display = RunDisplay(enabled=not quiet)
    if settings.limit:
        display.message(f"--limit {settings.limit}: FOR TESTING ONLY. The run is marked partial.")
    with display:
        summary = execute(settings, RunHooks(display.message, display.start, render))
    if not quiet and tables:
        from harness.cli.report import print_tables

        print_tables(tables)
    for name, failure in summary.failures.items():
        click.echo(f"harness: {name}: {failure}", err=True)
    _closing_lines([summary], summary.path)
    return summary.exit_code


def _run_campaign(campaign: Campaign, *, quiet: bool) -> int:
    from harness.cli.progress import RunDisplay
    from harness.report.files import write_common_leaderboard, write_leaderboard
    from harness.runners.campaign import execute_campaign
    from harness.runners.run import RunHooks

    registry_dirs = tuple(dict.fromkeys(folder for run in campaign.runs for folder in run.registry_dir))
    display = RunDisplay(enabled=not quiet)
    if any(run.limit for run in campaign.runs):
        display.message("limit: FOR TESTING ONLY. Its runs are marked partial.")
    with display:
        write = partial(write_leaderboard, registry_dirs=registry_dirs)
        summary = execute_campaign(
            campaign,
            RunHooks(display.message, display.start, write),
            render=partial(write_common_leaderboard, registry_dirs=registry_dirs),
        )
    if not quiet and summary.runs:
        from harness.cli.report import report

        paths = [run.path for run in summary.runs if run.evaluated or run.reused]
        if paths:
            report(paths, benchmark=None, output_dir=None, per_task=False, registry_dirs=registry_dirs)
    for run in summary.runs:
        for name, failure in run.failures.items():
            click.echo(f"harness: {run.path.name}: {name}: {failure}", err=True)
    for name, failure in summary.failures.items():
        click.echo(f"harness: {name}: {failure}", err=True)
    _closing_lines(summary.runs, summary.folder)
    return summary.exit_code


def _closing_lines(runs: list[RunSummary], folder: Path) -> None:
    reused = sum(run.reused for run in runs)
    texts, encoded = sum(run.texts for run in runs), sum(run.encoded for run in runs)
    if reused and not any(run.evaluated or run.failures for run in runs):
        click.echo(f"Nothing to do: all {reused} results are there already.")
    elif reused:
        click.echo(f"{reused} results were there already.")
    click.echo(f"Results: {folder}")
    click.echo(f"{encoded} texts encoded, {texts - encoded} from the store")
    sys.stdout.flush()
