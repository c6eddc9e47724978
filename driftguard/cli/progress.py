"""Progress on standard error: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from driftguard.model.words import Verdict
from driftguard.printable import printable

_MAX_UNKNOWN: Final = 20


class Reporter:
    """Prints progress; with `quiet` nothing at all."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._total = self._done = self._unknown = 0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._unknown > _MAX_UNKNOWN:
            self.line(f"... and {self._unknown - _MAX_UNKNOWN} more: unknown")

    def line(self, text: str) -> None:
        """Print one line of progress."""
        if not self._quiet:
            self._console.print(printable(text, lines=True), markup=False)

    def begin(self, total: int) -> None:
        """Start counting `total` environments."""
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
        """Count one environment as finished, with its verdict and duration in seconds."""
        self._done += 1
        self._unknown += verdict == Verdict.UNKNOWN
        if self._progress is None and verdict == Verdict.UNKNOWN and self._unknown > _MAX_UNKNOWN:
            return  # the result lists their causes
        line = f"[{self._done}/{self._total}] {printable(name)}: {verdict.replace('_', ' ')} ({seconds:.1f} s)"
        if self._progress is not None:
            self._progress.console.print(line, markup=False)
            self._progress.advance(self._progress.task_ids[0])
        else:
            self.line(line)
