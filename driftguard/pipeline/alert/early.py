"""Alerts while a run goes on: those of judged environments wait for others of their cause, not for its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from driftguard.model import EnvironmentResult
from driftguard.pipeline.alert.notifying import Notifier
from driftguard.pipeline.alert.sending import DeliverySummary
from driftguard.ports import Clock


class EarlyAlerts:
    """Sends what is judged at most `wait` after it was, and the rest at the end of the run."""

    def __init__(self, notifier: Notifier, clock: Clock, wait: timedelta, known: AbstractSet[str]) -> None:
        """`known` are the environments that any run still covers."""
        self._notifier, self._clock, self._wait, self._known = notifier, clock, wait, known
        self._judged: list[EnvironmentResult] = []
        self._since: datetime | None = None
        self._sent: Counter[str] = Counter()
        self._problems: dict[str, None] = {}

    @property
    def seconds_left(self) -> float | None:
        """How long the oldest result may still wait; None while none waits."""
        if self._since is None:
            return None
        return max(0.0, (self._since + self._wait - self._clock.now()).total_seconds())

    def judged(self, result: EnvironmentResult) -> None:
        """Take one more result."""
        self._judged.append(result)
        self._since = self._since or self._clock.now()

    def send_due(self) -> None:
        """Send what has waited long enough."""
        if self.seconds_left == 0.0:
            self._notify(self._judged)
            self._judged, self._since = [], None

    def end(self, results: Sequence[EnvironmentResult]) -> DeliverySummary:
        """Send the rest; what the whole run sent.

        Args:
            results: all of the run.
        """
        waiting = self._notify(results, patient=True)
        return DeliverySummary(self._sent, waiting, tuple(self._problems))

    def _notify(self, results: Sequence[EnvironmentResult], *, patient: bool = False) -> int:
        done = self._notifier.notify(results, self._known, patient=patient)
        self._sent.update(done.sent)
        self._problems.update(dict.fromkeys(done.problems))
        return done.waiting
