"""`export mteb-results`: what mteb reads back, the leaderboard it makes of it, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mteb
import pytest

from harness.cli.main import main
from harness.errors import ConfigError, IncompleteRunError, ResultSchemaError
from harness.export.mteb_results import export_mteb_results, repository_objections
from harness.export.source import open_run
from harness.registry.registry import Registry
from harness.report import build_leaderboards, load_scores
from tests.export.conftest import COMMIT, MakeRun, leaves

OFFLINE = Path(__file__).resolve().parents[3] / "shared" / "mteb_offline"
TWO = {"k0": {"STS16": 0.8, "Banking77Classification": 0.7}, "kall": {"STS16": 0.9, "Banking77Classification": 0.75}}


def loaded(folder: Path, **how: Any) -> dict[tuple[str, str, str | None], dict[str, float]]:
    """Load a folder with mteb: (model, revision, experiment) -> task -> main score."""
    results = mteb.ResultCache(folder).load_results(**how)
    return {
        (one.model_name, one.model_revision, one.experiment_name): {
            result.task_name: result.get_score() for result in one.task_results
        }
        for one in results.model_results
    }


def test_leaderboard_that_mteb_makes_of_it_is_ours(tmp_path: Path, make_run: MakeRun, registry: Registry) -> None:
    benchmark = "MTEB(eng, v1)"  # it has an aggregate and tasks with several subsets
    models = {
        "BAAI/bge-en-icl": COMMIT,
        "intfloat/e5-mistral-7b-instruct": "07163b72af1488142a360786df853f237b1a3ca1",
        "sentence-transformers/all-MiniLM-L6-v2": "8b3219a92973c328a8e22fadcfa821b5dc75636a",
    }
    draw = random.Random(7)
    runs = []
    for model, revision in models.items():
        scores = {entry.name: draw.uniform(0.2, 0.9) for entry, _ in leaves(registry, benchmark)}
        part_of = {entry.name: whole for entry, whole in leaves(registry, benchmark)}
        folder = tmp_path / "runs" / model.replace("/", "_")
        run = make_run(folder, {"k0": scores}, model=model, revision=revision, part_of=part_of)
        export_mteb_results(open_run(run), tmp_path / "mteb")
        runs.append(run)

    theirs = mteb.ResultCache(tmp_path / "mteb").load_results(tasks=benchmark).get_benchmark_result()
    (ours,) = build_leaderboards(load_scores(runs), registry=registry, benchmark=benchmark)

    assert len(theirs) == len(models)
    for row in ours.rows:
        (match,) = [one for _, one in theirs.iterrows() if row.name.split("/")[1] in str(one["Model"])]
        assert match["Mean (Task)"] == pytest.approx(row.mean_task, abs=1e-6)
        assert match["Mean (TaskType)"] == pytest.approx(row.mean_task_type, abs=1e-6)
        assert match["Rank (Borda)"] == row.rank


def test_every_score_comes_back_and_configurations_stay_apart(tmp_path: Path, make_run: MakeRun) -> None:
    run = open_run(make_run(tmp_path / "run", TWO))

    done = export_mteb_results(run, tmp_path / "mteb", main="kall")

    found = loaded(tmp_path / "mteb", load_experiments="match_name")
    experiment = done.folders["k0"].name
    assert found == {
        ("BAAI/bge-en-icl", COMMIT, None): TWO["kall"],
        ("BAAI/bge-en-icl", COMMIT, experiment): TWO["k0"],
    }
    assert "num_fewshot_0" in experiment
    assert loaded(tmp_path / "mteb") == {("BAAI/bge-en-icl", COMMIT, None): TWO["kall"]}


def test_without_a_main_configuration_none_stands_for_the_model(tmp_path: Path, make_run: MakeRun) -> None:
    done = export_mteb_results(open_run(make_run(tmp_path / "run", TWO)), tmp_path / "mteb")

    assert loaded(tmp_path / "mteb") == {}
    assert len(loaded(tmp_path / "mteb", load_experiments="match_name")) == 2
    assert "num_fewshot_all" in done.folders["kall"].name


def test_aggregate_is_made_of_all_its_parts_or_not_at_all(
    tmp_path: Path, make_run: MakeRun, registry: Registry
) -> None:
    parts = registry.get("CQADupstackRetrieval").parts
    scores = {name: 0.1 * number for number, name in enumerate(parts)}
    part_of = dict.fromkeys(parts, "CQADupstackRetrieval")
    whole = make_run(tmp_path / "whole", {"k0": scores}, part_of=part_of)
    gap = make_run(tmp_path / "gap", {"k0": dict(list(scores.items())[1:])}, part_of=part_of)

    assert export_mteb_results(open_run(whole), tmp_path / "a").aggregates == ("CQADupstackRetrieval",)
    assert export_mteb_results(open_run(gap), tmp_path / "b").aggregates == ()

    (found,) = loaded(tmp_path / "a").values()
    assert found["CQADupstackRetrieval"] == pytest.approx(sum(scores.values()) / 12, abs=1e-6)
    assert "CQADupstackRetrieval" not in next(iter(loaded(tmp_path / "b").values()))


def repository_errors(root: Path) -> Iterator[str]:
    """Yield what the results repository's own tests assert of a folder and do not find."""
    for meta_file in root.glob("results/*/*/**/model_meta.json"):
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
        folder = root / "results" / meta["name"].replace(" ", "_").replace("/", "__") / meta["revision"]
        if meta["experiment_kwargs"]:
            folder = folder / "experiments" / meta_file.parent.name
        if folder != meta_file.parent:
            yield f"{meta_file}: not in the folder of its model and revision"
        if not (len(meta["revision"]) == 40 and set(meta["revision"]) <= set("0123456789abcdef")):
            yield f"{meta_file}: no hub commit"
        if meta["name"] not in {one.name for one in mteb.get_model_metas()}:
            yield f"{meta_file}: not implemented in mteb"
        settings = (meta_file.parent / "run_settings.jsonl").read_text(encoding="utf-8").splitlines()
        covered = set()
        for line in map(json.loads, settings):
            covered |= {(line["task"], split, subset) for split in line["splits"] for subset in line["subsets"]}
            if not line["version"]["mteb"].startswith("2."):
                yield f"{meta_file}: settings without mteb 2"
        for path in meta_file.parent.glob("*.json"):
            if path == meta_file:
                continue
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["task_name"] != path.stem:
                yield f"{path}: another task's name"
            for split, blocks in result["scores"].items():
                for block in blocks:
                    if (path.stem, split, block["hf_subset"]) not in covered:
                        yield f"{path}: {split} {block['hf_subset']} not in run_settings.jsonl"
                    if not block["mteb_version"].startswith("2."):
                        yield f"{path}: no mteb version"


def test_repository_checks_pass_and_the_splits_of_every_task_are_there(
    tmp_path: Path, make_run: MakeRun, registry: Registry
) -> None:
    names = [entry.name for entry, _ in leaves(registry, "MTEB(eng, v1)")]
    part_of = {entry.name: whole for entry, whole in leaves(registry, "MTEB(eng, v1)")}
    run = open_run(make_run(tmp_path / "run", {"k0": dict.fromkeys(names, 0.5)}, part_of=part_of))

    done = export_mteb_results(run, tmp_path / "mteb", strict=True)

    assert done.objections == []
    assert list(repository_errors(tmp_path / "mteb")) == []
    task_results = mteb.ResultCache(tmp_path / "mteb").load_results(tasks="MTEB(eng, v1)").model_results[0].task_results
    for result in task_results:
        task = next(one for one in mteb.get_benchmark("MTEB(eng, v1)").tasks if one.metadata.name == result.task_name)
        assert set(result.scores) == set(task.eval_splits)


def test_objections_name_what_the_repository_would_refuse(tmp_path: Path, make_run: MakeRun) -> None:
    local = make_run(
        tmp_path / "run",
        {"k0": {"STS16": 0.5, "MiniSTS": 0.5}},
        model="local/mine",
        revision="0123456789abcdef",
        dataset_revision="local:0123",
        label="untrained",
    )

    objections = " ".join(repository_objections(open_run(local)))

    for part in ("no hub commit", "no model 'local/mine'", "'untrained'", "no task MiniSTS", "hub's: STS16"):
        assert part in objections
    with pytest.raises(ConfigError, match="--strict: revision"):
        export_mteb_results(open_run(local), tmp_path / "mteb", strict=True)
    assert not (tmp_path / "mteb").exists()
    export_mteb_results(open_run(local), tmp_path / "mteb")
    (result,) = (tmp_path / "mteb").rglob("STS16.json")
    assert json.loads(result.read_text(encoding="utf-8"))["dataset_revision"] == "local:0123"


def test_the_same_export_again_changes_nothing_and_another_score_is_refused(tmp_path: Path, make_run: MakeRun) -> None:
    one = open_run(make_run(tmp_path / "one", {"k0": {"STS16": 0.8}}))
    other = open_run(make_run(tmp_path / "other", {"k0": {"STS16": 0.7, "STS12": 0.5}}))
    first = export_mteb_results(one, tmp_path / "mteb")
    before = {path: path.read_bytes() for path in (tmp_path / "mteb").rglob("*") if path.is_file()}

    again = export_mteb_results(one, tmp_path / "mteb")

    assert (first.written.new, again.written.new, again.written.unchanged) == (3, 0, 3)
    with pytest.raises(ConfigError, match=r"STS16\.json exists with other content. Nothing was written"):
        export_mteb_results(other, tmp_path / "mteb")
    assert before == {path: path.read_bytes() for path in (tmp_path / "mteb").rglob("*") if path.is_file()}
    export_mteb_results(other, tmp_path / "mteb", overwrite=True)
    (found,) = loaded(tmp_path / "mteb").values()
    assert found == {"STS16": 0.7, "STS12": 0.5}


def test_run_settings_of_others_stay(tmp_path: Path, make_run: MakeRun) -> None:
    for name in ("STS16", "STS12"):
        export_mteb_results(open_run(make_run(tmp_path / name, {"k0": {name: 0.5}})), tmp_path / "mteb")

    (settings,) = (tmp_path / "mteb").rglob("run_settings.jsonl")
    assert {json.loads(line)["task"] for line in settings.read_text(encoding="utf-8").splitlines()} == {
        "STS16",
        "STS12",
    }
    assert list(repository_errors(tmp_path / "mteb")) == []


def test_partial_damaged_and_empty_runs_are_refused(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(ConfigError, match="a --limit 5 run"):
        open_run(make_run(tmp_path / "partial", {"k0": {"STS16": 0.5}}, limit=5))
    with pytest.raises(ConfigError, match="no run directory"):
        open_run(tmp_path)
    with pytest.raises(IncompleteRunError, match="no finished task"):
        open_run(make_run(tmp_path / "empty", {}))
    damaged = make_run(tmp_path / "damaged", {"k0": {"STS16": 0.5}})
    file = damaged / "mteb" / "k0" / "STS16.json"
    file.write_text(file.read_text(encoding="utf-8").replace("0.5", "0.9"), encoding="utf-8")
    with pytest.raises(ResultSchemaError, match="does not match its hash"):
        open_run(damaged)


@pytest.mark.parametrize("model", ["../evil/name", "org/..", "one", "org/na me\n", "org//name", "a/b/c", "org/.hidden"])
def test_names_that_could_leave_the_folder_are_refused(model: str, tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", {"k0": {"STS16": 0.5}}, model=model)

    with pytest.raises(ConfigError, match="not usable as folder names"):
        open_run(run)


@pytest.mark.parametrize(
    ("model", "tasks", "data"),
    [
        ("embedded", "MiniSTS,MiniReranking,MiniTopicClustering", None),
        pytest.param(
            "all-MiniLM-L6-v2",
            "BIOSSES",
            OFFLINE,
            marks=[
                pytest.mark.offline_data,
                pytest.mark.skipif(not OFFLINE.is_dir(), reason="no ../shared/mteb_offline"),
            ],
        ),
    ],
)
def test_real_run_loads_in_mteb_with_equal_scores(
    model: str, tasks: str, data: Path | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = "0,3" if model == "embedded" else "0"
    flags = ["--model", model, "--tasks", tasks, "--num-fewshot", shots, "--offline", "--quiet"]
    flags += [] if data is None else ["--data-dir", str(data)]
    assert main(["run", *flags, "--output-dir", str(tmp_path / "run")]) == 0
    chosen = shots.split(",")[-1]

    assert main(["export", "mteb-results", str(tmp_path / "run"), str(tmp_path / "mteb"), "--main", f"k{chosen}"]) == 0

    assert "would not take it: revision" in capsys.readouterr().out
    frame = load_scores([tmp_path / "run"])
    main_rows = frame[frame.is_main].set_index(["configuration", "task_name"]).score
    results = mteb.ResultCache(tmp_path / "mteb").load_results(load_experiments="match_name").model_results
    assert len(results) == len(shots.split(","))
    for one in results:
        configuration = f"k{chosen}" if one.experiment_name is None else "k0"
        assert len(one.task_results) == len(tasks.split(","))
        for result in one.task_results:
            ((block,),) = result.scores.values()
            assert block["main_score"] == pytest.approx(main_rows[configuration, result.task_name], abs=5e-7)
