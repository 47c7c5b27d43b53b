"""What encoding cost against zero-shot, and which tasks a model was trained on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.registry import Registry
from harness.report import render_markdown
from harness.report.leaderboard import build_leaderboards
from harness.report.reference import load_references
from harness.report.table import UNSEEN_TITLE, LeaderboardTable

V1 = "MTEB(eng, v1)"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def _cost(make: SimpleNamespace, registry: Registry, rows: list[dict[str, Any]]) -> LeaderboardTable:
    return build_leaderboards(make.frame([make.row(**row) for row in rows]), registry=registry)[0]


def test_only_tasks_with_equally_many_encoded_texts_are_compared(make: SimpleNamespace, toy_registry: Registry) -> None:
    table = _cost(
        make,
        toy_registry,
        [
            {"task_name": "A", "texts_encoded": 100, "encode_seconds": 1.0},
            {"task_name": "R", "texts_encoded": 1000, "encode_seconds": 20.0},
            {"task_name": "A", "configuration": "k3", "texts_encoded": 100, "encode_seconds": 2.5},
            # The documents came from the store: these texts are others than those of zero-shot.
            {"task_name": "R", "configuration": "k3", "texts_encoded": 10, "encode_seconds": 5.0},
        ],
    )

    zero, few = table.costs
    assert (zero.texts_encoded, zero.encode_seconds, zero.zero_shot, zero.relative) == (1100, 21.0, None, None)
    assert (few.texts_encoded, few.encode_seconds, few.texts_per_second) == (110, 7.5, pytest.approx(110 / 7.5))
    assert (few.compared_tasks, few.seconds_per_text, few.zero_shot_seconds_per_text) == (1, 0.025, 0.01)
    assert few.relative == pytest.approx(2.5)


def test_every_metric_of_a_task_counts_its_time_once(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        {"task_name": "A"},
        {"task_name": "A", "metric": "other", "is_main": False},
        {"task_name": "A", "split": "dev"},
    ]

    (cost,) = _cost(make, toy_registry, rows).costs

    assert (cost.texts_encoded, cost.encode_seconds) == (10, 1.0)


def test_row_that_encoded_nothing_has_no_cost(make: SimpleNamespace, toy_registry: Registry) -> None:
    table = _cost(make, toy_registry, [{"texts_encoded": 0}, {"configuration": "k3"}])

    assert [(table.rows[cost.row].key.configuration, cost.relative) for cost in table.costs] == [("k3", None)]


def _v1(make: SimpleNamespace, registry: Registry, model: str) -> Any:
    rows = []
    for place, whole in enumerate(registry.benchmark(V1)):
        for name in whole.parts or (whole.name,):
            task = registry.get(name)
            cells = {"split": task.splits[0], "hf_subset": task.subsets[0], "part_of": task.part_of or ""}
            scores = {"task_name": name, "task_type": task.task_type, "metric": task.main_metric, "score": place / 100}
            rows.append(make.row(model_name=model, **cells, **scores))
    return make.frame(rows)


def test_model_of_the_profile_has_marks_and_a_mean_over_unseen_tasks(make: SimpleNamespace, registry: Registry) -> None:
    (table,) = build_leaderboards(_v1(make, registry, "BAAI/bge-en-icl"), registry=registry, benchmark=V1)

    (row,) = table.rows
    assert row.trained_on is not None and len(row.trained_on) == 31
    unseen = [
        score for task, score in zip(table.tasks, row.task_scores, strict=True) if task.name not in row.trained_on
    ]
    assert len(unseen) == 25
    assert row.mean_unseen == pytest.approx(sum(filter(None, unseen)) / 25)
    lines = render_markdown([table], per_task=True).splitlines()
    assert f"| {UNSEEN_TITLE} |" in lines[2]
    assert any(line.startswith("| STS12 | STS |") and line.endswith("† |") for line in lines)
    assert any(line.startswith("| STS13 | STS |") and "†" not in line for line in lines)


@pytest.mark.parametrize("model", ["icl-harness/embedded", "org/bge-en-icl", "local/bge-en-icl-mine", "local/other"])
def test_other_models_have_no_marks(make: SimpleNamespace, registry: Registry, model: str) -> None:
    (table,) = build_leaderboards(_v1(make, registry, model), registry=registry, benchmark=V1)

    assert table.rows[0].trained_on is None and table.rows[0].mean_unseen is None
    assert UNSEEN_TITLE not in render_markdown([table])


def test_reference_rows_are_of_the_training_that_they_state(registry: Registry) -> None:
    names = ["paper/full/fs", "paper/public/fs", "mteb/all-MiniLM-L6-v2", "paper/public/GritLM-7B"]
    references = load_references(names, registry=registry)

    (table,) = build_leaderboards(None, registry=registry, references=references, benchmark=V1)

    trained = {row.key.reference: row.trained_on and len(row.trained_on) for row in table.rows}
    assert trained == {
        "paper/full/fs": 31,
        "paper/public/fs": 5,
        "mteb/all-MiniLM-L6-v2": None,
        "paper/public/GritLM-7B": None,
    }
    # Means over different tasks have no best one.
    assert not table.best(table.mean_columns()[2])


def test_a_gap_among_the_unseen_tasks_leaves_no_mean_over_them(make: SimpleNamespace, registry: Registry) -> None:
    frame = _v1(make, registry, "BAAI/bge-en-icl")

    trained = build_leaderboards(frame[frame["task_name"] != "STS12"], registry=registry, benchmark=V1)[0].rows[0]
    unseen = build_leaderboards(frame[frame["task_name"] != "STS13"], registry=registry, benchmark=V1)[0].rows[0]

    assert trained.mean_task is None and trained.mean_unseen is not None
    assert unseen.mean_task is None and unseen.mean_unseen is None
