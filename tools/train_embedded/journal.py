"""The training log: one line an event, one CSV row a step, and curves as SVG."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 720, 180, 44
SMOOTHED = 10


class Journal:
    """Writes `train.log`, `steps.csv` and `curves.svg` into a folder."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.quiet = quiet
        self._started = time.perf_counter()
        self._lines: list[str] = []
        self._steps: dict[str, list[dict[str, float]]] = {}

    def say(self, text: str) -> None:
        """Write a line with the seconds since the start."""
        line = f"{time.perf_counter() - self._started:7.0f} s  {text}"
        self._lines.append(line)
        (self.folder / "train.log").write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        if not self.quiet:
            print(line, flush=True)

    def step(self, stage: str, values: dict[str, float]) -> None:
        """Keep the figures of one step."""
        self._steps.setdefault(stage, []).append(values)

    def close(self) -> None:
        """Write the steps and their curves."""
        with (self.folder / "steps.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["stage", "step", "figure", "value"])
            for stage, rows in self._steps.items():
                for row in _thinned(rows):
                    for name, value in row.items():
                        if name != "step":
                            writer.writerow([stage, int(row["step"]), name, f"{value:.5g}"])
        (self.folder / "curves.svg").write_text(self._curves(), encoding="utf-8")

    def _curves(self) -> str:
        panels = [
            (f"{stage}: {name}", [row[name] for row in rows])
            for stage, rows in self._steps.items()
            for name in rows[0]
            if name not in ("step", "rate")
        ]
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT * max(1, len(panels))}" '
            'font-family="sans-serif" font-size="12">'
        ]
        for place, (title, values) in enumerate(panels):
            parts += _panel(title, values, place * HEIGHT)
        return "\n".join([*parts, "</svg>", ""])


def _thinned(rows: Sequence[dict[str, float]], most: int = 200) -> Sequence[dict[str, float]]:
    return rows[:: max(1, len(rows) // most)]


def _panel(title: str, values: Sequence[float], top: int) -> list[str]:
    """One curve, smoothed over some steps."""
    smooth = [
        sum(values[max(0, i - SMOOTHED + 1) : i + 1]) / len(values[max(0, i - SMOOTHED + 1) : i + 1])
        for i in range(len(values))
    ]
    low, high = min(smooth), max(smooth)
    span = (high - low) or 1.0
    width, height = WIDTH - 2 * MARGIN, HEIGHT - 2 * 28
    points = " ".join(
        f"{MARGIN + width * i / max(1, len(smooth) - 1):.1f},{top + 28 + height * (1 - (value - low) / span):.1f}"
        for i, value in enumerate(smooth)
    )
    return [
        f'<rect x="{MARGIN}" y="{top + 28}" width="{width}" height="{height}" fill="none" stroke="#ccc"/>',
        f'<text x="{MARGIN}" y="{top + 20}">{title} ({len(values)} steps)</text>',
        f'<text x="4" y="{top + 36}">{high:.3g}</text><text x="4" y="{top + 28 + height}">{low:.3g}</text>',
        f'<polyline points="{points}" fill="none" stroke="#246" stroke-width="1.5"/>',
    ]
