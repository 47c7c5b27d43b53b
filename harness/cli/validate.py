"""`validate`: every problem of the registry, with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.errors import EXIT_USAGE


@click.command(
    "validate",
    short_help="Check registry files; every problem with file:line.",
    epilog="""\b
Examples
  icl-harness validate --registry-dir ./my-tasks
  icl-harness validate --examples ./my-examples
  icl-harness validate --check-names""",
)
@click.option(
    "--registry-dir",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Folder with further task files.",
)
@click.option("--examples", default="curated", metavar="SET", help="Check this example set too: a folder of files.")
@click.option("--check-names", is_flag=True, help="Compare names, splits, metrics and revisions with mteb (seconds).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: counts and a list of file, line, message.")
def validate_command(registry_dir: tuple[Path, ...], examples: str, check_names: bool, as_json: bool) -> None:
    """Check the shipped registry, and folders of your own, for everything that would make a wrong prompt.

    Prints one line per problem (file:line: what is wrong) on stdout and exits with 2, or prints the counts and exits
    with 0. Checked are: form and keys; names that two entries claim; control tokens; equal or repeated examples; length (256
    tokens per text and 1,536 per task, estimated without a tokenizer); and label names against a local data folder. Tasks
    of the shipped benchmarks need five examples and, for classification and clustering, the source of their label names.
    Of an example set only form and task names are checked.
    """
    from harness.registry.validate import validate_registry

    more_checks = None
    if check_names:
        from harness.runners.mteb_names import mteb_problems

        more_checks = mteb_problems
    report = validate_registry(registry_dir, examples=examples, more_checks=more_checks)
    problems = [problem._replace(path=_shown(problem.path)) for problem in report.problems]
    if as_json:
        result = {
            "files": report.files,
            "tasks": report.tasks,
            "examples": report.examples,
            "unverified_labels": list(report.unverified_labels),
            "problems": [{"file": one.path, "line": one.line, "message": one.message} for one in problems],
        }
        click.echo(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        for problem in problems:
            click.echo(str(problem))
        if report.unverified_labels:
            click.echo(f"label names not verified: {', '.join(report.unverified_labels)}")
        noun = "problem" if len(problems) == 1 else "problems"
        click.echo(f"{len(problems)} {noun} in {report.files} files, {report.tasks} tasks, {report.examples} examples")
    if problems:
        click.get_current_context().exit(EXIT_USAGE)


def _shown(path: str) -> str:
    """Return a path below the working directory without that directory."""
    working = Path.cwd()
    return str(Path(path).relative_to(working)) if Path(path).is_relative_to(working) else path


__all__ = ["validate_command"]
