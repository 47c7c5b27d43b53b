"""`audit`: is any few-shot example a text of the evaluation?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.errors import EXIT_OK, EXIT_REGRESSION

MAX_LINES = 40


@click.command(
    "audit",
    short_help="Compare every few-shot example with every evaluation text at hand.",
    epilog="""\b
Examples
  icl-harness audit --data-dir ./data --output-dir audit/
  icl-harness audit --data-dir ./data --examples example_sets/paper --tasks STS12,SciFact

Exit code 1: a hit that no waiver names.""",
)
@click.option("--data-dir", metavar="DIR", type=click.Path(path_type=Path), help="Evaluation data, a folder per task.")
@click.option("-t", "--tasks", metavar="LIST", help="Only the examples of these tasks.  [default: all]")
@click.option("--examples", metavar="SET|DIR", default="curated", show_default=True, help="Example set to audit.")
@click.option("--registry-dir", metavar="DIR", type=click.Path(path_type=Path), multiple=True, help="More task files.")
@click.option("--waivers", metavar="FILE", type=click.Path(path_type=Path), help="Accepted hits.  [default: packaged]")
@click.option(
    "-o", "--output-dir", metavar="DIR", type=click.Path(path_type=Path), help="Write audit.md, audit.parquet."
)
def audit_command(
    data_dir: Path | None,
    tasks: str | None,
    examples: str,
    registry_dir: tuple[Path, ...],
    waivers: Path | None,
    output_dir: Path | None,
) -> int:
    """Compare both sides of every few-shot example with every evaluation text at hand, of all tasks.

    At hand are the tasks below --data-dir (evaluation splits only) and the packaged mini tasks. Reported are equal texts,
    equal letters and digits, near duplicates and containment; see docs/examples.md. Only the examples are held in memory.
    """
    from harness.audit.report import hit_line, summary, write_report
    from harness.audit.scan import audit, example_texts
    from harness.audit.sources import find_evaluation_files, read_texts
    from harness.audit.waivers import load_waivers, packaged_waivers
    from harness.registry import Registry

    registry = Registry.load(registry_dir, examples=examples)
    accepted = load_waivers(waivers or packaged_waivers())
    files = find_evaluation_files(registry, data_dir)
    names = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    interactive = sys.stderr.isatty()

    def progress(number: int) -> None:
        if interactive:
            click.echo(f"\r{number} texts", err=True, nl=False)

    result = audit(
        example_texts(registry, names),
        (text for file in files for text in read_texts(file)),
        waivers=accepted,
        progress=progress,
    )
    if interactive:
        click.echo("\r\033[K", err=True, nl=False)
    for hit in result.unwaived[:MAX_LINES]:
        click.echo(hit_line(hit))
    if len(result.unwaived) > MAX_LINES:
        click.echo(f"... and {len(result.unwaived) - MAX_LINES} more hits (--output-dir DIR writes all).")
    click.echo(summary(result))
    if data_dir is None:
        click.echo("Without --data-dir only the packaged mini tasks were at hand.", err=True)
    if output_dir is not None:
        for path in write_report(result, output_dir):
            click.echo(f"wrote {path}", err=True)
    return EXIT_REGRESSION if result.unwaived else EXIT_OK
