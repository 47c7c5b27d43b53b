"""`check`: a run against a baseline, with an exit code that a CI job obeys."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.check.outcome import Outcome

_PATH = click.Path(path_type=Path)


@click.command(
    "check",
    epilog="""\b
Examples
  icl-harness check results/runs/RUN --baseline results/baselines/mini.parquet
  icl-harness check RUN --baseline base.parquet --allow-change weights --junit check.xml
  icl-harness check RUN:kall --against paper/full/fs --tolerance 0.5 --shared-only
\b
Verdicts
  PASS            no difference; with --against: within the tolerance
  WITHIN-NOISE    explained by rounding (same subject) or chance (changed subject)
  IMPROVED        above the noise bound, which fails unless --allow-improved; significantly better
  REGRESSED       below the noise bound, or significantly worse: exit 1
  MISSING, NEW    only the baseline has it: exit 3; only the run has it
  NOT-COMPARABLE  another protocol, or a change that was not allowed: exit 4""",
)
@click.argument("run")
@click.option("--baseline", help="Baseline file (icl-harness baseline update), or a run directory.")
@click.option("--against", help="Scores that carry no identity: a row id such as paper/full/fs, a folder or a parquet.")
@click.option("--tolerance", type=float, help="With --against: allowed difference in points (score x 100).")
@click.option("--shared-only", is_flag=True, help="With --against: leave out what the run does not have.")
@click.option("--tolerance-file", type=_PATH, help="Measured noise bounds (icl-harness noise).")
@click.option(
    "--allow-change",
    multiple=True,
    help="Parts of the subject that may differ, comma-separated: weights, tokenizer, instruction, examples, prompt, "
    "pooling, lengths, dtype, encoder, other.",
)
@click.option("--allow-improved", is_flag=True, help="An unchanged subject may score above its noise bound.")
@click.option("--effect-floor", type=float, help="Smallest difference of a changed subject that counts, points (0.1).")
@click.option("--resamples", type=click.IntRange(100), help="Permutations and bootstrap resamples (10,000).")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON instead of the table.")
@click.option("--junit", type=_PATH, help="Write a JUnit XML file.")
@click.option(
    "--github/--no-github", default=None, help="Annotations and step summary; on by itself in GitHub Actions."
)
def check_command(
    run: str,
    baseline: str | None,
    against: str | None,
    tolerance: float | None,
    shared_only: bool,
    tolerance_file: Path | None,
    allow_change: tuple[str, ...],
    allow_improved: bool,
    effect_floor: float | None,
    resamples: int | None,
    as_json: bool,
    junit: Path | None,
    github: bool | None,
) -> int:
    """Check the scores of RUN (or RUN:configuration) against stored ones. Nothing is written but what is asked for.

    An unchanged subject (same weights, prompt, lengths, ...) must stay within each task's noise bound. A changed one that
    --allow-change names is judged by a paired test. Everything else is NOT-COMPARABLE, never a pass.
    """
    if (baseline is None) == (against is None):
        raise ConfigError("check needs either --baseline or --against; see icl-harness check --help.")
    if against is not None:
        unused: dict[str, object] = {
            "--tolerance-file": tolerance_file,
            "--allow-change": allow_change,
            "--effect-floor": effect_floor,
            "--resamples": resamples,
        }
        outcome = _against(run, against, tolerance, shared_only, allow_improved, unused)
    else:
        if tolerance is not None or shared_only:
            name = "--tolerance" if tolerance is not None else "--shared-only"
            raise ConfigError(f"{name} belongs to --against; with --baseline the bounds come from --tolerance-file.")
        outcome = _baseline(run, str(baseline), tolerance_file, allow_change, allow_improved, effect_floor, resamples)
    _write(outcome, as_json=as_json, junit=junit, github=github)
    return outcome.exit_code


def allowed_changes(values: tuple[str, ...]) -> frozenset[str]:
    """Return the names of --allow-change, given several times or comma-separated."""
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())


def _baseline(
    run: str,
    baseline: str,
    tolerance_file: Path | None,
    allow_change: tuple[str, ...],
    allow_improved: bool,
    effect_floor: float | None,
    resamples: int | None,
) -> Outcome:
    from harness.check.compare import CheckOptions, check_results
    from harness.check.significance import RESAMPLES
    from harness.check.sources import paired_configurations, read_source
    from harness.check.tolerance import EFFECT_FLOOR, POINT, read_tolerances

    if effect_floor is not None and not 0 <= effect_floor <= 100:
        raise ConfigError(f"--effect-floor {effect_floor}: points between 0 and 100 are expected.")
    tolerances = read_tolerances(tolerance_file)
    before, after = read_source(baseline), read_source(run)
    named = before.configuration is not None or after.configuration is not None
    options = CheckOptions(
        allowed=allowed_changes(allow_change),
        allow_improved=allow_improved,
        effect_floor=EFFECT_FLOOR if effect_floor is None else effect_floor * POINT,
        resamples=resamples or RESAMPLES,
        configurations=paired_configurations(before, after) if named else {},
    )
    return check_results(after.results, before.results, tolerances, options)


def _against(
    run: str,
    against: str,
    tolerance: float | None,
    shared_only: bool,
    allow_improved: bool,
    unused: dict[str, object],
) -> Outcome:
    from harness.check.outside import check_against
    from harness.check.sources import read_source

    given = next((name for name, value in unused.items() if value), None)
    if given:
        raise ConfigError(f"{given} belongs to --baseline: outside scores carry no identity and no outcomes to test.")
    if tolerance is None:
        raise ConfigError("--against needs --tolerance POINTS: how far a score may be from the outside one.")
    if not 0 <= tolerance <= 100:
        raise ConfigError(f"--tolerance {tolerance}: points between 0 and 100 are expected.")
    return check_against(
        read_source(run), against, tolerance=tolerance / 100, shared_only=shared_only, allow_improved=allow_improved
    )


def _write(outcome: Outcome, *, as_json: bool, junit: Path | None, github: bool | None) -> None:
    from harness.check import ci, render
    from harness.store.atomic import write_bytes

    if as_json:
        click.echo(json.dumps(render.document(outcome), indent=1, ensure_ascii=False))
    else:
        click.echo(render.terminal(outcome, title=f"{outcome.candidate} against {outcome.baseline}"))
        click.echo(f"\n{render.headline(outcome)}")
    if junit is not None:
        write_bytes(junit, ci.junit(outcome))
    if os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github:
        for line in ci.workflow_commands(outcome):
            click.echo(line, err=as_json)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with Path(summary).open("a", encoding="utf-8") as handle:  # the runner's own file: steps append to it
                handle.write(render.markdown(outcome))
