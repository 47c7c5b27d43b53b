"""What a fetch shows: a bar for the file in work on a terminal, one line per item elsewhere. All of it on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn


class FetchDisplay:
    """Progress of the file in work, and messages."""

    def __init__(self, *, enabled: bool) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.enabled = enabled
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self.console,
            transient=True,
            disable=not (enabled and self.console.is_terminal),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> FetchDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        """Show one line."""
        if self.enabled:
            self.console.print(text, markup=False)

    def progress(self, file: str, done: int, total: int) -> None:
        """Show how much of a file is there."""
        if self._task is None:
            self._task = self._bar.add_task(file, total=total)
        self._bar.update(self._task, description=file, completed=done, total=total or None)
