"""`plan`: what a run would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.plan.model import Rate

_PATH = click.Path(path_type=Path)
DEFAULT_MODEL = "BAAI/bge-en-icl"


@click.command(
    "plan",
    short_help="Show what a run would cost, before any weights load.",
    epilog="""\b
Examples
  icl-harness plan --benchmark "MTEB(eng, v2)" --num-fewshot 0,all --tokens-per-second 20000
  icl-harness plan --benchmark AIR-Bench_24.05 --languages en --splits dev --texts-per-second 150
  icl-harness plan --model all-MiniLM-L6-v2 --tasks STS16,SciFact --num-fewshot 0 --data-dir ./data""",
)
@click.option(
    "-m", "--model", help=f"embedded, all-MiniLM-L6-v2, a directory, or a hub id.  [default: {DEFAULT_MODEL}]"
)
@click.option("--revision", help="Hub commit, tag or branch of the model.")
@click.option("--profile", help="Model profile by name or file; found by the model's name otherwise.")
@click.option("-b", "--benchmark", multiple=True, help="Benchmark; may be given several times.")
@click.option("-t", "--tasks", help="Task names, comma-separated.")
@click.option("-k", "--num-fewshot", help="Examples per query, comma-separated; 'all' = as shipped (the default).")
@click.option("--fewshot-seed", help="Seeds, comma-separated, as for run.")
@click.option("--examples", help="Example set: 'curated' (the default) or a folder of example files.")
@click.option("--instructions", help="Instruction set: 'default' or 'mteb'.")
@click.option("--data-dir", type=_PATH, help="Folder with local data, one sub-folder per task: its texts are counted.")
@click.option("--no-count", is_flag=True, help="Take statistics also for tasks with local data (faster).")
@click.option("--registry-dir", type=_PATH, multiple=True, help="Folder with further task files.")
@click.option("--query-max-tokens", type=int, help="Length limit of instruction and query.")
@click.option("--document-max-tokens", type=int, help="Length limit of documents.")
@click.option("--task-types", help="AIR-Bench: qa, long-doc.")
@click.option("--domains", help="AIR-Bench: wiki, law, ... (comma-separated).")
@click.option("--languages", help="ISO codes, comma-separated: en, de, ... for AIR-Bench, eng, ... for mteb.")
@click.option("--datasets", help="AIR-Bench: names of data sets, comma-separated.")
@click.option("--splits", help="Evaluation splits, comma-separated; the benchmark's own otherwise.")
@click.option(
    "--tokens-per-second", type=click.FloatRange(min=0, min_open=True), help="Speed, for the estimated hours."
)
@click.option("--texts-per-second", type=click.FloatRange(min=0, min_open=True), help="The same in texts.")
@click.option("--rate-from", type=_PATH, help="A run directory: take the speed at which that run encoded.")
@click.option("--compare", type=_PATH, help="A run directory: show what it encoded beside what is planned.")
@click.option("--config", type=_PATH, help="YAML file with these settings, or a campaign, as for run; flags win.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every number.")
def plan_command(
    config: Path | None,
    as_json: bool,
    no_count: bool,
    tokens_per_second: float | None,
    texts_per_second: float | None,
    rate_from: Path | None,
    compare: Path | None,
    **flags: Any,
) -> int:
    """Show what a run with the same flags would cost: texts, tokens, vectors, disk, hours, and what is missing offline.

    Needs neither weights nor data nor the network: the numbers come from statistics that ship with the program
    (docs/plan.md says how far they can be trusted). Texts that a task holds twice count once, documents once for all
    values of k. Exit code 0; 2 for a wrong name or flag.
    """
    from harness.campaign import Campaign, load_config
    from harness.cli.plan_output import (
        add_recorded,
        campaign_json,
        campaign_text,
        comparison_text,
        plan_json,
        plan_text,
    )
    from harness.plan.plan import make_plan, recorded_counts

    values: dict[str, Any] = {key: (None if value == () else value) for key, value in flags.items()}
    if config is None and values["model"] is None:
        values["model"] = DEFAULT_MODEL
    settings = load_config(values, config)
    rate = _rate(tokens_per_second, texts_per_second, rate_from)
    if isinstance(settings, Campaign):
        if compare is not None:
            raise click.UsageError("--compare belongs to a single run, not to a campaign.")
        plans = [make_plan(run, rate=rate, count=not no_count) for run in settings.runs]
        folder = str(settings.folder)
        click.echo(_json(campaign_json(folder, plans)) if as_json else campaign_text(folder, plans))
        return 0
    recorded = None if compare is None else recorded_counts(compare)
    plan = make_plan(settings, rate=rate, count=not no_count)
    if as_json:
        content = plan_json(plan)
        if recorded is not None:
            add_recorded(content, recorded)
        click.echo(_json(content))
        return 0
    click.echo(plan_text(plan))
    if recorded is not None:
        click.echo(f"\nPlanned / encoded by {compare}\n{comparison_text(plan, recorded)}")
    return 0


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)


def _rate(tokens: float | None, texts: float | None, run: Path | None) -> Rate:
    from harness.plan.model import Rate
    from harness.plan.plan import rate_of_run

    if sum(one is not None for one in (tokens, texts, run)) > 1:
        raise click.UsageError("give one of --tokens-per-second, --texts-per-second and --rate-from.")
    if run is not None:
        return rate_of_run(run)
    return Rate(tokens_per_second=tokens, texts_per_second=texts)


__all__ = ["plan_command"]
