"""A campaign: many runs from one settings file (models x benchmarks x examples per query x example sets x seeds).

A settings file is a campaign if it has the key `models`, or a list under `examples`. Every model with every
example set is a run directory of its own; benchmarks, numbers of examples and seeds are rows inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import RunConfig, build_config, validated
from harness.config_file import SettingsFile, dump_settings, folder_name, read_settings
from harness.errors import ConfigError

CAMPAIGN_FILE = "campaign.yaml"
_ENTRY_KEYS = frozenset(RunConfig.model_fields) - {"output_dir"}
_SHARED_KEYS = (frozenset(RunConfig.model_fields) - {"model"}) | {"models", "benchmarks"}


@dataclass(frozen=True)
class Campaign:
    """Runs that belong together, in the order in which they are done."""

    folder: Path
    """Holds campaign.yaml, the common leaderboard and one run directory for each run."""
    runs: tuple[RunConfig, ...]
    file: SettingsFile | None = None
    """Where the settings come from, for messages."""

    def resolved(self) -> bytes:
        """Return the settings as they were used, in a form that `run --config` reads back to the same runs."""
        entries = []
        for run in self.runs:
            entries.append({key: value for key, value in run.settings().items() if key in _ENTRY_KEYS})
        kept = [{key: value for key, value in entry.items() if value is not None} for entry in entries]
        return dump_settings(
            {"output_dir": str(self.folder), "models": kept},
            "The campaign as it was run, flags included. It goes on with: icl-harness run --config THIS_FILE",
        )


def load_config(flags: dict[str, Any], config_file: Path | None = None) -> RunConfig | Campaign:
    """Merge flags and a --config file into one run or a campaign; flags win.

    Raises:
        ConfigError: unknown keys or wrong values; all of them in one message, those of the file with `file:line`.
    """
    if config_file is None:
        return build_config(flags)
    file = read_settings(config_file)
    if not is_campaign(file.values):
        return build_config(flags, config_file)
    return expand(file, {key: value for key, value in flags.items() if value is not None})


def is_campaign(values: dict[str, Any]) -> bool:
    """Whether a file's settings are those of a campaign and not of one run."""
    return "models" in values or isinstance(values.get("examples"), list)


def expand(file: SettingsFile, flags: dict[str, Any]) -> Campaign:
    """Return the runs of a campaign file.

    A flag replaces the file's value in every run. `--model NAME` keeps the entries of that name, or is a new one.

    Raises:
        ConfigError: every problem of the file in one message.
    """
    problems: list[str] = []
    shared = _shared_settings(file, flags, problems)
    entries = _entries(file, flags, problems)
    folder = Path(shared.pop("output_dir", None) or Path("results") / "campaigns" / folder_name(file.path.stem))
    runs: list[RunConfig] = []
    for above, entry in entries:
        for values in _by_example_set({**shared, **entry, **flags}):
            values.pop("output_dir", None)
            where = {key: file.where(key) for key in values if key in shared}
            where |= {key: file.where(*above, key) for key in entry}
            try:
                config = validated(values, {key: place for key, place in where.items() if key not in flags})
            except ConfigError as error:
                problems += str(error).splitlines()
                continue
            runs.append(config.model_copy(update={"output_dir": folder / config.folder_name()}))
            if twin := _same_results(runs[-1], runs[:-1]):
                problems.append(
                    f"{file.where(*above)}: model {config.model!r} is listed twice with settings that give the same "
                    f"results ({twin.name}). Remove one, or give them different benchmarks or num_fewshot."
                )
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return Campaign(folder, tuple(runs), file)


def _shared_settings(file: SettingsFile, flags: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    values = dict(file.values)
    if "model" in values and "models" in values:
        problems.append(f"{file.where('model')}: 'model' and 'models' exclude each other: put it into the list.")
    problems += file.unknown_keys(values, _SHARED_KEYS | {"model"})
    shared = {key: value for key, value in values.items() if key in _SHARED_KEYS}
    if "benchmarks" in shared:
        if "benchmark" in shared:
            problems.append(
                f"{file.where('benchmark')}: 'benchmark' and 'benchmarks' are one setting: give one of them."
            )
        shared["benchmark"] = shared.pop("benchmarks")
    shared.pop("models", None)
    if "output_dir" in flags:
        shared["output_dir"] = flags["output_dir"]
    return shared


def _entries(
    file: SettingsFile, flags: dict[str, Any], problems: list[str]
) -> list[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Return the models with settings of their own, and the keys under which each stands in the file."""
    listed = file.values.get("models", [file.values["model"]] if "model" in file.values else [])
    if not isinstance(listed, list) or not listed:
        if "model" in flags and listed in ([], None):
            return [((), {})]
        problems.append(f"{file.where('models')}: models: a list with at least one model is expected.")
        return []
    entries: list[tuple[tuple[str | int, ...], dict[str, Any]]] = []
    for index, item in enumerate(listed):
        above: tuple[str | int, ...] = ("models", index) if "models" in file.values else ()
        entry = dict(item) if isinstance(item, dict) else {"model": item}
        problems += file.unknown_keys(entry, _ENTRY_KEYS, *above)
        if "model" not in entry:
            problems.append(f"{file.where(*above)}: an entry of 'models' needs the key 'model'.")
            continue
        entries.append((above, {key: value for key, value in entry.items() if key in _ENTRY_KEYS}))
    if "model" in flags:
        return [found for found in entries if found[1]["model"] == flags["model"]] or [((), {})]
    return entries


def _by_example_set(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one setting of a model per example set; zero-shot shows none, so that it is done with the first set alone."""
    sets = values.get("examples")
    if not isinstance(sets, list):
        return [values]
    asked = values.get("num_fewshot", "all")
    shots = list(asked) if isinstance(asked, (list, tuple)) else [part.strip() for part in str(asked).split(",")]
    with_examples = [one for one in shots if str(one) != "0"]
    later = [{**values, "examples": name, "num_fewshot": with_examples} for name in sets[1:] if with_examples]
    return [{**values, "examples": name} for name in sets[:1]] + later


def _same_results(config: RunConfig, others: list[RunConfig]) -> Path | None:
    """Return the directory of an earlier run whose results this one would only repeat."""
    grows = ("benchmark", "tasks", "num_fewshot", "fewshot_seed")
    for other in others:
        if other.output_dir == config.output_dir and all(getattr(other, one) == getattr(config, one) for one in grows):
            return other.output_dir
    return None
