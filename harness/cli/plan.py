"""`plan`: what a run would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.plan.cost import Cost
    from harness.plan.model import Plan, Rate, TaskPlan

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
@click.option("--config", type=_PATH, help="YAML file with these settings, as for run; flags win.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every number.")
def plan_command(
    config: Path | None,
    as_json: bool,
    no_count: bool,
    tokens_per_second: float | None,
    texts_per_second: float | None,
    rate_from: Path | None,
    **flags: Any,
) -> int:
    """Show what a run with the same flags would cost: texts, tokens, vectors, disk, hours, and what is missing offline.

    Needs neither weights nor data nor the network: the numbers come from statistics that ship with the program
    (docs/plan.md says how far they can be trusted). Texts that a task holds twice count once, documents once for all
    values of k. Exit code 0; 2 for a wrong name or flag.
    """
    from harness.config import build_config
    from harness.plan.plan import make_plan

    values: dict[str, Any] = {key: (None if value == () else value) for key, value in flags.items()}
    if config is None and values["model"] is None:
        values["model"] = DEFAULT_MODEL
    settings = build_config(values, config)
    rate = _rate(tokens_per_second, texts_per_second, rate_from)
    plan = make_plan(settings, rate=rate, count=not no_count)
    click.echo(json.dumps(plan_json(plan), indent=1, ensure_ascii=False) if as_json else plan_text(plan))
    return 0


def _rate(tokens: float | None, texts: float | None, run: Path | None) -> Rate:
    from harness.plan.model import Rate
    from harness.plan.plan import rate_of_run

    if sum(one is not None for one in (tokens, texts, run)) > 1:
        raise click.UsageError("give one of --tokens-per-second, --texts-per-second and --rate-from.")
    if run is not None:
        return rate_of_run(run)
    return Rate(tokens_per_second=tokens, texts_per_second=texts)


def _cost_json(cost: Cost, plan: Plan) -> dict[str, Any]:
    from harness.plan.cost import store_bytes, vector_bytes

    dim = plan.embed_dim
    return {
        "texts": cost.texts,
        "distinct_texts": cost.distinct,
        "distinct_is_upper_bound": not cost.exact,
        "tokens": cost.tokens,
        "tokens_without_sharing": cost.tokens_unshared,
        "vectors": cost.vectors,
        "vector_bytes": None if dim is None else vector_bytes(cost.vectors, dim),
        "store_bytes": None if dim is None else store_bytes(cost.vectors, dim),
        "hours": plan.rate.hours(cost),
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON values."""
    from harness.plan.notes import disk_notes

    return {
        "model": plan.model,
        "profile": plan.profile,
        "embed_dim": plan.embed_dim,
        "tokens_from": plan.tokens_from,
        "prefix_tokens_from": plan.prefix_from,
        "rate": {
            "tokens_per_second": plan.rate.tokens_per_second,
            "texts_per_second": plan.rate.texts_per_second,
            "source": plan.rate.source,
        },
        "missing": {"model": plan.model_missing, "tasks": plan.missing},
        "tasks": [
            {
                "task": one.task,
                "part_of": one.part_of,
                "task_type": one.task_type,
                "configuration": one.configuration,
                "num_fewshot": one.num_fewshot,
                "prefix_tokens": one.prefix_tokens,
                "documents_of_earlier_k": one.shared_documents,
                "texts_of_earlier_tasks": one.shared_texts,
                "source": one.source,
                "missing": one.missing,
                **_cost_json(one.cost, plan),
            }
            for one in plan.tasks
        ],
        "totals": {name: _cost_json(plan.total(name), plan) for name in plan.configurations},
        "total": _cost_json(plan.total(), plan),
        "notes": [*plan.notes, *disk_notes(plan)],
    }


def show_count(value: int) -> str:
    """Return a count with at most four digits and a unit: 950, 12.3k, 8.84M, 2.31G."""
    if value < 1000:
        return str(value)
    scaled = float(value)
    for unit in ("k", "M", "G", "T"):
        scaled /= 1000
        if scaled < 999.5 or unit == "T":
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{unit}"
    raise AssertionError(value)


def _hours(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 60:.1f} min" if value < 1 else f"{value:.1f} h"


def _cells(name: str, kind: str, shots: str, prefix: str, cost: Cost, plan: Plan, missing: str) -> list[str]:
    from harness.cli.cache import show_size
    from harness.plan.cost import store_bytes

    size = "-" if plan.embed_dim is None else show_size(store_bytes(cost.vectors, plan.embed_dim))
    return [
        name,
        kind,
        shots,
        show_count(cost.texts),
        ("" if cost.exact else "<") + show_count(cost.distinct),
        prefix,
        show_count(cost.tokens),
        show_count(cost.tokens_unshared),
        size,
        _hours(plan.rate.hours(cost)),
        missing,
    ]


_TITLES = ("task", "type", "k", "texts", "distinct", "prefix", "tokens", "unshared", "store", "time", "data")


def plan_text(plan: Plan) -> str:
    """Return the plan as a table with notes."""
    from harness.plan.model import UNKNOWN
    from harness.plan.notes import disk_notes

    def data(one: TaskPlan) -> str:
        return "not here" if one.missing else "no statistics" if one.source == UNKNOWN else ""

    rows = [
        _cells(one.task, one.task_type, str(one.num_fewshot), str(one.prefix_tokens), one.cost, plan, data(one))
        for one in plan.tasks
    ]
    names = plan.configurations
    totals = [_cells(f"all tasks, {name}", "", "", "", plan.total(name), plan, "") for name in names]
    if len(names) > 1:
        totals.append(_cells("all", "", "", "", plan.total(), plan, ""))
    widths = [max(len(row[at]) for row in [list(_TITLES), *rows, *totals]) for at in range(len(_TITLES))]

    def line(row: list[str]) -> str:
        cells = [
            cell.ljust(w) if at < 2 or at == 10 else cell.rjust(w)
            for at, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    lines = [line(list(_TITLES)), "-" * (sum(widths) + 2 * len(widths) - 2), *map(line, rows)]
    lines += ["-" * len(lines[1]), *map(line, totals), ""]
    lines.append(
        f"Model    {plan.model}, profile {plan.profile}, {plan.embed_dim or 'unknown'} dimensions, float32 vectors"
    )
    lines.append(f"Tokens   {plan.tokens_from}; prefixes: {plan.prefix_from}")
    speed = (
        f"{plan.rate.tokens_per_second:,.0f} tokens/s ({plan.rate.source})"
        if plan.rate.tokens_per_second
        else f"{plan.rate.texts_per_second:,.1f} texts/s ({plan.rate.source})"
        if plan.rate.texts_per_second
        else "no rate: give --tokens-per-second, --texts-per-second, or --rate-from RUN"
    )
    lines.append(f"Time     {speed}; encoding alone")
    absent = [
        *(["the model"] if plan.model_missing else []),
        *([f"the data of {len(plan.missing)} tasks"] if plan.missing else []),
    ]
    lines.append(f"Offline  {'missing here: ' + ' and '.join(absent) if absent else 'everything is here'}")
    return "\n".join([*lines, *(f"Note     {note}" for note in [*plan.notes, *disk_notes(plan)])])


__all__ = ["plan_command", "plan_json", "plan_text"]
