"""`export air-bench --check` finds what AIR-Bench's board refuses or mis-scores, and the board's own code agrees."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.export.air_bench.check import Check, check_zip
from harness.export.air_bench.ids import Ids
from harness.export.air_bench.rules import RULES, Finding, Verdict, exit_code
from harness.registry.air_bench import MINI_VERSION, AirBenchSet
from tests.export.air_bench.board import board
from tests.export.air_bench.made import GEMINI, IDS, LAW, MODEL, QRELS, VERSION, contents, rewrite, submission

Edit = Callable[[dict[str, Any]], None]


def made_ids(_air_set: AirBenchSet) -> Ids:
    return IDS


def check(path: Path, **settings: Any) -> Check:
    return check_zip(path, ids=made_ids, **settings)


def faults(found: Check) -> dict[str, list[Finding]]:
    """The findings by code; both made sets are few among the board's, which is no fault here."""
    codes: dict[str, list[Finding]] = {}
    for finding in found.findings:
        if finding.code != "missing-set":
            codes.setdefault(finding.code, []).append(finding)
    return codes


def test_a_good_submission_has_no_fault(tmp_path: Path) -> None:
    found = check(submission(tmp_path))

    assert faults(found) == {}
    assert found.version == VERSION and found.models == [MODEL]
    assert found.against_ids == found.sets and len(found.sets) == 2


def test_missing_sets_are_named_and_the_exit_code_is_3(tmp_path: Path) -> None:
    found = check(submission(tmp_path))

    assert [finding.what for finding in found.findings] == [
        "10 of the 11 sets of long-doc are missing: arxiv/en_gpt3, arxiv/en_llm-survey, "
        "book/en_origin-of-species_darwin, healthcare/en_pubmed_100K-200K_1 and 6 more",
        "52 of the 53 sets of qa are missing: arxiv/en_default, finance/ar_default, finance/en_default, "
        "finance/fr_default and 48 more",
    ]
    assert exit_code(found.findings) == 3


def law(edit: Edit) -> Edit:
    def apply(members: dict[str, Any]) -> None:
        edit(members[LAW])

    return apply


def hits(edit: Edit) -> Edit:
    def apply(members: dict[str, Any]) -> None:
        edit(members[LAW]["search_results"])

    return apply


def rename(old: str, new: str) -> Edit:
    def apply(members: dict[str, Any]) -> None:
        members[new] = members.pop(old)

    return apply


def text(change: Callable[[str], str | bytes]) -> Edit:
    def apply(members: dict[str, Any]) -> None:
        members[LAW] = change(json.dumps(members[LAW]))

    return apply


GONE = object()
"""The board scores, but not the changed set."""
LOWER, HIGHER, SAME = "lower", "higher", "same"

# code -> (name of the case, change, what air-benchmark's own code does with it)
CASES: list[tuple[str, str, Edit, object]] = [
    ("file-in-task-folder", "macOS leaves a file", lambda m: m.update({"qa/.DS_Store": "x"}), "skipped: NotADirectoryError"),
    ("file-in-task-folder", "no domain folder", rename(LAW, "qa/en_default_test.json"), "skipped: NotADirectoryError"),
    ("not-scored", "a folder too much", rename(LAW, f"{MODEL}/NoReranker/{LAW}"), GONE),
    ("stray-file", "a text beside the folders", lambda m: m.update({"README.txt": "x"}), SAME),
    ("file-name", "another file name", rename(LAW, "qa/law/law.json"), SAME),
    ("wrong-folder", "another domain's folder", rename(LAW, "qa/web/en_default_test.json"), "skipped: AssertionError"),
    ("wrong-folder", "another task type's folder", rename(LAW, "long-doc/law/x_test.json"), "skipped: AssertionError"),
    ("wrong-version", "mixed versions", law(lambda f: f.update(benchmark_version="AIR-Bench_24.04")), "skipped: AssertionError"),
    ("unknown-version", "unknown version", law(lambda f: f.update(benchmark_version="24.05")), "skipped: AssertionError"),
    ("unknown-version", "version is a list", law(lambda f: f.update(benchmark_version=[])), "skipped: AssertionError"),
    ("missing-field", "no version", law(lambda f: f.pop("benchmark_version")), "skipped: KeyError"),
    ("missing-field", "no data set", law(lambda f: f.pop("dataset_name")), "skipped: KeyError"),
    ("missing-field", "no rankings", law(lambda f: f.pop("search_results")), "skipped: KeyError"),
    ("no-split", "no split", law(lambda f: f.pop("split")), SAME),
    ("no-name", "no model name", law(lambda f: f.pop("model_name")), SAME),
    ("wrong-split", "a dev file", law(lambda f: f.update(split="dev")), GONE),
    ("unknown-set", "unknown data set", law(lambda f: f.update(dataset_name="defualt")), "crashed: ValueError"),
    ("unknown-set", "unknown language", law(lambda f: f.update(language="nl")), "crashed: ValueError"),
    ("no-test-split", "msmarco is dev only",
     lambda m: m.update({"qa/msmarco/en_default_test.json": {**m[LAW], "domain": "msmarco"}}), "crashed: ValueError"),
    ("not-json", "truncated", text(lambda t: t[: len(t) // 2]), "crashed: JSONDecodeError"),
    ("not-json", "not UTF-8", text(lambda t: t.replace("doc-1", "doc-é").encode("latin-1")), "crashed: UnicodeDecodeError"),
    ("not-json", "byte order mark", text(lambda t: b"\xef\xbb\xbf" + t.encode()), "crashed: JSONDecodeError"),
    ("not-an-object", "a list", text(lambda t: "[1]"), "crashed: TypeError"),
    ("no-rankings", "no query", law(lambda f: f.update(search_results={})), "crashed: ZeroDivisionError"),
    ("not-rankings", "a list of rankings", law(lambda f: f.update(search_results=[["q-0", "doc-1"]])), "crashed: TypeError"),
    ("not-rankings", "a list of documents", hits(lambda r: r.update({"q-0": ["doc-0"]})), "crashed: TypeError"),
    ("not-a-number", "a score as text", hits(lambda r: r["q-0"].update({"doc-0": "0.9"})), "crashed: TypeError"),
    ("not-a-number", "a score of null", hits(lambda r: r["q-0"].update({"doc-0": None})), "crashed: TypeError"),
    ("not-a-number", "an integer without float", hits(lambda r: r["q-0"].update({"doc-0": 10**400})), "crashed: SystemError"),
    ("not-finite", "NaN", hits(lambda r: r["q-0"].update({"doc-29": float("nan")})), LOWER),
    ("not-finite", "infinity", hits(lambda r: r["q-0"].update({"doc-29": float("inf")})), LOWER),
    ("not-finite", "a number above the range", text(lambda t: t.replace('"doc-29": ', '"doc-29": 1e999, "x": ', 1)), LOWER),
    ("not-float", "an integer", hits(lambda r: r["q-0"].update({"doc-0": 1})), SAME),
    ("duplicate-key", "a document twice",
     text(lambda t: t.replace('"doc-0": 1.0, ', '"doc-0": 1.0, "doc-0": -1.0, ', 1)), LOWER),
    ("duplicate-key", "a query twice", text(lambda t: t[:-2] + ', "q-0": {"doc-29": 1.0}}}'), LOWER),
    ("duplicate-key", "the split twice", text(lambda t: t.replace('{"model', '{"split": "dev", "model', 1)), SAME),
    ("too-many-hits", "1001 hits", hits(lambda r: r["q-0"].update({f"x-{n}": -1.0 - n for n in range(980)})), SAME),
    ("no-hits", "a query without hits", hits(lambda r: r.update({"q-0": {}})), LOWER),
    ("unknown-query", "a stray query", hits(lambda r: r.update({"q-99": {"doc-0": 1.0}})), "skipped: KeyError"),
    ("unknown-query", "a dev query", hits(lambda r: r.update({"q-10": {"doc-0": 1.0}})), "skipped: KeyError"),
    ("missing-query", "the hardest query left away", hits(lambda r: r.pop("q-3")), HIGHER),
    ("unknown-document", "unknown documents", hits(lambda r: r["q-0"].update({"zz-1": 2.0, "zz-2": 3.0})), LOWER),
    ("repeated-set", "a set under two names", lambda m: m.update({"qa/law/en_default.json": m[LAW]}), SAME),
    ("model-name", "two models", law(lambda f: f.update(model_name="other")), SAME),
]  # fmt: skip


@pytest.mark.parametrize(("code", "name", "edit", "expected"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_fault_is_found_and_the_board_does_what_the_finding_says(
    tmp_path: Path, code: str, name: str, edit: Edit, expected: object
) -> None:
    path = submission(tmp_path)
    good = board(path, tmp_path / "good", VERSION, QRELS)
    assert isinstance(good, dict)
    members = contents(path)
    edit(members)
    rewrite(path, members)

    found = faults(check(path, version=VERSION))
    does = board(path, tmp_path / "bad", VERSION, QRELS)

    assert code in found, found
    (finding, *_) = found[code]
    assert "\n" not in finding.line and finding.line.startswith(RULES[code].verdict)
    if isinstance(expected, str) and expected.startswith(("skipped", "crashed")):
        assert does == expected
        assert RULES[code].verdict is Verdict.REFUSED and exit_code(check(path).findings) == 5
        return
    assert isinstance(does, dict), does
    assert RULES[code].verdict is not Verdict.REFUSED
    if expected is GONE:
        assert "law" not in does.get("qa", {}) and RULES[code].verdict is Verdict.MISSING
        return
    before, after = (scores["qa"]["law"]["en"]["default"]["ndcg_at_10"] for scores in (good, does))
    assert {LOWER: after < before, HIGHER: after > before, SAME: after == before}[str(expected)], (before, after)
    assert len(found) == 1 or code in ("duplicate-key", "too-many-hits", "not-finite", "repeated-set"), found


def test_every_case_has_only_rules_that_exist_and_every_rule_a_case() -> None:
    tested_below = {
        "not-a-zip", "encrypted", "damaged-member", "unsafe-path", "symlink", "bomb", "duplicate-member",
        "nothing-to-score", "missing-set",
    }  # fmt: skip
    assert {case[0] for case in CASES} | tested_below == set(RULES)


@pytest.mark.parametrize(
    "name", ["../qa/law/x.json", "/qa/law/x.json", "qa\\law\\x.json", "C:/qa/x.json", "qa/../../x"]
)
def test_paths_that_lead_out_of_the_folder_are_refused_and_nothing_is_read(tmp_path: Path, name: str) -> None:
    path = submission(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "{")

    found = check(path)

    assert set(faults(found)) == {"unsafe-path"} and found.sets == []
    assert exit_code(found.findings) == 5


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = submission(tmp_path)
    info = zipfile.ZipInfo("qa/web/en_default_test.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")

    assert set(faults(check(path))) == {"symlink"}


def test_bombs_are_refused_without_unpacking(tmp_path: Path) -> None:
    path = submission(tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("qa/web/en_default_test.json", b" " * (4 << 20))
    assert set(faults(check(path))) == {"bomb"}

    many = rewrite(tmp_path / "many.zip", {f"qa/law/{n}.json": "{}" for n in range(1001)})
    assert set(faults(check(many))) == {"bomb"}


def test_a_member_that_holds_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = submission(tmp_path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(LAW)
    directory = content.index(b"PK\x01\x02")
    at = content.index(LAW.encode(), directory) - 46 + 24
    assert int.from_bytes(content[at : at + 4], "little") == info.file_size
    content[at : at + 4] = (info.file_size - 100).to_bytes(4, "little")
    path.write_bytes(content)

    assert "damaged-member" in faults(check(path))


def test_a_zip_with_one_flipped_byte_or_a_missing_end_is_refused(tmp_path: Path) -> None:
    path = submission(tmp_path)
    whole = path.read_bytes()

    path.write_bytes(whole[:200] + bytes([whole[200] ^ 0xFF]) + whole[201:])
    assert exit_code(check(path).findings) == 5
    assert str(board(path, tmp_path / "flipped", VERSION, QRELS)).startswith("crashed")
    path.write_bytes(whole[:-100])
    assert set(faults(check(path))) == {"not-a-zip"}
    assert board(path, tmp_path / "cut", VERSION, QRELS) == "crashed: BadZipFile"
    path.write_bytes(b"")
    assert set(faults(check(path))) == {"not-a-zip"}


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = submission(tmp_path)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)

    assert set(faults(check(path))) == {"encrypted"}
    assert board(path, tmp_path / "unpacked", VERSION, QRELS) == "crashed: RuntimeError"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = submission(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LAW.upper(), "{}")

    assert set(faults(check(path))) == {"duplicate-member"}


@pytest.mark.parametrize("members", [{}, {"readme.txt": "x"}, {f"{MODEL}/NoReranker/{LAW}": "{}"}])
def test_a_zip_without_results_is_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    found = check(rewrite(tmp_path / "x.zip", members))

    assert "nothing-to-score" in faults(found) and exit_code(found.findings) == 5


def test_another_name_of_the_zip_is_said(tmp_path: Path) -> None:
    path = submission(tmp_path).rename(tmp_path / "upload.zip")

    (finding,) = faults(check(path))["model-name"]

    assert MODEL in finding.what and "upload.zip" in finding.what


def test_without_data_the_numbers_of_queries_are_compared(tmp_path: Path) -> None:
    path = submission(tmp_path)

    codes = {finding.code: finding for finding in check_zip(path).findings}

    assert codes["missing-query"].what == "4 of the 1441 queries are there"
    members = contents(path)
    query = members[GEMINI]["search_results"]["q-0"]
    members[GEMINI]["search_results"] = {f"q-{n}": query for n in range(250)}
    found = check_zip(rewrite(path, members)).findings
    assert [one.what for one in found if one.code == "unknown-query"] == ["250 queries where AIR-Bench_24.05 has 249"]


def test_the_version_chosen_at_the_upload_is_checked_against(tmp_path: Path) -> None:
    found = check(submission(tmp_path), version="AIR-Bench_24.04")

    assert [finding.where for finding in faults(found)["wrong-version"]] == [GEMINI, LAW]


def test_the_mini_version_is_none_of_the_board_and_can_be_checked_by_its_name(tmp_path: Path) -> None:
    members = contents(submission(tmp_path))
    fields = {**members[LAW], "benchmark_version": MINI_VERSION, "domain": "harbour"}
    path = rewrite(tmp_path / f"{MODEL}_NoReranker.zip", {"qa/harbour/en_default_test.json": fields})

    assert set(faults(check(path))) == {"unknown-version"}
    named = check(path, version=MINI_VERSION)
    assert faults(named) == {} and named.version == MINI_VERSION and exit_code(named.findings) == 3


def test_names_in_a_zip_cannot_act_as_terminal_control(tmp_path: Path) -> None:
    path = rewrite(tmp_path / "x.zip", {"qa/\x1b[2Jlaw/\u202e.json": "{"})

    assert all(finding.line.isprintable() for finding in check(path).findings)
