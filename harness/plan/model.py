"""What a plan consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.plan.cost import Cost, total

COUNTED_NOW = "counted in the data"
COUNTED = "counted before"
STATISTICS = "statistics"
AIR_TABLE = "AIR-Bench's table"
UNKNOWN = "unknown"


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
    shared_documents: int
    """Documents whose vectors an earlier configuration of the plan has made."""
    shared_texts: int
    """Texts that an earlier task of the plan has under the same prompt, as far as that is known."""


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
