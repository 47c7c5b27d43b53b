"""`doctor`: what this machine has, and the cure for what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_OK, EXIT_USAGE, ConfigError

if TYPE_CHECKING:
    from harness.doctor.finding import Finding

_MARKS = {"ok": "ok", "note": "--", "problem": "NO"}


@click.command(
    "doctor",
    epilog="""\b
Examples
  icl-harness doctor
  icl-harness doctor --json | jq '.findings[] | select(.state != "ok")'""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every finding with its state and cure.")
def doctor_command(as_json: bool) -> int:
    """Show versions, device, disk, caches, hub and extras, with the cure for what is missing.

    NO: a run cannot work so. --: something is absent or unusual that only some uses need (an extra, the hub, another
    version than the pinned one). Exit code 0 without a NO, else 2. Asks the hub for a connection of at most 5 seconds,
    not at all in offline mode, and writes nothing that stays.
    """
    findings = list(all_findings())
    problems = sum(one.state == "problem" for one in findings)
    if as_json:
        content = {"ok": problems == 0, "findings": [asdict(one) for one in findings]}
        click.echo(json.dumps(content, indent=1, ensure_ascii=False))
        return EXIT_USAGE if problems else EXIT_OK
    width = max(len(one.name) for one in findings)
    for one in findings:
        cure = f"\n{'':{width + 4}} -> {one.cure}" if one.cure else ""
        click.echo(f"{_MARKS[one.state]}  {one.name:{width}} {one.value}{cure}")
    click.echo(f"{problems} problems" if problems else "Nothing stands in the way of a run.")
    return EXIT_USAGE if problems else EXIT_OK


def all_findings() -> Iterator[Finding]:
    """Look at everything, in the order of the report."""
    from harness.doctor import hub, machine, packages

    yield from packages.python_findings()
    yield from packages.extra_findings()
    constraint = packages.constraint_finding()
    if constraint is not None:
        yield constraint
    if packages.installed("torch"):
        yield from machine.device_findings()
    yield from machine.folder_findings()
    yield from hub.hub_findings()
    yield registry_finding()


def registry_finding() -> Finding:
    """Check that registry and profiles can be read."""
    from harness.doctor.finding import ok, problem
    from harness.prompts.profile import load_profiles
    from harness.registry.registry import Registry

    try:
        registry, profiles = Registry.load(), load_profiles()
    except ConfigError as error:
        return problem("registry", f"{len(str(error).splitlines())} problems", "icl-harness validate")
    names = f"{len(list(registry))} task names, {len(registry.benchmarks())} benchmarks"
    return ok("registry", f"{names}, {len(profiles)} profiles")


__all__ = ["all_findings", "doctor_command"]
