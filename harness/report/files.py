"""Writing reports: one file or two per format, each atomically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.registry import Registry
from harness.report.csv import render_csv
from harness.report.frames import cost_table, few_shot_table, long_table, wide_table
from harness.report.html import render_html
from harness.report.item_files import item_source
from harness.report.latex import render_latex
from harness.report.leaderboard import build_leaderboards
from harness.report.load import load_scores
from harness.report.markdown import render_markdown
from harness.report.table import LeaderboardTable
from harness.store.atomic import write_bytes

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("md", "parquet", "csv", "latex", "html")
DEFAULT_FORMATS = ("md", "parquet")

_FRAMES: dict[str, Callable[[Sequence[LeaderboardTable]], pa.Table]] = {
    "leaderboard": wide_table,
    "leaderboard_long": long_table,
    "leaderboard_fewshot": few_shot_table,
    "leaderboard_cost": cost_table,
}


def write_leaderboard(run_dir: Path, *, registry_dirs: Sequence[Path] = ()) -> list[LeaderboardTable]:
    """Write RUN_DIR/leaderboard.md from RUN_DIR/scores.parquet, with a table of every task.

    manifest.json is not read, because a run writes it last.

    Args:
        run_dir: a run directory.
        registry_dirs: folders with further task files, for benchmarks that they name.

    Returns:
        The tables of the file; a run over tasks of several benchmarks has one for each.

    Raises:
        ResultSchemaError: scores.parquet is missing or corrupt.
        IncompleteRunError: no task has a main score.
        StorageError: the file cannot be written.
    """
    scores = load_scores([run_dir], use_manifest=False)
    tables = build_leaderboards(scores, registry=Registry.load(registry_dirs), items=item_source(scores))
    write_tables(tables, run_dir, formats=("md",), per_task=True)
    return tables


def write_common_leaderboard(folder: Path, run_dirs: Sequence[Path], *, registry_dirs: Sequence[Path] = ()) -> None:
    """Write FOLDER/leaderboard.md over several run directories; raises as `write_leaderboard` does."""
    scores = load_scores(run_dirs, use_manifest=False)
    tables = build_leaderboards(scores, registry=Registry.load(registry_dirs), items=item_source(scores))
    write_tables(tables, folder, formats=("md",), per_task=True)


def write_tables(
    tables: Sequence[LeaderboardTable],
    folder: Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    per_task: bool = False,
) -> list[Path]:
    """Write the tables into a folder, each file atomically; return the files' paths.

    Args:
        tables: what to write.
        folder: made if it does not exist.
        formats: `md` (leaderboard.md), `latex` (leaderboard.tex), `html` (leaderboard.html), `parquet` and `csv`
            (leaderboard.*, leaderboard_long.*, leaderboard_fewshot.*, leaderboard_cost.*).
        per_task: whether leaderboard.md and leaderboard.tex show every task; the other files always do.

    Raises:
        ConfigError: a format is not known.
        StorageError: a file cannot be written.
    """
    check_formats(formats)
    contents: dict[str, bytes] = {}
    if "md" in formats:
        contents["leaderboard.md"] = _text(render_markdown(tables, per_task=per_task))
    if "latex" in formats:
        contents["leaderboard.tex"] = _text(render_latex(tables, per_task=per_task))
    if "html" in formats:
        contents["leaderboard.html"] = _text(render_html(tables))
    for name, make in _FRAMES.items():
        if "parquet" not in formats and "csv" not in formats:
            break
        frame = make(tables)
        if "parquet" in formats:
            contents[f"{name}.parquet"] = _parquet(frame)
        if "csv" in formats:
            contents[f"{name}.csv"] = _text(render_csv(frame))
    for name, content in contents.items():
        write_bytes(folder / name, content)
    return [folder / name for name in contents]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse an empty list of formats and unknown ones.

    Raises:
        ConfigError: names what is known.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ConfigError(f"--format: {', '.join(map(repr, unknown)) or 'nothing'} given. Known: {', '.join(FORMATS)}.")


def _text(content: str) -> bytes:
    # A lone surrogate (a damaged name) has no UTF-8; it is shown escaped, as in the terminal.
    return content.encode("utf-8", "backslashreplace")


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())
