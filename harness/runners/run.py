"""`run`: every configuration of a model on every task, each result kept as soon as it is there."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.config import RunConfig
from harness.config_file import dump_settings
from harness.encoder.sources import check_model_name, check_model_offline
from harness.errors import (
    EXIT_CORRUPT,
    EXIT_INCOMPLETE,
    EXIT_OK,
    EXIT_TEMPORARY,
    ConfigError,
    HarnessError,
)
from harness.prompts.profile import ModelProfile, find_profile
from harness.registry.air_bench import is_air_bench
from harness.registry.air_bench_select import AirBenchFilter
from harness.registry.registry import Registry
from harness.runners.network import go_offline, hub_host, why_unreachable
from harness.runners.prompts import PromptPolicy
from harness.runners.tasks import TaskUnit, check_offline, make_task, needs_download, resolve_units
from harness.store import atomic, provenance
from harness.store.run_dir import RunDir, canonical_sha256

if TYPE_CHECKING:
    from harness.encoder.text_encoder import Advance, TextEncoder
    from harness.runners.adapter import ICLEncoder
    from harness.runners.evaluate import Evaluation

logger = logging.getLogger(__name__)
Found = TypeVar("Found")

CONFIG_REMARK = "The settings of the last command here, flags included. Read by: icl-harness run --config THIS_FILE"


@dataclass
class RunSummary:
    """What a run did."""

    path: Path
    evaluated: int = 0
    reused: int = 0
    texts: int = 0
    encoded: int = 0
    failures: dict[str, HarnessError] = field(default_factory=dict)
    """`configuration/task` -> error."""

    @property
    def exit_code(self) -> int:
        """0; 5 if any failure is corruption; 75 if trying again may help all of them; else 3."""
        codes = {failure.exit_code for failure in self.failures.values()}
        if not codes:
            return EXIT_OK
        if EXIT_CORRUPT in codes:
            return EXIT_CORRUPT
        return EXIT_TEMPORARY if codes == {EXIT_TEMPORARY} else EXIT_INCOMPLETE


@dataclass(frozen=True)
class RunHooks:
    """What the command line shows while a run goes on."""

    message: Callable[[str], None] = logger.info
    progress: Callable[[int, str], Advance | None] | None = None
    render: Callable[[Path], object] | None = None
    """Writes the leaderboard of a run directory; called once, when all scores are there, before the manifest."""


def _known_names(config: RunConfig) -> tuple[ModelProfile, Registry]:
    """Look up everything that the settings name; an unknown model, benchmark and example set are told together.

    Raises:
        ConfigError: one line per problem; a single problem keeps its own class.
    """
    problems: list[ConfigError] = []
    profile = _noted(lambda: _profile_of(config), problems)
    registry = _noted(lambda: Registry.load(config.registry_dir, examples=config.examples), problems)
    if registry is not None:
        for benchmark in (name for name in config.benchmark if not is_air_bench(name)):
            _noted(partial(registry.benchmark, benchmark), problems)
        if problems and config.tasks:
            _noted(lambda: _units_of(config, registry, benchmarks=()), problems)
    if profile is None or registry is None or problems:
        raise problems[0] if len(problems) == 1 else ConfigError("\n".join(map(str, problems)))
    return profile, registry


def _units_of(config: RunConfig, registry: Registry, *, benchmarks: tuple[str, ...]) -> list[TaskUnit]:
    return resolve_units(
        registry,
        benchmarks=benchmarks,
        tasks=config.tasks,
        data_dir=config.data_dir,
        splits=config.splits,
        languages=config.languages,
        zero_shot_only=all(shots == 0 for shots in config.num_fewshot),
        air=AirBenchFilter(task_types=config.task_types, domains=config.domains, datasets=config.datasets),
    )


def _profile_of(config: RunConfig) -> ModelProfile:
    check_model_name(config.model)
    return find_profile(config.model, config.profile)


def _noted(look_up: Callable[[], Found], problems: list[ConfigError]) -> Found | None:
    try:
        return look_up()
    except ConfigError as error:
        problems.append(error)
        return None


def plan_run(config: RunConfig) -> tuple[list[TaskUnit], list[PromptPolicy]]:
    """Check names, examples and offline data before anything heavy is imported.

    Returns:
        The tasks in the order in which they run, and one prompt policy per configuration.

    Raises:
        ConfigError: anything wrong with what was asked for.
        DatasetUnavailableError: data missing under --offline.
    """
    profile, registry = _known_names(config)
    policies = [
        PromptPolicy(
            registry=registry,
            profile=profile,
            num_fewshot=shots,
            instructions=config.instructions,
            fewshot_seed=seed,
        )
        for shots in config.num_fewshot
        for seed in (config.fewshot_seed if config.fewshot_seed and shots != 0 else (None,))
    ]
    units = _units_of(config, registry, benchmarks=config.benchmark)
    problems: list[str] = []
    for policy in policies:
        for unit in units:
            if unit.entry is not None:
                try:
                    policy.for_registered(unit.name)
                except HarnessError as error:
                    problems.append(str(error))
    if problems:
        from harness.errors import FewShotError

        raise FewShotError("\n".join(dict.fromkeys(problems)))
    if config.offline:
        check_model_offline(config.model)
        check_offline(units)
    return units, policies


def execute(config: RunConfig, hooks: RunHooks | None = None) -> RunSummary:
    """Do a run, or what is left of it.

    Finished tasks are reused if their whole identity is unchanged. A task that fails is named and the others go on.

    Raises:
        ConfigError: what was asked for cannot be done at all.
        RunLockedError: another process writes to the directory.
        StorageError: the directory cannot be written; finished tasks are kept.
    """
    hooks = hooks or RunHooks()
    units, policies = plan_run(config)
    if config.offline:
        go_offline()
    elif any(needs_download(unit) for unit in units) and (reason := why_unreachable()):
        hooks.message(f"{hub_host()} is not reachable ({reason}): going on with what is on this machine.")
        go_offline()
    run = RunDir(config.run_path())
    with run.lock():
        run.open_for(config.configuration())
        if air_bench := [unit.air for unit in units if unit.air is not None]:
            from harness.runners.air_bench import check_one_version

            check_one_version(run, air_bench)
        atomic.write_bytes(run.path / "config.yaml", dump_settings(config.settings(), CONFIG_REMARK))
        return _execute(config, hooks, run, units, policies)


def cache_limit() -> int:
    """Return the size in bytes above which the store drops its least recently used vectors.

    Raises:
        ConfigError: `HARNESS_CACHE_MAX_BYTES` is no whole number.
    """
    from harness.encoder.vectors import DEFAULT_MAX_BYTES

    value = os.environ.get("HARNESS_CACHE_MAX_BYTES", str(DEFAULT_MAX_BYTES))
    if not value.isdecimal():
        raise ConfigError(f"HARNESS_CACHE_MAX_BYTES={value!r}: a whole number of bytes is expected.")
    return int(value)


def _execute(
    config: RunConfig, hooks: RunHooks, run: RunDir, units: list[TaskUnit], policies: list[PromptPolicy]
) -> RunSummary:
    from harness.encoder.load import EncoderOptions, load_text_encoder
    from harness.encoder.memory_store import LayeredStore

    started = provenance.now()
    old = run.manifest() or {}
    run_id = str(old.get("run_id") or uuid.uuid4().hex[:12])
    encoder = load_text_encoder(
        config.model,
        EncoderOptions(
            revision=config.revision,
            profile=config.profile,
            device=config.device,
            dtype=config.dtype,
            batch_tokens=config.batch_tokens,
            query_max_tokens=config.query_max_tokens,
            document_max_tokens=config.document_max_tokens,
            tokenization=config.tokenization,
            attention=config.attention,
            trust_remote_code=config.trust_remote_code,
            offline=config.offline,
        ),
    )
    encoder.on_start = hooks.progress
    if not config.no_cache and encoder.lasting:
        from harness.encoder.vectors import EmbeddingStore

        encoder.store = LayeredStore(encoder.store, EmbeddingStore(max_bytes=cache_limit()))
    try:
        return _evaluate_all(config, hooks, run, units, policies, encoder, run_id, started)
    finally:
        encoder.store.flush()


def _evaluate_all(
    config: RunConfig,
    hooks: RunHooks,
    run: RunDir,
    units: list[TaskUnit],
    policies: list[PromptPolicy],
    encoder: TextEncoder,
    run_id: str,
    started: str,
) -> RunSummary:
    from harness.runners.adapter import ICLEncoder
    from harness.runners.evaluate import evaluate_unit, result_identity

    summary = RunSummary(run.path)
    adapters = {policy.configuration: ICLEncoder(encoder, policy) for policy in policies}
    total = len(units) * len(adapters)
    asked = {(name, unit.name) for unit in units for name in adapters}
    records = {key: record for key, record in _kept(run, encoder, adapters).items() if key not in asked}
    _write(config, run, run_id, started, encoder, records, summary, complete=False)
    # Task by task rather than configuration by configuration: the documents of a task are then encoded once for all k.
    for number, (unit, configuration) in enumerate(((unit, name) for unit in units for name in adapters), start=1):
        title = f"[{number}/{total}] {unit.name} {configuration}"
        adapter = adapters[configuration]
        try:
            task = make_task(unit)
            key = canonical_sha256(result_identity(adapter, unit, task, config.limit))
            record = run.finished(configuration, unit.name, key)
            if record is not None:
                summary.reused += 1
            else:
                done = evaluate_unit(
                    adapter, unit, task, configuration=configuration, limit=config.limit, run_id=run_id
                )
                record = run.write_task(
                    configuration,
                    unit.name,
                    identity=done.identity,
                    rows=done.rows,
                    items=done.items,
                    mteb_result=done.mteb_result,
                    details=done.details,
                    hits=done.hits,
                )
                encoder.store.flush()
                summary.evaluated += 1
                summary.texts += done.stats.texts
                summary.encoded += done.stats.encoded
                hooks.message(
                    f"{title}: {_outcome(done)}  ({done.stats.encoded} texts encoded, "
                    f"{done.stats.from_store} from the store, {done.details['evaluation_seconds']:.1f} s)"
                )
        except HarnessError as error:
            if error.exit_code not in (EXIT_CORRUPT, EXIT_INCOMPLETE, EXIT_TEMPORARY):
                raise
            summary.failures[f"{configuration}/{unit.name}"] = error
            hooks.message(f"{title}: FAILED (reason below)")
            continue
        records[configuration, unit.name] = record
        run.write_scores(list(records.values()))
    if any(record["rows"] for record in records.values()) and hooks.render is not None:
        hooks.render(run.path)
    _write(config, run, run_id, started, encoder, records, summary, complete=not summary.failures)
    return summary


def _outcome(done: Evaluation) -> str:
    """Return the score of a task and what belongs behind it; a test split of AIR-Bench has no score here."""
    main = [row for row in done.rows if row.is_main]
    score = f"{main[0].metric} {100 * sum(row.score for row in main) / len(main):.2f}" if main else ""
    return "; ".join(part for part in (score, done.remark) if part)


def _kept(run: RunDir, encoder: TextEncoder, adapters: dict[str, ICLEncoder]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the finished tasks of earlier commands in this directory that the present model and prompts would repeat."""
    kept = {}
    expected = {
        **encoder.identity(),
        "query_max_tokens": encoder.query_max_tokens,
        "document_max_tokens": encoder.document_max_tokens,
    }
    for record in run.records():
        subject = record["identity"]["subject"]
        if any(subject.get(name) != value for name, value in expected.items()):
            continue
        configuration, task = record["configuration"], record["task_name"]
        adapter = adapters.get(configuration)
        if adapter is not None and task in adapter.policy.registry:
            prompt = adapter.policy.for_registered(task).prompt
            if prompt.fingerprint != subject.get("prompt_fingerprint"):
                continue
        kept[configuration, task] = record
    return kept


def _write(
    config: RunConfig,
    run: RunDir,
    run_id: str,
    started: str,
    encoder: TextEncoder,
    records: dict[tuple[str, str], dict[str, Any]],
    summary: RunSummary,
    *,
    complete: bool,
) -> None:
    """Write scores, the manifest last. Called before the first task as well, to claim the directory."""
    status = "complete" if complete else ("incomplete" if summary.failures else "running")
    run.write_scores(list(records.values()))
    run.write_manifest(
        {
            "run_id": run_id,
            "status": status,
            "configuration": config.configuration(),
            "config": config.model_dump(mode="json"),
            "model": {
                "model_name": encoder.source.model_name,
                "model_revision": encoder.source.revision,
                "label": encoder.source.label,
                "tokenizer_repaired": encoder.backend.tokenizer_repaired,
                "attention": encoder.backend.attention,
                "device": encoder.backend.device,
                "embed_dim": encoder.backend.embed_dim,
                **encoder.identity(),
            },
            "tasks": [
                {
                    "configuration": configuration,
                    "task_name": task,
                    "result_key": record["result_key"],
                    "prompt_fingerprint": record["identity"]["subject"]["prompt_fingerprint"],
                    "dataset_revision": record["identity"]["protocol"]["dataset_revision"],
                    "details": record["details"],
                }
                for (configuration, task), record in sorted(records.items())
            ],
            "failures": {name: provenance.redact(str(error)) for name, error in summary.failures.items()},
            "seeds": {"mteb_task_seed": 42},
            "started": started,
            "finished": provenance.now() if complete else None,
            "git": provenance.git_state(),
            "packages": provenance.package_versions(),
            "machine": provenance.machine(encoder.backend.device),
        }
    )
