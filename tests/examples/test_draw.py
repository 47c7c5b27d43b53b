"""`examples draw`: balanced, short enough, not leaking, and decided by the seed alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.audit.normalise import compact, words
from harness.cli.examples import examples_group
from harness.errors import FewShotError, HarnessError
from harness.examples.draw import MAX_TOKENS, Candidate, approximate_tokens, draw
from harness.registry import Registry
from harness.runners.tasks import folder_fingerprint

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ROOT.parent / "shared" / "mteb_offline"
BANKING = "Banking77Classification"
offline_data = pytest.mark.offline_data


def nothing() -> Iterable[str]:
    return ()


def labelled(counts: dict[str, int]) -> list[Candidate]:
    found: list[Candidate] = []
    for label, count in counts.items():
        for number in range(count):
            query = f"the {label} text number {number} of the made up data"
            found.append(Candidate(str(len(found)), query, label, label, response_is_label=True))
    return found


def pair(row: str, query: str, response: str) -> Candidate:
    return Candidate(row, query, response, "", response_is_label=False)


# --- the draw ---------------------------------------------------------------------------------------------------------


def test_seed_decides() -> None:
    rows = labelled(dict.fromkeys("abcdef", 20))

    first = draw(rows, nothing, k=4, seed=1, origin="o")

    assert first == draw(rows, nothing, k=4, seed=1, origin="o")
    assert len({tuple(draw(rows, nothing, k=4, seed=seed, origin="o").row_ids) for seed in range(20)}) == 20
    assert [example.origin for example in first.examples] == [f"o {row_id}" for row_id in first.row_ids]


@pytest.mark.parametrize("k", range(1, 9))
def test_labels_take_turns(k: int) -> None:
    rows = labelled({"rare": 2, "common": 300, "middle": 30})

    drawn = draw(rows, nothing, k=k, seed=3, origin="o")

    counts = [sum(example.response == label for example in drawn.examples) for label in ("rare", "common", "middle")]
    assert len({example.response for example in drawn.examples[:3]}) == min(k, 3)
    assert max(counts) - min(counts) <= 1 or counts[0] == 2


def test_label_whose_first_rows_leak_is_still_drawn() -> None:
    rows = labelled({"a": 30, "b": 30})
    leaking = [row.query for row in rows if row.label == "a"][:29]

    for seed in range(10):
        drawn = draw(rows, lambda: leaking, k=2, seed=seed, origin="o")
        assert {example.response for example in drawn.examples} == {"a", "b"}
        assert "29" in drawn.row_ids


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.upper().replace(" ", "  ") + "!",
        lambda text: f"{text} today",
        lambda text: f"In a long evaluation text stands {text} and then it goes on for quite some time, does it not?",
    ],
    ids=["exact", "normalised", "near duplicate", "containment"],
)
@pytest.mark.parametrize("side", ["query", "response"])
def test_row_found_in_the_evaluation_is_passed_over(change: Callable[[str], str], side: str) -> None:
    rows = [
        pair(
            str(n),
            f"question {n} about the colour of {n} ducks on the pond",
            f"answer {n}: they are {n} times green and blue",
        )
        for n in range(6)
    ]
    kept = 4
    texts = [change(getattr(row, side)) for row in rows if row.row_id != str(kept)]

    drawn = draw(rows, lambda: texts, k=1, seed=1, origin="o")

    assert drawn.row_ids == [str(kept)]
    assert drawn.leaking in (4, 5)  # no more rows are compared than needed
    with pytest.raises(FewShotError, match=r"only 1 of 6 rows are fit .* 5 found in the evaluation"):
        draw(rows, lambda: texts, k=2, seed=1, origin="o")


def test_label_in_the_evaluation_is_no_leak() -> None:
    assert draw(labelled({"joy": 3}), lambda: ["joy", "Joy!"], k=1, seed=1, origin="o").leaking == 0


def test_long_texts_are_passed_over_not_cut() -> None:
    rows = [
        pair("long", "word " * 400, "short"),
        pair("long2", "short", "日" * 200),
        pair("good", "a query here", "its answer"),
    ]

    drawn = draw(rows, nothing, k=1, seed=1, origin="o")

    assert (drawn.row_ids, drawn.too_long) == (["good"], 2)


def test_unusable_and_repeated_rows_are_passed_over() -> None:
    rows = [
        pair("equal", "the same text", "the same text"),
        pair("empty", "a text", " "),
        pair("marker", "a <query> b", "c"),
        pair("one", "Is it going to rain?", "Will it rain?"),
        pair("again", "is it going to RAIN", "rain or no rain?"),
    ]

    drawn = draw(rows, nothing, k=1, seed=1, origin="o")

    assert drawn.row_ids[0] in ("one", "again")
    with pytest.raises(FewShotError, match="only 1 of 5 rows are fit"):
        draw(rows, nothing, k=2, seed=1, origin="o")


def test_no_rows_at_all_is_an_error() -> None:
    with pytest.raises(FewShotError, match="only 0 of 0 rows are fit"):
        draw([], nothing, k=1, seed=1, origin="o")


@pytest.mark.reference
def test_estimate_errs_on_the_high_side() -> None:
    mistral = pytest.importorskip("mistral_common")
    sentencepiece = pytest.importorskip("sentencepiece")
    model = next(Path(mistral.__file__).parent.rglob("tokenizer.model.v1"))
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(model))
    registry = Registry.load()

    for task in registry:
        for example in task.examples:
            for text in (example.query, example.response):
                if len(text) > 100:
                    floor = 0.75 if task.name.endswith("/id") else 0.98  # Indonesian words are cut small
                    assert approximate_tokens(text) >= floor * len(tokenizer.encode(text)), (task.name, text)


# --- the verb ---------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    try:
        with CliRunner().isolation() as streams:
            examples_group.main(["draw", *arguments], standalone_mode=False)
            return 0, streams[0].getvalue().decode()
    except HarnessError as error:
        return error.exit_code, str(error)


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def own_task(folder: Path, task_type: str, metric: str) -> Path:
    """Write a registry folder with one task over local data and return it."""
    registry_dir = folder / "registry"
    registry_dir.mkdir(exist_ok=True)
    (registry_dir / "Own.yaml").write_text(
        f"task: OwnTask\ntype: {task_type}\nmain_metric: {metric}\ndata: ../data\n"
        "instruction: {text: 'Do it.', source: test}\n",
        encoding="utf-8",
    )
    return registry_dir


def test_packaged_task_is_drawn_reproducibly(tmp_path: Path) -> None:
    arguments = ("--task", "MiniIntentClassification", "--k", "5", "--seed", "7", "--output-dir")

    for name in ("one", "two"):
        code, output = run(*arguments, str(tmp_path / name))
        assert code == 0, output

    one, two = (tmp_path / name / "MiniIntentClassification.yaml" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    registry = Registry.load(examples=str(tmp_path / "one"))
    assert len({example.response for example in registry.get("MiniIntentClassification").examples}) == 5


def test_several_tasks_share_a_set(tmp_path: Path) -> None:
    for task in ("MiniIntentClassification", "MiniReviewAspectClassification"):
        assert run("--task", task, "--k", "2", "-o", str(tmp_path))[0] == 0

    assert len(list(tmp_path.glob("*.yaml"))) == 2


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        (
            "MiniSTS",
            (),
            "task 'MiniSTS' has no split train or dev or validation to draw examples from (evaluated: test).",
        ),
        ("MiniRetrieval", (), "task 'MiniRetrieval' has no split 'train' of its own"),
        ("MiniSummarization", (), "task 'MiniSummarization' (Summarization) has no train split"),
        ("MiniTopicClustering", (), "Name a split that is not evaluated with --split."),
        ("MiniIntentClassification", ("--split", "test"), "is evaluated on --split test"),
        ("MiniTopicClustering", ("--split", "test"), "is evaluated on --split test"),
        ("MiniIntentClassification", ("--split", "dev"), "has no split dev"),
        ("CQADupstackRetrieval", (), "is made of 12 parts. Draw from one of them: CQADupstackAndroidRetrieval"),
        ("STS99", (), "is not in the registry"),
    ],
)
def test_task_without_such_rows_is_refused_in_one_line(
    tmp_path: Path, task: str, arguments: tuple[str, ...], message: str
) -> None:
    code, text = run("--task", task, "--k", "2", "-o", str(tmp_path), *arguments)

    assert code == 2
    assert message in text and "\n" not in text
    assert list(tmp_path.iterdir()) == []


def test_own_sts_task_gives_pairs_of_high_score(tmp_path: Path) -> None:
    rows = [
        {"sentence1": f"{n} red boats lie on the lake", "sentence2": f"On the lake there are {n} boats", "score": n % 6}
        for n in range(30)
    ]
    jsonl(tmp_path / "data" / "train.jsonl", rows)
    jsonl(tmp_path / "data" / "test.jsonl", [{"sentence1": "a cat", "sentence2": "a dog", "score": 1.0}])

    code, output = run(
        "--task",
        "OwnTask",
        "--k",
        "4",
        "--registry-dir",
        str(own_task(tmp_path, "STS", "cosine_spearman")),
        "-o",
        str(tmp_path / "o"),
    )

    assert code == 0, output
    text = (tmp_path / "o" / "OwnTask.yaml").read_text(encoding="utf-8")
    assert "from 10 rows of train" in output
    assert text.count("- query:") == 4


def test_own_pair_task_gives_positive_pairs(tmp_path: Path) -> None:
    rows = [{"sentence1": f"left {n} text", "sentence2": f"right {n} text", "label": n % 2} for n in range(20)]
    jsonl(tmp_path / "data" / "validation.jsonl", rows)
    jsonl(tmp_path / "data" / "test.jsonl", rows[:1])

    code, output = run(
        "--task",
        "OwnTask",
        "--k",
        "3",
        "--registry-dir",
        str(own_task(tmp_path, "PairClassification", "max_ap")),
        "-o",
        str(tmp_path),
    )

    assert code == 0, output
    assert "from 10 rows of validation" in output


def test_own_clustering_task_needs_its_split_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        jsonl(
            tmp_path / "data" / f"{split}.jsonl",
            [{"text": f"{split} title {n} on a topic", "label": f"topic-{n % 3}"} for n in range(12)],
        )
    registry_dir = own_task(tmp_path, "Clustering", "v_measure")

    refused = run("--task", "OwnTask", "--k", "3", "--registry-dir", str(registry_dir), "-o", str(tmp_path / "o"))
    code, output = run(
        "--task",
        "OwnTask",
        "--k",
        "3",
        "--split",
        "train",
        "--registry-dir",
        str(registry_dir),
        "-o",
        str(tmp_path / "o"),
    )

    assert refused[0] == 2
    assert code == 0, output
    text = (tmp_path / "o" / "OwnTask.yaml").read_text(encoding="utf-8")
    assert "test title" not in text
    assert all(f'response: "topic-{n}"' in text for n in range(3))


# --- real data --------------------------------------------------------------------------------------------------------


def retrieval_folder(folder: Path, *, train: bool) -> Path:
    """Write a small data set in the hub's layout for SciFact, with queries and passages that train and test share."""
    folder = folder / "SciFact"
    passages = [
        {"_id": f"d{n}", "title": f"Study {n}", "text": f"compound {n} slows growth of culture {n}"} for n in range(40)
    ]
    queries = [{"_id": f"q{n}", "text": f"does compound {n} slow growth"} for n in range(40)]
    jsonl(folder / "corpus.jsonl", passages)
    jsonl(folder / "queries.jsonl", queries)
    splits = {"test": range(0, 15), "train": range(10, 40)} if train else {"test": range(0, 15)}
    config = "configs:\n- config_name: corpus\n  data_files:\n  - {split: corpus, path: corpus.jsonl}\n"
    config += "- config_name: queries\n  data_files:\n  - {split: queries, path: queries.jsonl}\n"
    config += "- config_name: default\n  data_files:\n"
    for split, numbers in splits.items():
        # Query 20 of train has a passage that a test query is answered by.
        judged = [{"query-id": f"q{n}", "corpus-id": "d3" if n == 20 else f"d{n}", "score": 1} for n in numbers]
        jsonl(folder / f"{split}.jsonl", judged)
        config += f"  - {{split: {split}, path: {split}.jsonl}}\n"
    (folder / "README.md").write_text(f"---\n{config}---\n", encoding="utf-8")
    return folder.parent


def test_retrieval_gives_train_queries_with_a_passage_that_test_does_not_judge(tmp_path: Path) -> None:
    data = retrieval_folder(tmp_path / "data", train=True)
    seen: set[str] = set()
    for seed in range(4):
        code, output = run(
            "--task",
            "SciFact",
            "--k",
            "6",
            "--seed",
            str(seed),
            "--data-dir",
            str(data),
            "-o",
            str(tmp_path / str(seed)),
        )
        assert code == 0, output
        assert "from 24 rows of train" in output  # 30, less 5 that are test queries too, less one shared passage
        examples = Registry.load(examples=str(tmp_path / str(seed))).get("SciFact").examples
        for example in examples:
            number = example.query.split()[2]
            seen.add(number)
            assert example.response == f"Study {number} compound {number} slows growth of culture {number}"
    assert seen.isdisjoint(str(n) for n in (*range(15), 20))


def test_single_split_served_under_any_name_is_noticed(tmp_path: Path) -> None:
    data = retrieval_folder(tmp_path / "data", train=False)

    code, message = run("--task", "SciFact", "--k", "2", "--data-dir", str(data), "-o", str(tmp_path / "o"))

    assert code == 2
    assert message == "task 'SciFact' has no split 'train' of its own: all its queries are those of the evaluation."


def need_offline_data() -> None:
    if not OFFLINE.is_dir():
        pytest.skip(f"the shared MTEB data is missing: {OFFLINE}")


@offline_data
def test_banking77_is_reproduced_bit_for_bit_in_other_processes(tmp_path: Path) -> None:
    need_offline_data()
    script = (
        "import sys; from harness.cli.examples import examples_group as g; g.main(sys.argv[1:], standalone_mode=False)"
    )
    contents = set()
    for number in range(2):
        out = tmp_path / str(number)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(number + 1), "HARNESS_CACHE": str(tmp_path / f"cache{number}")
        }  # fmt: skip
        arguments = ["draw", "--task", BANKING, "--k", "8", "--seed", "42", "--data-dir", str(OFFLINE), "-o", str(out)]
        subprocess.run(
            [sys.executable, "-c", script, *arguments], check=True, env=environment, capture_output=True, cwd=tmp_path
        )
        contents.add((out / f"{BANKING}.yaml").read_bytes())

    assert len(contents) == 1
    (content,) = contents
    assert folder_fingerprint(OFFLINE / BANKING).encode() in content
    assert b"/work" not in content and str(tmp_path).encode() not in content


@offline_data
@pytest.mark.parametrize("seed", range(5))
def test_banking77_never_touches_the_test_split(tmp_path: Path, seed: int) -> None:
    need_offline_data()
    import pyarrow.parquet as pq

    train = pq.read_table(OFFLINE / BANKING / "train.parquet").to_pydict()
    test = {compact(words(text)) for text in pq.read_table(OFFLINE / BANKING / "test.parquet")["text"].to_pylist()}

    code, output = run(
        "--task", BANKING, "--k", "20", "--seed", str(seed), "--data-dir", str(OFFLINE), "-o", str(tmp_path)
    )

    assert code == 0, output
    examples = Registry.load(examples=str(tmp_path)).get(BANKING).examples
    assert len({example.response for example in examples}) == 20
    for example in examples:
        row = int(example.origin.rsplit(" ", 1)[1])
        assert (train["text"][row], train["label_text"][row]) == (example.query, example.response)
        assert compact(words(example.query)) not in test
        assert approximate_tokens(example.query) <= MAX_TOKENS


@offline_data
@pytest.mark.parametrize(
    ("task", "count"), [("EmotionClassification", 6), ("STSBenchmark", 4), ("AmazonCounterfactualClassification", 4)]
)
def test_other_real_tasks_are_drawn(tmp_path: Path, task: str, count: int) -> None:
    need_offline_data()

    code, output = run("--task", task, "--k", str(count), "--data-dir", str(OFFLINE), "-o", str(tmp_path))

    assert code == 0, output
    assert len(Registry.load(examples=str(tmp_path)).get(task).examples) == count


@offline_data
@pytest.mark.parametrize("task", ["STS12", "TwitterURLCorpus", "SciFact"])
def test_real_task_with_a_test_split_only_is_refused(tmp_path: Path, task: str) -> None:
    need_offline_data()

    code, message = run("--task", task, "--k", "2", "--data-dir", str(OFFLINE), "-o", str(tmp_path))

    assert code == 2
    assert "has no split" in message
