"""AIR-Bench's tables: the board's columns and averages, the paper's means per domain, and the published rows beside them.

The board's rules (AIR-Bench/leaderboard `src/utils.py`): the average is the flat mean over the columns, blank as soon as one of
them is; rows are ranked by it, equal ones alike; a choice of languages chooses columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ConfigError
from harness.registry import Registry
from harness.registry.air_bench import AirBenchSet, air_bench_sets
from harness.report.aggregate import mean, min_ranks, type_means
from harness.report.air_bench_columns import (
    DEV_VERSION,
    PAPER_VERSION,
    SUBSET,
    TASK_TYPES,
    Place,
    Printed,
    column_name,
    paper_sets,
    printed,
    sets_of,
    values,
)
from harness.report.cost import cost_rows
from harness.report.item_files import ItemSource
from harness.report.paired import few_shot_rows, zero_shot_rows
from harness.report.rows import Collected, RowScores, collect_rows, remarks_of
from harness.report.table import LeaderboardRow, LeaderboardTable, RowKey, Task
from harness.report.tasks import CountedTask
from harness.report.text import plural, shorten
from harness.report.training import TrainingData

if TYPE_CHECKING:
    import pandas as pd

    from harness.report.reference import References

RANK_TITLE = "Rank"
AVERAGE_TITLE = "Average"
_METRICS = {"ndcg_at_10": "nDCG@10", "recall_at_10": "Recall@10"}


class _Row(NamedTuple):
    row: RowScores
    scores: tuple[float | None, ...]
    """Parallel to the columns."""
    domains: dict[str, float | None]
    average: float | None
    averages_only: bool


@dataclass(frozen=True)
class _Source:
    collected: Collected
    registry: Registry
    training: TrainingData
    references: References | None
    items: ItemSource | None
    rank_references: bool

    def printed(self, row: RowScores, version: str, task_type: str) -> list[Printed]:
        """Return the means that a shipped row's publication prints."""
        groups = self.references.groups if self.references else {}
        return printed(groups.get(row.key.reference, ()), version, task_type)


def build_air_tables(
    scores: pd.DataFrame | None,
    *,
    version: str,
    registry: Registry | None = None,
    references: References | None = None,
    rank_references: bool = False,
    items: ItemSource | None = None,
) -> list[LeaderboardTable]:
    """Make the tables of one version of AIR-Bench.

    One per task type, split and choice of languages that some row covers; for 24.05 also the columns of 24.04 that its dev split
    can score. Domains stand where other leaderboards have task types.

    Args:
        scores: what `load_scores` returned; None for reference rows alone.
        version: benchmark name, `AIR-Bench_24.05`.
        registry: for the training data that profiles state; default the shipped one.
        references: what `load_references` returned.
        rank_references: whether reference rows are ranked.
        items: where per-item outcomes are read, for intervals.

    Raises:
        TaskNotFoundError: no such version.
        ConfigError: no row has a score of the version.
    """
    air_bench_sets(version)
    training = TrainingData(references.training if references else None)
    registry = Registry.load() if registry is None else registry
    source = _Source(collect_rows(scores, references), registry, training, references, items, rank_references)
    tables = [
        table
        for task_type in TASK_TYPES
        for split in ("dev", "test")
        for table in _split_tables(source, version, task_type, split)
    ]
    if version == DEV_VERSION:
        tables += [table for task_type in TASK_TYPES for table in _paper_table(source, task_type)]
    if not tables:
        raise ConfigError(
            f"none of these rows has a score of {version}. A run scores the split dev; the test split is scored by the board "
            "(icl-harness export air-bench RUN)."
        )
    notes = [*source.collected.notes, *_absent(source.collected, tables)]
    return [replace(tables[0], notes=(*tables[0].notes, *notes)), *tables[1:]]


def _split_tables(source: _Source, version: str, task_type: str, split: str) -> Iterator[LeaderboardTable]:
    """Yield a table for each choice of languages that a run covers; where no run has the split, that a reference covers."""
    place = Place(version, split)
    sets = sets_of(version, task_type, split)
    languages_of = {one.name: one.language for one in sets}
    covered: list[tuple[RowScores, frozenset[str]]] = []
    for row in source.collected.rows:
        names = set(values(row, sets, place))
        if split == "test":
            names = names.union(*(group.sets for group in source.printed(row, version, task_type)))
        if names:
            covered.append((row, frozenset(languages_of[name] for name in names)))
    deciding = [languages for row, languages in covered if not row.is_reference]
    scopes = set(deciding or (languages for _, languages in covered))
    for scope in sorted(scopes, key=lambda one: (len(one), sorted(one))):
        columns = [one for one in sets if one.language in scope]
        rows = [
            entry
            for row, languages in covered
            if languages >= scope and (entry := _row(source, row, columns, place)) is not None
        ]
        whole = {one.language for one in sets} == scope
        shown = "all languages" if whole and len(scope) > 1 else ", ".join(sorted(scope))
        title = f"{version} {TASK_TYPES[task_type]} ({shown}), {split}: {_METRICS[columns[0].main_metric]}"
        notes = [
            f"{AVERAGE_TITLE}: the mean over the {plural(len(columns), 'set')} of this table; '-' where one is missing, as on the board.",
            "Scored here on the public dev queries; the board scores the test queries, so do not compare with its rows."
            if split == "dev"
            else "Scored by the board or its authors on the test queries; no run measures these.",
        ]
        if rows:
            yield _table(source, title, columns, rows, place, notes)


def _row(source: _Source, row: RowScores, columns: Sequence[AirBenchSet], place: Place) -> _Row | None:
    """Return a row's scores in the columns; of a publication without them the means that it prints over just these."""
    found = values(row, columns, place)
    domains = [one.domain for one in columns]
    if found:
        scores = tuple(found.get(one.name) for one in columns)
        return _Row(row, scores, type_means(scores, domains), mean(scores), averages_only=False)
    groups = {group.sets: group.score for group in source.printed(row, place.version, columns[0].task_type)}
    by_domain: dict[str, float | None] = {
        domain: groups.get(frozenset(one.name for one in columns if one.domain == domain)) for domain in domains
    }
    average = groups.get(frozenset(one.name for one in columns))
    if average is None and not any(score is not None for score in by_domain.values()):
        return None
    return _Row(row, (None,) * len(columns), by_domain, average, averages_only=True)


def _paper_table(source: _Source, task_type: str) -> Iterator[LeaderboardTable]:
    """Yield the columns of 24.04 that the dev split of 24.05 can score, runs beside published rows."""
    columns = paper_sets(task_type)
    dev, published = Place(DEV_VERSION, "dev"), Place(PAPER_VERSION, "test")
    rows = []
    for row in source.collected.rows:
        found = values(row, columns, dev) or values(row, columns, published)
        if found:
            scores = tuple(found.get(one.name) for one in columns)
            domains = type_means(scores, [one.domain for one in columns])
            rows.append(_Row(row, scores, domains, mean(scores), averages_only=False))
    if not any(not entry.row.is_reference for entry in rows):
        return
    whole = len(sets_of(PAPER_VERSION, task_type, "test"))
    title = f"{PAPER_VERSION} {TASK_TYPES[task_type]}, the {len(columns)} of {whole} columns that {DEV_VERSION} dev can score"
    notes = [
        f"Runs: dev queries of {DEV_VERSION}. Reference rows: test queries of {PAPER_VERSION}, scored by the board. These sets "
        "have equally many documents, queries and relevant pairs in both; that they are the same ones is not published.",
        f"{AVERAGE_TITLE}: the mean over {plural(len(columns), 'set')} alone.",
    ]
    # What examples bring and what encoding costs stands under the tables of the dev split already.
    yield replace(_table(source, title, columns, rows, dev, notes), few_shot=(), few_shot_notes=(), costs=())


def _table(
    source: _Source, title: str, columns: Sequence[AirBenchSet], entries: Sequence[_Row], place: Place, notes: list[str]
) -> LeaderboardTable:
    domains = tuple(dict.fromkeys(one.domain for one in columns))
    ranks = _ranks(entries, rank_references=source.rank_references)
    remarks = remarks_of([entry.row for entry in entries])
    names = [one.name for one in columns]
    labels = {one.name: column_name(one) for one in columns}
    rows = []
    for entry in entries:
        trained = source.training.of(entry.row.key, names, source.registry)
        shown = LeaderboardRow(
            key=entry.row.key,
            label=entry.row.label,
            remarks=remarks[entry.row.key],
            rank=ranks.get(entry.row.key),
            points=None,
            mean_task=entry.average,
            mean_task_type=None,
            type_means=tuple(entry.domains[domain] for domain in domains),
            task_scores=entry.scores,
            averages_only=entry.averages_only,
            trained_on=None if trained is None else frozenset(labels[name] for name in trained),
        )
        rows.append((entry.row, shown))
    rows.sort(key=lambda pair: _order(pair[1]))
    scored, shown_rows = [row for row, _ in rows], [row for _, row in rows]
    counted = [
        CountedTask(one.name, one.domain, (), {one.name: frozenset({(place.split, SUBSET)})}, one.main_metric)
        for one in columns
    ]
    few_shot, few_shot_notes = few_shot_rows(counted, scored, shown_rows, source.items)
    return LeaderboardTable(
        title=title,
        benchmark=place.version,
        tasks=tuple(Task(labels[one.name], one.domain) for one in columns),
        task_types=domains,
        rows=tuple(shown_rows),
        notes=(*notes, *_notes(shown_rows)),
        few_shot=tuple(few_shot),
        few_shot_notes=tuple(few_shot_notes),
        costs=tuple(cost_rows(counted, scored, zero_shot_rows([row.key for row in shown_rows]))),
        rank_title=RANK_TITLE,
        average_title=AVERAGE_TITLE,
    )


def _ranks(entries: Sequence[_Row], *, rank_references: bool) -> dict[RowKey, int]:
    """Rank by the average as it is shown; rows without one share the last rank, --limit runs stand behind all."""
    ranked = [entry for entry in entries if not entry.row.is_reference or rank_references]
    # The board gives a row without average -1, below every score.
    shown = [-1.0 if entry.average is None else round(100 * entry.average, 2) for entry in ranked]
    keys = [(float(entry.row.key.partial), -value) for entry, value in zip(ranked, shown, strict=True)]
    return dict(zip((entry.row.key for entry in ranked), min_ranks(keys), strict=True))


def _order(row: LeaderboardRow) -> tuple[bool, float, object]:
    if row.rank is not None:
        return False, row.rank, row.key.sort_key
    return True, float("inf") if row.mean_task is None else -row.mean_task, row.key.sort_key


def _notes(rows: Sequence[LeaderboardRow]) -> list[str]:
    notes = []
    if any(row.key.reference for row in rows):
        notes.append("Reference rows are scores from elsewhere; no run that is shown here measured them.")
    averages = [row.key.reference for row in rows if row.averages_only]
    if averages:
        notes.append(f"Averages as printed, without scores of sets: {shorten(averages)}.")
    if any(row.key.partial for row in rows):
        notes.append(
            "Partial rows come from --limit runs, which are for testing only; they are ranked after all others."
        )
    return notes


def _absent(collected: Collected, tables: Sequence[LeaderboardTable]) -> list[str]:
    shown = {row.key for table in tables for row in table.rows}
    absent = [row.key for row in collected.rows if row.key not in shown]
    names = [
        f"reference {key.reference}" if key.reference else f"{key.model_name} ({key.configuration})" for key in absent
    ]
    return [f"Left out, without any score of these tables: {shorten(names)}."] if names else []
