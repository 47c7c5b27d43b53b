"""Whether the hub can be used, within seconds, and what the environment says about it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from harness.doctor.finding import Finding, note, ok
from harness.runners.network import hub_host, why_unreachable

HUB_SECONDS = 5.0
"""Longest wait for an answer, name look-up included (which has no time limit of its own)."""
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


def offline_variables() -> list[str]:
    """Return the variables that forbid the hub's libraries the network."""
    return [name for name in _OFFLINE if os.environ.get(name, "").upper() in _TRUE]


def hub_findings() -> Iterator[Finding]:
    """Ask the hub for a connection, unless the environment forbids it; no request is made."""
    offline = offline_variables()
    endpoint = os.environ.get("HF_ENDPOINT")
    where = f"{hub_host()} (HF_ENDPOINT)" if endpoint else hub_host()
    if offline:
        cure = f"unset {' '.join(offline)} to download"
        yield note(
            "hub", f"not asked: offline mode ({', '.join(f'{name}={os.environ[name]}' for name in offline)})", cure
        )
    else:
        reason = _bounded_reason()
        if reason is None:
            yield ok("hub", f"{where} reachable")
        else:
            cure = "check network, proxy and HF_ENDPOINT, or work offline: --offline, --data-dir, a model directory"
            yield note("hub", f"{where} not reachable ({reason})", cure)
    token = "set" if os.environ.get("HF_TOKEN") else "not set (public models and data need none)"
    yield ok("hub token", token)


def _bounded_reason() -> str | None:
    answer: list[str | None] = []
    # A look-up that hangs cannot be stopped; a daemon thread does not hold the program.
    thread = threading.Thread(target=lambda: answer.append(why_unreachable(HUB_SECONDS)), daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    return answer[0] if answer else f"no answer within {HUB_SECONDS:.0f} s"
