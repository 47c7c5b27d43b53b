"""A plan as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.plan.cost import Cost
    from harness.plan.model import Plan, TaskPlan


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


Recorded = dict[tuple[str, str], "Cost"]
"""(task, configuration) -> what a run encoded."""


def add_recorded(content: dict[str, Any], recorded: Recorded) -> None:
    """Put what a run encoded beside each planned task of a plan's JSON; null where the run has no such result."""
    for one in content["tasks"]:
        cost = recorded.get((one["task"], one["configuration"]))
        one["recorded"] = (
            None if cost is None else {"texts": cost.texts, "distinct_texts": cost.distinct, "tokens": cost.tokens}
        )


def comparison_text(plan: Plan, recorded: Recorded) -> str:
    """Return the planned counts beside those of a run."""
    rows: list[tuple[str, ...]] = [("task", "configuration", "texts", "distinct", "tokens", "planned / encoded tokens")]
    for one in plan.tasks:
        cost = recorded.get((one.task, one.configuration))
        if cost is None:
            continue
        pairs = ((one.cost.texts, cost.texts), (one.cost.distinct, cost.distinct), (one.cost.tokens, cost.tokens))
        cells = [f"{planned} / {found}" for planned, found in pairs]
        ratio = f"{one.cost.tokens / cost.tokens:.3f}" if cost.tokens else "all from the store"
        rows.append((one.task, one.configuration, *cells, ratio))
    if len(rows) == 1:
        return "The run has none of the planned results."
    return "\n".join(_aligned(rows, left=(0, 1)))


def _aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Return rows as lines of equally wide columns; those in `left` begin, the others end together."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def campaign_json(folder: str, plans: Sequence[Plan]) -> dict[str, Any]:
    """Return the plans of a campaign's runs as JSON values, and their sums."""
    from harness.plan.cost import total

    whole = total(plan.total() for plan in plans)
    hours = [plan.rate.hours(plan.total()) for plan in plans]
    return {
        "campaign": folder,
        "runs": [plan_json(plan) for plan in plans],
        "total": {
            "texts": whole.texts,
            "distinct_texts": whole.distinct,
            "tokens": whole.tokens,
            "hours": None if None in hours else sum(one for one in hours if one is not None),
        },
    }


def campaign_text(folder: str, plans: Sequence[Plan]) -> str:
    """Return the plans of a campaign's runs as tables, and a line with their sums."""
    content = campaign_json(folder, plans)
    parts = [f"Run {number} of {len(plans)}\n{plan_text(plan)}\n" for number, plan in enumerate(plans, start=1)]
    whole = content["total"]
    parts.append(
        f"Campaign {folder}: {len(plans)} runs, {show_count(whole['texts'])} texts, {show_count(whole['tokens'])} tokens, "
        f"time {_hours(whole['hours'])}; documents are counted in every run"
    )
    return "\n".join(parts)


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
    head, *lines = _aligned([_TITLES, *rows, *totals], left=(0, 1, len(_TITLES) - 1))
    rule = "-" * max(len(line) for line in (head, *lines))
    lines = [head, rule, *lines[: len(rows)], rule, *lines[len(rows) :], ""]
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
