"""check --against: scores that carry no identity are compared as far as they can be, and refused as far as they cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.check.outcome import Outcome, Verdict
from harness.check.outside import check_against
from harness.check.sources import read_source
from harness.cli.main import main
from harness.errors import ConfigError, IncomparableRunsError, TaskNotFoundError
from harness.registry import Registry
from harness.report.reference_files import ReferenceScore, read_reference_files
from harness.store.run_dir import RunDir, canonical_sha256
from tests.check.made import MANIFEST, make_run, score_rows

pytestmark = pytest.mark.unit

ROW = "paper/full/fs"
TASKS = ("STS16", "Banking77Classification", "SciFact")
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def printed(row: str = ROW) -> dict[str, ReferenceScore]:
    """Return what the shipped files say of a row's tasks."""
    return {one.task_name: one for one in read_reference_files() if one.row_id == row and one.level == "task"}


def write_scores(
    folder: Path,
    scores: Mapping[str, float],
    *,
    configuration: str = "kall",
    metric: str | None = None,
    split: str | None = None,
    revision: str = REVISION,
    limit: int = 0,
    model: str = "org/made",
    status: str = "complete",
) -> Path:
    """Write a run with the given main scores of real tasks; split, metric and type are those of the paper's row."""
    run, records = RunDir(folder), []
    paper, known = printed(), Registry.load()
    for task, score in scores.items():
        spec = known.get(task)
        published = paper.get(task)
        main_metric = metric or spec.main_metric
        chosen = split or (published.split if published else "test")
        subset = published.hf_subset if published else "default"
        identity = {
            "subject": {
                "model_name": model,
                "model_revision": "1" * 16,
                "weights_sha": "a" * 64,
                "dtype": "float32",
                "tokenization": "official",
                "prompt_fingerprint": "f" * 64,
                "num_fewshot": 0 if configuration == "k0" else 3,
                "examples_set": "none" if configuration == "k0" else "curated",
                "instructions": "default",
                "query_max_tokens": 512,
                "document_max_tokens": 512,
                "normalized": True,
            },
            "protocol": {
                "task_name": task,
                "dataset_revision": revision,
                "main_metric": main_metric,
                "splits": [chosen],
                "subsets": [subset],
                "limit": limit,
                "seed": 42,
                "mteb_version": "2.26.24",
            },
        }
        rows = [
            row.model_copy(update={"split": chosen, "hf_subset": subset, "part_of": spec.part_of or ""})
            for row in score_rows(identity, configuration, spec.task_type, main_metric, score, MANIFEST["run_id"])
        ]
        if spec.task_type == "PairClassification":
            rows.append(rows[1].model_copy(update={"metric": "cosine_ap", "score": score, "is_main": False}))
        items = pa.table({"split": [chosen], "hf_subset": [subset], "experiment": [0], "item": ["0"]})
        records.append(
            run.write_task(configuration, task, identity=identity, rows=rows, items=items, mteb_result={}, details={})
        )
    run.write_scores(records)
    manifest_model = {"model_name": model, "model_revision": "1" * 16, "dtype": "float32", "device": "cpu", "label": ""}
    named = [{key: one[key] for key in ("configuration", "task_name", "result_key")} for one in records]
    run.write_manifest({**MANIFEST, "model": manifest_model, "tasks": named, "status": status})
    return folder


def near(shift: float = 0.0, tasks: tuple[str, ...] = TASKS, row: str = ROW) -> dict[str, float]:
    published = printed(row)
    return {task: published[task].score + shift for task in tasks}


def against(run: Path | str, reference: Path | str, registry: Registry, **options: Any) -> Outcome:
    given = {"tolerance": 0.005, "shared_only": True, **options}
    return check_against(read_source(str(run)), str(reference), registry=registry, **given)


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {one.task: str(one.verdict) for one in outcome.tasks}


# ---- a shipped row


def test_scores_within_the_tolerance_of_the_paper_pass_and_say_what_is_assumed(
    tmp_path: Path, registry: Registry
) -> None:
    run = write_scores(tmp_path / "run", near(-0.004))

    outcome = against(run, ROW, registry)

    assert verdicts(outcome) == dict.fromkeys(TASKS, "PASS")
    assert outcome.exit_code == 0
    assert {"weights", "examples", "instruction", "dataset revision"} <= set(outcome.assumed)
    assert any(one.startswith("Reference: BAAI/bge-en-icl, few-shot. Run: kall.") for one in outcome.notes)
    assert [one.difference for one in outcome.comparisons] == pytest.approx([-0.004] * 4)


def test_scores_beyond_the_tolerance_fail_in_both_directions(tmp_path: Path, registry: Registry) -> None:
    worse = against(write_scores(tmp_path / "worse", near(-0.006)), ROW, registry)
    better = against(write_scores(tmp_path / "better", near(0.006)), ROW, registry)
    allowed = against(tmp_path / "better", ROW, registry, allow_improved=True)

    assert (set(verdicts(worse).values()), worse.exit_code) == ({"REGRESSED"}, 1)
    assert (set(verdicts(better).values()), better.exit_code) == ({"IMPROVED"}, 1)
    assert allowed.exit_code == 0


def test_a_difference_as_large_as_the_tolerance_passes(tmp_path: Path, registry: Registry) -> None:
    assert against(write_scores(tmp_path / "run", near(-0.005)), ROW, registry).exit_code == 0


def test_tasks_that_the_run_lacks_are_missing_unless_only_shared_ones_are_asked_for(
    tmp_path: Path, registry: Registry
) -> None:
    run = write_scores(tmp_path / "run", near())

    outcome = against(run, ROW, registry, shared_only=False)

    mteb = {task for task in printed() if not task.startswith("air-bench/")}
    assert {one.task for one in outcome.tasks if one.verdict == Verdict.MISSING} == mteb - set(TASKS)
    assert outcome.exit_code == 3
    assert any("Of another benchmark in the reference" in note for note in outcome.notes)
    assert any(
        f"3 of the reference's {len(mteb)} tasks were compared" in one for one in against(run, ROW, registry).notes
    )


def test_another_benchmark_shares_no_task_and_is_refused(tmp_path: Path, registry: Registry, capsys: Any) -> None:
    run = make_run(tmp_path / "run", configurations={"kall": 3})

    with pytest.raises(IncomparableRunsError, match=r"share no task: is it of another benchmark\? Run: MadeClusters"):
        against(run, ROW, registry)
    assert main(["check", str(run), "--against", ROW, "--tolerance", "1"]) == 4
    assert capsys.readouterr().err.count("\n") == 1


def test_another_metric_is_never_compared(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near(tasks=("SciFact",)), metric="recall_at_10")

    outcome = against(run, ROW, registry)

    assert outcome.exit_code == 4
    assert outcome.tasks[0].reason == "metric ndcg_at_10 in the reference, the run has other, recall_at_10"


def test_another_split_is_never_compared(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near(tasks=("SciFact",)), split="train")

    outcome = against(run, ROW, registry)

    assert outcome.exit_code == 4
    assert outcome.tasks[0].reason == "split train/default in the run, the reference has test/default"


def test_a_key_that_mteb_renamed_is_the_same_metric_and_the_old_rule_of_reranking_is_not(
    tmp_path: Path, registry: Registry
) -> None:
    tasks = ("TwitterURLCorpus", "SciDocsRR")

    outcome = against(write_scores(tmp_path / "run", near(tasks=tasks)), ROW, registry)

    assert verdicts(outcome) == {"TwitterURLCorpus": "PASS", "SciDocsRR": "NOT-COMPARABLE"}
    assert outcome.tasks[0].reason.startswith("metric map in the reference, the run has map_at_1000")


@pytest.mark.parametrize(("configuration", "row"), [("k0", "paper/full/fs"), ("kall", "paper/full/zs")])
def test_zero_shot_against_few_shot_is_refused(
    tmp_path: Path, registry: Registry, configuration: str, row: str
) -> None:
    run = write_scores(tmp_path / "run", near(), configuration=configuration)

    with pytest.raises(IncomparableRunsError, match=rf"and configuration '{configuration}' of .* is not"):
        against(run, row, registry)


def test_zero_shot_scores_are_compared_with_the_zero_shot_row(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near(row="paper/full/zs"), configuration="k0")

    assert against(run, "paper/full/zs", registry).exit_code == 0


def test_a_model_without_examples_may_be_compared_with_any_configuration(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near(row="mteb/e5-mistral-7b-instruct"), configuration="k0")

    outcome = against(run, "mteb/e5-mistral-7b-instruct", registry)

    assert outcome.exit_code == 0
    assert any("examples not stated" in note for note in outcome.notes)


def test_an_aggregate_is_made_from_all_of_its_parts(tmp_path: Path, registry: Registry) -> None:
    parts = registry.get("CQADupstackRetrieval").parts
    score = printed()["CQADupstackRetrieval"].score
    spread = {part: score + 0.01 * (place - (len(parts) - 1) / 2) for place, part in enumerate(parts)}

    whole = against(write_scores(tmp_path / "whole", spread), ROW, registry)
    lacking = write_scores(tmp_path / "lacking", {**dict(list(spread.items())[1:]), **near()})

    assert verdicts(whole) == {"CQADupstackRetrieval": "PASS"}
    assert whole.tasks[0].difference == pytest.approx(0, abs=1e-12)
    assert verdicts(against(lacking, ROW, registry, shared_only=False))["CQADupstackRetrieval"] == "MISSING"


def test_a_limited_run_is_never_compared_with_outside_scores(tmp_path: Path, registry: Registry) -> None:
    outcome = against(write_scores(tmp_path / "run", near(), limit=50), ROW, registry)

    assert {str(one.verdict) for one in outcome.comparisons} == {"NOT-COMPARABLE"}
    assert "a --limit run scores part of the data only" in outcome.tasks[0].reason
    assert outcome.exit_code == 4


def test_an_unfinished_run_is_incomplete(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near(), status="incomplete")

    assert against(run, ROW, registry, shared_only=False).exit_code == 3
    assert "is marked 'incomplete'" in against(run, ROW, registry, shared_only=False).incomplete


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near())

    with pytest.raises(TaskNotFoundError, match=r"'paper/full/few' is neither a row id nor a path"):
        against(run, "paper/full/few", registry)


def test_a_configuration_must_be_named_where_the_run_has_several_of_no_published_name(
    tmp_path: Path, registry: Registry
) -> None:
    run = make_run(tmp_path / "run", configurations={"k1": 1, "k3": 3})
    stored(tmp_path / "s.parquet", [{"task": "MadeSTS", "main_score": 0.5}])

    with pytest.raises(ConfigError, match=r"has the configurations k1, k3: say which, as in .*run:k1"):
        against(run, tmp_path / "s.parquet", registry)


# ---- a folder of mteb's results


def mteb_folder(
    folder: Path, scores: Mapping[str, float], *, revision: str = REVISION, model: str = "org/made"
) -> Path:
    """Write result files as mteb lays them out."""
    place = folder / model.replace("/", "__") / "1"
    place.mkdir(parents=True)
    for task, score in scores.items():
        published = printed()[task]
        main_metric = Registry.load().get(task).main_metric
        cell = {"hf_subset": published.hf_subset, "languages": ["eng-Latn"], main_metric: score, "main_score": score}
        content = {"task_name": task, "dataset_revision": revision, "scores": {published.split: [cell]}}
        (place / f"{task}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_mteb_results_are_compared_with_their_data_revision(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near())

    same = against(run, mteb_folder(tmp_path / "same", near(0.001)), registry)
    other = against(run, mteb_folder(tmp_path / "other", near(0.001), revision="f" * 40), registry)

    assert (set(verdicts(same).values()), same.exit_code) == ({"PASS"}, 0)
    assert "dataset revision" not in same.assumed
    assert (set(verdicts(other).values()), other.exit_code) == ({"NOT-COMPARABLE"}, 4)
    assert other.tasks[0].reason.startswith("dataset_revision ffff")
    assert other.tasks[0].reason.endswith(f"{REVISION} in the run")


def test_local_data_have_no_revision_to_compare_and_that_is_said(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", near(), revision="local:0123456789abcdef")

    outcome = against(run, mteb_folder(tmp_path / "same", near()), registry)

    assert outcome.exit_code == 0
    assert "dataset revision" in outcome.assumed


def test_experiments_of_one_revision_are_not_mixed(tmp_path: Path, registry: Registry) -> None:
    folder = mteb_folder(tmp_path / "results", near())
    revision = folder / "org__made" / "1"
    inner = revision / "experiments" / "prompted"
    inner.mkdir(parents=True)
    for file in revision.glob("*.json"):
        content = json.loads(file.read_text())
        content["scores"]["test"][0]["main_score"] = 0.1
        (inner / file.name).write_text(json.dumps(content))

    with pytest.raises(
        ConfigError, match=r"holds 2 rows of that model: org/made 1 unstated, org/made 1 prompted unstated"
    ):
        against(write_scores(tmp_path / "run", near()), folder, registry)


# ---- a parquet of stored scores


def stored(path: Path, rows: list[dict[str, Any]]) -> Path:
    base = {"model": "org/made", "revision": "1", "split": "test", "subset": "default", "metric": "cosine_spearman"}
    pq.write_table(pa.Table.from_pylist([{**base, **row} for row in rows]), path)
    return path


def test_of_several_models_the_run_s_own_is_taken(tmp_path: Path, registry: Registry) -> None:
    rows = [
        {"model": model, "task": "STS16", "main_score": score}
        for model, score in (("org/other", 0.1), ("org/made", 0.5))
    ]

    outcome = against(write_scores(tmp_path / "run", {"STS16": 0.5}), stored(tmp_path / "s.parquet", rows), registry)

    assert (verdicts(outcome), outcome.exit_code) == ({"STS16": "PASS"}, 0)


def test_several_models_without_the_run_s_own_are_refused(tmp_path: Path, registry: Registry, capsys: Any) -> None:
    rows = [{"model": model, "task": "STS16", "main_score": 0.5} for model in ("org/a", "org/b")]
    run = write_scores(tmp_path / "run", {"STS16": 0.5})
    path = stored(tmp_path / "s.parquet", rows)

    with pytest.raises(ConfigError, match=r"holds 2 models and not the run's \(org/made\): org/a, org/b\. Name a"):
        against(run, path, registry)
    assert main(["check", str(run), "--against", str(path), "--tolerance", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_subsets_that_the_run_has_must_all_be_in_the_reference(tmp_path: Path, registry: Registry) -> None:
    run = write_scores(tmp_path / "run", {"STS16": 0.5})
    more = stored(
        tmp_path / "more.parquet",
        [{"task": "STS16", "subset": subset, "main_score": s} for subset, s in (("default", 0.5), ("de", 0.9))],
    )
    none = stored(tmp_path / "none.parquet", [{"task": "STS16", "subset": "de", "main_score": 0.9}])

    assert verdicts(against(run, more, registry)) == {"STS16": "PASS"}
    assert verdicts(against(run, none, registry)) == {"STS16": "NOT-COMPARABLE"}


# ---- a run directory, as if it carried no identity


def test_a_run_directory_is_compared_configuration_by_configuration(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path / "run", configurations={"k0": 0, "k3": 3})
    other = make_run(tmp_path / "other", configurations={"k0": 0, "k3": 3}, shift=0.001)

    outcome = against(f"{run}:k3", other, registry, shared_only=False)

    assert set(verdicts(outcome).values()) == {"PASS"}
    assert {one.configuration for one in outcome.tasks} == {"k3"}
    assert [one.difference for one in outcome.tasks] == pytest.approx([-0.001] * 4)
    with pytest.raises(ConfigError, match=r"holds 2 rows of that model: .* k0, .* k3\. Name .* as in .*run:k0"):
        against(run, other, registry)


@pytest.mark.parametrize(("ours", "theirs"), [({"k0": 0}, {"k3": 3}), ({"k3": 3}, {"k0": 0}), ({"k1": 1}, {"k3": 3})])
def test_other_numbers_of_examples_are_refused(
    tmp_path: Path, registry: Registry, ours: dict[str, int], theirs: dict[str, int]
) -> None:
    run, other = make_run(tmp_path / "run", configurations=ours), make_run(tmp_path / "other", configurations=theirs)

    with pytest.raises(IncomparableRunsError, match=r"is not\. Name another"):
        against(run, other, registry)


def test_other_local_data_are_not_comparable(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path / "run")
    other = make_run(tmp_path / "other", protocol={"dataset_revision": f"local:{canonical_sha256('x')[:16]}"})

    assert set(verdicts(against(run, other, registry)).values()) == {"NOT-COMPARABLE"}


def test_a_row_of_air_bench_says_its_version_only(tmp_path: Path, registry: Registry) -> None:
    task = "air-bench/qa/wiki/en"
    score = printed()[task].score
    same = write_scores(tmp_path / "same", {task: score}, revision=f"AIR-Bench_24.04@hub:{'0' * 16}")
    newer = write_scores(tmp_path / "newer", {task: score}, revision=f"AIR-Bench_24.05@hub:{'0' * 16}")

    passed, refused = against(same, ROW, registry), against(newer, ROW, registry)

    assert verdicts(passed) == {task: "PASS"}
    assert verdicts(refused) == {task: "NOT-COMPARABLE"}
    assert "AIR-Bench_24.04 there, AIR-Bench_24.05" in refused.tasks[0].reason
