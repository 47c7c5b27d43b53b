"""`plan`: its counts against what runs really encoded, its arithmetic, and its command."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.main import main
from harness.config import build_config
from harness.encoder.vectors import EmbeddingStore
from harness.errors import ConfigError
from harness.plan import plan as planning
from harness.plan.cost import store_bytes
from harness.plan.lengths import LIMITS, TokenCurve, lognormal_cut
from harness.plan.model import AIR_TABLE, COUNTED_NOW, UNKNOWN, Plan, Rate
from harness.plan.plan import make_plan, rate_of_run
from harness.plan.statistics import STATISTICS_FILE, TaskStatistics, group_from_json, load_statistics
from harness.registry.air_bench import air_bench_sets, is_air_bench
from harness.registry.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ROOT.parent / "shared" / "mteb_offline"

# texts, texts_encoded and tokens of the record of each task, run by itself:
# icl-harness run --model all-MiniLM-L6-v2 --tasks NAME --num-fewshot 0 --data-dir DIR --no-cache
RECORDED = {
    "AmazonCounterfactualClassification": (1225, 1225, 33337),
    "BIOSSES": (200, 183, 7258),
    "Banking77Classification": (7696, 7696, 119962),
    "EmotionClassification": (2909, 2908, 64505),
    "SICK-R": (19854, 6077, 74769),
    "STS12": (6216, 4964, 80876),
    "STS14": (7500, 6384, 87938),
    "STS16": (2372, 1870, 29589),
    "STSBenchmark": (2758, 2552, 36689),
    "SciFact": (5483, 5483, 1249104),
    "TwentyNewsgroupsClustering": (59545, 5216, 54024),
    "TwitterURLCorpus": (103048, 45098, 946872),
}

# The same where all of them are one run: a text that an earlier task had under the same prompt came from the store.
RECORDED_TOGETHER = {
    **RECORDED,
    "STS12": (6216, 4445, 71629),
    "STS14": (7500, 5838, 81485),
    "STS16": (2372, 1427, 24014),
}
ORDER = (
    "BIOSSES,STSBenchmark,STS16,STS12,STS14,SICK-R,SciFact,AmazonCounterfactualClassification,Banking77Classification,"
    "EmotionClassification,TwentyNewsgroupsClustering,TwitterURLCorpus"
)


def plan_for(model: str = "all-MiniLM-L6-v2", shots: str = "0", **settings_: Any) -> Plan:
    return make_plan(build_config({"model": model, "num_fewshot": shots, **settings_}))


@pytest.mark.parametrize("task", RECORDED)
def test_counts_are_within_two_percent_of_what_a_run_of_the_task_encoded(task: str) -> None:
    (one,) = plan_for(tasks=task).tasks

    texts, distinct, tokens = RECORDED[task]
    assert one.cost.exact
    assert one.cost.texts == pytest.approx(texts, rel=0.02)
    assert one.cost.distinct == pytest.approx(distinct, rel=0.02)
    assert one.cost.tokens == pytest.approx(tokens, rel=0.02)


def test_counts_are_within_two_percent_of_what_a_run_of_all_tasks_encoded() -> None:
    plan = plan_for(tasks=ORDER)

    for one in plan.tasks:
        texts, distinct, tokens = RECORDED_TOGETHER[one.task]
        assert one.cost.texts == pytest.approx(texts, rel=0.02), one.task
        assert one.cost.distinct == pytest.approx(distinct, rel=0.02), one.task
        assert one.cost.tokens == pytest.approx(tokens, rel=0.02), one.task
        assert one.shared_texts == RECORDED[one.task][1] - one.cost.distinct


def test_tasks_under_different_prompts_share_nothing() -> None:
    zero, few = plan_for("BAAI/bge-en-icl", "0", tasks=ORDER), plan_for("BAAI/bge-en-icl", "all", tasks=ORDER)

    assert sum(one.shared_texts for one in zero.tasks) > 1000  # the STS tasks have one instruction
    assert sum(one.shared_texts for one in few.tasks) == 0  # and examples of their own


def test_statistics_alone_come_near_and_say_where_they_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = load_statistics()
    raw = json.loads(STATISTICS_FILE.read_text(encoding="utf-8"))["tasks"]
    uncounted = {
        name: TaskStatistics(
            name,
            counted=False,
            splits=statistics.tasks[name].splits,
            groups=tuple(group_from_json(row) for row in raw[name]["statistics"]),
        )
        for name in RECORDED
    }
    less = replace(statistics, tasks={**statistics.tasks, **uncounted})
    monkeypatch.setattr(planning, "load_statistics", lambda: replace(less, overlaps=()))

    plan = plan_for(tasks=",".join(RECORDED))

    for one in plan.tasks:
        texts, distinct, tokens = RECORDED[one.task]
        assert one.cost.texts == pytest.approx(texts, rel=0.02), one.task
        if one.task == "SICK-R":  # both sides of its pairs repeat each other: the statistics cannot tell
            assert (one.cost.exact, one.cost.distinct > distinct) == (False, True)
            continue
        assert one.cost.distinct == pytest.approx(distinct, rel=0.07), one.task
        assert one.cost.tokens == pytest.approx(tokens, rel=0.10), one.task
    assert plan.total().tokens == pytest.approx(sum(tokens for _, _, tokens in RECORDED.values()), rel=0.05)


@pytest.mark.offline_data
@pytest.mark.skipif(not OFFLINE.is_dir(), reason="no ../shared/mteb_offline")
def test_given_data_is_counted_as_a_run_would_encode_it() -> None:
    first, second = plan_for(tasks="STSBenchmark,STS16", data_dir=OFFLINE).tasks

    assert (first.source, second.source) == ("counted in the data", "counted in the data")
    assert (first.cost.texts, first.cost.distinct, first.cost.tokens) == RECORDED["STSBenchmark"]
    # 443 of its texts came with STSBenchmark.
    assert (second.cost.texts, second.cost.distinct, second.cost.tokens) == RECORDED_TOGETHER["STS16"]


def test_every_k_costs_what_a_run_computes_for_it(tmp_path: Path) -> None:
    tasks = "MiniSTS,MiniReranking"
    flags = ["--model", "embedded", "--tasks", tasks, "--num-fewshot", "0,3,all", "--offline", "--no-cache"]
    assert main(["run", *flags, "--quiet", "--output-dir", str(tmp_path / "run")]) == 0

    plan = plan_for("embedded", "0,3,all", tasks=tasks)

    planned = {(one.task, one.configuration): one for one in plan.tasks}
    details = {
        key: json.loads((tmp_path / "run" / "tasks" / key[1] / f"{key[0]}.json").read_text(encoding="utf-8"))["details"]
        for key in planned
    }
    for key, one in planned.items():
        assert (one.cost.texts, one.cost.distinct) == (details[key]["texts"], details[key]["texts_encoded"])
        assert one.cost.tokens == pytest.approx(details[key]["tokens"], rel=0.1)  # another vocabulary, scaled
    assert planned["MiniReranking", "k3"].shared_documents == 455
    assert planned["MiniSTS", "k3"].shared_documents == 0


def test_prefix_tokens_are_those_of_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    def tokens(shots: str) -> int:
        assert (
            main(["prompt", "--task", "Banking77Classification", "--num-fewshot", shots, "--text", "", "--json"]) == 0
        )
        return int(json.loads(capsys.readouterr().out)["prompt_tokens"])

    zero, three = plan_for("embedded", "0,3", tasks="Banking77Classification").tasks

    assert three.prefix_tokens - zero.prefix_tokens == tokens("3") - tokens("0")


def test_shared_prefix_is_counted_once_and_unshared_for_every_query() -> None:
    (zero, few) = plan_for("BAAI/bge-en-icl", "0,all", tasks="Banking77Classification").tasks

    assert few.cost.tokens_unshared - zero.cost.tokens_unshared == few.prefix_tokens * few.cost.distinct
    assert few.prefix_tokens > 100
    assert few.cost.tokens < few.cost.tokens_unshared / 5


@pytest.mark.parametrize(
    ("benchmark", "names"),
    [
        ("MTEB(eng, v1)", 67),
        ("MTEB(eng, v2)", 41),
        ("AIR-Bench_24.04", 28),
        ("AIR-Bench_24.05", 69),
        ("AIR-Bench_mini", 3),
        ("mini", 24),
    ],
)
def test_every_task_of_every_benchmark_is_planned(benchmark: str, names: int) -> None:
    plan = plan_for("BAAI/bge-en-icl", "0,all", benchmark=benchmark)

    assert len({one.task for one in plan.tasks}) == names
    for one in plan.tasks:
        assert one.source != UNKNOWN
        assert one.cost.tokens <= one.cost.tokens_unshared
        assert one.cost.texts >= one.cost.distinct
        # A task whose texts all came with earlier ones costs nothing (the zero-shot probes of mini).
        assert one.cost.tokens > 0 or one.shared_texts == one.cost.texts
    assert plan.embed_dim == 4096
    assert COUNTED_NOW not in {one.source for one in plan.tasks}  # nothing is read but our own statistics


@pytest.mark.parametrize("version", ["AIR-Bench_24.04", "AIR-Bench_24.05"])
def test_air_bench_counts_are_those_of_its_table(version: str) -> None:
    plan = plan_for("BAAI/bge-en-icl", benchmark=version)

    sets = {one.name: one for one in air_bench_sets(version)}
    for one in plan.tasks:
        expected = sets[one.task].corpus_size + sum(sets[one.task].queries.values())
        assert (one.cost.texts, one.source) == (expected, AIR_TABLE)


def test_air_bench_filters_are_those_of_the_run() -> None:
    wanted = {"task_types": ("qa",), "languages": ("en",), "domains": ("law", "msmarco"), "splits": ("dev",)}

    plan = plan_for("BAAI/bge-en-icl", benchmark="AIR-Bench_24.05", **wanted)

    assert {one.task: one.cost.texts for one in plan.tasks} == {
        "air-bench/qa/law/en": 141678 + 360,
        "air-bench/qa/msmarco/en": 8872840 + 6319,
    }
    with pytest.raises(ConfigError, match="--domains 'laws' is not in AIR-Bench_24"):
        plan_for("BAAI/bge-en-icl", benchmark="AIR-Bench_24.05", domains=("laws",))


def test_shipped_statistics_are_those_of_the_installed_mteb() -> None:
    import mteb

    tool = _tool()
    stored = json.loads(STATISTICS_FILE.read_text(encoding="utf-8"))
    files = {path.stem: path for path in (Path(mteb.__file__).parent / "descriptive_stats").rglob("*.json")}
    for entry in Registry.load():
        if is_air_bench(entry.name) or entry.parts or entry.data is not None:
            continue
        statistics = json.loads(files[entry.name].read_text(encoding="utf-8"))
        task = mteb.get_task(entry.name, eval_splits=list(entry.splits))
        found = stored["tasks"][entry.name]
        groups = found["statistics"] if found["counted"] else found["groups"]
        assert [row.json() for row in tool.statistics_rows(entry, task, statistics)] == groups, entry.name


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("plan_statistics", ROOT / "tools" / "plan_statistics.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["plan_statistics"] = module
    spec.loader.exec_module(module)
    return module


@given(st.lists(st.integers(0, 9000), min_size=1, max_size=50), st.integers(1, 10_000), st.floats(0.3, 3.0))
def test_curve_is_exact_where_it_was_counted_and_bounded_elsewhere(
    lengths: list[int], limit: int, scale: float
) -> None:
    curve = TokenCurve.of(lengths)

    for counted in LIMITS:
        assert curve.cut(counted) == pytest.approx(sum(min(one, counted) for one in lengths))
    cut = curve.cut(limit, scale)
    assert cut <= sum(lengths) * scale * (1 + 1e-9) + 1e-9
    assert cut <= len(lengths) * limit * (1 + 1e-9) + 1e-9
    assert cut <= curve.cut(limit + 1, scale) * (1 + 1e-9) + 1e-9


@given(st.integers(1, 10**7), st.floats(1, 2000), st.floats(1, 50), st.floats(1, 5000), st.floats(1, 3))
def test_estimated_cut_is_bounded_and_grows_with_the_limit(
    texts: int, mean: float, spread: float, limit: float, more: float
) -> None:
    cut = lognormal_cut(texts, mean, mean * spread, limit)

    assert 0 <= cut <= texts * min(mean, limit) * (1 + 1e-6)
    assert cut <= lognormal_cut(texts, mean, mean * spread, limit * more) * (1 + 1e-6)


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0])
def test_estimated_cut_is_right_for_lengths_of_the_assumed_shape(sigma: float) -> None:
    lengths = np.random.default_rng(0).lognormal(5.0, sigma, 20_000)

    for limit in (100, 150, 256, 512):
        found = lognormal_cut(len(lengths), float(lengths.mean()), float(lengths.max()), limit)
        assert found == pytest.approx(float(np.minimum(lengths, limit).sum()), rel=0.05)


def test_store_bytes_are_what_the_store_takes(tmp_path: Path) -> None:
    texts, dim = 30_000, 64
    vectors = np.random.default_rng(0).standard_normal((texts, dim)).astype(np.float32)
    keys = [number.to_bytes(4, "big") * 8 for number in np.random.default_rng(1).permutation(texts).tolist()]
    with EmbeddingStore(tmp_path / "store") as store:
        for start in range(0, texts, 4096):
            store.put(keys[start : start + 4096], vectors[start : start + 4096])
        store.flush()
    taken = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file())

    assert store_bytes(texts, dim) == pytest.approx(taken, rel=0.1)


def test_hours_follow_from_either_rate_and_a_finished_run_gives_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_for(tasks="STS16")
    cost = plan.total()

    assert Rate().hours(cost) is None
    assert Rate(tokens_per_second=100).hours(cost) == pytest.approx(cost.tokens / 360_000)
    assert Rate(texts_per_second=10).hours(cost) == pytest.approx(cost.distinct / 36_000)
    flags = ["--model", "embedded", "--tasks", "MiniReranking", "--num-fewshot", "0", "--offline", "--no-cache"]
    assert main(["run", *flags, "--quiet", "--output-dir", str(tmp_path / "run")]) == 0
    details = json.loads((tmp_path / "run/tasks/k0/MiniReranking.json").read_text(encoding="utf-8"))["details"]
    assert rate_of_run(tmp_path / "run").tokens_per_second == pytest.approx(
        details["tokens"] / details["encode_seconds"]
    )
    with pytest.raises(ConfigError, match="no run directory in which texts were encoded"):
        rate_of_run(tmp_path)
    arguments = ["plan", "-m", "embedded", "-t", "MiniReranking,MiniSTS", "-k", "0", "--compare", str(tmp_path / "run")]
    capsys.readouterr()
    assert main(arguments) == 0
    assert f"506 / {details['texts']}" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    recorded = {one["task"]: one["recorded"] for one in json.loads(capsys.readouterr().out)["tasks"]}
    assert recorded["MiniSTS"] is None
    assert recorded["MiniReranking"]["tokens"] == details["tokens"]


def test_other_splits_than_the_statistics_know_are_named_not_guessed() -> None:
    plan = plan_for(tasks="STSBenchmark,STS16", splits="validation")

    assert [one.source for one in plan.tasks] == [UNKNOWN, UNKNOWN]
    assert any("No statistics for these splits" in note for note in plan.notes)


def test_a_longer_limit_never_costs_less() -> None:
    def tokens(document: int) -> list[int]:
        plan = plan_for("BAAI/bge-en-icl", tasks="STS16,SciFact,FEVER", document_max_tokens=document)
        return [one.cost.tokens for one in plan.tasks]

    costs = [tokens(limit) for limit in (8, 64, 512, 1000, 100_000)]

    assert all(list(one) == sorted(one) for one in zip(*costs, strict=True))


def run_plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an interpreter without network; its last line of stderr names the heavy modules it imported."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from harness.cli.main import main\n"
        f"code = main(['plan', *{list(arguments)!r}])\n"
        "heavy = [name for name in ('torch', 'mteb', 'pandas', 'transformers', 'datasets') if name in sys.modules]\n"
        "print('HEAVY', *heavy, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("benchmark", ["MTEB(eng, v2)", "AIR-Bench_24.05"])
def test_command_needs_neither_network_nor_heavy_imports(benchmark: str) -> None:
    done = run_plan("--benchmark", benchmark, "--num-fewshot", "0,all", "--tokens-per-second", "20000")

    assert (done.returncode, done.stderr.strip()) == (0, "HEAVY")
    assert "BAAI/bge-en-icl" in done.stdout
    assert "missing here: the model and the data of" in done.stdout


def test_json_holds_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "--tasks", "STS16,SciFact", "-k", "0,all", "--texts-per-second", "100", "--json"]
    assert main(arguments) == 0

    plan = json.loads(capsys.readouterr().out)
    assert plan["total"]["texts"] == sum(one["texts"] for one in plan["tasks"])
    assert set(plan["totals"]) == {"k0", "kall"}
    assert plan["total"]["vector_bytes"] == plan["total"]["vectors"] * 4096 * 4
    assert plan["total"]["hours"] == pytest.approx(plan["total"]["distinct_texts"] / 100 / 3600)
    assert plan["missing"] == {"model": True, "tasks": ["STS16", "SciFact"]}


def test_campaign_is_planned_run_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(
        "models:\n- embedded\n- {model: all-MiniLM-L6-v2, num_fewshot: 0}\ntasks: [STS16, BIOSSES]\nnum_fewshot: [0, 3]\n",
        encoding="utf-8",
    )

    assert main(["plan", "--config", str(file), "--tokens-per-second", "1000", "--json"]) == 0

    campaign = json.loads(capsys.readouterr().out)
    assert [(run["model"], list(run["totals"])) for run in campaign["runs"]] == [
        ("embedded", ["k0", "k3"]),
        ("all-MiniLM-L6-v2", ["k0"]),
    ]
    assert campaign["total"]["tokens"] == sum(run["total"]["tokens"] for run in campaign["runs"])
    assert campaign["total"]["hours"] == pytest.approx(campaign["total"]["tokens"] / 3_600_000)
    assert main(["plan", "--config", str(file)]) == 0
    assert "2 runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "STS61"], "Did you mean 'STS16'"),
        ([], "nothing to run"),
        (["--tasks", "STS16", "--domains", "law"], "--domains"),
        (["-b", "AIR-Bench_24.5"], "Did you mean 'AIR-Bench_24.05'"),
        (["-t", "STS16", "--texts-per-second", "1", "--tokens-per-second", "1"], "give one of"),
        (["-t", "STS16", "--texts-per-second", "0"], "texts-per-second"),
        (["-t", "STS16", "--rate-from", "nowhere"], "no run directory"),
        (["-t", "STS16", "--compare", "nowhere"], "no run directory"),
        (["-t", "STS16", "-m", "nonsense"], "is no directory, no built-in name and no hub id"),
        (["-t", "STS16", "-m", "org/unknown"], "no profile"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *arguments]) == 2

    assert message in capsys.readouterr().err
