"""Few-shot minus zero-shot: which rows are compared, what is resampled, and when there is no interval."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, v_measure_score

from harness.errors import ResultSchemaError
from harness.registry import Registry
from harness.report.comparison import FewShotRow
from harness.report.item_files import item_source
from harness.report.leaderboard import build_leaderboards
from harness.report.load import load_scores
from harness.report.table import LeaderboardTable

N = 40


def _table(run: Path | list[Path], registry: Registry | None = None, **values: Any) -> LeaderboardTable:
    scores = load_scores(run if isinstance(run, list) else [run])
    return build_leaderboards(scores, items=item_source(scores), registry=registry, **values)[0]


def _outcome(kind: str, rng: np.random.Generator) -> tuple[dict[str, Any], float]:
    """Columns of a task's items, and the main score that scipy and scikit-learn make of them."""
    gold = np.random.default_rng(7).normal(size=N)  # the same in both runs
    if kind == "cosine_spearman":
        cosine = gold + rng.normal(size=N)
        return {"gold": gold, "cosine_scores": cosine}, float(spearmanr(gold, cosine).statistic)
    if kind == "max_ap":
        label = (gold > 0).astype(float)
        cosine, distance = gold + rng.normal(size=N), -gold + 0.5 * rng.normal(size=N)
        columns = {"gold": label, **dict.fromkeys(("similarity_scores", "cosine_scores", "dot_scores"), cosine)}
        columns |= dict.fromkeys(("manhattan_distances", "euclidean_distances"), distance)
        return columns, float(max(average_precision_score(label, one) for one in (cosine, -distance)))
    if kind == "ndcg_at_10":
        ndcg = rng.random(N)
        return {"ndcg_cut_10": ndcg}, float(ndcg.mean())
    experiment = np.repeat(np.arange(4), N // 4)
    item = np.tile(np.arange(N // 4), 4).astype(str)
    columns = {"experiment": experiment, "item": item}
    if kind == "accuracy":
        correct = rng.random(N) < 0.5
        return {**columns, "gold": ["x"] * N, "correct": correct}, float(correct.mean())
    if kind == "v_measure":
        label, cluster = (gold > 0).astype(str), rng.integers(0, 3, N)
        scores = [v_measure_score(label[experiment == one], cluster[experiment == one]) for one in range(4)]
        return {**columns, "gold": label, "cluster": cluster}, float(np.mean(scores))
    cosine = gold + rng.normal(size=N)
    scores = [spearmanr(gold[experiment == one], cosine[experiment == one]).statistic for one in range(4)]
    return {**columns, "gold": gold, "cosine_scores": cosine}, float(np.mean(scores))


def _run(make: SimpleNamespace, folder: Path, kind: str = "ndcg_at_10", task: str = "T", **values: Any) -> Path:
    """A run of one task at k0 and k3."""
    rows = []
    for shots in (0, 3):
        columns, score = _outcome(kind, np.random.default_rng(shots))
        metric = "cosine_spearman" if kind == "summarization" else kind
        rows.append(make.row(**_shot(shots), task_name=task, metric=metric, score=score, run_id=folder.name, **values))
        make.items(folder, f"k{shots}", task, columns)
    return make.run(folder, rows)


def _shot(shots: int) -> dict[str, Any]:
    return {
        "configuration": f"k{shots}",
        "num_fewshot": shots,
        "examples_set": "curated" if shots else "none",
        "prompt_fingerprint": str(shots) * 64,
    }


def _only(table: LeaderboardTable) -> FewShotRow:
    (row,) = table.few_shot
    return row


@pytest.mark.parametrize(
    ("kind", "task_type", "resampled"),
    [
        ("cosine_spearman", "STS", "pairs"),
        ("max_ap", "PairClassification", "pairs"),
        ("ndcg_at_10", "Retrieval", "queries"),
        ("accuracy", "Classification", "texts and experiments"),
        ("v_measure", "Clustering", "experiments"),
        ("summarization", "Summarization", "documents"),
    ],
)
def test_every_task_type_has_a_paired_interval(
    make: SimpleNamespace, tmp_path: Path, kind: str, task_type: str, resampled: str
) -> None:
    table = _table(_run(make, tmp_path / "run", kind, task_type=task_type))

    one = _only(table)
    assert not [note for note in table.few_shot_notes if "Without an interval" in note]
    scores = {row.key.configuration: row.task_scores[0] for row in table.rows}
    assert one.tasks[0].value == pytest.approx(scores["k3"] - scores["k0"])
    assert one.tasks[0].low < one.tasks[0].value < one.tasks[0].high
    assert one.tasks[0].resampled == resampled
    assert one.mean == one.types[0] == one.tasks[0]
    assert one.prompt_fingerprint == "3" * 64
    assert one.num_fewshot == (3,)
    assert any("too narrow" in note for note in table.few_shot_notes) == (kind == "v_measure")


def test_equal_outcomes_have_no_difference_and_no_width(make: SimpleNamespace, tmp_path: Path) -> None:
    columns, score = _outcome("cosine_spearman", np.random.default_rng(0))
    for shots in (0, 3):
        make.items(tmp_path / "run", f"k{shots}", "T", columns)
    run = make.run(tmp_path / "run", [make.row(**_shot(k), task_name="T", score=score, run_id="run") for k in (0, 3)])

    assert _only(_table(run)).mean[:3] == (0.0, 0.0, 0.0)


def test_items_in_another_order_pair_up_by_their_names(make: SimpleNamespace, tmp_path: Path) -> None:
    straight = _only(_table(_run(make, tmp_path / "a" / "run"))).mean
    run = _run(make, tmp_path / "b" / "run")
    columns, _ = _outcome("ndcg_at_10", np.random.default_rng(3))
    order = np.random.default_rng(1).permutation(N)
    make.items(run, "k3", "T", {"item": order.astype(str), "ndcg_cut_10": columns["ndcg_cut_10"][order]})

    shuffled = _only(_table(run)).mean

    assert shuffled.value == straight.value
    # Sorting by name moves the items, so the draws differ, and the intervals by their rounding.
    assert shuffled[1:3] == pytest.approx(straight[1:3], abs=0.03)


def test_the_items_make_the_same_interval_in_every_report(make: SimpleNamespace, tmp_path: Path) -> None:
    run = _run(make, tmp_path / "run")

    assert _table(run).few_shot == _table(run).few_shot


def test_zero_shot_and_few_shot_may_come_from_two_runs(make: SimpleNamespace, tmp_path: Path) -> None:
    whole = _table(_run(make, tmp_path / "run"))
    runs = []
    for shots in (0, 3):
        columns, score = _outcome("ndcg_at_10", np.random.default_rng(shots))
        folder = tmp_path / f"run{shots}"
        make.items(folder, f"k{shots}", "T", columns)
        row = make.row(**_shot(shots), task_name="T", metric="ndcg_at_10", score=score, run_id=folder.name)
        runs.append(make.run(folder, [row]))

    assert _table(runs).few_shot == whole.few_shot


def test_seeds_and_all_are_compared_and_come_in_order(make: SimpleNamespace, toy_registry: Registry) -> None:
    rows = [
        make.row(configuration=name, score=score)
        for name, score in (("kall", 0.9), ("k10", 0.8), ("k0", 0.5), ("k3-s2", 0.6), ("k3-s1", 0.7))
    ]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    keys = [table.rows[one.row].key for one in table.few_shot]
    assert [key.shots for key in keys] == ["3-s1", "3-s2", "10", "all"]
    assert [key.num_shots for key in keys] == [3, 3, 10, None]
    assert [round(one.mean.value, 6) for one in table.few_shot] == [0.2, 0.1, 0.3, 0.4]
    assert table.rows[table.few_shot[0].row].full_name == "org/model, 3-shot, seed 1"


@pytest.mark.parametrize(
    "setting",
    [
        {"model_revision": "other"},
        {"dtype": "bfloat16"},
        {"instructions": "mteb"},
        {"tokenization": "clean"},
        {"query_max_tokens": 128},
        {"partial": True, "limit": 9},
        {"model_name": "org/other"},
    ],
)
def test_only_the_same_model_in_the_same_setting_is_compared(
    make: SimpleNamespace, toy_registry: Registry, setting: dict[str, Any]
) -> None:
    rows = [make.row(), make.row(configuration="k3", examples_set="curated", **setting)]

    (table,) = build_leaderboards(make.frame(rows), registry=toy_registry)

    assert table.few_shot == ()


def test_mean_over_tasks_has_the_interval_of_these_tasks(make: SimpleNamespace, tmp_path: Path) -> None:
    rows = []
    for place, (task, kind) in enumerate((("A1", "ndcg_at_10"), ("A2", "ndcg_at_10"), ("B1", "accuracy"))):
        for shots in (0, 3):
            columns, score = _outcome(kind, np.random.default_rng(10 * place + shots))
            make.items(tmp_path / "run", f"k{shots}", task, columns)
            task_type = "Retrieval" if kind == "ndcg_at_10" else "Classification"
            rows.append(
                make.row(**_shot(shots), task_name=task, task_type=task_type, metric=kind, score=score, run_id="run")
            )

    one = _only(_table(make.run(tmp_path / "run", rows)))

    widths = [task.high - task.low for task in one.tasks]
    assert one.mean.value == pytest.approx(np.mean([task.value for task in one.tasks]))
    # Independent tasks: the widths add up as standard errors do.
    assert one.mean.high - one.mean.low == pytest.approx(np.sqrt(np.sum(np.square(widths))) / 3, rel=0.15)
    assert one.types[1].resampled == "queries" and one.types[0].resampled == "texts and experiments"
    assert one.mean.resampled == "texts and experiments, queries"
    assert len(one.prompt_fingerprint) == 64


def test_gap_in_either_row_has_no_difference(make: SimpleNamespace, toy_registry: Registry) -> None:
    full = {"A": 0.5, "B": 0.5, "C": 0.5, "Q1": 0.1, "Q2": 0.1, "Q3": 0.1}
    part = {name: score for name, score in full.items() if name != "B"}
    frame = make.frame([*make.scores("m", full), *make.scores("m", part, configuration="k3", num_fewshot=3)])

    (table,) = build_leaderboards(frame, registry=toy_registry, benchmark="toy")

    one = _only(table)
    assert one.mean.value is None
    values = {task.name: difference.value for task, difference in zip(table.tasks, one.tasks, strict=True)}
    assert values == {"A": 0.0, "B": None, "C": 0.0, "Q": 0.0}


def test_aggregate_is_resampled_part_by_part(make: SimpleNamespace, toy_registry: Registry, tmp_path: Path) -> None:
    rows = []
    for place, part in enumerate(("Q1", "Q2", "Q3")):
        for shots in (0, 3):
            columns, score = _outcome("ndcg_at_10", np.random.default_rng(10 * place + shots))
            make.items(tmp_path / "run", f"k{shots}", part, columns)
            names = {"task_name": part, "part_of": "Q", "task_type": "Retrieval"}
            rows.append(make.row(**_shot(shots), **names, metric="ndcg_at_10", score=score, run_id="run"))

    table = _table(make.run(tmp_path / "run", rows), toy_registry)

    one = _only(table)
    assert [task.name for task in table.tasks] == ["Q"]
    width = one.tasks[0].high - one.tasks[0].low
    assert width == pytest.approx(2 * 1.96 * np.sqrt(2 / 12 / N / 3), rel=0.2)


def test_several_subsets_are_resampled_each_by_itself(make: SimpleNamespace, tmp_path: Path) -> None:
    rows = []
    for shots in (0, 3):
        rng = np.random.default_rng(shots)
        values = rng.random(2 * N)
        subsets = ["de"] * N + ["en"] * N
        make.items(tmp_path / "run", f"k{shots}", "T", {"hf_subset": subsets, "ndcg_cut_10": values})
        for subset, score in (("de", values[:N].mean()), ("en", values[N:].mean())):
            cell = {"hf_subset": subset, "metric": "ndcg_at_10", "score": float(score), "run_id": "run"}
            rows.append(make.row(**_shot(shots), task_name="T", task_type="Retrieval", **cell))

    one = _only(_table(make.run(tmp_path / "run", rows)))

    assert one.mean.low < one.mean.value < one.mean.high


def _without(table: LeaderboardTable) -> list[str]:
    assert _only(table).mean.value is not None
    assert _only(table).mean.low is None and _only(table).mean.resampled == ""
    return list(table.few_shot_notes)


def test_without_items_the_difference_stands_alone(make: SimpleNamespace, tmp_path: Path) -> None:
    run = _run(make, tmp_path / "run")
    (run / "items" / "k3" / "T.parquet").unlink()

    assert _without(_table(run)) == ["Without an interval, because the run directories hold no items: 1 task (T)."]


def test_items_that_do_not_give_the_stored_score_give_no_interval(make: SimpleNamespace, tmp_path: Path) -> None:
    run = _run(make, tmp_path / "run")
    columns, _ = _outcome("ndcg_at_10", np.random.default_rng(99))
    make.items(run, "k3", "T", columns)

    assert _without(_table(run)) == ["Without an interval, because the items do not give the stored score: 1 task (T)."]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"item": [str(one + 1) for one in range(N)]}, "the two runs have different items"),
        ({"gold": np.zeros(N)}, "the two runs have different gold labels"),
    ],
)
def test_other_items_give_no_interval(
    make: SimpleNamespace, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    run = _run(make, tmp_path / "run", "cosine_spearman")
    columns, _ = _outcome("cosine_spearman", np.random.default_rng(3))
    make.items(run, "k3", "T", {**columns, **change})

    assert _without(_table(run)) == [f"Without an interval, because {reason}: 1 task (T)."]


def test_metric_that_items_do_not_give_is_named(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(
        tmp_path / "run",
        [make.row(**_shot(k), task_name="T", metric="f1", score=0.1 * k, run_id="run") for k in (0, 3)],
    )

    assert _without(_table(run)) == ["Without an interval, because items do not give the metric f1: 1 task (T)."]


def test_corrupt_items_are_refused_with_the_way_out(make: SimpleNamespace, tmp_path: Path) -> None:
    run = _run(make, tmp_path / "run")
    (run / "items" / "k0" / "T.parquet").write_bytes(b"PAR1")

    with pytest.raises(ResultSchemaError, match=r"k0/T\.parquet: not a readable parquet file .* --no-intervals"):
        _table(run)


def test_a_name_cannot_lead_out_of_the_run_directory(make: SimpleNamespace, tmp_path: Path) -> None:
    run = make.run(tmp_path / "run", [make.row(run_id="run")])
    make.items(tmp_path, "k0", "A", {"ndcg_cut_10": [1.0]})
    read = item_source(load_scores([run]))

    assert read("run", "../../items/k0", "A", ()) is None
    assert read("run", "k0", "../../items/k0/A", ()) is None
