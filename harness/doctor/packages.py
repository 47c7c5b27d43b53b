"""Python, the packages that the program needs, its extras, and the pinned versions of a checkout."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import paths
from harness.doctor.finding import Finding, note, ok, problem

PROGRAM = "icl-embed-harness"
_SHOWN = ("mteb", "torch", "transformers", "tokenizers", "sentence-transformers", "datasets", "pandas", "pyarrow")
_EXTRAS = {
    "minilm": "all-MiniLM-L6-v2 without a download",
    "air": "AIR-Bench",
    "reference": "comparison with FlagEmbedding's own code",
    "test": "the tests",
}
_MAX_NAMED = 6
_MIN_PYTHON = (3, 11)


def installed(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements(extra: str = "") -> dict[str, str]:
    """Return the program's requirements, or those of one extra, as distribution -> version range.

    Returns:
        Empty where the program runs from a folder without being installed.
    """
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(PROGRAM) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = {}
    for line in lines:
        requirement = Requirement(line)
        here = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if here and always == (extra == ""):
            found[requirement.name] = str(requirement.specifier)
    return found


def unsatisfied(needed: dict[str, str]) -> dict[str, str]:
    """Return the distributions that are missing or of another version than needed, each with what is there."""
    from packaging.specifiers import SpecifierSet

    wrong = {}
    for name, versions in needed.items():
        version = installed(name)
        if version is None:
            wrong[name] = "missing"
        elif not SpecifierSet(versions).contains(version, prereleases=True):
            wrong[name] = f"{version}, needed {versions}"
    return wrong


def python_findings() -> Iterator[Finding]:
    """Check Python and every package of the program's own requirements."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= _MIN_PYTHON:
        yield ok("python", version)
    else:
        yield problem("python", version, "use Python 3.11 or newer")
    own = installed(PROGRAM)
    if own is None:
        yield note(PROGRAM, "runs from a folder, not installed", "pip install -c constraints.txt -e .")
    else:
        yield ok(PROGRAM, own)
    wrong = unsatisfied(requirements())
    for name in dict.fromkeys([*_SHOWN, *wrong]):
        if name in wrong or installed(name) is None:
            value = wrong.get(name, "missing")
            yield problem(name, value, f"pip install -c constraints.txt '{name}{requirements().get(name, '')}'")
        else:
            yield ok(name, str(installed(name)))


def extra_findings() -> Iterator[Finding]:
    """Check the optional parts; each missing one is a note with what it would be good for."""
    for extra, purpose in _EXTRAS.items():
        needed = requirements(extra)
        wrong = unsatisfied(needed)
        shown = ", ".join(f"{name} {value}" for name, value in list(wrong.items())[:_MAX_NAMED])
        if not needed:
            continue
        if not wrong:
            yield ok(f"extra {extra}", f"complete ({purpose})")
        elif extra == "air":
            cure = "pip install -c constraints.txt ./shims/pytrec-eval -e '.[air]'"
            yield note("extra air", f"{shown} ({purpose})", cure)
        else:
            yield note(f"extra {extra}", f"{shown} ({purpose})", f"pip install -c constraints.txt -e '.[{extra}]'")
    yield trec_finding()


def trec_finding() -> Finding:
    """Check the module pytrec_eval and whose it is: of pytrec-eval-terrier, with our shim for the name air-benchmark asks for."""
    terrier, named = installed("pytrec-eval-terrier"), installed("pytrec-eval")
    if importlib.util.find_spec("pytrec_eval") is None:
        return problem("pytrec_eval", "the module is missing", "pip install -c constraints.txt pytrec-eval-terrier")
    if named is None:
        state = f"of pytrec-eval-terrier {terrier}, shim not installed"
        if installed("air-benchmark") is None:
            return ok("pytrec_eval", state)
        return note("pytrec_eval", f"{state}: `pip check` complains", "pip install ./shims/pytrec-eval")
    if "pytrec-eval-terrier" in importlib.metadata.metadata("pytrec-eval")["Summary"] and terrier is not None:
        return ok("pytrec_eval", f"of pytrec-eval-terrier {terrier}, with the shim {named}")
    cure = "pip uninstall -y pytrec-eval && pip install --force-reinstall -c constraints.txt ./shims/pytrec-eval"
    return note("pytrec_eval", f"of the real pytrec-eval {named}: other code than this program was tested with", cure)


def pinned_versions(path: Path) -> dict[str, str]:
    """Return name -> version of a constraints file."""
    pairs = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(pairs)


def constraint_finding(path: Path | None = None) -> Finding | None:
    """Compare installed versions with the pinned ones; None where there is no constraints file (an installed wheel)."""
    path = path or paths.PACKAGE_DIR.parent / "constraints.txt"
    if not path.is_file():
        return None
    different = {}
    for name, pinned in pinned_versions(path).items():
        version = installed(name)
        # A local build (2.13.0+cpu, +cu130) is the pinned release for another device.
        if version is not None and version.split("+")[0] != pinned.split("+")[0]:
            different[name] = f"{version} (pinned {pinned})"
    if not different:
        return ok("constraints", "every installed version is the pinned one")
    shown = ", ".join(f"{name} {value}" for name, value in list(different.items())[:_MAX_NAMED])
    more = f" and {len(different) - _MAX_NAMED} more" if len(different) > _MAX_NAMED else ""
    return note("constraints", f"{shown}{more}", "pip install -c constraints.txt -e . (scores may differ by rounding)")
