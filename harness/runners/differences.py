"""What differs between the machine that made a run and this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.config import RunConfig
from harness.encoder.text_encoder import ENCODER_VERSION
from harness.errors import ConfigError, HarnessError
from harness.prompts.profile import find_profile
from harness.registry.air_bench import is_air_bench
from harness.registry.registry import CURATED_EXAMPLES, Registry
from harness.runners.prompts import PromptPolicy
from harness.runners.reproduce import RecordedRun, RecordedTask
from harness.runners.tasks import TaskUnit, folder_fingerprint, needs_download, resolve_units
from harness.store import provenance

_SHOWN = 4
# Packages whose version is part of a result's identity; of transformers it is the major version alone.
_IDENTITY = ("mteb", "transformers")
_MACHINE = ("platform", "python", "processor", "cpu_count", "torch_threads", "gpu", "cuda")


class Difference(NamedTuple):
    """One thing that is not as it was."""

    what: str
    then: str
    now: str
    changes_results: bool
    """Whether results get another key, or cannot be had; else it moves scores by rounding at most."""

    def __str__(self) -> str:
        mark = "CHANGES RESULTS" if self.changes_results else "rounding at most"
        return f"{self.what}: {self.then} then, {self.now} now ({mark})"


def differences(run: RecordedRun, registry: Registry | None) -> list[Difference]:
    """Compare this machine with a run's manifest.

    Args:
        run: the run.
        registry: task files and examples as the run's settings name them; None if they cannot be loaded.

    Returns:
        What differs, that which changes results first.
    """
    found = [
        *_missing(run.config),
        *_model(run),
        *_packages(run.manifest),
        *_machine(run.manifest),
        *_git(run.manifest),
    ]
    if registry is not None:
        found += [*_prompts(run, registry), *_data(run, registry)]
    return sorted(found, key=lambda one: not one.changes_results)


def _missing(config: RunConfig) -> Iterator[Difference]:
    places = [("--data-dir", config.data_dir), *(("--registry-dir", folder) for folder in config.registry_dir)]
    if config.examples != CURATED_EXAMPLES:
        places.append(("--examples", Path(config.examples)))
    for flag, folder in places:
        if folder is not None and not folder.is_dir():
            yield Difference(f"{flag} {folder}", "there", "no such folder", True)
    if config.profile is not None and config.profile.endswith((".yaml", ".yml")) and not Path(config.profile).is_file():
        yield Difference(f"--profile {config.profile}", "there", "no such file", True)


def _model(run: RecordedRun) -> Iterator[Difference]:
    from harness.encoder.sources import resolve_source

    model = run.manifest["model"]
    version = model.get("encoder_version")
    if version != ENCODER_VERSION:
        yield Difference("encoder version of this program", str(version), str(ENCODER_VERSION), True)
    try:
        source = resolve_source(run.config.model, revision=run.config.revision, offline=True)
    except ConfigError as error:
        yield Difference(f"model {run.config.model}", "there", str(error), True)
        return
    except HarnessError:
        now = "not on this machine" + ("" if run.config.offline else ": the command downloads it")
        yield Difference(f"model {run.config.model}", "there", now, run.config.offline)
        return
    for what, name, now in (
        ("weights", "weights_sha", source.weights_sha),
        ("tokenizer", "tokenizer_sha", source.tokenizer_sha),
    ):
        if model.get(name) != now:
            yield Difference(what, f"SHA-256 {str(model.get(name))[:12]}", now[:12], True)


def _packages(manifest: dict[str, Any]) -> Iterator[Difference]:
    then, now = dict(manifest["packages"]), provenance.package_versions()
    for name in sorted({*then, *now}):
        old, new = then.get(name), now.get(name)
        if old == new:
            continue
        major = name == "transformers" and str(old).split(".")[0] == str(new).split(".")[0]
        yield Difference(name, old or "missing", new or "missing", name in _IDENTITY and not major)


def _machine(manifest: dict[str, Any]) -> Iterator[Difference]:
    from harness.encoder.decoder import pick_device

    recorded = str(manifest["model"].get("device"))
    try:
        device = pick_device(str(manifest["config"].get("device", "auto")))
    except ConfigError as error:
        yield Difference("device", recorded, str(error), True)
        return
    if device != recorded:
        yield Difference("device", recorded, device, False)
    then, now = manifest["machine"], provenance.machine(device)
    for name in _MACHINE:
        if then.get(name) != now.get(name):
            yield Difference(name.replace("_", " "), str(then.get(name, "none")), str(now.get(name, "none")), False)


def _git(manifest: dict[str, Any]) -> Iterator[Difference]:
    then, now = manifest.get("git") or {}, provenance.git_state()

    def shown(state: dict[str, Any]) -> str:
        if not state:
            return "an installed package"
        return f"{str(state.get('commit'))[:12]}{' with changes' if state.get('dirty') else ''}"

    if then != now or now.get("dirty"):
        yield Difference("program", shown(then), shown(now), False)


def _prompts(run: RecordedRun, registry: Registry) -> Iterator[Difference]:
    from harness.runners.reproduce import shots_and_seed

    try:
        profile = find_profile(run.config.model, run.config.profile)
    except ConfigError as error:
        yield Difference("profile", "known", str(error), True)
        return
    changed: list[str] = []
    for task in run.tasks:
        if task.task_name not in registry:
            continue
        shots, seed = shots_and_seed(task.configuration)
        policy = PromptPolicy(
            registry=registry,
            profile=profile,
            num_fewshot=shots,
            instructions=run.config.instructions,
            fewshot_seed=seed,
        )
        try:
            fingerprint = policy.for_registered(task.task_name).prompt.fingerprint
        except HarnessError:
            fingerprint = ""
        if fingerprint != task.prompt_fingerprint:
            changed.append(f"{task.configuration}/{task.task_name}")
    if changed:
        yield Difference(f"prompt (instruction, examples or template) of {_some(changed)}", "one", "another", True)


def _data(run: RecordedRun, registry: Registry) -> Iterator[Difference]:
    names: dict[str, list[RecordedTask]] = {}
    for task in run.tasks:
        names.setdefault(task.task_name, []).append(task)
    changed: list[str] = []
    absent: list[str] = []
    for name, recorded in names.items():
        try:
            (unit,) = _unit(run.config, registry, name, recorded[0].dataset_revision)
        except HarnessError as error:
            yield Difference(f"task {name}", "there", str(error), True)
            continue
        now = _revision(unit, run.config.data_dir)
        if now is not None and any(task.dataset_revision != now for task in recorded):
            changed.append(name)
        if needs_download(unit):
            absent.append(name)
    if changed:
        yield Difference(f"data of {_some(changed)}", "one revision", "another", True)
    if absent:
        now = "not on this machine" + ("" if run.config.offline else ": the command downloads it")
        yield Difference(f"data of {_some(absent)}", "there", now, run.config.offline)


def _unit(config: RunConfig, registry: Registry, name: str, revision: str) -> list[TaskUnit]:
    data_dir = config.data_dir if config.data_dir and config.data_dir.is_dir() else None
    air = is_air_bench(name)
    units = resolve_units(
        registry,
        # A set of AIR-Bench is looked up in the version that it was run in.
        benchmarks=(revision.split("@")[0],) if air else (),
        tasks=() if air else (name,),
        data_dir=data_dir,
        splits=config.splits,
        languages=() if air else config.languages,
        zero_shot_only=True,
    )
    return [unit for unit in units if unit.name == name or not air]


def _revision(unit: TaskUnit, data_dir: Path | None) -> str | None:
    """Return the data's revision as a run would record it; None where that takes the hub or mteb alone knows the task."""
    if unit.air is not None:
        from harness.air_bench.data import SCORED_SPLIT, open_set

        if unit.folder is None:
            return None
        splits = unit.air.splits
        return open_set(unit.air, data_dir).revision(SCORED_SPLIT if SCORED_SPLIT in splits else splits[0])
    if unit.folder is not None:
        return folder_fingerprint(unit.folder)
    return unit.entry.dataset.revision if unit.entry is not None and unit.entry.dataset is not None else None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} task(s) ({', '.join(names[:_SHOWN])}{more})"
