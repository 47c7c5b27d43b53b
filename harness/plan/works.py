"""The tasks of a plan, each with what is known of its texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.plan.air_bench import air_bench_groups
from harness.plan.model import AIR_TABLE, COUNTED, COUNTED_NOW, STATISTICS, UNKNOWN
from harness.plan.statistics import Overlap, Statistics, TaskStatistics
from harness.plan.tokenizers import TokenCounter
from harness.prompts.profile import ModelProfile
from harness.registry.registry import Registry
from harness.runners.tasks import TaskUnit, needs_download

if TYPE_CHECKING:
    from harness.plan.counting import Seen

OWN = ""
"""Name of the counts that the model's own tokenizer made now."""


@dataclass(frozen=True)
class Work:
    """One task to plan."""

    name: str
    part_of: str
    task_type: str
    registered: bool
    statistics: TaskStatistics | None
    source: str
    missing: bool

    @property
    def own_tokens(self) -> bool:
        """Whether the curves are under OWN instead of a tokenizer family."""
        return self.source == COUNTED_NOW


def gather_works(
    units: Sequence[TaskUnit],
    statistics: Statistics,
    registry: Registry,
    profile: ModelProfile,
    counter: TokenCounter,
    *,
    count: bool,
) -> tuple[list[Work], list[Overlap]]:
    """Return the works of a run, and the texts that several of them have.

    Args:
        units: the tasks, in the order of the run.
        statistics: the packaged statistics.
        registry: the registry of the session.
        profile: the model family.
        counter: counts tokens of given data.
        count: count the texts of tasks whose data is given.
    """
    works: list[Work] = []
    seen: dict[str, Seen] = {}
    for unit in units:
        if unit.air is not None:
            found = air_bench_groups(unit.air, statistics)
            works.append(
                Work(unit.name, unit.part_of, unit.task_type, True, found, AIR_TABLE, missing=needs_download(unit))
            )
            continue
        known = statistics.tasks.get(unit.name)
        if known is not None and (set(unit.splits) != set(known.splits) or unit.languages):
            known = None  # an override of splits or subsets: the statistics are of others
        source = UNKNOWN if known is None else COUNTED if known.counted else STATISTICS
        packaged = known is not None and known.counted and unit.entry is not None and unit.folder == unit.entry.data
        if unit.folder is not None and count and not packaged:
            from harness.plan.counting import count_task

            known, seen[unit.name] = count_task(unit, registry, profile, {OWN: counter})
            source = COUNTED_NOW
        works.append(
            Work(
                name=unit.name,
                part_of=unit.part_of,
                task_type=unit.task_type,
                registered=unit.entry is not None,
                statistics=known,
                source=source,
                missing=needs_download(unit),
            )
        )
    packaged_names = {work.name for work in works if work.source == COUNTED}
    overlaps = [one for one in statistics.overlaps if len(one.tasks & packaged_names) > 1]
    if len(seen) > 1:
        from harness.plan.counting import find_overlaps

        overlaps += find_overlaps(seen, [OWN])
    return works, overlaps
