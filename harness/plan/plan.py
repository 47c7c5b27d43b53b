"""Planning a run: every task and configuration with its cost, before any weights load and without the network."""

from __future__ import annotations

from pathlib import Path

from harness.config import RunConfig
from harness.encoder.sources import check_model_name, check_model_offline
from harness.errors import ConfigError, DatasetUnavailableError
from harness.plan.cost import Cost
from harness.plan.model import Plan, Rate
from harness.plan.notes import source_notes
from harness.plan.pricing import Pricer
from harness.plan.statistics import load_statistics
from harness.plan.tokenizers import TokenCounter, embed_dim, find_counter
from harness.plan.works import gather_works
from harness.prompts.profile import ModelProfile, find_profile
from harness.registry.registry import Registry
from harness.runners.run import plan_run
from harness.store.run_dir import RunDir


def make_plan(config: RunConfig, *, rate: Rate | None = None, count: bool = True) -> Plan:
    """Plan what `run` would do with the same settings.

    Args:
        config: the settings of the run; `limit` is refused, as a cut task has no statistics.
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
    units, policies = plan_run(config.model_copy(update={"offline": False}))
    works, overlaps = gather_works(units, statistics, registry, profile, counter, count=count)
    pricer = Pricer(
        registry=registry,
        profile=profile,
        statistics=statistics,
        counter=counter,
        query_max_tokens=config.query_max_tokens or profile.query_max_tokens,
        document_max_tokens=config.document_max_tokens or profile.document_max_tokens,
        overlaps=overlaps,
    )
    return Plan(
        model=config.model,
        profile=profile.name,
        embed_dim=embed_dim(config.model, config.revision, statistics.embed_dims),
        tokens_from=_tokens_from(counter, pricer.family, profile),
        prefix_from=counter.source,
        model_missing=_model_missing(config.model),
        tasks=[plan for work in works for plan in pricer.price(work, policies)],
        rate=rate or Rate(),
        notes=source_notes(works, statistics),
    )


def _tokens_from(counter: TokenCounter, family: str, profile: ModelProfile) -> str:
    if profile.kind == "words":
        return f"this model reads words; counts of the {family} vocabulary stand for them"
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


def recorded_counts(path: Path) -> dict[tuple[str, str], Cost]:
    """Return what a run really encoded: (task, configuration) -> texts, distinct texts and tokens.

    Raises:
        ConfigError: no run directory, or one without a finished task.
    """
    records = RunDir(path).records() if (path / "tasks").is_dir() else []
    if not records:
        raise ConfigError(f"--compare {str(path)!r}: no run directory with a finished task.")
    found = {}
    for record in records:
        details = record["details"]
        found[record["task_name"], record["configuration"]] = Cost(
            texts=int(details.get("texts", 0)),
            distinct=int(details.get("texts_encoded", 0)),
            tokens=int(details.get("tokens", 0)),
        )
    return found
