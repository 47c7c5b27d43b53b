"""Which tables and rows a set of scores gives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.errors import ConfigError, IncompleteRunError, TaskNotFoundError
from harness.registry import Registry
from harness.report.leaderboard import build_leaderboards
from harness.report.table import LeaderboardTable, Task

FULL = {"A": 0.2, "B": 0.4, "C": 0.9, "Q1": 0.1, "Q2": 0.2, "Q3": 0.6}


def _scores(table: LeaderboardTable) -> dict[str, dict[str, float | None]]:
    names = [task.name for task in table.tasks]
    return {row.name: dict(zip(names, row.task_scores, strict=True)) for row in table.rows}


def test_aggregate_counts_once_and_stays_in_its_type(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame(make.scores("m", FULL))

    (table,) = build_leaderboards(frame, registry=toy_registry, benchmark="toy")

    row = table.rows[0]
    assert [task.name for task in table.tasks] == ["C", "Q", "A", "B"]
    assert row.mean_task == pytest.approx((0.2 + 0.4 + 0.9 + 0.3) / 4)
    types = dict(zip(table.task_types, row.type_means, strict=True))
    assert types == {
        "Classification": 0.9,
        "Retrieval": pytest.approx(0.3),
        "STS": pytest.approx(0.3),
    }
    assert row.mean_task_type == pytest.approx((0.9 + 0.3 + 0.3) / 3)
    assert "Q is the mean of its 3 parts and counts once." in table.notes


def test_missing_part_makes_the_aggregate_a_gap(make: SimpleNamespace, toy_registry: Registry) -> None:
    without = {name: score for name, score in FULL.items() if name != "Q2"}
    frame = make.frame([*make.scores("full", FULL), *make.scores("gap", without)])

    (table,) = build_leaderboards(frame, registry=toy_registry, benchmark="toy")

    gap = table.rows[1]
    assert gap.name == "gap"
    assert _scores(table)["gap"]["Q"] is None
    assert (gap.mean_task, gap.mean_task_type) == (None, None)
    assert dict(zip(table.task_types, gap.type_means, strict=True))["STS"] == pytest.approx(0.3)
    assert "No complete score for 1 task (Q): gap, 0-shot." in table.notes


def test_part_counts_as_a_task_where_the_benchmark_lists_it(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame(make.scores("m", FULL))

    (table,) = build_leaderboards(frame, registry=toy_registry, benchmark="toy2")

    assert table.tasks == (Task("Q1", "Retrieval"), Task("A", "STS"))
    assert table.rows[0].mean_task == pytest.approx(0.15)
    assert "Not counted, 4 tasks outside this benchmark: B, C, Q2, Q3." in table.notes


def test_without_a_benchmark_each_covered_one_gets_a_table(make: SimpleNamespace, toy_registry: Registry) -> None:
    custom = make.row(model_name="m", task_name="Own", task_type="Odd")
    frame = make.frame([*make.scores("m", FULL), custom])

    tables = build_leaderboards(frame, registry=toy_registry)

    assert [(table.title, table.benchmark) for table in tables] == [
        ("toy", "toy"),
        ("toy2", "toy2"),
        ("Other tasks", None),
    ]
    assert tables[2].tasks == (Task("Own", "Odd"),)


def test_benchmark_spread_over_two_rows_is_recognised(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame([*make.scores("m", {"A": 0.1}), *make.scores("n", {"Q1": 0.1})])

    (table,) = build_leaderboards(frame, registry=toy_registry)

    assert table.benchmark == "toy2"


def test_loose_tasks_form_one_table(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame(make.scores("m", {"B": 0.4, "C": 0.6, "Q1": 0.2, "Q2": 0.4}))

    (table,) = build_leaderboards(frame, registry=toy_registry)

    assert (table.title, table.benchmark) == ("Tasks of these runs", None)
    assert [task.name for task in table.tasks] == ["C", "Q1", "Q2", "B"], "Q lacks a part, so its parts stand alone"
    assert table.rows[0].mean_task == pytest.approx(0.4)


def test_unregistered_model_and_task_and_aggregate_have_rows(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        make.row(model_name="who/ever", task_name=name, task_type="Retrieval", part_of="Mine", score=score)
        for name, score in (("P1", 0.2), ("P2", 0.4))
    ]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    assert table.tasks == (Task("Mine", "Retrieval"),)
    assert table.rows[0].mean_task == pytest.approx(0.3)


def test_each_number_of_examples_is_a_row(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [make.row(configuration=f"k{shots}", num_fewshot=max(shots, 0), score=0.5) for shots in (5, 0, 1, 10)]
    rows.append(make.row(configuration="kall", num_fewshot=7, score=0.5))

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    assert [row.key.shots for row in table.rows] == ["0", "1", "5", "10", "all"]
    assert {row.rank for row in table.rows} == {1}
    assert {row.name for row in table.rows} == {"org/model"}


def test_runs_of_one_configuration_fill_one_row(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame([make.row(task_name="A", run_id="r1"), make.row(task_name="B", run_id="r2")])

    (table,) = build_leaderboards(frame, registry=toy_registry)

    assert len(table.rows) == 1
    assert table.rows[0].mean_task == 0.5


def test_settings_that_tell_rows_apart_stand_beside_the_name(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        make.row(dtype="float32"),
        make.row(dtype="bfloat16"),
        make.row(model_name="org/other", model_label="untrained"),
        make.row(model_name="org/third", model_revision="aaaaaaaa1111"),
        make.row(model_name="org/third", model_revision="bbbbbbbb2222"),
    ]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    assert [row.name for row in table.rows] == [
        "org/model (bfloat16)",
        "org/model (float32)",
        "org/other (untrained)",
        "org/third (revision aaaaaaaa)",
        "org/third (revision bbbbbbbb)",
    ]


def test_partial_row_is_marked_and_never_outranks(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        *make.scores("full", dict.fromkeys(FULL, 0.1)),
        *make.scores("gap", {"A": 0.5}),
        *make.scores("partial", dict.fromkeys(FULL, 0.9), partial=True, limit=20),
    ]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry, benchmark="toy")

    assert [(row.rank, row.name) for row in table.rows] == [
        (1, "full"),
        (2, "gap"),
        (3, "partial (partial, limit 20)"),
    ]
    assert any("--limit" in note for note in table.notes)


def test_missing_split_or_subset_is_a_gap(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        make.row(model_name=name, task_name="Own", task_type="STS", hf_subset=subset, score=score)
        for name, subset, score in (("m", "en", 0.2), ("m", "de", 0.6), ("n", "en", 0.9))
    ]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    assert _scores(table) == {"m": {"Own": pytest.approx(0.4)}, "n": {"Own": None}}
    assert [(row.rank, row.points) for row in table.rows] == [(1, 0.0), (2, 0.0)]


def test_benchmark_counts_exactly_the_registered_split(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = make.scores("m", FULL)
    extra = [make.row(model_name="m", task_name="A", split="dev", score=1.0)]
    other = [make.row(model_name="n", task_name="A", split="dev", score=1.0)]

    (table,) = build_leaderboards(make.frame([*rows, *extra, *other]), registry=toy_registry, benchmark="toy")

    assert _scores(table)["m"]["A"] == 0.2
    assert _scores(table)["n"]["A"] is None
    assert "No complete score for 4 tasks (C, Q, A and 1 more): n, 0-shot." in table.notes


def test_row_without_a_task_of_the_benchmark_is_left_out_by_name(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame([*make.scores("m", FULL), *make.scores("n", {"B": 0.5})])

    (table,) = build_leaderboards(frame, registry=toy_registry, benchmark="toy2")

    assert [row.name for row in table.rows] == ["m"]
    assert "Left out, without any task of this benchmark: n (k0)." in table.notes


def test_secondary_metrics_take_no_part(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [make.row(score=0.5), make.row(metric="pearson", is_main=False, score=0.1)]
    only_secondary = make.row(model_name="z", metric="pearson", is_main=False, score=0.1)

    (table,) = build_leaderboards(make.frame([*rows, only_secondary]), registry=toy_registry)

    assert table.rows[0].mean_task == 0.5
    assert "Left out, without any main score: z (k0)." in table.notes


def test_scores_that_must_not_be_compared_are_named(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        make.row(model_name="m"),
        make.row(model_name="n", metric="pearson", dataset_revision="d2"),
    ]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    assert (
        "A was scored with different main metrics (cosine_spearman, pearson): do not compare its scores." in table.notes
    )
    assert "A was run on different data set revisions (d1, d2): do not compare its scores." in table.notes


def test_unknown_and_unmet_benchmark_say_how_to_mend(make: SimpleNamespace, toy_registry: Registry) -> None:
    frame = make.frame(make.scores("m", {"B": 0.4}))

    with pytest.raises(TaskNotFoundError, match=r"'toy3' is not known\. Did you mean 'toy"):
        build_leaderboards(frame, registry=toy_registry, benchmark="toy3")
    with pytest.raises(ConfigError) as caught:
        build_leaderboards(frame, registry=toy_registry, benchmark="toy2")
    assert str(caught.value) == "none of these runs has a task of the benchmark 'toy2'. Their tasks belong to: toy."


def test_frame_without_main_scores_is_incomplete(make: SimpleNamespace, toy_registry: Registry) -> None:
    with pytest.raises(IncompleteRunError, match="no main score"):
        build_leaderboards(make.frame([make.row(is_main=False)]), registry=toy_registry)


def test_cqadupstack_of_the_shipped_registry_is_one_task_in_v1_and_two_parts_in_v2(make: SimpleNamespace) -> None:
    registry = Registry.load()
    parts = registry.get("CQADupstackRetrieval").parts
    rows = [
        make.row(
            task_name=name,
            task_type="Retrieval",
            part_of="CQADupstackRetrieval",
            metric="ndcg_at_10",
            score=(index + 1) / 100,
        )
        for index, name in enumerate(parts)
    ]

    (first,) = build_leaderboards(make.frame(rows), benchmark="MTEB(eng, v1)", registry=registry)
    (second,) = build_leaderboards(make.frame(rows), benchmark="MTEB(eng, v2)", registry=registry)

    v1 = {task: score for task, score in _scores(first)["org/model"].items() if score is not None}
    v2 = {task: score for task, score in _scores(second)["org/model"].items() if score is not None}
    assert v1 == {"CQADupstackRetrieval": pytest.approx(0.065)}
    assert list(v2) == ["CQADupstackGamingRetrieval", "CQADupstackUnixRetrieval"]
    assert sum(task.name.startswith("CQADupstack") for task in first.tasks) == 1
