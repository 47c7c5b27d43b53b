"""Malformed registry files: the exact message and line of each, and all of a run together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.errors import ConfigError
from harness.registry import Registry
from harness.registry.load import scan_example_set, validate_file
from harness.registry.spec import ExampleFile, TaskSpec
from harness.registry.strict_yaml import MAX_FILE_BYTES, MAX_NODES, parse_yaml, read_yaml

GOOD = """\
task: Toy
type: STS
main_metric: cosine_spearman
instruction:
  text: Retrieve similar text.
  source: a test
examples:
  - query: How tall is the tower?
    response: What height does the tower have?
    origin: a test
"""
HINT_TOKEN = "Indent with blanks, not tabs; a text that begins with @, % or ` must stand in quotes."
KEYS = (
    "task, type, benchmarks, main_metric, splits, subsets, dataset, data, description, parts, aliases, instruction, "
    "other_instructions, labels, examples, examples_shared_by"
)
NAME_RULE = (
    "is not a usable name: at most 128 letters, digits, blanks and , . _ + ( ) / - are allowed, the first a letter or "
    "digit, and no '..' or empty part between slashes."
)
ANCHOR = "anchors and aliases (& and *) are not allowed: write the value out, or quote it."


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


# name -> (file content, what follows the file's path in the message)
MALFORMED: dict[str, tuple[str | bytes, str]] = {
    # bytes and encodings
    "byte order mark": (
        b"\xef\xbb\xbf" + GOOD.encode(),
        ":1: file begins with a byte order mark. Save it as UTF-8 without one.",
    ),
    "UTF-16": (GOOD.encode("utf-16"), ":1: file is UTF-16. Save it as UTF-8 without a byte order mark."),
    "UTF-16 big-endian": (
        b"\xfe\xff" + GOOD.encode("utf-16-be"),
        ":1: file is UTF-16. Save it as UTF-8 without a byte order mark.",
    ),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), ":1: file holds a NUL byte. Remove it."),
    "CRLF": (
        GOOD.replace("\n", "\r\n").encode(),
        ":1: file holds carriage returns. Save it with LF line ends.",
    ),
    "a lone carriage return": (
        changed("similar text.", "similar\r text."),
        ":5: file holds carriage returns. Save it with LF line ends.",
    ),
    "NUL": (changed("tower?", "tower\0?"), ":8: file holds a NUL byte. Remove it."),
    "Latin-1": (
        changed("tower?", "t\u00f6wer?").encode("latin-1"),
        ":8: not UTF-8 (byte 0xf6). Save the file as UTF-8.",
    ),
    "control character": (
        changed("tower?", "tower\x07?"),
        ":8: file holds the control character U+0007. Remove it.",
    ),
    "line separator": (
        changed("tower?", "tower\u2028?"),
        ":8: file holds the line break U+2028. Write \\u2028 in a double-quoted text.",
    ),
    "more than a megabyte": (
        GOOD + "# " + "x" * (1 << 20),
        ":1: file is larger than 1048576 bytes, which is the limit.",
    ),
    # YAML syntax and what is refused of it
    "empty file": ("", ":1: a mapping of keys is expected at the top level."),
    "list at the top": ("- a\n- b\n", ":1: a mapping of keys is expected at the top level."),
    "text at the top": ("task\n", ":1: a mapping of keys is expected at the top level."),
    "two documents": (
        GOOD + "---\n" + GOOD,
        ":11: malformed YAML: but found another document. A file holds one document; '---' begins another.",
    ),
    "duplicate key": (GOOD + "task: Toy2\n", ":11: key 'task' occurs twice."),
    "two duplicate keys": (
        GOOD + "task: Toy2\ntype: STS\n",
        ":11: key 'task' occurs twice.\n{path}:12: key 'type' occurs twice.",
    ),
    "duplicate key inside": (
        changed("  source: a test\n", "  source: a test\n  text: again\n"),
        ":7: key 'text' occurs twice.",
    ),
    "anchor": (changed("text: Retrieve", "text: &a Retrieve"), f":5: {ANCHOR}"),
    "alias node": (changed("origin: a test", "origin: *a"), f":10: {ANCHOR}"),
    "billion laughs": (
        'a: &a ["lol","lol","lol"]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n',
        f":1: {ANCHOR}\n{{path}}:2: {ANCHOR}\n{{path}}:3: {ANCHOR}\n{{path}}:4: {ANCHOR}",
    ),
    "tag": (
        changed("task: Toy", "task: !!python/object/apply:os.system [ls]"),
        ":1: tags (!) are not allowed: a text that begins with ! needs quotes.",
    ),
    "seventeen levels": ("task: " + "[" * 17 + "]" * 17, ":1: nested deeper than 16 levels."),
    "a hundred thousand levels": ("[" * 100_000, ":1: nested deeper than 16 levels."),
    "too many values": (
        "task:\n" + "- a\n" * (MAX_NODES + 1),
        f":{MAX_NODES - 2}: file has more than 20000 keys and values, which is the limit.",
    ),
    "tab as indent": (
        changed("  text: Ret", "\ttext: Ret"),
        f":5: malformed YAML: found character that cannot start any token. {HINT_TOKEN}",
    ),
    "text that begins with @": (
        changed("How tall is", "@user how tall is"),
        f":8: malformed YAML: found character that cannot start any token. {HINT_TOKEN}",
    ),
    "colon in a plain text": (
        changed("How tall", "Note: how tall"),
        ":8: malformed YAML: mapping values are not allowed in this context. A text with ': ' in it must stand in "
        "quotes; keys of one level begin alike.",
    ),
    "quotation mark inside quotes": (
        changed("How tall is the tower?", '"How "tall" is it?"'),
        ":8: malformed YAML: did not find expected key. Look for a wrong indent, or a quotation mark inside a quoted text.",
    ),
    "quotes that stay open": (
        changed("origin: a test", 'origin: "a test'),
        ":11: malformed YAML: found unexpected end of stream. A quoted text is not closed.",
    ),
    "backslash in double quotes": (
        changed("How tall is the tower?", '"a\\lpha?"'),
        ":8: malformed YAML: found unknown escape character. A backslash in a double-quoted text is written twice.",
    ),
    "key that is a list": (GOOD + "? [a, b]\n: c\n", ":11: a key must be plain text."),
    "a date that is none": (
        changed("What height does the tower have?", "2024-13-45"),
        ":9: '2024-13-45' cannot be read. Write it in quotes.",
    ),
    # keys
    "unknown key": (
        changed("examples:\n", "exampels:\n"),
        f":7: exampels: key is not known. Did you mean 'examples' or 'examples_shared_by'? Known keys: {KEYS}.",
    ),
    "unknown key of an example": (
        changed("    response:", "    pos:"),
        ":8: examples.0.response: key is missing.\n"
        "{path}:9: examples.0.pos: key is not known. Known keys: query, response, origin.",
    ),
    "unknown key of an alias": (
        GOOD + "aliases:\n  - {name: Toy2, split: [test]}\n",
        ":12: aliases.0.split: key is not known. Did you mean 'splits'? Known keys: name, benchmarks, main_metric, splits, "
        "subsets, dataset, other_instructions.",
    ),
    "unknown key of another instruction": (
        GOOD + "other_instructions:\n  mteb: {text: Find it., source: mteb, txt: a}\n",
        ":12: other_instructions.mteb.txt: key is not known. Did you mean 'text'? Known keys: text, source.",
    ),
    "missing key": (changed("main_metric: cosine_spearman\n", ""), ":1: main_metric: key is missing."),
    "missing source": (changed("  source: a test\n", ""), ":4: instruction.source: key is missing."),
    "missing origin": (changed("    origin: a test\n", ""), ":8: examples.0.origin: key is missing."),
    # kinds of values
    "number as response": (
        changed("What height does the tower have?", "5"),
        ":9: examples.0.response: a text is expected, but YAML reads 5 as a number: put it in quotes.",
    ),
    "yes as response": (
        changed("What height does the tower have?", "yes"),
        ":9: examples.0.response: a text is expected, but YAML reads True as a truth value (as it does yes, no, on, off): "
        "put it in quotes.",
    ),
    "date as response": (
        changed("What height does the tower have?", "2024-01-31"),
        ":9: examples.0.response: a text is expected, but YAML reads 2024-01-31 as a date: put it in quotes.",
    ),
    "nothing as response": (
        changed(" What height does the tower have?", ""),
        ":9: examples.0.response: a text is expected, and there is none.",
    ),
    "list as response": (
        changed("What height does the tower have?", "[a, b]"),
        ":9: examples.0.response: a text is expected, not a list.",
    ),
    "text as list": (
        GOOD + "benchmarks: mini\n",
        ":11: benchmarks: a list is expected, [a, b] or lines that begin with '- '.",
    ),
    "text as mapping": (
        GOOD.replace("instruction:\n  text: Retrieve similar text.\n  source: a test\n", "instruction: Retrieve.\n"),
        ":4: instruction: a mapping of keys is expected (key: value).",
    ),
    "empty list of splits": (GOOD + "splits: []\n", ":11: splits: list is empty."),
    "unknown task type": (
        changed("type: STS", "type: Retrival"),
        ":2: type: 'Retrival' is not one of Classification, Clustering, PairClassification, Reranking, Retrieval, STS, "
        "Summarization. Did you mean 'Retrieval'?",
    ),
    "text as truth value": (
        GOOD + "labels: {source: a test, verified: 'yes'}\n",
        ":11: labels.verified: input should be a valid boolean.",
    ),
    # texts of examples
    "empty query": (changed("How tall is the tower?", "''"), ":8: examples.0.query: text is empty."),
    "equal query and response": (
        changed("What height does the tower have?", "How tall is the tower?"),
        ":8: examples.0: query and response are equal, so the example shows nothing.",
    ),
    "equal but for blanks": (
        changed("What height does the tower have?", '" How tall is the tower?\\n"'),
        ":8: examples.0: query and response are equal, so the example shows nothing.",
    ),
    **{
        f"control token {token}": (
            changed("the tower?", f"'{token}' tower?").replace("query: How", "query: >-\n      How"),
            f":8: examples.0.query: text holds the control token {token}, which would break the prompt apart.",
        )
        for token in ("<instruct>", "<query>", "<response>", "</s>", "<s>", "<|endoftext|>")
    },
    "control token in the instruction": (
        changed("Retrieve similar text.", "Retrieve <query> text."),
        ":5: instruction.text: text holds the control token <query>, which would break the prompt apart.",
    ),
    "escape character": (
        changed("How tall is the tower?", '"How \\x1b[31m tall?"'),
        ":8: examples.0.query: text holds the control character U+001B.",
    ),
    "not NFC": (
        changed("How tall is the tower?", "cafe\u0301?"),
        ":8: examples.0.query: text is not in Unicode normal form C: letters and accents must be one character (NFC).",
    ),
    "16,385 characters": (
        changed("How tall is the tower?", "x" * 16_385),
        ":8: examples.0.query: text has 16385 characters; at most 16384 are allowed.",
    ),
    # names
    "name that leaves the folder": (changed("task: Toy", "task: ../Toy"), f":1: task: '../Toy' {NAME_RULE}"),
    "name that leaves in the middle": (changed("task: Toy", "task: a/../b"), f":1: task: 'a/../b' {NAME_RULE}"),
    "name with an empty part": (changed("task: Toy", "task: a//b"), f":1: task: 'a//b' {NAME_RULE}"),
    "name with a newline": (changed("task: Toy", 'task: "Toy\\n"'), f":1: task: 'Toy\\n' {NAME_RULE}"),
    "absolute name": (changed("task: Toy", "task: /etc/passwd"), f":1: task: '/etc/passwd' {NAME_RULE}"),
    "name with markup": (changed("task: Toy", "task: <b>Toy</b>"), f":1: task: '<b>Toy</b>' {NAME_RULE}"),
    "name of 129 characters": (changed("task: Toy", "task: " + "a" * 129), f":1: task: '{'a' * 129}' {NAME_RULE}"),
    "split that leaves the folder": (
        GOOD + "splits: [test, ../../secret]\n",
        ":11: splits.1: '../../secret' is not usable here: at most 64 letters, digits and . _ - are allowed.",
    ),
    # keys that contradict each other
    "instruction set default twice": (
        GOOD + "other_instructions:\n  default: {text: Find it., source: a test}\n",
        ":1: other_instructions must not hold 'default': that is the key `instruction`.",
    ),
    "hub data and a folder": (
        GOOD + "dataset: {path: a/b, revision: abc}\ndata: ./data\n",
        ":1: dataset and data exclude each other: a hub data set, or a folder of files.",
    ),
}


@pytest.fixture(autouse=True)
def _nothing_shipped(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path_factory.mktemp("task_examples")
    monkeypatch.setattr(paths, "task_examples_dir", lambda: empty)


def load(folder: Path) -> Registry:
    return Registry.load([folder])


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_the_good_file_is_good(tmp_path: Path) -> None:
    spec, located = validate_file(write(tmp_path / "toy.yaml", GOOD), TaskSpec)

    assert spec.task == "Toy"
    assert spec.splits == ["test"]
    assert located.line(("examples", 0, "response")) == 9


def test_there_are_enough_malformed_files() -> None:
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_told_word_for_word(name: str, tmp_path: Path) -> None:
    content, expected = MALFORMED[name]
    path = write(tmp_path / "toy.yaml", content)

    with pytest.raises(ConfigError) as caught:
        load(tmp_path)

    assert str(caught.value) == f"{path}{expected.replace('{path}', str(path))}"
    assert caught.value.exit_code == 2


def test_all_malformed_files_of_a_run_are_told_together(tmp_path: Path) -> None:
    for number, (content, _) in enumerate(MALFORMED.values()):
        write(tmp_path / f"{number:03}.yaml", content)

    with pytest.raises(ConfigError) as caught:
        load(tmp_path)

    named = {line.split(".yaml")[0].rsplit("/", 1)[-1] for line in str(caught.value).splitlines()}
    assert named == {f"{number:03}" for number in range(len(MALFORMED))}


def test_bad_form_taken_names_and_a_bad_example_set_are_told_together(tmp_path: Path) -> None:
    write(tmp_path / "tasks" / "a.yaml", GOOD)
    write(tmp_path / "tasks" / "b.yaml", GOOD)
    write(tmp_path / "tasks" / "c.yaml", "task: [\n")
    write(tmp_path / "set" / "d.yaml", "task: Toy\nexamples: []\n")

    with pytest.raises(ConfigError) as caught:
        Registry.load([tmp_path / "tasks"], examples=str(tmp_path / "set"))

    assert [line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()] == [
        "tasks/c.yaml:2",
        "tasks/b.yaml:1",
        "set/d.yaml:2",
    ]


def test_every_problem_of_one_file_is_told(tmp_path: Path) -> None:
    bad = changed("type: STS", "type: Sts").replace("How tall is the tower?", "''").replace("origin", "orign")
    path = write(tmp_path / "toy.yaml", bad)

    with pytest.raises(ConfigError) as caught:
        load(tmp_path)

    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["2", "type"],
        ["8", "examples.0.query"],
        ["8", "examples.0.origin"],
        ["10", "examples.0.orign"],
    ]


@pytest.mark.parametrize("character", ["\\ud800", "\\udfff"])
def test_lone_surrogate_is_refused(character: str, tmp_path: Path) -> None:
    path = write(tmp_path / "toy.yaml", changed("How tall is the tower?", f'"{character}"'))

    with pytest.raises(ConfigError, match=f"^{path}:8: malformed YAML: found invalid Unicode character escape code"):
        load(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere")

    assert str(caught.value) == f"{tmp_path}/nowhere: no such folder; one with task files (*.yaml) is expected."


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "nothing.yaml")

    assert str(caught.value) == f"{tmp_path}/nothing.yaml: cannot be read: No such file or directory."


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "toy.yaml", GOOD + "#" * (MAX_FILE_BYTES - len(GOOD)))

    assert validate_file(path, TaskSpec)[0].task == "Toy"


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 'it''s {braces} & * ! | >'", {"a": "it's {braces} & * ! | >"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("a: >-\n  folded\n  line\n", {"a": "folded line"}),
        ("1: [x, 2, 3.5, true, null]", {"1": ["x", 2, 3.5, True, None]}),
        ("a: \U0001f600 \u4f60\u597d", {"a": "\U0001f600 \u4f60\u597d"}),
        ("<<: {a: b}", {"<<": {"a": "b"}}),
        ("", None),
    ],
)
def test_plain_yaml_is_read_as_it_stands(text: str, data: Any) -> None:
    assert parse_yaml(text, "f").data == data


# Problems between files


def two(tmp_path: Path, first: str, second: str) -> str:
    write(tmp_path / "a.yaml", first)
    write(tmp_path / "b.yaml", second)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    return str(caught.value).replace(str(tmp_path), "")


def test_two_files_for_one_task(tmp_path: Path) -> None:
    message = two(tmp_path, GOOD, "# again\n" + GOOD)

    assert message == "/b.yaml:2: a second file for task 'Toy'; the first is /a.yaml:1. Keep one of them."


def test_alias_to_a_taken_name(tmp_path: Path) -> None:
    message = two(tmp_path, GOOD, changed("task: Toy", "task: Other") + "aliases:\n  - name: Toy\n")

    assert message == "/b.yaml:12: alias 'Toy' is already the name of the task at /a.yaml:1."


def test_alias_cycle(tmp_path: Path) -> None:
    message = two(
        tmp_path,
        GOOD + "aliases:\n  - name: Other\n",
        changed("task: Toy", "task: Other") + "aliases:\n  - name: Toy\n",
    )

    assert message.splitlines() == [
        "/b.yaml:1: task 'Other' is already the name of the alias at /a.yaml:12.",
        "/b.yaml:12: alias 'Toy' is already the name of the task at /a.yaml:1.",
    ]


def test_alias_of_itself(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", GOOD + "aliases:\n  - name: Toy\n")

    with pytest.raises(ConfigError, match=r"a\.yaml:12: alias 'Toy' is already the name of the task at .*a\.yaml:1\."):
        load(tmp_path)


def test_part_with_the_name_of_an_alias(tmp_path: Path) -> None:
    message = two(
        tmp_path,
        GOOD + "aliases:\n  - name: Shared\n",
        changed("task: Toy", "task: Other") + "parts:\n  - {name: Half}\n  - {name: Shared}\n",
    )

    assert message == "/b.yaml:13: part 'Shared' is already the name of the alias at /a.yaml:12."


# Files of an example set

SET_FILE = """\
task: Toy
examples:
  - {query: Is it far?, response: Is it a long way?, origin: a test}
provenance: {seed: 7, rows: [1, 2]}
"""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (SET_FILE.replace("examples:", "shots:"), ["1: examples: key is missing.", "2: shots: key is not known."]),
        ("task: Toy\nexamples: []\n", ["2: examples: list is empty."]),
        (SET_FILE.replace("Is it far?", "<s>"), ["3: examples.0.query: text holds the control token <s>,"]),
        (SET_FILE.replace("task: Toy", "task: ..."), ["1: task: '...' is not a usable name"]),
        (
            SET_FILE.replace("[1, 2]", "{a: b}"),
            ["4: provenance.rows: the value is of a kind that is not allowed here."],
        ),
        (
            "nothing: here\n",
            ["1: task: key is missing.", "1: examples: key is missing.", "1: nothing: key is not known."],
        ),
    ],
)
def test_malformed_file_of_an_example_set(content: str, expected: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "toy.yaml", content)

    _, problems = scan_example_set(tmp_path)

    assert len(problems) == len(expected)
    for problem, beginning in zip(problems, expected, strict=True):
        assert str(problem).startswith(f"{path}:{beginning}")


def test_two_files_of_a_set_for_one_task(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", SET_FILE)
    write(tmp_path / "sub" / "b.yml", SET_FILE)

    files, problems = scan_example_set(tmp_path)

    assert [file.path.name for file in files] == ["a.yaml"]
    assert [str(problem) for problem in problems] == [
        f"{tmp_path}/sub/b.yml:1: a second file for task 'Toy'; the first is {tmp_path}/a.yaml. Keep one of them."
    ]


def test_example_set_without_files(tmp_path: Path) -> None:
    _, problems = scan_example_set(tmp_path)

    assert [str(problem) for problem in problems] == [
        f"{tmp_path}: holds no example file (*.yaml with `task` and `examples`)."
    ]


def test_example_file_keeps_its_provenance(tmp_path: Path) -> None:
    content, _ = validate_file(write(tmp_path / "a.yaml", SET_FILE), ExampleFile)

    assert content.provenance == {"seed": 7, "rows": [1, 2]}
