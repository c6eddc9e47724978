"""The state of the agent, and whether it is healthy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_SILENCE: Final = timedelta(minutes=5)
_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class AgentState:
    """The agent's present activity and the results of its last runs; immutable, so threads may share it.

    Attributes:
        started: when the loop began.
        last_tick: when the loop last iterated.
        running_since: the start of the present run; None between runs.
        last_run_ended: of a failed run, too.
        last_error: one masked sentence; None after a successful run.
        longest_interval: the longest time between two starts by cadence.
        patience: how long one environment may take at most, applies included.
        last_progress: when the present run last judged an environment; None between runs and before the first.
        judged: how many environments the present run has judged.
        head: the last commit seen at the head of the tracked branch.
    """

    started: datetime
    last_tick: datetime
    next_due: datetime
    longest_interval: timedelta
    running_since: datetime | None = None
    last_run_ended: datetime | None = None
    last_error: str | None = None
    failures_in_a_row: int = 0
    head: str | None = None
    patience: timedelta = timedelta(hours=1, minutes=45)
    last_progress: datetime | None = None
    judged: int = 0


def healthy(state: AgentState, now: datetime, longest_interval: timedelta) -> tuple[bool, str]:
    """Whether the agent does its work, and one sentence about it. Pure.

    A run may take as long as it needs while it judges environments.
    """
    if state.running_since is not None:
        since = state.last_progress or state.running_since
        if now - since > state.patience:
            return False, f"The run has judged no environment since {_moment(since)}."
    elif now - state.last_tick > _SILENCE:
        return False, f"The loop has not iterated since {_moment(state.last_tick)}."
    elif now - (ended := state.last_run_ended or state.started) > 3 * longest_interval + timedelta(hours=1):
        return False, f"No run has ended since {_moment(ended)}."
    if state.failures_in_a_row >= _FAILURES:
        return False, f"{state.failures_in_a_row} consecutive runs have failed: {state.last_error}"
    if state.running_since is not None:
        return True, f"A run is active since {_moment(state.running_since)}; environments judged: {state.judged}."
    return True, f"The next run starts at {_moment(state.next_due)}."


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
