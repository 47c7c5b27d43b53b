"""Planning a run: every task and configuration with its cost, before any weights load and without the network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import RunConfig
from harness.encoder.hashing import cache_dir
from harness.encoder.sources import check_model_name, check_model_offline
from harness.errors import ConfigError, DatasetUnavailableError
from harness.plan.air_bench import AirBenchFilter, air_bench_groups, chosen_sets, missing_air_bench
from harness.plan.cost import Cost, PromptTokens, group_cost, prompt_tokens, shares_prefix, store_bytes, total
from harness.plan.statistics import Statistics, TaskStatistics, TextGroup, example_texts, load_statistics
from harness.plan.tokenizers import TokenCounter, embed_dim, find_counter
from harness.prompts.profile import ModelProfile, find_profile
from harness.registry.registry import Registry
from harness.runners.prompts import PromptPolicy
from harness.runners.run import cache_limit, plan_run
from harness.runners.tasks import TaskUnit, needs_download

if TYPE_CHECKING:
    from harness.prompts.template import TaskPrompt

COUNTED_NOW, COUNTED, STATISTICS, AIR_TABLE, UNKNOWN = (
    "counted in the data",
    "counted before",
    "statistics",
    "AIR-Bench's table",
    "unknown",
)


@dataclass(frozen=True)
class TaskPlan:
    """One task under one configuration."""

    task: str
    part_of: str
    task_type: str
    configuration: str
    num_fewshot: int
    prefix_tokens: int
    """Tokens of the examples in front of every query."""
    cost: Cost
    source: str
    """Where the numbers of texts come from; UNKNOWN: they could not be had and count as nothing."""
    missing: bool
    """Whether the data is not on this machine."""
    shared_documents: int = 0
    """Documents whose vectors an earlier configuration of the plan has made."""


@dataclass(frozen=True)
class Rate:
    """How fast the model encodes."""

    tokens_per_second: float | None = None
    texts_per_second: float | None = None
    source: str = "given"

    def hours(self, cost: Cost) -> float | None:
        """Return the estimated time of a cost in hours, or None without a rate."""
        if self.tokens_per_second:
            return cost.tokens / self.tokens_per_second / 3600
        if self.texts_per_second:
            return cost.distinct / self.texts_per_second / 3600
        return None


@dataclass(frozen=True)
class Plan:
    """The whole plan."""

    model: str
    profile: str
    embed_dim: int | None
    tokens_from: str
    prefix_from: str
    model_missing: bool
    tasks: list[TaskPlan]
    rate: Rate
    notes: list[str] = field(default_factory=list)

    def total(self, configuration: str | None = None) -> Cost:
        """Return the sum over one configuration or all."""
        return total(one.cost for one in self.tasks if configuration in (None, one.configuration))

    @property
    def configurations(self) -> list[str]:
        """The configurations, in order."""
        return list(dict.fromkeys(one.configuration for one in self.tasks))

    @property
    def missing(self) -> list[str]:
        """Tasks whose data is not on this machine."""
        return list(dict.fromkeys(one.task for one in self.tasks if one.missing))


@dataclass(frozen=True)
class _Work:
    """One task to plan."""

    name: str
    label: str
    """`name`, with its version where several versions of AIR-Bench are planned together."""
    part_of: str
    task_type: str
    registered: bool
    statistics: TaskStatistics | None
    source: str
    missing: bool
    own_tokens: bool = False
    """Whether the curves are counted by the model's own tokenizer, under the family ""."""


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
    family = statistics.family_of(profile.name)
    counter = find_counter(config.model, config.revision, family, profile.special_tokens)
    versions = tuple(name for name in config.benchmark if name.startswith("AIR-Bench"))
    others = config.model_copy(
        update={"benchmark": tuple(name for name in config.benchmark if name not in versions), "offline": False}
    )
    works: list[_Work] = []
    registry = Registry.load(config.registry_dir, examples=config.examples)
    if others.benchmark or others.tasks:
        units, policies = plan_run(others)
        works += [_work_of(unit, statistics, registry, profile, counter, count=count) for unit in units]
    else:
        policies = _policies(config, registry, profile)
    for version in versions:
        for one in chosen_sets(version, air_bench or AirBenchFilter()):
            found = air_bench_groups(one, statistics)
            missing = missing_air_bench(one, config.data_dir)
            label = one.name if len(versions) == 1 else f"{one.name} ({version.removeprefix('AIR-Bench_')})"
            works.append(_Work(one.name, label, "", "Retrieval", True, found, AIR_TABLE, missing))
    if not works:
        raise ConfigError("nothing to plan: give --benchmark or --tasks. See: icl-harness list benchmarks")
    works = list({work.label: work for work in works}.values())
    limits = (
        config.query_max_tokens or profile.query_max_tokens,
        config.document_max_tokens or profile.document_max_tokens,
    )
    tasks: list[TaskPlan] = []
    for work in works:
        scales = _scales(work, registry, statistics, family, counter)
        made: set[TextGroup] = set()
        kept = ""
        for policy in policies:
            prompt = _prompt(work, policy)
            around = prompt_tokens(prompt, kept, profile, counter, *limits)
            tasks.append(
                _task_plan(work, policy.configuration, prompt, around, profile, statistics, family, scales, made)
            )
            kept = max(kept, prompt.prefix + prompt.wrap_query(""), key=len)
    return Plan(
        model=config.model,
        profile=profile.name,
        embed_dim=embed_dim(config.model, config.revision, statistics.embed_dims),
        tokens_from=_tokens_from(counter, family),
        prefix_from=counter.source,
        model_missing=_model_missing(config.model),
        tasks=tasks,
        rate=rate or Rate(),
        notes=_notes(works, statistics),
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


def _work_of(
    unit: TaskUnit,
    statistics: Statistics,
    registry: Registry,
    profile: ModelProfile,
    counter: TokenCounter,
    *,
    count: bool,
) -> _Work:
    known = statistics.tasks.get(unit.name)
    if known is not None and (set(unit.splits) != set(known.splits) or unit.languages):
        known = None  # an override of splits or subsets: the statistics are of others
    source = UNKNOWN if known is None else COUNTED if known.counted else STATISTICS
    packaged = known is not None and known.counted and unit.entry is not None and unit.folder == unit.entry.data
    own = False
    if unit.folder is not None and count and not packaged:
        from harness.plan.counting import count_task

        known, source, own = count_task(unit, registry, profile, {"": counter}), COUNTED_NOW, True
    return _Work(
        name=unit.name,
        label=unit.name,
        part_of=unit.part_of,
        task_type=unit.task_type,
        registered=unit.entry is not None,
        statistics=known,
        source=source,
        missing=needs_download(unit),
        own_tokens=own,
    )


def _prompt(work: _Work, policy: PromptPolicy) -> TaskPrompt:
    if work.registered:
        return policy.for_registered(work.name).prompt
    import mteb

    return policy.for_metadata(mteb.get_task(work.name).metadata).prompt


def _task_plan(
    work: _Work,
    configuration: str,
    prompt: TaskPrompt,
    around: PromptTokens,
    profile: ModelProfile,
    statistics: Statistics,
    family: str,
    scales: dict[str, float],
    made: set[TextGroup],
) -> TaskPlan:
    """Cost one task; `made` holds the document groups that an earlier configuration has encoded and is added to."""
    costs: list[Cost] = []
    shared = 0
    prefix_pass = False
    for group in work.statistics.groups if work.statistics else ():
        counted_as = "" if work.own_tokens else family
        cost = group_cost(
            group,
            around,
            profile,
            work.task_type,
            family=counted_as,
            scale=scales.get(group.side, 1.0),
            chars_per_token=statistics.chars_per_token(family, work.name, group.side),
        )
        if profile.side(work.task_type, group.side or None) == "query":
            prefix_pass |= shares_prefix(around, profile, group)
        else:
            if group in made:
                shared += group.distinct
                cost = replace(Cost(texts=cost.texts), exact=cost.exact)
            made.add(group)
        costs.append(cost)
    if prefix_pass:
        costs.append(Cost(tokens=around.new))
    return TaskPlan(
        task=work.label,
        part_of=work.part_of,
        task_type=work.task_type,
        configuration=configuration,
        num_fewshot=prompt.num_fewshot,
        prefix_tokens=around.examples,
        cost=total(costs),
        source=work.source,
        missing=work.missing,
        shared_documents=shared,
    )


def _scales(
    work: _Work, registry: Registry, statistics: Statistics, family: str, counter: TokenCounter
) -> dict[str, float]:
    """Return, by side, the tokens of the model's tokenizer per token of the family; AIR-Bench's counts are of neither."""
    if work.own_tokens or work.source == AIR_TABLE or work.name not in registry:
        return {}
    texts = example_texts(registry.get(work.name))
    return {side: statistics.scale(family, work.name, side, some, counter) for side, some in texts.items()}


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


def _notes(works: Sequence[_Work], statistics: Statistics) -> list[str]:
    notes = []
    sources = {work.source for work in works}
    if STATISTICS in sources:
        notes.append(
            f"Texts of most tasks are those of mteb {statistics.sources['mteb']}'s statistics, their tokens estimated from "
            "characters (docs/plan.md); '<' marks a number of distinct texts that is an upper bound."
        )
    if AIR_TABLE in sources:
        notes.append(
            f"AIR-Bench's texts and tokens are those of its own table (air-benchmark {statistics.sources['air-benchmark']})."
        )
    unknown = [work.name for work in works if work.source == UNKNOWN]
    if unknown:
        notes.append(
            f"No statistics for these splits or subsets of {', '.join(unknown[:5])}"
            f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}: counted as nothing. Give their data with --data-dir."
        )
    return notes


def disk_notes(plan: Plan) -> list[str]:
    """Return what the plan says about the disk: the store's own limit, and free space of its folder."""
    if plan.embed_dim is None:
        return []
    needed = store_bytes(plan.total().vectors, plan.embed_dim)
    notes = []
    if needed > (limit := cache_limit()):
        notes.append(
            f"The vectors take {needed / 1e9:.0f} GB; the store keeps {limit / 1e9:.0f} GB and drops the least recently used "
            "(HARNESS_CACHE_MAX_BYTES)."
        )
    folder = cache_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if min(needed, limit) > free:
        notes.append(
            f"{folder} has {free / 1e9:.0f} GB free (HARNESS_CACHE={os.environ.get('HARNESS_CACHE', 'not set')})."
        )
    return notes


def rate_of_run(path: Path) -> Rate:
    """Return the rate at which a run encoded: tokens and seconds of all its finished tasks.

    Raises:
        ConfigError: no run directory, or one in which nothing was encoded.
    """
    from harness.store.run_dir import RunDir

    records = RunDir(path).records() if (path / "tasks").is_dir() else []
    tokens = sum(int(record["details"].get("tokens", 0)) for record in records)
    seconds = sum(
        float(record["details"].get("encode_seconds", 0.0)) for record in records if record["details"].get("tokens")
    )
    if tokens <= 0 or seconds <= 0:
        raise ConfigError(f"--rate-from {str(path)!r}: no run directory in which texts were encoded.")
    return Rate(tokens_per_second=tokens / seconds, source=f"measured in {path.name}: {len(records)} tasks")
