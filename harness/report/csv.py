"""The report's tables as CSV for spreadsheets: the numbers of the parquet files, and names that are never formulas."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from harness.report.text import GAP, visible

if TYPE_CHECKING:
    import pyarrow as pa

_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the full-width forms."""


def render_csv(table: pa.Table) -> str:
    """Return a table as CSV (RFC 4180): one header line, text quoted, numbers plain and exact, a gap empty."""
    text = io.StringIO()
    # Quoted text stays one cell under any separator that a spreadsheet expects.
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow([escape_csv(name) for name in table.column_names])
    columns = [column.to_pylist() for column in table.columns]
    writer.writerows([_cell(value) for value in line] for line in zip(*columns, strict=True))
    return text.getvalue()


def escape_csv(text: str) -> str:
    r"""Return text as a spreadsheet shows it: on one line, with `'` before what it would take for a formula."""
    shown = visible(text)
    is_formula = shown.lstrip().startswith(_FORMULA_STARTS) and shown != GAP
    return f"'{shown}" if is_formula else shown


def _cell(value: Any) -> Any:
    return escape_csv(value) if isinstance(value, str) else value
