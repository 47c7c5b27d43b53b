"""What a run shows while it goes on: bars on a terminal, one line per task elsewhere. All of it on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from harness.encoder.text_encoder import Advance


class _TextsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} texts/s" if task.speed else "- texts/s")


class RunDisplay:
    """Progress bars (texts, texts/s, time left) and messages of a run."""

    def __init__(self, *, enabled: bool) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.enabled = enabled
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            _TextsPerSecond(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (enabled and self.console.is_terminal),
        )

    def __enter__(self) -> RunDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def message(self, text: str) -> None:
        """Show one line."""
        if self.enabled:
            self.console.print(text, markup=False)

    def start(self, total: int, title: str) -> Advance:
        """Begin a bar over `total` texts; the returned callback takes texts and tokens done."""
        bar = self._bars.add_task(title, total=total)

        def advance(texts: int, _tokens: int) -> None:
            self._bars.advance(bar, texts)
            if self._bars.tasks and self._bars._tasks[bar].finished:
                self._bars.remove_task(bar)

        return advance
