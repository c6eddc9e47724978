"""What observes an agent: its latest state, and whether it is healthy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from driftguard.scheduler.agent import AgentObserver, FailureKind
from driftguard.scheduler.state import AgentState, healthy


class Watch(AgentObserver):
    """Keeps the latest state; counts failed runs."""

    def __init__(self, count: Callable[[FailureKind], None], now: Callable[[], datetime]) -> None:
        self._count, self._now = count, now
        self._state: AgentState | None = None

    def take(self, state: AgentState) -> None:
        """Keep the latest state."""
        self._state = state

    def failed(self, kind: FailureKind) -> None:
        """Count a failed run."""
        self._count(kind)

    def healthy(self) -> tuple[bool, str]:
        """Whether the agent is healthy, and a sentence on it."""
        state = self._state
        return healthy(state, self._now(), state.longest_interval) if state else (True, "The agent starts.")
