"""Doing a campaign: every run in turn, each kept and resumed by its own directory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.campaign import CAMPAIGN_FILE, Campaign
from harness.config import RunConfig
from harness.errors import (
    EXIT_CORRUPT,
    EXIT_INCOMPLETE,
    EXIT_OK,
    EXIT_TEMPORARY,
    ConfigError,
    HarnessError,
    StorageError,
)
from harness.runners.run import RunHooks, RunSummary, execute, plan_run
from harness.store import atomic
from harness.store.run_dir import RunDir


@dataclass
class CampaignSummary:
    """What a campaign did."""

    folder: Path
    runs: list[RunSummary] = field(default_factory=list)
    failures: dict[str, HarnessError] = field(default_factory=dict)
    """Run directory -> what kept the whole run from being done."""

    @property
    def exit_code(self) -> int:
        """0; 5 if anything was corrupt; 75 if trying again may help every failure; else 3."""
        codes = {run.exit_code for run in self.runs} | {error.exit_code for error in self.failures.values()}
        codes.discard(EXIT_OK)
        if not codes:
            return EXIT_OK
        if EXIT_CORRUPT in codes:
            return EXIT_CORRUPT
        return EXIT_TEMPORARY if codes == {EXIT_TEMPORARY} else EXIT_INCOMPLETE


def plan_campaign(campaign: Campaign) -> None:
    """Check every run before the first model loads.

    Raises:
        ConfigError: all problems of all runs in one message, with the place in the campaign's file.
        DatasetUnavailableError: data missing under --offline, and nothing else is wrong.
    """
    found: list[HarnessError] = []
    lines: list[str] = []
    for config in campaign.runs:
        try:
            plan_run(config)
        except HarnessError as error:
            found.append(error)
            lines += str(error).splitlines()
    if not found:
        return
    if all(error.exit_code == EXIT_TEMPORARY for error in found):
        raise found[0]
    located = lines if campaign.file is None else [campaign.file.locate(line) for line in lines]
    raise ConfigError("\n".join(dict.fromkeys(located)))


def execute_campaign(
    campaign: Campaign,
    hooks: RunHooks,
    *,
    render: Callable[[Path, Sequence[Path]], object] | None = None,
) -> CampaignSummary:
    """Do a campaign, or what is left of it.

    Every run directory resumes by itself, so that the same command goes on with the first unfinished task of the first
    unfinished run. A run that cannot be done is named and the others go on.

    Args:
        campaign: what to do.
        hooks: what is shown while it goes on.
        render: writes the leaderboard of the campaign, given its folder and the run directories that hold scores.

    Raises:
        ConfigError: what was asked for cannot be done at all.
        RunLockedError: another process works on the campaign.
        StorageError: the folder cannot be written; finished tasks are kept.
    """
    plan_campaign(campaign)
    summary = CampaignSummary(campaign.folder)
    with RunDir(campaign.folder).lock():
        atomic.write_bytes(campaign.folder / CAMPAIGN_FILE, campaign.resolved())
        for number, config in enumerate(campaign.runs, start=1):
            hooks.message(f"Run {number} of {len(campaign.runs)}: {config.run_path().name}")
            _do(config, hooks, summary)
            _free_memory()
        scored = [path for path in dict.fromkeys(one.run_path() for one in campaign.runs) if _has_scores(path)]
        if scored and render is not None:
            render(campaign.folder, scored)
    return summary


def _do(config: RunConfig, hooks: RunHooks, summary: CampaignSummary) -> None:
    try:
        summary.runs.append(execute(config, replace(hooks)))
    except StorageError:
        raise  # a full disk fails every later run too
    except HarnessError as error:
        summary.failures[config.run_path().name] = error
        hooks.message(f"{config.run_path().name}: FAILED (reason below)")


def _has_scores(path: Path) -> bool:
    import pyarrow.parquet as pq

    scores = path / "scores.parquet"
    return scores.is_file() and pq.read_metadata(scores).num_rows > 0


def _free_memory() -> None:
    """Give the model of the last run back: its layers hold references in circles, which only the collector breaks."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
