"""Means and Borda ranks: own properties, and equality with mteb's functions."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.aggregate import average_ranks, borda_points, mean, min_ranks, rank_rows, type_means

# Real mteb names of four types: mteb's functions look the type up by name.
TASKS = {
    "BIOSSES": "STS",
    "STS12": "STS",
    "SciFact": "Retrieval",
    "Banking77Classification": "Classification",
    "SummEval": "Summarization",
}


class Row(NamedTuple):
    scores: tuple[float | None, ...]
    partial: bool = False


# Few distinct values, so that ties are common; multiples of 1/8 are exact in every order of summation.
_score = st.integers(-8, 8).map(lambda value: value / 8)
_full_tables = st.lists(st.tuples(*[_score] * len(TASKS)), min_size=1, max_size=8)
_gap_tables = st.lists(st.tuples(*[st.none() | _score] * len(TASKS)), min_size=1, max_size=8).map(
    lambda table: [row for row in table if any(score is not None for score in row)]
)


def test_mean_refuses_gaps_and_emptiness() -> None:
    assert mean([0.25, 0.75]) == 0.5
    assert mean([0.25, None]) is None
    assert mean([]) is None


def test_type_mean_of_one_type_survives_a_gap_in_another() -> None:
    assert type_means([0.25, 0.75, None], ["STS", "STS", "Retrieval"]) == {"STS": 0.5, "Retrieval": None}


def test_average_ranks_share_ties_and_skip_gaps() -> None:
    assert average_ranks([0.5, 0.9, None, 0.5]) == [2.5, 1.0, None, 2.5]


def test_missing_task_gives_no_borda_points() -> None:
    assert borda_points([[0.9, None], [0.1, 0.5]]) == [1.0, 1.0]


def test_equal_keys_share_the_best_rank() -> None:
    assert min_ranks([(2.0,), (1.0,), (2.0,), (3.0,)]) == [2, 1, 2, 4]


def test_row_with_a_gap_never_outranks_a_full_row_even_with_more_points() -> None:
    rows = [Row((0.9, 0.9, None)), Row((0.1, 0.1, 0.1))]

    ranks, points = rank_rows(rows)

    assert points[0] > points[1], "by points alone the row with the gap would lead"
    assert ranks == [2, 1]


def test_partial_row_ranks_last_and_leaves_the_points_of_others_alone() -> None:
    full = [Row((0.3, 0.9)), Row((0.5, 0.5)), Row((0.4, None))]
    with_partial = [*full, Row((1.0, 1.0), partial=True), Row((0.4, 0.7), partial=True)]

    ranks, points = rank_rows(full)
    ranks_with, points_with = rank_rows(with_partial)

    assert ranks_with[:3] == ranks
    assert points_with[:3] == points
    assert ranks_with[3:] == [4, 5]


@given(st.lists(st.tuples(st.tuples(*[st.none() | _score] * 3), st.booleans()), max_size=8))
def test_ranks_respect_the_classes_for_any_table(table: list[tuple[tuple[float | None, ...], bool]]) -> None:
    rows = [Row(*item) for item in table]

    ranks, _ = rank_rows(rows)

    full = [rank for rank, row in zip(ranks, rows, strict=True) if not row.partial and None not in row.scores]
    gaps = [rank for rank, row in zip(ranks, rows, strict=True) if not row.partial and None in row.scores]
    partial = [rank for rank, row in zip(ranks, rows, strict=True) if row.partial]
    assert max(full, default=0) < min(gaps + partial, default=99)
    assert max(gaps, default=0) < min(partial, default=99)


def _mteb_names(count: int) -> list[str]:
    """Names of models that mteb registers: its summary drops all others."""
    from mteb.models.model_implementations import MODEL_REGISTRY

    return sorted(MODEL_REGISTRY)[:count]


def _mteb_frame(table: list[tuple[float | None, ...]]) -> object:
    polars = pytest.importorskip("polars")
    names = _mteb_names(len(table))
    records = [
        {"model_name": names[index], "task_name": task, "score": score, "split": "test", "subset": "default"}
        for index, row in enumerate(table)
        for task, score in zip(TASKS, row, strict=True)
        if score is not None
    ]
    return polars.DataFrame(records)


@settings(deadline=None, max_examples=60)
@given(_full_tables)
def test_full_tables_equal_mteb_summary(table: list[tuple[float, ...]]) -> None:
    mteb_table = pytest.importorskip("mteb.benchmarks._create_table")

    names = _mteb_names(len(table))
    theirs = {row["Model"]: row for row in mteb_table._create_summary_table(_mteb_frame(table)).df.to_dicts()}
    ranks, _ = rank_rows([Row(scores) for scores in table])

    for index, scores in enumerate(table):
        their_row = theirs[names[index]]
        by_type = type_means(scores, list(TASKS.values()))
        assert ranks[index] == their_row["Rank (Borda)"]
        assert mean(scores) == pytest.approx(their_row["Mean (Task)"], abs=1e-12)
        assert mean(by_type.values()) == pytest.approx(their_row["Mean (TaskType)"], abs=1e-12)
        for task_type, value in by_type.items():
            assert value == pytest.approx(their_row[task_type], abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(_gap_tables)
def test_tables_with_gaps_equal_mteb_in_points_and_nulls(table: list[tuple[float | None, ...]]) -> None:
    mteb_table = pytest.importorskip("mteb.benchmarks._create_table")
    if not table:
        return
    names, frame = _mteb_names(len(table)), _mteb_frame(table)

    borda = {row["model_name"]: row["Rank (Borda)"] for row in mteb_table._borda_rank_from_long(frame).to_dicts()}
    theirs = {row["Model"]: row for row in mteb_table._create_summary_table(frame).df.to_dicts()}
    # mteb knows only the tasks that some model has.
    present = [index for index in range(len(TASKS)) if any(row[index] is not None for row in table)]
    types = [list(TASKS.values())[index] for index in present]
    seen = [[row[index] for index in present] for row in table]

    assert min_ranks([(-value,) for value in borda_points(seen)]) == [borda[name] for name in names]
    for index, scores in enumerate(seen):
        their_row = theirs[names[index]]
        by_type = type_means(scores, types)
        assert _same(mean(scores), their_row["Mean (Task)"])
        assert _same(mean(by_type.values()), their_row["Mean (TaskType)"])
        assert all(_same(value, their_row[task_type]) for task_type, value in by_type.items())


def _same(ours: float | None, theirs: object) -> bool:
    return theirs is None if ours is None else theirs == pytest.approx(ours, abs=1e-12)
