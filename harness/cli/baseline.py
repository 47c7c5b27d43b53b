"""`baseline`: the stored scores that `check` compares with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from harness.check.baseline_file import Baseline, Entry


@click.group(
    "baseline",
    short_help="Make, show and verify the stored scores that `check` compares with.",
    epilog="""\b
Examples
  icl-harness baseline update results/runs/RUN --baseline results/baselines/mini.parquet --reason "first baseline"
  icl-harness baseline show results/baselines/mini.parquet
  icl-harness baseline verify results/baselines/mini.parquet""",
)
def baseline_group() -> None:
    """Make, show and verify the stored scores that `check` compares with.

    A baseline is one parquet file: scores, identities and per-item outcomes of a complete run, and the history of all its
    updates. `update` is its only writer.
    """


@baseline_group.command("update", short_help="Make a complete run the content of a baseline.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--baseline", "path", type=click.Path(path_type=Path), required=True, help="The file; made if missing.")
@click.option("--reason", required=True, help="Why the scores change; kept in the history.")
@click.option("--author", help="Who says so; by default git's user.name and user.email.")
@click.option("--remove-missing", is_flag=True, help="Take out tasks of the baseline that the run does not have.")
@click.option("--json", "as_json", is_flag=True, help="Print the new entry of the history as JSON.")
def update_command(run: Path, path: Path, reason: str, author: str | None, remove_missing: bool, as_json: bool) -> int:
    """Make the complete run RUN the content of a baseline.

    The old scores are not kept, but the history keeps the table from old to new, with author and reason.
    """
    from harness.check.baseline_update import git_author, update_baseline
    from harness.store.provenance import now
    from harness.store.stored_run import read_run

    author = author or git_author(Path())
    if not author:
        raise ConfigError("no author: git knows no user.name here. Give --author 'Name <mail>'.")
    done = update_baseline(
        read_run(run), path, reason=reason, author=author, created=now(), remove_missing=remove_missing
    )
    if as_json:
        click.echo(
            json.dumps({"written": done.written, "sha256": done.entry.sha256(), **done.entry.model_dump()}, indent=1)
        )
        return EXIT_OK
    if not done.written:
        click.echo(f"{path} holds exactly these results already; nothing was written.")
        return EXIT_OK
    _print_changes(done.entry)
    click.echo(f"\nWritten: {path} ({done.size_bytes:,} bytes), sha256 {done.entry.sha256()}")
    return EXIT_OK


@baseline_group.command("show", short_help="Show a baseline's scores and its history.")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--changes", is_flag=True, help="Show the table from old to new of every update.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(path: Path, changes: bool, as_json: bool) -> int:
    """Show a baseline's scores and its history."""
    from harness.check.baseline_file import read_baseline, task_score
    from harness.report.text import percent, visible

    baseline = read_baseline(path)
    if as_json:
        click.echo(json.dumps(_as_dict(baseline), indent=1))
        return EXIT_OK
    model = baseline.manifest["model"]
    machine = baseline.manifest["machine"]
    hardware = machine.get("gpu") or machine.get("processor") or "unknown hardware"
    click.echo(visible(f"{model['model_name']} ({model['dtype']}, {hardware})") + "\n")
    for record in baseline.records:
        metric = record["identity"]["protocol"]["main_metric"]
        score = percent(task_score(record))
        click.echo(f"{record['configuration']:<8} {record['task_name']:<44} {metric:<18} {score:>7}")
    click.echo("\nHistory")
    for number, entry in enumerate(baseline.history, start=1):
        click.echo(f"{number:>3}  {entry.created}  {visible(entry.author)}: {visible(entry.reason)}")
        click.echo(f"     sha256 {entry.sha256()}  {_summary(entry)}")
        if changes:
            _print_changes(entry)
    return EXIT_OK


@baseline_group.command("verify", short_help="Check every hash of a baseline; exit 5 if one is wrong.")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--parent",
    type=click.Path(path_type=Path),
    help="An older version of the file; its history must be the beginning of this one's.",
)
def verify_command(path: Path, parent: Path | None) -> int:
    """Check every hash of a baseline.

    With --parent it is also checked that the file went on from an older version of itself:

    \b
      git show origin/main:results/baselines/mini.parquet > old.parquet
      icl-harness baseline verify results/baselines/mini.parquet --parent old.parquet
    """
    from harness.check.baseline_file import read_baseline
    from harness.check.baseline_update import check_descent
    from harness.report.text import plural

    baseline = read_baseline(path)
    if parent is not None:
        check_descent(baseline, read_baseline(parent))
    click.echo(
        f"{path}: {plural(len(baseline.records), 'result')}, {plural(len(baseline.history), 'update')}, "
        f"sha256 {baseline.content_sha256}"
    )
    return EXIT_OK


def _as_dict(baseline: Baseline) -> dict[str, Any]:
    from harness.check.baseline_file import task_score

    return {
        "source": baseline.manifest,
        "results": [
            {
                **{name: one[name] for name in ("configuration", "task_name", "result_key", "identity")},
                "score": task_score(one),
            }
            for one in baseline.records
        ],
        "history": [{"sha256": one.sha256(), **one.model_dump()} for one in baseline.history],
    }


def _summary(entry: Entry) -> str:
    new = sum(one.old is None for one in entry.changes)
    gone = sum(one.new is None for one in entry.changes)
    moved = sum(None not in (one.old, one.new) and one.old != one.new for one in entry.changes)
    parts = [f"{count} {what}" for count, what in ((new, "new"), (moved, "moved"), (gone, "removed")) if count]
    return ", ".join(parts) or "no score moved"


def _print_changes(entry: Entry) -> None:
    from harness.report.text import percent, points

    for one in entry.changes:
        moved = points(one.new - one.old) if one.old is not None and one.new is not None else ""
        click.echo(
            f"{one.configuration:<8} {one.task_name:<44} {percent(one.old):>7} -> {percent(one.new):>7} {moved:>7}"
            f"  {', '.join(part.partition('.')[2] for part in one.changed)}".rstrip()
        )


__all__ = ["baseline_group"]
