"""The measurement at a large shape runs, and checks equality, on any machine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import large_shape

pytestmark = pytest.mark.model


def test_every_line_of_the_table_is_measured() -> None:
    found = large_shape.LargeShape("tiny", "cpu", "float32", rounds=1).table()

    assert [line["what"] for line in found["lines"]] == [
        *(f"queries, P={size}" for size in (0, 500, 1000, 2000)),
        "documents, 200 tokens",
    ]
    assert all(line["texts_per_second"] > 0 and line["of_peak"] > 0 for line in found["lines"])


def test_a_path_that_differs_writes_nothing() -> None:
    vectors = np.eye(3, dtype=np.float32)

    with pytest.raises(SystemExit, match="nothing was written"):
        large_shape.check(vectors, vectors[::-1], "torch.float32")
