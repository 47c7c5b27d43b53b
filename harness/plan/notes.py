"""What a plan says beside its numbers: where they come from, and whether the disk is large enough."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from harness.encoder.hashing import cache_dir
from harness.plan.cost import store_bytes
from harness.plan.model import AIR_TABLE, STATISTICS, UNKNOWN, Plan
from harness.plan.statistics import Statistics
from harness.plan.works import Work
from harness.runners.run import cache_limit


def source_notes(works: Sequence[Work], statistics: Statistics) -> list[str]:
    """Return what a reader must know about the numbers of texts."""
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
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        notes.append(
            f"No statistics for these splits or subsets of {', '.join(unknown[:5])}{more}: counted as nothing. Give their data "
            "with --data-dir."
        )
    return notes


def disk_notes(plan: Plan) -> list[str]:
    """Return what stands in the way of keeping all vectors: the limit of the store, and free space of its folder."""
    if plan.embed_dim is None:
        return []
    needed, limit = store_bytes(plan.total().vectors, plan.embed_dim), cache_limit()
    notes = []
    if needed > limit:
        notes.append(
            f"The vectors take {needed / 1e9:.0f} GB; the store keeps {limit / 1e9:.0f} GB and drops the least recently used "
            "(HARNESS_CACHE_MAX_BYTES)."
        )
    folder = cache_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if min(needed, limit) > free:
        notes.append(f"{folder} has {free / 1e9:.0f} GB free: set HARNESS_CACHE to a larger disk.")
    return notes
