"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was looked at and what was found."""

    name: str
    state: State
    """`problem`: a run cannot work so. `note`: something is absent or unusual that only some uses need."""
    value: str
    cure: str = ""
    """What to do; empty where nothing need be done."""


def ok(name: str, value: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(name, "ok", value)


def note(name: str, value: str, cure: str = "") -> Finding:
    """Return a finding that some uses must know."""
    return Finding(name, "note", value, cure)


def problem(name: str, value: str, cure: str) -> Finding:
    """Return a finding that stands in the way of every run."""
    return Finding(name, "problem", value, cure)
