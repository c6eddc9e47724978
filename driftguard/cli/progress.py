"""Progress on standard error: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Reporter:
    """Says what is being done. `quiet` says nothing but errors."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._total = self._done = 0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def say(self, text: str) -> None:
        """One line about what happens now."""
        if not self._quiet:
            self._console.print(text, markup=False)

    def begin(self, total: int) -> None:
        """Start counting environments."""
        self._total = total
        if self._quiet or not sys.stderr.isatty():
            return
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.add_task("environments", total=total)
        self._progress.start()

    def done(self, name: str, verdict: str, seconds: float) -> None:
        """One environment is finished."""
        self._done += 1
        line = f"[{self._done}/{self._total}] {name}: {verdict.replace('_', ' ')} ({seconds:.1f} s)"
        if self._progress is not None:
            self._progress.console.print(line, markup=False)
            self._progress.advance(self._progress.task_ids[0])
        else:
            self.say(line)
