"""Runs that attempts left waiting for a decision on a platform: taken up by the next attempt, or discarded.

Takes attempts as the ledger has them; a run is known by what its attempt recorded before it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from driftguard.errors import EnvironmentFault
from driftguard.model import Attempt, AttemptState
from driftguard.model.reasons import ReasonName
from driftguard.ports import ApplyEngine


def waiting(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """The last attempt of each run that was left waiting, by the run's id."""
    void = (attempt for attempt in attempts if attempt.state is AttemptState.VOID)
    left = (attempt for attempt in void if attempt.data.get("reason") == ReasonName.WAITS_ON_PLATFORM)
    return {str(platform["run"]): each for each in left if "run" in (platform := each.data.get("platform") or {})}


def taken_up(attempts: Sequence[Attempt], attempt: Attempt, engine: ApplyEngine) -> Mapping[str, str] | None:
    """What an earlier attempt at the same plan left waiting; everything else that waits is discarded."""
    same = [
        each
        for each in waiting(attempts).values()
        if (each.commit, each.plan_fingerprint) == (attempt.commit, attempt.plan_fingerprint)
    ]
    held = same[-1].data["platform"] if same else None
    discard(attempts, engine, keep=held["run"] if held else None)
    return held


def discard(attempts: Sequence[Attempt], engine: ApplyEngine, keep: str | None = None) -> None:
    """Discard what waits: nothing will confirm it any more. What cannot be discarded now is tried by the next run."""
    for run, attempt in waiting(attempts).items():
        if run != keep:
            with suppress(EnvironmentFault):
                engine.settle(attempt.data["platform"])
