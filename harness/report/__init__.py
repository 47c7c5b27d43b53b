"""Leaderboards from run directories: reads scores.parquet, imports neither torch nor mteb nor the encoder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.report.files import write_leaderboard, write_tables
    from harness.report.leaderboard import build_leaderboards
    from harness.report.load import load_scores
    from harness.report.markdown import render_markdown
    from harness.report.reference import list_references, load_references
    from harness.report.table import LeaderboardTable
    from harness.report.terminal import render_terminal

__all__ = [
    "LeaderboardTable",
    "build_leaderboards",
    "list_references",
    "load_references",
    "load_scores",
    "render_markdown",
    "render_terminal",
    "write_leaderboard",
    "write_tables",
]

_HOME = {
    "LeaderboardTable": "table",
    "build_leaderboards": "leaderboard",
    "list_references": "reference",
    "load_references": "reference",
    "load_scores": "load",
    "render_markdown": "markdown",
    "render_terminal": "terminal",
    "write_leaderboard": "files",
    "write_tables": "files",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
