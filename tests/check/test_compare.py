"""check and compare: what is comparable, what passes, and what the exit code says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.check.compare import CheckOptions, check_results
from harness.check.identity import SUBJECT_GROUPS, changes
from harness.check.outcome import Outcome, Verdict
from harness.check.render import headline
from harness.check.tolerance import Measured, Tolerances
from harness.cli.main import main
from harness.errors import ConfigError
from harness.store.stored_run import read_run
from tests.check.made import TASKS, make_run

pytestmark = pytest.mark.unit

FAST = {"resamples": 1000}
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    count = iter(range(100))
    return lambda **changes: make_run(tmp_path / f"run{next(count)}", **changes)


def judged(candidate: Path, baseline: Path, tolerances: Tolerances | None = None, **options: Any) -> Outcome:
    return check_results(read_run(candidate), read_run(baseline), tolerances, CheckOptions(**{**FAST, **options}))


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {one.task: str(one.verdict) for one in outcome.tasks}


# ---- an unchanged subject


def test_equal_runs_pass(made: Made) -> None:
    outcome = judged(made(), made())

    assert set(verdicts(outcome).values()) == {"PASS"}
    assert outcome.exit_code == 0
    assert [one.task for one in outcome.comparisons if one.is_mean] == ["Mean (4 tasks)"]


def test_rounding_stays_within_the_noise_and_more_is_an_alarm_in_both_directions(made: Made) -> None:
    base = made()

    tiny, worse, better = (judged(made(shift=shift), base) for shift in (0.0002, -0.004, 0.004))

    assert set(verdicts(tiny).values()) == {"WITHIN-NOISE"}
    assert tiny.exit_code == 0
    assert set(verdicts(worse).values()) == {"REGRESSED"}
    assert worse.exit_code == 1
    assert set(verdicts(better).values()) == {"IMPROVED"}
    assert better.exit_code == 1
    assert judged(made(shift=0.004), base, allow_improved=True).exit_code == 0


def test_measured_bounds_replace_the_start_values(made: Made) -> None:
    tolerances = Tolerances(
        [
            Measured(
                task="MadeSTS",
                model="org/made",
                dtype="float32",
                hardware="cpu: a processor",
                repeats=5,
                sigma=0.001,
                bound=0.01,
            )
        ]
    )

    outcome = judged(made(shift=0.0002), made(), tolerances)

    assert verdicts(outcome)["MadeSTS"] == "REGRESSED" if outcome.tasks[2].difference < 0 else "IMPROVED"  # type: ignore[operator]
    assert [one.bound.measured for one in outcome.tasks if one.bound] == [
        one.task == "MadeSTS" for one in outcome.tasks
    ]
    assert any("start values" in note for note in outcome.notes)


def test_bounds_measured_on_other_hardware_do_not_count(made: Made) -> None:
    tolerances = Tolerances(
        [
            Measured(
                task="MadeSTS",
                model="org/made",
                dtype="float32",
                hardware="cpu: a processor",
                repeats=5,
                sigma=0,
                bound=4,
            )
        ]
    )
    elsewhere = made(manifest={"machine": {"processor": "another"}}, shift=-0.02)

    assert verdicts(judged(elsewhere, made(), tolerances))["MadeSTS"] == "REGRESSED"
    assert verdicts(judged(made(shift=-0.02), made(), tolerances))["MadeSTS"] == "WITHIN-NOISE"


def test_the_mean_has_a_tighter_bound_than_the_tasks(made: Made) -> None:
    outcome = judged(made(shift=-0.0003), made())

    (mean,) = [one for one in outcome.comparisons if one.is_mean]
    assert mean.bound is not None
    assert all(mean.bound.value < one.bound.value for one in outcome.tasks if one.bound and one.task == "MadeClusters")
    assert set(verdicts(outcome).values()) == {"WITHIN-NOISE"}


def test_the_parts_of_an_aggregate_count_as_one_task_in_the_mean(made: Made) -> None:
    base, other = read_run(made()), read_run(made())
    for run, scores in ((base, (0.5, 0.5, 0.5, 0.5)), (other, (0.52, 0.52, 0.52, 0.5))):
        for record, score in zip(run.records, scores, strict=True):
            (main_row,) = [row for row in record["rows"] if row["is_main"]]
            main_row.update(score=score, part_of="" if record["task_name"] == "MadeTopics" else "Whole")

    outcome = check_results(other, base)

    (mean,) = [one for one in outcome.comparisons if one.is_mean]
    assert mean.task == "Mean (2 tasks)"
    assert mean.difference == pytest.approx(0.01)
    assert mean.bound is not None
    assert mean.bound.value == pytest.approx(((0.0003**2 + 0.001**2 + 0.003**2) / 36 + 0.001**2 / 4) ** 0.5)
    assert any("count as one task in the mean: Whole" in note for note in outcome.notes)


# ---- a changed subject


@pytest.mark.parametrize(
    ("group", "field"), [(group, field) for group, fields in SUBJECT_GROUPS.items() for field in fields]
)
def test_every_field_of_the_subject_must_match_or_be_allowed_by_its_name(made: Made, group: str, field: str) -> None:
    base, other = read_run(made()), read_run(made())
    for record in other.records:
        record["identity"]["subject"][field] = "changed"

    refused = check_results(other, base, None, CheckOptions(**FAST))
    allowed = check_results(other, base, None, CheckOptions(**FAST, allowed=frozenset({group})))

    assert set(verdicts(refused).values()) == {"NOT-COMPARABLE"}
    assert refused.exit_code == 4
    assert all(field in one.reason and "changed" in one.reason for one in refused.tasks)
    assert allowed.exit_code == 0
    assert all(one.method for one in allowed.tasks), "a changed subject is judged by the paired test"


@pytest.mark.parametrize("field", ["dataset_revision", "main_metric", "splits", "subsets", "limit", "seed", "scorer"])
def test_no_option_allows_another_protocol(made: Made, field: str) -> None:
    base, other = read_run(made()), read_run(made())
    for record in other.records:
        record["identity"]["protocol"][field] = "changed"

    outcome = check_results(other, base, None, CheckOptions(**FAST, allowed=frozenset({*SUBJECT_GROUPS, "other"})))

    assert set(verdicts(outcome).values()) == {"NOT-COMPARABLE"}
    assert outcome.exit_code == 4


def test_a_bug_fix_release_of_mteb_is_the_same_protocol_and_a_minor_one_is_not() -> None:
    def identity(version: str) -> dict[str, Any]:
        return {"subject": {}, "protocol": {"mteb_version": version}}

    assert changes(identity("2.26.24"), identity("2.26.25")) == []
    assert [one.field for one in changes(identity("2.26.24"), identity("2.27.0"))] == ["mteb_version"]


def test_changed_examples_alone_explain_the_fingerprint() -> None:
    before = {"subject": {"prompt_fingerprint": "a", "examples_sha": "1", "instruction_sha": "i"}, "protocol": {}}
    other_examples = {"subject": {**before["subject"], "prompt_fingerprint": "b", "examples_sha": "2"}, "protocol": {}}
    other_template = {"subject": {**before["subject"], "prompt_fingerprint": "b"}, "protocol": {}}

    assert [one.group for one in changes(before, other_examples)] == ["examples"]
    assert [one.group for one in changes(before, other_template)] == ["prompt"]


def test_a_worse_subject_regresses_and_an_equal_one_does_not(made: Made) -> None:
    base = made(quality=0.8)
    allowed = frozenset({"weights"})

    worse = judged(made(quality=0.4, subject={"weights_sha": "c" * 64}), base, allowed=allowed)
    equal = judged(made(quality=0.8, subject={"weights_sha": "c" * 64}), base, allowed=allowed)

    assert set(verdicts(worse).values()) == {"REGRESSED"}
    assert worse.exit_code == 1
    assert all(one.p_adjusted is not None and one.p_adjusted >= (one.p or 0) for one in worse.tasks)
    assert set(verdicts(equal).values()) == {"PASS"}


def test_a_significant_difference_below_the_effect_floor_is_no_regression(made: Made) -> None:
    base = made(quality=0.8)
    worse = made(quality=0.4, subject={"weights_sha": "c" * 64})

    outcome = judged(worse, base, allowed=frozenset({"weights"}), effect_floor=0.99)

    assert set(verdicts(outcome).values()) == {"WITHIN-NOISE"}


def test_items_that_do_not_give_the_score_are_not_comparable(made: Made) -> None:
    outcome = judged(made(shift=0.01, subject={"weights_sha": "c" * 64}), made(), allowed=frozenset({"weights"}))

    assert set(verdicts(outcome).values()) == {"NOT-COMPARABLE"}
    assert "items give" in outcome.tasks[0].reason


def test_similarities_that_are_not_numbers_are_never_within_the_noise(made: Made) -> None:
    import pyarrow as pa

    class Damaged:
        def __init__(self, run: Any) -> None:
            self.path, self.manifest, self.records, self._run = run.path, run.manifest, run.records, run

        def items(self, configuration: str, task: str) -> pa.Table:
            items = self._run.items(configuration, task)
            place = items.schema.get_field_index("cosine_scores")
            return items.set_column(place, "cosine_scores", pa.array([float("nan")] * items.num_rows))

    run = Damaged(read_run(made(tasks=("MadeSTS",), subject={"weights_sha": "c" * 64})))

    outcome = check_results(
        run, read_run(made(tasks=("MadeSTS",))), None, CheckOptions(**FAST, allowed=frozenset({"weights"}))
    )

    assert verdicts(outcome) == {"MadeSTS": "NOT-COMPARABLE"}


def test_rounding_of_unchanged_tasks_widens_the_mean_s_interval(made: Made) -> None:
    base = read_run(made())
    other = read_run(made(shift=0.0001))
    for record in other.records[:1]:
        record["identity"]["subject"]["weights_sha"] = "c" * 64

    outcome = check_results(other, base, None, CheckOptions(**FAST, allowed=frozenset({"weights"})))

    (mean,) = [one for one in outcome.comparisons if one.is_mean]
    assert mean.bound is None
    assert mean.standard_error is not None and mean.standard_error > 0.0001
    assert mean.verdict == Verdict.WITHIN_NOISE


# ---- completeness


def test_missing_new_and_unfinished_are_told_apart(made: Made) -> None:
    names = tuple(TASKS)

    missing = judged(made(tasks=names[:3]), made())
    new = judged(made(), made(tasks=names[:3]))
    unfinished = judged(made(manifest={"status": "incomplete", "failures": {"k0/X": "no data"}}), made())

    assert (missing.count(Verdict.MISSING), missing.exit_code) == (1, 3)
    assert (new.count(Verdict.NEW), new.exit_code) == (1, 0)
    assert unfinished.exit_code == 3
    assert "k0/X" in unfinished.incomplete


def test_a_configuration_that_the_run_lacks_is_missing(made: Made) -> None:
    outcome = judged(made(), made(configurations={"k0": 0, "k3": 3}))

    assert outcome.count(Verdict.MISSING) == 4
    assert outcome.exit_code == 3


def test_nothing_in_common_is_never_a_pass(made: Made) -> None:
    outcome = judged(made(tasks=("MadeSTS",)), made(tasks=("MadeSearch",)))

    assert outcome.exit_code == 3


def test_retrieval_for_the_board_of_air_bench_has_no_score_and_is_left_out(made: Made) -> None:
    from harness.store.run_dir import RunDir

    path = made()
    (record,) = [one for one in read_run(path).records if one["task_name"] == "MadeSearch"]
    protocol = {**record["identity"]["protocol"], "splits": [], "searched_splits": ["test"]}
    identity = {**record["identity"], "protocol": protocol}
    items = read_run(path).items("k0", "MadeSearch").slice(0, 0)
    unscored = RunDir(path).write_task(
        "k0", "MadeSearch", identity=identity, rows=[], items=items, mteb_result=None, details={}
    )
    manifest = json.loads((path / "manifest.json").read_text())
    for task in manifest["tasks"]:
        if task["task_name"] == "MadeSearch":
            task["result_key"] = unscored["result_key"]
    (path / "manifest.json").write_text(json.dumps(manifest))

    assert set(verdicts(judged(path, path)).values()) == {"PASS"}
    assert len(verdicts(judged(path, path))) == 3
    assert judged(path, made()).count(Verdict.MISSING) == 1


def test_a_partial_run_is_never_compared_with_a_full_one(made: Made) -> None:
    outcome = judged(made(limit=50), made())

    assert set(verdicts(outcome).values()) == {"NOT-COMPARABLE"}


def test_several_failures_take_the_documented_code(made: Made) -> None:
    outcome = judged(made(tasks=("MadeSTS", "MadeSearch"), shift=-0.02, limit=0), made())

    assert {str(one.verdict) for one in outcome.tasks} == {"REGRESSED", "MISSING"}
    assert outcome.exit_code == 3


def test_an_unknown_allowance_is_refused(made: Made) -> None:
    with pytest.raises(ConfigError, match="--allow-change 'weight' is not one of dtype, encoder"):
        judged(made(), made(), allowed=frozenset({"weight"}))


# ---- the commands


def run_cli(*arguments: object) -> tuple[int, str]:
    from harness.cli.main import cli

    result = CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)
    code = result.return_value if isinstance(result.return_value, int) else main([str(one) for one in arguments])
    return code, result.output


def test_check_prints_the_worst_with_both_scores_and_writes_junit(made: Made, tmp_path: Path) -> None:
    base, other = made(), made(shift=-0.02)

    code, output = run_cli("check", other, "--baseline", base, "--junit", tmp_path / "check.xml")

    assert code == 1
    assert output.splitlines()[-1] == "check FAILED: 4 REGRESSED; mean REGRESSED"
    assert "Worst 5 of 5:" in output
    assert "k0/MadeSTS: REGRESSED" in output
    assert "(-2.00, bound 0.03*, start value, not measured: STS)" in output
    suite = ET.parse(tmp_path / "check.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "5", "0")


def test_check_prints_json_for_machines(made: Made) -> None:
    code, output = run_cli("check", made(), "--baseline", made(), "--json")

    document = json.loads(output)
    assert (code, document["exit_code"]) == (0, 0)
    assert {one["verdict"] for one in document["tasks"]} == {"PASS"}


def test_github_gets_annotations_and_a_summary(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    _, output = run_cli("check", made(shift=-0.02), "--baseline", made())

    commands = [line for line in output.splitlines() if line.startswith("::")]
    assert len(commands) == 6
    assert commands[0].startswith("::error title=REGRESSED k0/")
    assert commands[-1] == "::error title=icl-harness check::check FAILED: 4 REGRESSED; mean REGRESSED"
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    table = [line for line in summary.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 2 + 5


def test_names_cannot_act_as_markup_in_any_output(made: Made) -> None:
    from dataclasses import replace

    from harness.check import ci, render

    outcome = judged(made(shift=-0.02), made())
    evil = "a|b<script>alert(1)</script>%0A::error::x\n::warning::y\x1b[31m"
    outcome = replace(outcome, comparisons=tuple(replace(one, task=evil) for one in outcome.comparisons))

    text, summary = render.terminal(outcome, title="t"), render.markdown(outcome)
    xml, commands = ci.junit(outcome), list(ci.workflow_commands(outcome))

    assert "\x1b" not in text + summary + xml.decode()
    assert "<script>" not in summary
    assert b"<script>" not in xml
    assert ET.fromstring(xml)[0][0].get("name", "").startswith("a|b<script>")
    assert all("\n" not in one and one.count("%0A") == 0 for one in commands)
    assert len({line.count("|") for line in summary.splitlines() if line.startswith("|")}) == 1


def test_compare_takes_two_configurations_of_one_run(made: Made) -> None:
    run = made(configurations={"k0": 0, "k0-b": 0})

    code, output = run_cli("compare", f"{run}:k0", f"{run}:k0-b", "--resamples", 500)

    assert code == 0
    assert "MadeSTS (against k0)" in output
    assert output.splitlines()[-1] == "4 tasks compared, 0 not."


def test_compare_names_the_configurations_when_it_is_open_which_are_meant(made: Made, capsys: Any) -> None:
    run, other = made(configurations={"k0": 0, "k3": 3}), made(configurations={"k1": 1})

    assert main(["compare", str(run), str(other)]) == 2
    assert f"has the configurations k0, k3: say which, as in {run}:k0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "check needs either --baseline or --against"),
        (["--baseline", "{run}", "--tolerance", "1"], "--tolerance belongs to --against"),
        (["--against", "paper/full/fs"], "--against needs --tolerance POINTS"),
        (["--against", "paper/full/fs", "--tolerance", "-1"], "--tolerance -1.0: points between 0 and 100"),
        (["--against", "paper/full/fs", "--tolerance", "1", "--allow-change", "dtype"], "--allow-change belongs to"),
        (["--baseline", "{run}", "--effect-floor", "101"], "--effect-floor 101.0: points between"),
        (["--baseline", "nowhere"], "nowhere: no such run directory or baseline file."),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(made: Made, capsys: Any, arguments: list[str], message: str) -> None:
    run = made()

    code = main(["check", str(run), *(one.format(run=run) for one in arguments)])

    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_headline_counts_verdicts(made: Made) -> None:
    assert headline(judged(made(), made())) == "check passed: 4 PASS"


def test_the_headline_says_that_the_mean_alone_fails(made: Made) -> None:
    tasks = ("MadeTopics", "MadeSearch")  # bounds of 0.1 points each; their mean's is 0.07

    outcome = judged(made(shift=-0.0009, tasks=tasks), made(tasks=tasks))

    assert set(verdicts(outcome).values()) == {"WITHIN-NOISE"}
    assert outcome.exit_code == 1
    assert headline(outcome) == "check FAILED: 2 WITHIN-NOISE; mean REGRESSED"


def test_neither_torch_nor_mteb_is_imported(made: Made) -> None:
    import subprocess
    import sys

    run = made()
    program = (
        "import sys\nfrom harness.cli.main import main\n"
        f"assert main(['check', {str(run)!r}, '--baseline', {str(run)!r}]) == 0\n"
        f"assert main(['compare', {str(run)!r}, {str(run)!r}]) == 0\n"
        "print([name for name in ('torch', 'mteb', 'transformers', 'datasets') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
