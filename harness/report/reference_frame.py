"""Frames of scores that no run has written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.report.consistency import NOTES_ATTRIBUTE
from harness.report.table import UNSTATED
from harness.store.schema import ScoreRow

if TYPE_CHECKING:
    import pandas as pd

_EMPTY: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False}


def score_row(**values: Any) -> dict[str, Any]:
    """Return one line of a frame of scores; what a publication does not state is empty, 0 or False."""
    defaults = {name: _EMPTY[field.annotation] for name, field in ScoreRow.model_fields.items()}
    return {**defaults, "is_main": True, "reference": "", "configuration": UNSTATED, **values}


def score_frame(rows: Iterable[dict[str, Any]], notes: list[str]) -> pd.DataFrame:
    """Return lines as a frame of main scores with the columns of scores.parquet and `reference`."""
    import pandas as pd

    frame = pd.DataFrame([score_row(**row) for row in rows], columns=[*ScoreRow.model_fields, "reference"])
    # A frame without rows has no types of its own.
    frame["is_main"] = frame["is_main"].astype(bool)
    frame.attrs[NOTES_ATTRIBUTE] = notes
    return frame
