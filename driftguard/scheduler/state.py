"""What the agent tells about itself, and whether that is healthy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_SILENCE: Final = timedelta(minutes=5)
_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class AgentState:
    """What the agent does now and how the last passes went; a new object for each change, safe to share by threads.

    Attributes:
        started: when the loop began.
        last_tick: when the loop last looked around.
        running_since: when the pass that runs now began; None between passes.
        last_pass_ended: the same whether the pass failed or not.
        last_error: one masked sentence; None after a pass that did not fail.
        longest_interval: the longest time between two starts by cadence.
        head: the last commit seen at the head of the tracked branch.
    """

    started: datetime
    last_tick: datetime
    next_due: datetime
    longest_interval: timedelta
    running_since: datetime | None = None
    last_pass_started: datetime | None = None
    last_pass_ended: datetime | None = None
    last_error: str | None = None
    failures_in_a_row: int = 0
    head: str | None = None


def healthy(state: AgentState, now: datetime, longest_interval: timedelta) -> tuple[bool, str]:
    """Whether the agent does its work, and one sentence about it. Pure."""
    if state.running_since is None and now - state.last_tick > _SILENCE:
        return False, f"The loop has not looked around since {state.last_tick.isoformat(timespec='seconds')}."
    if now - (state.last_pass_ended or state.started) > 3 * longest_interval + timedelta(hours=1):
        ended = state.last_pass_ended
        return False, f"No pass has ended since {(ended or state.started).isoformat(timespec='seconds')}."
    if state.failures_in_a_row >= _FAILURES:
        return False, f"{state.failures_in_a_row} passes in a row have failed: {state.last_error}"
    if state.running_since is not None:
        return True, f"A pass runs since {state.running_since.isoformat(timespec='seconds')}."
    return True, f"The next pass starts at {state.next_due.isoformat(timespec='seconds')}."
