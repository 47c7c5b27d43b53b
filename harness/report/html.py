"""The report as one HTML page: no other file, no network, names and numbers as data that a script shows as text."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from harness.report.page_data import page_data
from harness.report.table import LeaderboardTable
from harness.report.text import visible

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("base.js", "table.js", "chart.js", "plots.js", "main.js")


def render_html(tables: Sequence[LeaderboardTable]) -> str:
    """Return the page of some leaderboards.

    A name cannot become markup: it stands in the page only inside JSON without any `<`, and the script shows it through
    `textContent`. The page's content security policy names the hashes of its own script and style and allows nothing
    else, neither other scripts nor any request.
    """
    style = _read("page.css")
    script = "\n".join(['"use strict";', *map(_read, _SCRIPTS)])
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    titles = ", ".join(table.title for table in tables)
    return Template(_read("page.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        title=html.escape(visible(titles)),
        style=style,
        script=script,
        data=_json(page_data(tables)),
    )


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """Return JSON that cannot end its script element: ASCII, without `<`, `>` and `&`."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
