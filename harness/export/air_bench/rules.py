"""What is wrong with submissions, and what AIR-Bench's board does about it.

The board runs air-benchmark's `Evaluator.evaluate_results` over the unpacked zip. Its loop catches KeyError, AssertionError and
NotADirectoryError and then skips the submission without a word; any other exception ends the loop for everybody.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from harness.errors import EXIT_CORRUPT, EXIT_INCOMPLETE, EXIT_NOT_COMPARABLE, EXIT_OK, combine_exit_codes
from harness.registry.air_bench_layout import MAX_HITS
from harness.report.text import visible


class Verdict(StrEnum):
    """What becomes of a submission that breaks a rule."""

    REFUSED = "refused"
    MISSING = "missing"
    MIS_SCORED = "mis-scored"
    REMARK = "remark"

    @property
    def exit_code(self) -> int:
        """Exit code of `--check`."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.REFUSED: EXIT_CORRUPT,
    Verdict.MISSING: EXIT_INCOMPLETE,
    Verdict.MIS_SCORED: EXIT_NOT_COMPARABLE,
    Verdict.REMARK: EXIT_OK,
}

_VOID = "skips the whole submission without a word"
_CRASH = "crashes on the whole submission, and may stop scoring for everybody"
_UNSAFE = "may write outside its folder, or fail, when it unpacks it; nothing of the zip was read here"


class Rule(NamedTuple):
    """What one kind of fault leads to."""

    verdict: Verdict
    board: str
    """What the board does; the end of a sentence that begins with "the board"."""


RULES = {
    # the container
    "not-a-zip": Rule(Verdict.REFUSED, _CRASH),
    "encrypted": Rule(Verdict.REFUSED, _CRASH),
    "damaged-member": Rule(Verdict.REFUSED, _CRASH),
    "unsafe-path": Rule(Verdict.REFUSED, _UNSAFE),
    "symlink": Rule(Verdict.REFUSED, _UNSAFE),
    "bomb": Rule(Verdict.REFUSED, "fills its disk or memory"),
    "duplicate-member": Rule(Verdict.REFUSED, "keeps one of the two"),
    # the layout
    "file-in-task-folder": Rule(Verdict.REFUSED, _VOID),
    "not-scored": Rule(Verdict.MISSING, "does not read it"),
    "nothing-to-score": Rule(Verdict.REFUSED, "has nothing to score"),
    "stray-file": Rule(Verdict.REMARK, "ignores it"),
    "file-name": Rule(Verdict.REMARK, "goes by the fields inside"),
    "repeated-set": Rule(Verdict.MIS_SCORED, "scores both and keeps the one that its disk lists last"),
    # the fields
    "not-json": Rule(Verdict.REFUSED, _CRASH),
    "not-an-object": Rule(Verdict.REFUSED, _CRASH),
    "missing-field": Rule(Verdict.REFUSED, _VOID),
    "no-split": Rule(Verdict.REMARK, "takes it as `test`"),
    "no-name": Rule(Verdict.REMARK, "shows the name given at the upload"),
    "unknown-version": Rule(Verdict.REFUSED, _VOID),
    "wrong-version": Rule(Verdict.REFUSED, _VOID),
    "wrong-split": Rule(Verdict.MISSING, "leaves the file out"),
    "wrong-folder": Rule(Verdict.REFUSED, _VOID),
    "unknown-set": Rule(Verdict.REFUSED, _CRASH),
    "no-test-split": Rule(Verdict.REFUSED, _CRASH),
    "model-name": Rule(Verdict.MIS_SCORED, "shows all of it as one model, under the name given at the upload"),
    # the rankings
    "no-rankings": Rule(Verdict.REFUSED, _CRASH),
    "not-rankings": Rule(Verdict.REFUSED, _CRASH),
    "not-a-number": Rule(Verdict.REFUSED, _CRASH),
    "not-finite": Rule(Verdict.MIS_SCORED, "ranks by it all the same"),
    "not-float": Rule(Verdict.REMARK, "takes it as a number"),
    "duplicate-key": Rule(Verdict.MIS_SCORED, "keeps the last of the two"),
    "too-many-hits": Rule(Verdict.MIS_SCORED, f"scores it, though the benchmark allows {MAX_HITS}"),
    "no-hits": Rule(Verdict.MIS_SCORED, "counts the query as 0"),
    "unknown-query": Rule(Verdict.REFUSED, _VOID),
    "missing-query": Rule(
        Verdict.MIS_SCORED, "divides by the queries that are there: nDCG, MAP, recall and precision come out too high"
    ),
    "unknown-document": Rule(Verdict.MIS_SCORED, "lets it take a rank: scores come out too low"),
    "missing-set": Rule(Verdict.MISSING, "shows a blank, and no average"),
}


class Finding(NamedTuple):
    """A broken rule."""

    code: str
    """Key of RULES."""
    where: str
    """Path in the zip; empty for the zip itself."""
    what: str
    """The fault with its values, without a full stop."""

    @property
    def rule(self) -> Rule:
        """What it leads to."""
        return RULES[self.code]

    @property
    def line(self) -> str:
        """The finding on one line."""
        where = f"{self.where}: " if self.where else ""
        return visible(f"{self.rule.verdict}: {where}{self.what}. The board {self.rule.board}. [{self.code}]")


def exit_code(findings: list[Finding]) -> int:
    """Return the exit code of a check: refused before missing before mis-scored."""
    return combine_exit_codes([finding.rule.verdict.exit_code for finding in findings])
