"""`export air-bench`: a submission for AIR-Bench's board, and its check."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command(
    "air-bench",
    short_help="Write a submission for AIR-Bench's board, or check one.",
    epilog="""\b
Exit codes of --check
  0  the board scores it as it is meant
  5  the board refuses it, or it is not safe to unpack
  3  sets are missing: the board shows no average
  4  the board takes it and its scores are wrong
With several, the first of 5, 3, 4.

\b
Examples
  icl-harness export air-bench results/runs/my-run --output-dir submissions
  icl-harness export air-bench --check submissions/BAAI__bge-en-icl-k3_NoReranker.zip --data-dir air-bench
  icl-harness export air-bench results/runs/my-run --folder search_results""",
)
@click.argument("run", metavar="[RUN]", required=False, type=_PATH)
@click.option("--output", metavar="FILE.zip", type=_PATH, help="The zip.  [default: <model>_NoReranker.zip]")
@click.option("--output-dir", metavar="DIR", type=_PATH, help="Folder for a zip of the default name.")
@click.option("--folder", metavar="DIR", type=_PATH, help="Write air-benchmark's folder layout, dev included, instead.")
@click.option("--configuration", metavar="NAME", help="Which results: k0, kall, ...; needed if the run has several.")
@click.option("--name", metavar="NAME", help="Name of the model in the files.  [default: model and configuration]")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("--check", "checked", metavar="FILE.zip", type=_PATH, help="Check a submission instead.")
@click.option("--data-dir", metavar="DIR", type=_PATH, help="With --check: compare ids with the data there.")
@click.option(
    "--benchmark", metavar="VERSION", help="With --check: the version chosen at the upload.  [default: by the files]"
)
def air_bench_command(
    run: Path | None,
    output: Path | None,
    output_dir: Path | None,
    folder: Path | None,
    configuration: str | None,
    name: str | None,
    overwrite: bool,
    checked: Path | None,
    data_dir: Path | None,
    benchmark: str | None,
) -> int:
    """Write the rankings of RUN as AIR-Bench's board takes them: a zip with a JSON file per set, split test only.

    With --folder the files lie where `AIRBench.evaluate_dev` looks for them. With --check FILE.zip nothing is written: every
    way in which the board would refuse or mis-score the file is listed, one line each.
    """
    from harness.errors import ConfigError

    if checked is not None:
        if run is not None or any((output, output_dir, folder, configuration, name, overwrite)):
            raise ConfigError("--check FILE.zip takes neither RUN nor options for writing.")
        return _check(checked, data_dir, benchmark)
    if run is None:
        raise ConfigError("RUN is missing: a run directory. To check a submission: --check FILE.zip.")
    if data_dir is not None or benchmark is not None:
        raise ConfigError("--data-dir and --benchmark belong to --check.")
    if sum(option is not None for option in (output, output_dir, folder)) > 1:
        raise ConfigError("--output, --output-dir and --folder exclude each other.")
    _write(run, output, output_dir, folder, configuration=configuration, name=name, overwrite=overwrite)
    return 0


def _write(
    run: Path,
    output: Path | None,
    output_dir: Path | None,
    folder: Path | None,
    *,
    configuration: str | None,
    name: str | None,
    overwrite: bool,
) -> None:
    from harness.errors import ConfigError, IncompleteRunError
    from harness.export.air_bench.source import SPLITS, open_air_run
    from harness.export.air_bench.write import write_folder, write_zip
    from harness.registry.air_bench_layout import checked_name, zip_name
    from harness.report.text import plural, shorten

    if output is not None:
        if output.suffix != ".zip":
            raise ConfigError(f"--output {output} does not end in .zip.")
        checked_name(output.stem)
    found = open_air_run(run, configuration=configuration, name=name)
    if folder is not None:
        files = write_folder(found.split(*SPLITS), folder, model=found.model, overwrite=overwrite)
        click.echo(f"{folder / found.model}: {plural(len(files), 'file')} of {found.version}")
        return
    results = found.split("test")
    if not results:
        raise IncompleteRunError(
            f"{run} has searched no test queries, and the board takes nothing else. Run it with --splits test; "
            "--folder writes dev results."
        )
    path = output or (output_dir or Path()) / zip_name(found.model)
    size = write_zip(results, path, model=found.model, overwrite=overwrite)
    click.echo(f"{path}: {plural(len(results), 'set')} of {found.version}, {size:,} bytes, model name {found.model}")
    for task_type, absent in found.absent().items():
        names = shorten([one.name for one in absent], 3)
        click.echo(
            f"Without {plural(len(absent), 'set')} of {task_type} ({names}): the board will show no average there"
        )


def _check(path: Path, data_dir: Path | None, version: str | None) -> int:
    from harness.export.air_bench.check import check_zip
    from harness.export.air_bench.ids import data_ids
    from harness.export.air_bench.rules import exit_code
    from harness.report.text import plural

    check = check_zip(path, version=version, ids=data_ids(data_dir))
    for finding in check.findings:
        click.echo(finding.line)
    code = exit_code(check.findings)
    compared = (
        f"ids of {len(check.against_ids)} compared with the data" if check.against_ids else "numbers of queries only"
    )
    click.echo(
        f"{path}: {plural(len(check.sets), 'set')} of {check.version or 'no known version'}, {compared}: "
        f"{'the board would score it as it is meant' if not code else plural(len(check.findings), 'finding')}"
    )
    return code


__all__ = ["air_bench_command"]
