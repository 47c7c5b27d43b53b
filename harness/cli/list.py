"""`list`: what the registry and the profiles hold."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.registry.registry import RegisteredTask, Registry

Row = dict[str, Any]
_PIPED_COLUMNS = 10_000
"""A pipe gets every row on one line, however long."""


@click.command(
    "list",
    short_help="List tasks, benchmarks, model profiles or reference scores.",
    epilog="""\b
Examples
  icl-harness list benchmarks
  icl-harness list tasks --benchmark "MTEB(eng, v2)"
  icl-harness list tasks --json | jq -r '.[].name'""",
)
@click.argument("what", type=click.Choice(["tasks", "benchmarks", "models", "references"]))
@click.option("-b", "--benchmark", multiple=True, metavar="NAME", help="Only tasks that this benchmark counts.")
@click.option(
    "--registry-dir",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Folder with further task files.",
)
@click.option(
    "--examples", default="curated", metavar="SET", help="Count the examples of this set: 'curated' or a folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with every field.")
def list_command(
    what: str, benchmark: tuple[str, ...], registry_dir: tuple[Path, ...], examples: str, as_json: bool
) -> None:
    """List tasks, benchmarks, model profiles (models) or published score rows for `report --reference` (references).

    An alias (=) is another task's name for the same instruction and examples; a part (of) is one of the sub-tasks whose
    mean is the score of an aggregate task. Both can be run by their own names. "trained on" names the models, as far as
    a profile says so, whose training used data of the task.
    """
    if what == "models":
        rows = _models()
    elif what == "references":
        rows = _references()
    else:
        from harness.registry.registry import Registry

        registry = Registry.load(registry_dir, examples=examples)
        rows = _tasks(registry, benchmark) if what == "tasks" else _benchmarks(registry, benchmark)
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        _print_table(_TABLES[what], rows)


def _tasks(registry: Registry, benchmarks: tuple[str, ...]) -> list[Row]:
    if not benchmarks:
        chosen = {entry.name: entry for entry in registry}
    else:
        chosen = {entry.name: entry for name in benchmarks for entry in registry.benchmark(name)}
    trained = _training_data()
    return [_task(entry, trained) for entry in chosen.values()]


def _training_data() -> dict[str, frozenset[str]]:
    """Return the tasks that each model variant was trained on, by "profile (variant)"."""
    from harness.prompts.profile import load_profiles
    from harness.prompts.trained import trained_on

    return {
        f"{profile.name} ({variant})": trained_on(profile, variant)
        for profile in load_profiles().values()
        for variant in profile.trained_on
    }


def _task(entry: RegisteredTask, trained: dict[str, frozenset[str]]) -> Row:
    from harness.prompts.trained import is_trained_on

    return {
        "name": entry.name,
        "type": entry.task_type,
        "benchmarks": list(entry.benchmarks),
        "examples": len(entry.examples),
        "examples_set": entry.examples_set,
        "alias_of": entry.alias_of,
        "part_of": entry.part_of,
        "parts": list(entry.parts),
        "main_metric": entry.main_metric,
        "splits": list(entry.splits),
        "subsets": list(entry.subsets),
        "instructions": {
            name: {"text": instruction.text, "source": instruction.source}
            for name, instruction in entry.instructions.items()
        },
        "trained_on": [model for model, tasks in trained.items() if is_trained_on(entry, tasks)],
        "description": entry.description,
        "file": str(entry.path),
    }


def _benchmarks(registry: Registry, wanted: tuple[str, ...]) -> list[Row]:
    rows = []
    for name in wanted or registry.benchmarks():
        types = Counter(entry.task_type for entry in registry.benchmark(name))
        rows.append({"name": name, "tasks": types.total(), "types": dict(sorted(types.items()))})
    return rows


def _models() -> list[Row]:
    from harness.prompts.profile import load_profiles

    return [
        {
            "profile": profile.name,
            "models": profile.models,
            "kind": profile.kind,
            "takes_examples": profile.template.example is not None,
            "query_max_tokens": profile.query_max_tokens,
            "document_max_tokens": profile.document_max_tokens,
            "source": profile.source,
        }
        for profile in load_profiles().values()
    ]


def _references() -> list[Row]:
    from harness.report.reference_files import list_references

    return [{**row._asdict(), "benchmarks": list(row.benchmarks)} for row in list_references()]


def _relation(row: Row) -> str:
    if row["alias_of"]:
        return f"= {row['alias_of']}"
    if row["part_of"]:
        return f"of {row['part_of']}"
    return f"{len(row['parts'])} parts" if row["parts"] else ""


def _short_source(row: Row) -> str:
    """Return where the default instruction comes from, up to the first remark."""
    source: str = row["instructions"]["default"]["source"]
    for mark in (":", ";", " (", ","):
        source = source.split(mark)[0]
    return source if len(source) <= 40 else source[:39] + "\u2026"


# Per listing: column title -> cell.
_TABLES: dict[str, dict[str, Any]] = {
    "tasks": {
        "task": lambda row: row["name"],
        "type": lambda row: row["type"],
        "benchmarks": lambda row: "; ".join(row["benchmarks"]),
        "examples": lambda row: str(row["examples"]),
        "alias/part": _relation,
        "instruction from": _short_source,
        "trained on": lambda row: ", ".join(row["trained_on"]),
    },
    "benchmarks": {
        "benchmark": lambda row: row["name"],
        "tasks": lambda row: str(row["tasks"]),
        "by type": lambda row: ", ".join(f"{name} {count}" for name, count in row["types"].items()),
    },
    "models": {
        "profile": lambda row: row["profile"],
        "few-shot": lambda row: "yes" if row["takes_examples"] else "no",
        "tokens": lambda row: f"{row['query_max_tokens']}/{row['document_max_tokens']}",
        "models": lambda row: ", ".join(row["models"]),
    },
}
_TABLES["references"] = {
    "reference": lambda row: row["row_id"],
    "model": lambda row: row["model_name"],
    "n-shot": lambda row: row["num_fewshot_label"],
    "training data": lambda row: row["training_data"],
    "benchmarks": lambda row: "; ".join(row["benchmarks"]),
    "tasks": lambda row: str(row["tasks"]),
    "averages": lambda row: str(row["averages"]),
}
_NUMBERS = ("examples", "tasks", "averages")


def _print_table(columns: dict[str, Any], rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[cell(row) for cell in columns.values()] for row in rows]
    on_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [index for index in range(len(columns)) if any(line[index] for line in cells)]
    for position, title in enumerate(list(columns)[index] for index in shown):
        table.add_column(
            title,
            justify="right" if title in _NUMBERS else "left",
            overflow="fold",
            # A name is never broken; the columns behind it are, on a narrow terminal.
            no_wrap=position == 0 or title == "type" or not on_terminal,
        )
    for line in cells:
        table.add_row(*(Text(line[index]) for index in shown))
    console = Console(width=None if on_terminal else _PIPED_COLUMNS, highlight=False)
    if on_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


__all__ = ["list_command"]
