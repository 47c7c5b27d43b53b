"""An Outcome for continuous integration: JUnit XML, and GitHub's annotations and step summary."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from harness.check.outcome import Comparison, Outcome, Verdict
from harness.check.render import WORST, headline, sentence
from harness.report.text import visible

_SKIPPED = frozenset({Verdict.NEW})


def junit(outcome: Outcome) -> bytes:
    """Return a JUnit file: one test case a comparison, failing ones with the sentence of the report.

    What is not comparable or missing is an error, not a failure: nothing was measured.
    """
    cases = outcome.comparisons
    failures = [one for one in cases if outcome.fails(one) and one.difference is not None and not _is_error(one)]
    errors = [one for one in cases if outcome.fails(one) and _is_error(one)]
    suite = ET.Element(
        "testsuite",
        name="icl-harness check",
        tests=str(len(cases) + bool(outcome.incomplete)),
        failures=str(len(failures)),
        errors=str(len(errors) + bool(outcome.incomplete)),
        skipped=str(sum(one.verdict in _SKIPPED for one in cases)),
    )
    if outcome.incomplete:
        case = ET.SubElement(suite, "testcase", classname="run", name="complete")
        ET.SubElement(case, "error", message=_xml(outcome.incomplete), type="INCOMPLETE")
    for one in cases:
        case = ET.SubElement(suite, "testcase", classname=_xml(one.configuration), name=_xml(one.task))
        if one.verdict in _SKIPPED:
            ET.SubElement(case, "skipped", message=_xml(one.reason))
        elif outcome.fails(one):
            kind = "error" if _is_error(one) else "failure"
            ET.SubElement(case, kind, message=_xml(sentence(one)), type=str(one.verdict))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _is_error(one: Comparison) -> bool:
    return one.verdict in (Verdict.MISSING, Verdict.NOT_COMPARABLE)


def _xml(text: str) -> str:
    """Return text without the characters that XML 1.0 cannot hold; the library escapes the rest."""
    return visible(text)


def workflow_commands(outcome: Outcome) -> Iterator[str]:
    """Yield GitHub workflow commands: one error for each of the worst five, one line for the whole."""
    for one in outcome.worst[:WORST]:
        yield f"::error title={_property(f'{one.verdict} {one.configuration}/{one.task}')}::{_data(sentence(one))}"
    if outcome.incomplete:
        yield f"::error title=INCOMPLETE::{_data(outcome.incomplete)}"
    kind = "notice" if outcome.exit_code == 0 else "error"
    yield f"::{kind} title=icl-harness check::{_data(headline(outcome))}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
