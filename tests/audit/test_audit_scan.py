"""The audit over files: which texts are evaluated, waivers, reports, exit codes and memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from harness.audit import ExampleText, audit
from harness.audit.report import markdown, write_report
from harness.audit.scan import example_texts
from harness.audit.sources import EvaluationText, find_evaluation_files, read_texts
from harness.audit.waivers import load_waivers, packaged_waivers, text_sha
from harness.cli.audit import audit_command
from harness.errors import ConfigError, HarnessError, ResultSchemaError
from harness.registry import Registry

OFFLINE = Path(__file__).resolve().parents[2].parent / "shared" / "mteb_offline"
BANKING = "Banking77Classification"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def jsonl(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def texts_below(registry: Registry, folder: Path, task: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in find_evaluation_files(registry, folder):
        if file.task == task:
            for text in read_texts(file):
                found.setdefault(text.split, []).append(text.text)
    return found


def run(*arguments: str) -> tuple[int, str]:
    """Run the verb; an error's exit code and text stand for the command's."""
    try:
        with CliRunner().isolation() as streams:
            code = audit_command.main(list(arguments), standalone_mode=False)
            return code, streams[0].getvalue().decode()
    except HarnessError as error:
        return error.exit_code, str(error)


def test_only_evaluation_splits_are_read(registry: Registry, tmp_path: Path) -> None:
    for split in ("train", "test", "validation"):
        jsonl(tmp_path / BANKING / f"{split}.jsonl", {"text": f"a {split} text", "label": 1, "label_text": "joy"})

    assert texts_below(registry, tmp_path, BANKING) == {"test": ["a test text"]}


def test_unknown_folder_is_read_but_for_its_train_split(registry: Registry, tmp_path: Path) -> None:
    for split in ("train", "test", "dev"):
        jsonl(
            tmp_path / "MyTask" / f"{split}.jsonl",
            {"sentence1": f"{split} one", "sentence2": f"{split} two", "score": 2.0},
        )

    assert texts_below(registry, tmp_path, "MyTask") == {
        "test": ["test one", "test two"],
        "dev": ["dev one", "dev two"],
    }


def test_card_says_which_file_is_which_split(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "EmotionClassification"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/a.parquet\n"
        "  - split: test\n    path: [data/b-*.parquet]\n---\n# x\n",
        encoding="utf-8",
    )
    for name in ("a", "b-0", "b-1"):
        pq.write_table(pa.table({"text": [f"from {name}"], "label": [0]}), folder / "data" / f"{name}.parquet")

    assert texts_below(registry, tmp_path, "EmotionClassification") == {"test": ["from b-0", "from b-1"]}


def test_sharded_files_without_a_card_are_known_by_name(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "EmotionClassification" / "data"
    folder.mkdir(parents=True)
    for name in ("train-00000-of-00001", "test-00000-of-00002", "test-00001-of-00002"):
        pq.write_table(pa.table({"text": [name]}), folder / f"{name}.parquet")

    assert texts_below(registry, tmp_path, "EmotionClassification") == {
        "test": ["test-00000-of-00002", "test-00001-of-00002"]
    }


def test_retrieval_takes_the_corpus_and_the_judged_queries(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "NFCorpus"
    jsonl(
        folder / "corpus.jsonl",
        {"_id": "d1", "title": "Salt", "text": "raises blood pressure"},
        {"_id": "d2", "text": "x"},
    )
    jsonl(folder / "queries.jsonl", {"_id": "q1", "text": "evaluated"}, {"_id": "q2", "text": "of the train split"})
    jsonl(folder / "test.jsonl", {"query-id": "q1", "corpus-id": "d1", "score": 1})
    jsonl(folder / "train.jsonl", {"query-id": "q2", "corpus-id": "d2", "score": 1})

    assert texts_below(registry, tmp_path, "NFCorpus") == {
        "corpus": ["Salt raises blood pressure", "x"],
        "queries": ["evaluated"],
    }


def test_air_bench_folder_with_slashes_is_found(registry: Registry, tmp_path: Path) -> None:
    task = "air-bench/qa/web/en"
    jsonl(tmp_path / task / "corpus.jsonl", {"_id": "d", "text": "a page"})
    jsonl(tmp_path / task / "queries.jsonl", {"_id": "q", "text": "a question"})
    jsonl(tmp_path / task / "qrels.jsonl", {"query-id": "q", "corpus-id": "d", "score": 1})

    assert texts_below(registry, tmp_path, task) == {"corpus": ["a page"], "queries": ["a question"]}
    assert {file.task for file in find_evaluation_files(registry, tmp_path) if not file.task.startswith("Mini")} == {
        task
    }


def test_lists_and_pairs_keep_their_place(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "TwitterURLCorpus"
    jsonl(folder / "test.jsonl", {"sent1": ["a", "b"], "sent2": ["c", "d"], "labels": [0, 1]})
    (file,) = [item for item in find_evaluation_files(registry, tmp_path) if item.task == "TwitterURLCorpus"]

    assert [(text.row_id, text.text) for text in read_texts(file)] == [
        ("0.sent1[0]", "a"),
        ("0.sent1[1]", "b"),
        ("0.sent2[0]", "c"),
        ("0.sent2[1]", "d"),
    ]


def test_packaged_tasks_are_always_at_hand(registry: Registry) -> None:
    assert {file.task for file in find_evaluation_files(registry, None)} == {
        task.name for task in registry if task.data is not None
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.jsonl", b'{"text": "a"}\n{"text"\n', "test.jsonl:2: not JSON"),
        ("test.jsonl", b'["a"]\n', "test.jsonl:1: one JSON object per line"),
        ("test.parquet", b"no parquet at all", "test.parquet: not a readable parquet file"),
    ],
)
def test_damaged_data_is_named(registry: Registry, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / BANKING / name
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(ResultSchemaError, match=message.replace(".", r"\.")):
        texts_below(registry, tmp_path, BANKING)


def test_missing_data_dir_is_an_error(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        find_evaluation_files(registry, tmp_path / "nowhere")


# --- the verb ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def planted(registry: Registry, tmp_path: Path) -> Path:
    """A data folder whose test split holds a curated example of another task."""
    leak = registry.get("STS12").examples[0].query
    jsonl(
        tmp_path / "data" / BANKING / "test.jsonl",
        {"text": "nothing of the kind", "label": 0},
        {"text": leak, "label": 1},
    )
    return tmp_path / "data"


def test_planted_leak_in_another_task_fails_the_audit(planted: Path, tmp_path: Path) -> None:
    code, output = run("--data-dir", str(planted), "--output-dir", str(tmp_path / "out"))

    assert code == 1
    assert f"STS12 query 0: exact (1.00) in {BANKING} test 1:" in output
    table = pq.read_table(tmp_path / "out" / "audit.parquet").to_pylist()
    # Label words of the packaged probes are in the table as well; texts so short decide nothing.
    assert [
        (row["example_task"], row["side"], row["evaluation_task"], row["kind"], row["waived"])
        for row in table
        if len(row["example_text"].split()) >= 4
    ] == [("STS12", "query", BANKING, "exact", False)]
    assert "| STS12 | query | 0 |" in (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")


def test_without_a_leak_the_audit_passes(tmp_path: Path) -> None:
    code, output = run()

    assert code == 0
    assert "0 hits (none), 0 waived, 0 to be mended." in output


def test_waiver_lets_the_hit_pass_and_is_shown(planted: Path, registry: Registry, tmp_path: Path) -> None:
    sha = text_sha(registry.get("STS12").examples[0].query)
    waivers = tmp_path / "waivers.yaml"
    entry = (
        "- {task: STS12, text_sha: '%s', evaluation_task: %s, reason: 'a common phrase', reviewed_by: 'A. Reader'}\n"
    )
    waivers.write_text(entry % (sha, BANKING) + entry % ("0" * 16, "SciFact"), encoding="utf-8")

    code, output = run("--data-dir", str(planted), "--waivers", str(waivers), "--output-dir", str(tmp_path / "out"))

    assert code == 0
    assert "1 hits (1 exact), 1 waived, 0 to be mended." in output
    report = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert "a common phrase" in report
    assert "- STS12 0000000000000000 in SciFact" in report


def test_waiver_of_another_text_does_not_count(planted: Path, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        f"- {{task: STS12, text_sha: '{'0' * 16}', evaluation_task: {BANKING}, reason: r, reviewed_by: b}}\n",
        encoding="utf-8",
    )

    assert run("--data-dir", str(planted), "--waivers", str(waivers))[0] == 1


def test_tasks_limits_the_examples_not_the_evaluation(planted: Path) -> None:
    assert run("--data-dir", str(planted), "--tasks", "SciFact")[0] == 0
    assert run("--data-dir", str(planted), "--tasks", "STS12,SciFact")[0] == 1


def test_unknown_task_has_a_suggestion() -> None:
    code, message = run("--tasks", "STS99")

    assert code == 2
    assert "Did you mean" in message


def test_examples_of_a_set_are_audited(planted: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "x.yaml").write_text(
        "task: SciFact\nexamples:\n- {query: 'nothing of the KIND', response: 'a response text here', origin: o}\n",
        encoding="utf-8",
    )

    code, output = run("--data-dir", str(planted), "--examples", str(own))

    assert code == 1
    assert "SciFact query 0: normalised (1.00)" in output


def test_examples_shared_with_aliases_come_once_and_own_ones_too(registry: Registry) -> None:
    names = [item.task for item in example_texts(registry)]
    own = registry.get("SciFact").examples[:2]

    assert "STS22" in names and "STS22.v2" not in names and "CQADupstackTexRetrieval" not in names
    assert {item.task for item in example_texts(registry, ["STS22.v2"])} == {"STS22.v2"}
    mixed = registry.with_examples({"STS22": own, "STS22.v2": own[:1]}, name="mixed")
    assert [item.task for item in example_texts(mixed)] == ["STS22"] * 4 + ["STS22.v2"] * 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n", ":1: a list of waivers is expected."),
        (
            "- {task: A, text_sha: '0123456789abcdef', evaluation_task: B, reason: r}\n",
            ":1: reviewed_by: Field required.",
        ),
        ("- {task: A, text_sha: 12, evaluation_task: B, reason: r, reviewed_by: x}\n", ":1: text_sha: "),
        (
            "- {task: A, text_sha: 'xyz', evaluation_task: B, reason: r, reviewed_by: x}\n",
            ":1: text_sha: 16 lower-case",
        ),
        (
            "- {task: A, text_sha: '0123456789abcdef', evaluation_task: B, reason: ' ', reviewed_by: x}\n",
            ":1: reason: text is empty.",
        ),
        (
            "- {task: A, text_sha: '0123456789abcdef', evaluation_task: B, reason: r, reviewed_by: x}\n" * 2,
            ":2: a second waiver for 'A' in 'B'.",
        ),
        ("- {task: A, extra: 1}\n", ":1: extra: "),
    ],
)
def test_bad_waiver_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_waivers(path)

    assert f"{path}{problem}" in str(caught.value)


def test_packaged_waivers_are_readable_and_name_tasks(registry: Registry) -> None:
    for waiver in load_waivers(packaged_waivers()):
        assert waiver.task in registry
        assert any(text_sha(item.text) == waiver.text_sha for item in example_texts(registry, [waiver.task]))


def test_short_texts_are_listed_apart_and_decide_nothing() -> None:
    result = audit(
        [ExampleText("T", "response", 0, "joy"), ExampleText("T", "query", 0, "so happy about this day")],
        [EvaluationText("E", "test", str(row), "Joy") for row in range(30)],
    )

    assert result.hits == [] and result.unwaived == []
    assert len(result.short) == 20
    assert result.more == {("T", "response", 0, "E", "test"): 10}
    assert "| T | response | joy | E | 20 |" in markdown(result)


def test_table_cells_cannot_break_the_report(tmp_path: Path) -> None:
    text = "a | b\n| c `d` <script> e f g h"
    result = audit([ExampleText("T", "query", 0, text)], [EvaluationText("E", "test", "0", text)])

    rows = [line for line in markdown(result).splitlines() if line.startswith("| T |")]

    assert len(rows) == 1 and "<script>" not in rows[0] and rows[0].count(" | ") == 10
    write_report(result, tmp_path)
    assert pq.read_table(tmp_path / "audit.parquet")["example_text"].to_pylist() == [text]


def test_memory_does_not_grow_with_the_evaluation(registry: Registry) -> None:
    rng = random.Random(5)
    vocabulary = [f"w{number}" for number in range(5000)]
    examples = example_texts(registry)

    def peak(count: int) -> int:
        stream = (
            EvaluationText("E", "test", str(row), " ".join(rng.choices(vocabulary, k=60))) for row in range(count)
        )
        tracemalloc.start()
        audit(examples, stream)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(4000) < 1.1 * peak(500) + 200_000


@pytest.mark.offline_data
def test_curated_examples_are_clean_over_all_offline_data(registry: Registry) -> None:
    if not OFFLINE.is_dir():
        pytest.skip(f"the shared MTEB data is missing: {OFFLINE}")

    result = audit(
        example_texts(registry),
        (text for file in find_evaluation_files(registry, OFFLINE) for text in read_texts(file)),
        waivers=load_waivers(packaged_waivers()),
    )

    assert sum(result.texts.values()) > 200_000
    assert [(hit.task, hit.kind, hit.evaluation_task, hit.row_id) for hit in result.unwaived] == []
