"""`compare`: two runs side by side, with paired intervals."""

from __future__ import annotations

import json

import click

from harness.errors import EXIT_INCOMPLETE, EXIT_NOT_COMPARABLE, EXIT_OK


@click.command(
    "compare",
    epilog="""\b
Examples
  icl-harness compare results/runs/A results/runs/B
  icl-harness compare RUN:k0 RUN:k3            what examples change, in one run
  icl-harness compare results/baselines/mini.parquet RUN --json""",
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--resamples", type=click.IntRange(100), help="Permutations and bootstrap resamples (10,000).")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of the table.")
def compare_command(first: str, second: str, resamples: int | None, as_json: bool) -> int:
    """Compare two runs, or two configurations, task by task: B minus A, with intervals and adjusted p.

    Each of A and B is a run directory or a baseline file, with :configuration where there are several. The subjects may
    differ in anything; the protocol (data, metric, splits, limit) must be the same, else a task is NOT-COMPARABLE.
    Exit code 0 whatever the differences, 4 if a shared task is not comparable, 3 if no task is shared.
    """
    from harness.check import render
    from harness.check.compare import ALL_CHANGES, CheckOptions, check_results
    from harness.check.outcome import Verdict
    from harness.check.significance import RESAMPLES
    from harness.check.sources import paired_configurations, read_source

    before, after = read_source(first), read_source(second)
    options = CheckOptions(
        allowed=ALL_CHANGES,
        allow_improved=True,
        resamples=resamples or RESAMPLES,
        configurations=paired_configurations(before, after),
        complete=False,
    )
    outcome = check_results(after.results, before.results, None, options)
    if as_json:
        click.echo(json.dumps(render.document(outcome), indent=1, ensure_ascii=False))
    else:
        differences = render.changes_list(outcome)
        title = f"{second} minus {first}"
        if differences:
            title += "\nDifferent: " + "; ".join(differences)
        click.echo(render.terminal(outcome, title=title))
        click.echo(f"\n{render.summary_line(outcome)}")
    if outcome.count(Verdict.NOT_COMPARABLE):
        return EXIT_NOT_COMPARABLE
    return EXIT_OK if any(one.difference is not None for one in outcome.tasks) else EXIT_INCOMPLETE
