"""`report`: the leaderboard of any set of run directories."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.report.table import LeaderboardTable

DEFAULT_FORMATS = ("md", "parquet")
_PIPED_COLUMNS = 100


def report(
    paths: list[Path],
    *,
    benchmark: str | None,
    output_dir: Path | None,
    per_task: bool,
    formats: tuple[str, ...] = DEFAULT_FORMATS,
    references: Sequence[str] = (),
    rank_references: bool = False,
    registry_dirs: Sequence[Path] = (),
    intervals: bool = True,
) -> None:
    """Print the leaderboard of some runs and, with an output directory, write its files.

    Args:
        paths: run directories or scores.parquet files; may be empty where there are references.
        benchmark: benchmark whose tasks are counted; None lets the runs' tasks decide.
        output_dir: where the files of the formats go (leaderboard.md, leaderboard.parquet, ...).
        per_task: whether every task is shown as well.
        formats: which files to write: `md`, `parquet`, `csv`, `latex`, `html`.
        references: row ids of shipped reference scores, or paths (`harness.report.reference.load_references`).
        rank_references: whether reference rows are ranked among the runs.
        registry_dirs: folders with further task files, for benchmarks that they name.
        intervals: whether the runs' items are read for the intervals of few-shot minus zero-shot.

    Raises:
        HarnessError: a path, benchmark or format is wrong, a file is corrupt, or nothing can be written.
    """
    from harness.registry import Registry
    from harness.report.files import check_formats, write_tables
    from harness.report.item_files import item_source
    from harness.report.leaderboard import build_leaderboards
    from harness.report.load import load_scores
    from harness.report.reference import load_references

    check_formats(formats)
    registry = Registry.load(registry_dirs)
    scores = load_scores(paths) if paths or not references else None
    air_bench = benchmark is not None and benchmark.startswith("AIR-Bench_")
    loaded = load_references(references, registry=registry, groups=air_bench) if references else None
    items = item_source(scores) if intervals else None
    if benchmark is not None and air_bench:
        from harness.report.air_bench import build_air_tables

        tables = build_air_tables(
            scores,
            version=benchmark,
            registry=registry,
            references=loaded,
            rank_references=rank_references,
            items=items,
        )
    else:
        tables = build_leaderboards(
            scores,
            benchmark=benchmark,
            registry=registry,
            references=loaded,
            rank_references=rank_references,
            items=items,
        )
    print_tables(tables, per_task=per_task)
    if output_dir is not None:
        for path in write_tables(tables, output_dir, formats=formats, per_task=per_task):
            click.echo(f"wrote {path}", err=True)


def print_tables(tables: Sequence[LeaderboardTable], *, per_task: bool = False) -> None:
    """Print leaderboards on stdout, as wide as the terminal.

    Args:
        tables: what to print, in order.
        per_task: whether every task is shown as well.
    """
    from harness.report.terminal import render_terminal

    width = shutil.get_terminal_size((_PIPED_COLUMNS, 24)).columns
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = render_terminal(tables, width=width, per_task=per_task, color=color)
    # A stdout that cannot show a name (an ASCII pipe) gets it escaped.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False)


@click.command("report", short_help="Show the leaderboard of run directories.")
@click.argument("runs", metavar="RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--benchmark", metavar="NAME", help="Count exactly this benchmark's tasks.  [default: by the runs' tasks]"
)
@click.option("--output-dir", metavar="DIR", type=click.Path(path_type=Path), help="Write the files of --format here.")
@click.option(
    "--format",
    "formats",
    metavar="LIST",
    help="Files to write, comma-separated: md, parquet, csv, latex, html.  [default: md,parquet]",
)
@click.option("--per-task", is_flag=True, help="Show every task as well.")
@click.option(
    "--reference",
    "references",
    metavar="ID|PATH",
    multiple=True,
    help="Add published scores: a row id (paper/full/fs, ...; see results/reference), a parquet of stored scores, an mteb "
    "results folder, a result file of AIR-Bench's board, or a run. May be given several times.",
)
@click.option("--rank-references", is_flag=True, help="Rank the rows of --reference among the runs.")
@click.option(
    "--registry-dir",
    "registry_dirs",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with further task files.",
)
@click.option("--no-intervals", is_flag=True, help="Leave out the paired intervals, for which every item is read.")
def report_command(
    runs: tuple[Path, ...],
    benchmark: str | None,
    output_dir: Path | None,
    formats: str | None,
    per_task: bool,
    references: tuple[str, ...],
    rank_references: bool,
    registry_dirs: tuple[Path, ...],
    no_intervals: bool,
) -> None:
    """Print the leaderboard of one or more run directories.

    RUN is a directory that `run` has written, or its scores.parquet. A row is a model, its revision and its
    configuration; a gap is shown as -, has no mean, and never outranks a full row. Rows of --reference are scores from
    elsewhere: they are marked and stand below the ranked rows. Without a RUN the table holds nothing else.

    A row with examples is compared with the same model's row without any, item by item. See docs/reports.md.
    """
    from harness.errors import ConfigError

    if formats is not None and output_dir is None:
        raise ConfigError("--format says which files to write, but there is no --output-dir. Add --output-dir DIR.")
    chosen = DEFAULT_FORMATS if formats is None else tuple(name.strip() for name in formats.split(",") if name.strip())
    if rank_references and not references:
        raise ConfigError("--rank-references has nothing to rank. Add --reference ID or --reference PATH.")
    report(
        list(runs),
        benchmark=benchmark,
        output_dir=output_dir,
        per_task=per_task,
        formats=chosen,
        references=references,
        rank_references=rank_references,
        registry_dirs=registry_dirs,
        intervals=not no_intervals,
    )
