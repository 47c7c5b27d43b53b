"""`cache`: the store of embeddings on disk."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_CORRUPT, EXIT_OK

if TYPE_CHECKING:
    from harness.encoder.vectors import EmbeddingStore

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _size(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Return a number of bytes: 20GB, 1.5 GiB, 500000."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Z]*)", value.strip().upper(), flags=re.ASCII)
    if match is None or match[2] not in _UNITS:
        raise click.BadParameter(f"{value!r} is no size. Give bytes, or a number with KB, MB, GB, TB, KiB, MiB or GiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def show_size(size_bytes: int) -> str:
    """Return a size with a unit that leaves one to three digits before the point."""
    value = float(size_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _open() -> EmbeddingStore | None:
    """Return the store, or None where nothing was ever stored (looking must not make folders)."""
    from harness.encoder.vectors import EmbeddingStore, embeddings_dir

    if embeddings_dir().is_dir():
        return EmbeddingStore()
    click.echo(f"Nothing is stored yet in {embeddings_dir()}")
    return None


@click.group(
    "cache",
    short_help="Show, check, shrink or empty the store of embeddings.",
    epilog="""\b
Examples
  icl-harness cache info
  icl-harness cache prune --max-size 20GB""",
)
def cache_group() -> None:
    """Show, check, shrink or empty the store of embeddings.

    Runs keep every vector below HARNESS_CACHE/embeddings and encode no text twice under the same model, prompt and
    lengths. It can be used, checked and emptied while runs are going on.
    """


@cache_group.command("info", short_help="Show where the store is and what it holds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info_command(as_json: bool) -> int:
    """Show where the store is and what it holds."""
    store = _open()
    if store is None:
        return EXIT_OK
    with store:
        info = store.info()
    if as_json:
        click.echo(json.dumps({**info._asdict(), "directory": str(info.directory)}, indent=1))
        return EXIT_OK
    click.echo(f"Folder     {info.directory}")
    click.echo(f"Texts      {info.texts:,} in {info.shards:,} shards, for {info.scopes:,} models, prompts and lengths")
    click.echo(f"Size       {show_size(info.size_bytes)}, index {show_size(info.index_bytes)}")
    if info.corrupt_files:
        where = info.directory / "corrupt"
        click.echo(f"Set aside  {info.corrupt_files:,} damaged files, {show_size(info.corrupt_bytes)}, in {where}")
    return EXIT_OK


@cache_group.command("verify", short_help="Check every byte; exit 5 if something was damaged.")
def verify_command() -> int:
    """Check every byte of the store.

    Damaged shards are set aside, so that their texts are encoded again, and a damaged index is rebuilt: after exit code 5
    the store is sound.
    """
    store = _open()
    if store is None:
        return EXIT_OK
    with store:
        report = store.verify()
        aside = store.info().directory / "corrupt"
    for name, reason in report.damaged.items():
        click.echo(f"{name}: {reason}; set aside in {aside}")
    if report.index_problem:
        click.echo(f"index: {report.index_problem}; rebuilt from the shards")
    click.echo(f"{report.shards:,} shards read, {show_size(report.size_bytes)}, {len(report.damaged):,} damaged")
    return EXIT_OK if report.ok else EXIT_CORRUPT


@cache_group.command("prune", short_help="Remove the least recently used vectors down to a size.")
@click.option(
    "--max-size",
    "--max-bytes",
    "max_bytes",
    callback=_size,
    metavar="SIZE",
    help="Size to go down to: 20GB, 500000, ...",
)
def prune_command(max_bytes: int | None) -> int:
    """Remove the least recently used vectors until the others take at most a size."""
    if max_bytes is None:
        raise click.UsageError("give the size to go down to: --max-size 20GB, or --max-bytes N.")
    store = _open()
    if store is None:
        return EXIT_OK
    with store:
        removed = store.prune(max_bytes)
        left = store.info()
    click.echo(f"{removed.shards:,} shards removed, {show_size(removed.size_bytes)}")
    click.echo(f"{left.texts:,} texts left, {show_size(left.size_bytes)}")
    return EXIT_OK


@cache_group.command("clear", short_help="Remove everything.")
@click.option("--yes", is_flag=True, help="Really do it.")
def clear_command(yes: bool) -> int:
    """Remove all vectors, also those that were set aside as damaged."""
    store = _open()
    if store is None:
        return EXIT_OK
    with store:
        info = store.info()
        if not yes:
            raise click.UsageError(
                f"this removes {info.texts:,} vectors ({show_size(info.size_bytes)}) from {info.directory}: add --yes."
            )
        removed = store.clear()
    click.echo(f"{removed.shards:,} shards removed, {show_size(removed.size_bytes)}")
    return EXIT_OK


__all__ = ["cache_group"]
