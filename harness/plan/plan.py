"""Planning a run: every task and configuration with its cost, before any weights load and without the network."""

from __future__ import annotations

from pathlib import Path

from harness.config import RunConfig
from harness.encoder.sources import check_model_name, check_model_offline
from harness.errors import ConfigError, DatasetUnavailableError
from harness.plan.air_bench import AirBenchFilter
from harness.plan.model import Plan, Rate
from harness.plan.notes import source_notes
from harness.plan.pricing import Pricer
from harness.plan.statistics import load_statistics
from harness.plan.tokenizers import TokenCounter, embed_dim, find_counter
from harness.plan.works import Work, air_bench_works, mteb_works
from harness.prompts.profile import ModelProfile, find_profile
from harness.registry.registry import Registry
from harness.runners.prompts import PromptPolicy
from harness.runners.run import plan_run
from harness.store.run_dir import RunDir


def make_plan(
    config: RunConfig, *, air_bench: AirBenchFilter | None = None, rate: Rate | None = None, count: bool = True
) -> Plan:
    """Plan what `run` would do with the same settings.

    Args:
        config: the settings of the run; `limit` is refused, as a cut task has no statistics.
        air_bench: which sets of the AIR-Bench benchmarks among `config.benchmark`.
        rate: how fast the model encodes.
        count: count the texts of tasks whose data is given (--data-dir, custom tasks) instead of taking statistics.

    Raises:
        ConfigError: anything wrong with what was asked for.
        DatasetUnavailableError: given data that cannot be read.
    """
    if config.limit is not None:
        raise ConfigError("plan knows whole tasks only: leave --limit out.")
    check_model_name(config.model)
    statistics = load_statistics()
    profile = find_profile(config.model, config.profile)
    registry = Registry.load(config.registry_dir, examples=config.examples)
    counter = find_counter(config.model, config.revision, statistics.family_of(profile.name), profile.special_tokens)
    versions = tuple(name for name in config.benchmark if name.startswith("AIR-Bench"))
    others = config.model_copy(
        update={"benchmark": tuple(name for name in config.benchmark if name not in versions), "offline": False}
    )
    pricer = Pricer(
        registry=registry,
        profile=profile,
        statistics=statistics,
        counter=counter,
        query_max_tokens=config.query_max_tokens or profile.query_max_tokens,
        document_max_tokens=config.document_max_tokens or profile.document_max_tokens,
    )
    works: list[Work] = []
    policies = _policies(config, registry, profile)
    if others.benchmark or others.tasks:
        units, policies = plan_run(others)
        works, pricer.overlaps = mteb_works(units, statistics, registry, profile, counter, count=count)
    works += air_bench_works(versions, air_bench or AirBenchFilter(), statistics, config.data_dir)
    if not works:
        raise ConfigError("nothing to plan: give --benchmark or --tasks. See: icl-harness list benchmarks")
    works = list({work.label: work for work in works}.values())
    return Plan(
        model=config.model,
        profile=profile.name,
        embed_dim=embed_dim(config.model, config.revision, statistics.embed_dims),
        tokens_from=_tokens_from(counter, pricer.family),
        prefix_from=counter.source,
        model_missing=_model_missing(config.model),
        tasks=[plan for work in works for plan in pricer.price(work, policies)],
        rate=rate or Rate(),
        notes=source_notes(works, statistics),
    )


def _policies(config: RunConfig, registry: Registry, profile: ModelProfile) -> list[PromptPolicy]:
    return [
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


def _tokens_from(counter: TokenCounter, family: str) -> str:
    if not counter.exact:
        return f"counts of the {family} vocabulary (no tokenizer of the model on this machine)"
    return f"counts of the {family} vocabulary, scaled to {counter.source} by the task's examples"


def _model_missing(model: str) -> bool:
    try:
        check_model_offline(model)
    except DatasetUnavailableError:
        return True
    return False


def rate_of_run(path: Path) -> Rate:
    """Return the rate at which a run encoded: tokens and seconds of all its finished tasks.

    Raises:
        ConfigError: no run directory, or one in which nothing was encoded.
    """
    records = RunDir(path).records() if (path / "tasks").is_dir() else []
    measured = [record["details"] for record in records if record["details"].get("tokens")]
    seconds = sum(float(details["encode_seconds"]) for details in measured)
    if seconds <= 0:
        raise ConfigError(f"--rate-from {str(path)!r}: no run directory in which texts were encoded.")
    tokens = sum(int(details["tokens"]) for details in measured)
    return Rate(tokens_per_second=tokens / seconds, source=f"measured in {path.name}: {len(measured)} results")
