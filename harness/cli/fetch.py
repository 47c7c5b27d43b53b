"""`fetch`: download models and data for later work without the network."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.fetch.fetch import ModelWish
    from harness.runners.tasks import TaskUnit

_PATH = click.Path(path_type=Path)


@click.command(
    "fetch",
    short_help="Download models and data for later work without the network.",
    epilog="""\b
Examples
  icl-harness fetch --model BAAI/bge-en-icl --benchmark "MTEB(eng, v1)"
  icl-harness fetch --tasks STS16,SciFact --dry-run
  icl-harness fetch --config campaign.yaml""",
)
@click.option("-m", "--model", "models", multiple=True, help="Hub id of a model; may be given several times.")
@click.option("--revision", help="Commit, tag or branch of the model; with one --model only.")
@click.option("-b", "--benchmark", multiple=True, help="Benchmark; may be given several times.")
@click.option("-t", "--tasks", help="Task names, comma-separated.")
@click.option("--task-types", help="AIR-Bench: qa, long-doc.")
@click.option("--domains", help="AIR-Bench: domains, comma-separated.")
@click.option("--datasets", help="AIR-Bench: data sets, comma-separated.")
@click.option("--languages", help="Languages, comma-separated, as for `run`.")
@click.option("--splits", help="Splits, comma-separated, as for `run`.")
@click.option("--config", type=_PATH, help="Everything that a settings file of `run` (or a campaign) needs.")
@click.option("--data-dir", type=_PATH, help="Folder with local data; its tasks are not fetched.")
@click.option("--registry-dir", type=_PATH, multiple=True, help="Folder with further task files.")
@click.option("--dry-run", is_flag=True, help="Show what would be fetched, and what is there.")
@click.option(
    "--attempts", type=click.IntRange(1), default=6, show_default=True, help="Per request, the first included."
)
@click.option(
    "--wait", type=click.FloatRange(0), default=1.0, show_default=True, help="Seconds before the second attempt."
)
@click.option(
    "--timeout", type=click.IntRange(1), default=30, show_default=True, help="Seconds without an answer or data."
)
@click.option("-q", "--quiet", is_flag=True, help="Only the closing lines.")
def fetch_command(
    models: tuple[str, ...],
    revision: str | None,
    benchmark: tuple[str, ...],
    tasks: str | None,
    config: Path | None,
    data_dir: Path | None,
    registry_dir: tuple[Path, ...],
    dry_run: bool,
    attempts: int,
    wait: float,
    timeout: int,
    quiet: bool,
    **filters: str | None,
) -> int:
    """Download models and data sets at fixed revisions into the caches that `run --offline` reads.

    Every file is verified (size, SHA-256, safetensors header). A download that was cut or killed goes on where it stopped
    when the same command is given again. A model or data set that the hub refuses is named, and the others go on.

    Exit code 0 if everything is there and verified; 75 if trying again may help all that is missing; 2 if the hub refused all
    that is missing (name, revision, token); 3 if both happened; 74 if the disk is full.
    """
    _prepare_libraries(timeout)
    chosen = {name: _parts(value) for name, value in {"tasks": tasks, **filters}.items()}
    wanted = {**chosen, "benchmark": benchmark, "data_dir": data_dir, "registry_dir": registry_dir}
    wishes, units = _what(models, revision, config, wanted)
    return _fetch(wishes, units, dry_run=dry_run, attempts=attempts, wait=wait, timeout=timeout, quiet=quiet)


def _prepare_libraries(timeout: int) -> None:
    """Set what the hub's libraries read once, when they are imported."""
    for name, value in (
        ("HF_HUB_DOWNLOAD_TIMEOUT", str(timeout)),
        ("HF_HUB_ETAG_TIMEOUT", str(timeout)),
        ("HF_DATASETS_DISABLE_PROGRESS_BARS", "1"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("HF_HUB_VERBOSITY", "error"),  # failures are told once, by this program
        ("TQDM_DISABLE", "1"),
    ):
        os.environ.setdefault(name, value)


def _parts(value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def _what(
    models: tuple[str, ...], revision: str | None, config: Path | None, flags: dict[str, Any]
) -> tuple[list[ModelWish], list[TaskUnit]]:
    """Return the models and tasks that are meant by flags and settings file, without those that are local."""
    from harness.campaign import Campaign, load_config
    from harness.encoder.sources import check_model_name
    from harness.errors import ConfigError
    from harness.fetch.fetch import ModelWish
    from harness.fetch.model import hub_name

    if revision is not None and len(models) != 1:
        raise ConfigError("--revision belongs to one model: give exactly one --model.")
    asked = [(name, revision) for name in models]
    wanted = [flags] if flags["benchmark"] or flags["tasks"] else []
    if config is not None:
        settings = load_config({}, config)
        for run in settings.runs if isinstance(settings, Campaign) else (settings,):
            asked.append((run.model, run.revision))
            wanted.append({name: getattr(run, name) for name in flags})
    if not asked and not wanted:
        raise ConfigError("nothing to fetch: give --model, --benchmark, --tasks or --config.")
    wishes: dict[ModelWish, None] = {}
    for name, its_revision in asked:
        check_model_name(name)
        if (at_hub := hub_name(name)) is not None:
            wishes[ModelWish(at_hub, its_revision)] = None
    units: dict[tuple[Any, ...], TaskUnit] = {}
    for want in wanted:
        for unit in _units(want):
            if unit.folder is None:
                units.setdefault((unit.name, unit.splits, unit.air.version if unit.air else ""), unit)
    return list(wishes), list(units.values())


def _units(want: dict[str, Any]) -> list[TaskUnit]:
    from harness.registry.air_bench_select import AirBenchFilter
    from harness.registry.registry import Registry
    from harness.runners.tasks import resolve_units

    return resolve_units(
        Registry.load(want["registry_dir"]),
        benchmarks=want["benchmark"],
        tasks=want["tasks"],
        data_dir=want["data_dir"],
        splits=want["splits"],
        languages=want["languages"],
        zero_shot_only=True,
        air=AirBenchFilter(task_types=want["task_types"], domains=want["domains"], datasets=want["datasets"]),
    )


def _fetch(
    wishes: list[ModelWish],
    units: list[TaskUnit],
    *,
    dry_run: bool,
    attempts: int,
    wait: float,
    timeout: int,
    quiet: bool,
) -> int:
    from harness.cli.fetch_display import FetchDisplay
    from harness.errors import ConfigError
    from harness.fetch.client import limit_waiting
    from harness.fetch.download import Downloader, hub_cache
    from harness.fetch.dry_run import describe
    from harness.fetch.fetch import fetch_all, only_fetch
    from harness.fetch.retry import Retrier, RetryPolicy
    from harness.fetch.state import FetchState, state_path

    if not wishes and not units:
        click.echo("Nothing to fetch: everything that was asked for is local.")
        return 0
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConfigError("HF_HUB_OFFLINE forbids the network, which `fetch` needs. Unset it.")
    limit_waiting(timeout)
    policy = RetryPolicy(attempts=attempts, first_wait_seconds=wait)
    state_file = state_path(hub_cache())
    with FetchDisplay(enabled=not quiet) as display, only_fetch(state_file):
        downloader = Downloader(Retrier(policy, time.sleep, display.message), float(timeout), display.progress)
        state = FetchState(state_file)
        if dry_run:
            lines, code = describe(wishes, units, downloader, state)
            for line in lines:
                click.echo(line)
            return code
        summary = fetch_all(wishes, units, downloader=downloader, state=state, say=display.message)
    for name, failure in summary.failures.items():
        click.echo(f"harness: {name}: {failure}", err=True)
    if summary.there:
        click.echo(f"{len(summary.there)} of {len(wishes) + len(units)} were there already.")
    click.echo(f"{len(summary.done)} fetched and verified, {len(summary.failures)} missing. State: {state_file}")
    return summary.exit_code
