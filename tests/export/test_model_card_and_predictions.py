"""`export model-card` against mteb's own generators, and `export predictions`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import mteb
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard

from harness.cli.main import main
from harness.errors import ConfigError, IncompleteRunError
from harness.export.model_card import export_model_card
from harness.export.mteb_results import export_mteb_results
from harness.export.predictions import SUBJECT_COLUMNS, export_predictions
from harness.export.source import open_run
from tests.export.conftest import MakeRun

SCORES = {"STS16": 0.8, "Banking77Classification": 0.7, "AmazonCounterfactualClassification": 0.6, "MSMARCO": 0.4}


def test_card_holds_the_entries_that_mteb_makes_of_the_same_results(tmp_path: Path, make_run: MakeRun) -> None:
    run = open_run(make_run(tmp_path / "run", {"k0": SCORES}))
    export_mteb_results(run, tmp_path / "mteb")
    theirs = mteb.ResultCache(tmp_path / "mteb").load_results().model_results[0].task_results

    done = export_model_card(run, tmp_path / "card")

    card = ModelCard.load(tmp_path / "card" / "README.md")
    ours = {(one.dataset_name, one.dataset_split): one for one in card.data.eval_results}
    assert "mteb" in card.data.tags
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [entry for result in theirs for entry in result.get_hf_eval_results()]
    assert len(ours) == len(expected) == len(SCORES)
    for entry in expected:
        found = ours[entry.dataset_name, entry.dataset_split]
        for name in ("task_type", "dataset_type", "dataset_config", "metric_type", "metric_value"):
            assert getattr(found, name) == getattr(entry, name)
        assert found.dataset_revision == "d" * 40  # of the data that was read, not of mteb's registry
    for result in theirs:
        path = tmp_path / "card" / ".eval_results" / f"{result.task_name}.yaml"
        assert path in done.files
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        reference = yaml.safe_load(result._to_hf_benchmark_result().to_yaml())
        assert [one["value"] for one in written] == [one["value"] for one in reference]
        assert [one["dataset"]["task_id"] for one in written] == [one["dataset"]["task_id"] for one in reference]
    assert "| STS16 | cosine_spearman | 80.00 | 0 | `000000000000` |" in card.text


def test_existing_card_keeps_its_text_and_gets_new_results_once(tmp_path: Path, make_run: MakeRun) -> None:
    old = tmp_path / "old.md"
    old.write_text("---\nlicense: mit\ntags:\n- mine\n---\n# My model\n\nWords of mine.\n", encoding="utf-8")
    first = open_run(make_run(tmp_path / "one", {"k0": SCORES}))
    second = open_run(make_run(tmp_path / "two", {"k0": {"STS16": 0.9}}))
    export_model_card(first, tmp_path / "card", card=old)

    readme = tmp_path / "card" / "README.md"
    export_model_card(second, tmp_path / "card", card=readme, overwrite=True)

    card = ModelCard.load(readme)
    assert card.data.license == "mit"
    assert card.data.tags == ["mine", "mteb"]
    assert card.text.count("Words of mine.") == card.text.count("## MTEB results") == 1
    values = {one.dataset_name: one.metric_value for one in card.data.eval_results}
    assert values["STS16 (default)"] == 0.9
    assert values["Banking77Classification (default)"] == 0.7
    assert len(values) == len(SCORES)


def test_card_names_public_tasks_only(tmp_path: Path, make_run: MakeRun) -> None:
    mixed = open_run(make_run(tmp_path / "mixed", {"k0": {"STS16": 0.8, "MiniSTS": 0.5}}))
    private = open_run(make_run(tmp_path / "private", {"k0": {"MiniSTS": 0.5}}))

    assert export_model_card(mixed, tmp_path / "card").left_out == ("MiniSTS",)
    with pytest.raises(IncompleteRunError, match="no finished task of k0 is one of mteb's"):
        export_model_card(private, tmp_path / "card")


def test_several_configurations_ask_for_one(tmp_path: Path, make_run: MakeRun) -> None:
    run = open_run(make_run(tmp_path / "run", {"k0": {"STS16": 0.8}, "kall": {"STS16": 0.9}}))

    with pytest.raises(ConfigError, match="k0, kall: say which with --configuration"):
        export_model_card(run, tmp_path / "card")
    with pytest.raises(ConfigError, match="no configuration 'k1'"):
        export_model_card(run, tmp_path / "card", configuration="k1")
    export_model_card(run, tmp_path / "card", configuration="kall")
    with pytest.raises(ConfigError, match=r"README\.md .*exists with other content"):
        export_model_card(run, tmp_path / "card", configuration="k0")
    broken = tmp_path / "broken.md"
    broken.write_text("---\ntags: [\n---\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a model card"):
        export_model_card(run, tmp_path / "other", configuration="k0", card=broken)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_outcomes_stand_by_themselves(form: str, tmp_path: Path, make_run: MakeRun) -> None:
    path = make_run(
        tmp_path / "run", {"k0": {"Banking77Classification": 0.7}, "kall": {"Banking77Classification": 0.8}}
    )

    done = export_predictions(open_run(path), tmp_path / "out", form=form)  # type: ignore[arg-type]

    assert (done.tasks, done.rows) == (2, 6)
    file = tmp_path / "out" / "kall" / f"Banking77Classification.{form}"
    rows = (
        pq.read_table(file).to_pylist()
        if form == "parquet"
        else [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    )
    items = pq.read_table(path / "items" / "kall" / "Banking77Classification.parquet").to_pylist()
    assert [{key: row[key] for key in items[0]} for row in rows] == items
    assert set(rows[0]) == {*SUBJECT_COLUMNS, *items[0]}
    assert (rows[0]["configuration"], rows[0]["num_fewshot"]) == ("kall", 3)


def test_mteb_form_is_what_mteb_writes_in_its_own_evaluation(tmp_path: Path) -> None:
    tasks = "MiniSTS,MiniReviewAspectClassification,MiniReranking"
    flags = ["--model", "embedded", "--tasks", tasks, "--num-fewshot", "0", "--offline", "--quiet"]
    assert main(["run", *flags, "--output-dir", str(tmp_path / "run")]) == 0

    done = export_predictions(open_run(tmp_path / "run"), tmp_path / "out", form="mteb")

    assert list(done.left_out) == ["k0/MiniReranking"]
    for name, theirs in _mteb_predictions(tmp_path / "theirs", tasks.split(",")[:2]).items():
        ours = json.loads((tmp_path / "out" / "k0" / f"{name}_predictions.json").read_text(encoding="utf-8"))
        assert ours["mteb_model_meta"] == theirs["mteb_model_meta"]
        mine, other = ours["default"]["test"], theirs["default"]["test"]
        if isinstance(mine, list):
            assert mine == other
        else:
            assert set(mine) == {measure for measure, values in other.items() if values is not None}
            for measure, values in mine.items():
                assert values == pytest.approx(other[measure], abs=1e-5)


def _mteb_predictions(folder: Path, names: list[str]) -> dict[str, dict[str, object]]:
    """Evaluate with mteb alone and return the prediction files it writes."""
    from harness import load_encoder
    from harness.registry.registry import Registry
    from harness.runners.tasks import make_task, resolve_units

    encoder = load_encoder("embedded", num_fewshot=0)
    units = resolve_units(
        Registry.load(), benchmarks=(), tasks=tuple(names), data_dir=None, splits=(), languages=(), zero_shot_only=True
    )
    mteb.evaluate(
        encoder,
        [make_task(unit) for unit in units],
        cache=None,
        co2_tracker=False,
        show_progress_bar=False,
        prediction_folder=folder,
    )
    return {name: json.loads((folder / f"{name}_predictions.json").read_text(encoding="utf-8")) for name in names}


def test_commands_refuse_in_a_line(tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", {"k0": {"STS16": 0.8}})

    for arguments, message in (
        (["mteb-results", str(tmp_path), str(tmp_path / "out")], "is no run directory"),
        (["mteb-results", str(run), str(tmp_path / "out"), "--main", "k5"], "no configuration 'k5'"),
        (["model-card", str(run), str(tmp_path / "out"), "--card", "nowhere.md"], "is no file"),
        (["predictions", str(run), str(tmp_path / "out"), "--configuration", "kal"], "no configuration 'kal'"),
        (["predictions", str(run), str(run / "items"), "--overwrite"], "lies in the run directory"),
    ):
        assert main(["export", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
