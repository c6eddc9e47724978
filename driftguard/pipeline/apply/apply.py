"""Applies exactly what was decided, once, and leaves a record of it before, during and after.

Takes an attempt to make, the means to plan and apply, and the ledger's attempts; gives an `Outcome`. Promises that
nothing is changed without a durable attempt, and nothing but the plan that the attempt names: the environment
is planned again under the state lock, and any difference voids the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import Attempt, AttemptState, ErrorKind, Fault
from driftguard.ports import ApplyRun, Attempts, StateLock

# An attempt on another machine that lost its lease interrupts its own apply, and kills it after 120 seconds.
_FENCED_AFTER = timedelta(seconds=180)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        reason: a stable name: `applied`, `apply_failed`, `plan_changed`, `locked`, `lease_lost`, `already_attempted`.
        fault: why an apply did not end well.
    """

    attempt: Attempt
    reason: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What `act` works with.

    Attributes:
        lock: the state lock, if it is one that can be taken under an id of ours; else Terraform takes its own.
        plan_again: plans under the lock and gives the plan fingerprint; takes Terraform's lock timeout, None when
            the lock is held by us.
        apply: applies the plan made last; takes the lock timeout, and callbacks for the process group and outcomes.
        still_ours: whether the environment's lease is still held.
        now: the time.
    """

    attempts: Attempts
    lock: StateLock | None
    lock_timeout_seconds: float
    plan_again: Callable[[float | None], str | None]
    apply: Callable[[float | None, Callable[[int], None], Callable[[str, str], None]], ApplyRun]
    still_ours: Callable[[], bool]
    now: Callable[[], datetime]


def act(attempt: Attempt, means: Means) -> Outcome:
    """Make one attempt.

    Args:
        attempt: not yet recorded; its data names the `lock_id` under which the state lock is taken.
    """
    if not means.attempts.open(attempt):
        return Outcome(attempt, "already_attempted")
    lock_id = str(attempt.data["lock_id"])
    terraform_waits = None if means.lock else means.lock_timeout_seconds
    try:
        if means.lock is not None:
            means.lock.take(lock_id, means.lock_timeout_seconds)
        found = means.plan_again(terraform_waits)
        if found != attempt.plan_fingerprint:
            return _void(attempt, means, "plan_changed", None)
        if not means.still_ours():
            return _void(attempt, means, "lease_lost", None)
        return _apply(attempt, means, terraform_waits)
    except EnvironmentFault as fault:
        reason = "locked" if fault.kind is ErrorKind.LOCKED else "not_planned"
        return _void(attempt, means, reason, Fault(fault.kind, fault.message))
    finally:
        if means.lock is not None:
            means.lock.release(lock_id)


def _void(attempt: Attempt, means: Means, reason: str, fault: Fault | None) -> Outcome:
    """Nothing was changed; the next pass decides anew."""
    data = {"reason": reason, "error": fault.message if fault else None}
    return Outcome(means.attempts.advance(attempt, AttemptState.VOID, means.now(), data), reason, fault)


def _apply(attempt: Attempt, means: Means, terraform_waits: float | None) -> Outcome:
    applying = means.attempts.advance(attempt, AttemptState.APPLYING, means.now(), {})

    def note(data: Mapping[str, Any]) -> None:
        # An apply under way is not ended because the ledger is away for a moment; its end is recorded or fails below.
        with suppress(DriftGuardError):
            means.attempts.advance(applying, AttemptState.APPLYING, means.now(), data)

    def started(group: int) -> None:
        note({"process_group": group})

    def progress(address: str, outcome: str) -> None:
        note({"resource": {address: outcome}})

    try:
        run = means.apply(terraform_waits, started, progress)
    except EnvironmentFault as fault:
        run = ApplyRun({}, Fault(fault.kind, fault.message), 0.0)
    state = AttemptState.FAILED if run.fault else AttemptState.SUCCEEDED
    data: dict[str, Any] = {
        "resources": dict(run.outcomes),
        "seconds": round(run.seconds, 3),
        "error": {"kind": run.fault.kind.value, "message": run.fault.message} if run.fault else None,
    }
    ended = means.attempts.advance(applying, state, means.now(), data)
    return Outcome(ended, "apply_failed" if run.fault else "applied", run.fault)


def close_dead(
    attempt: Attempt,
    *,
    run_id: str,
    attempts: Attempts,
    lock: StateLock | None,
    force_unlock: Callable[[str], None],
    alive_here: Callable[[Mapping[str, Any]], bool | None],
    now: datetime,
) -> str:
    """End an attempt whose process died, and release its own state lock; a sentence about it.

    Call it only while holding the environment's lease.

    Args:
        lock: tells whether the state is locked under the very id that the attempt recorded before it locked.
        force_unlock: releases the lock with that id.
        alive_here: whether what the attempt started still runs, from its recorded facts; None when it was started
            on another machine and cannot be told.

    Raises:
        EnvironmentFault: it may still be running, so nothing may be done about it yet.
    """
    alive = alive_here(attempt.data)
    if alive is None and not _fenced(attempt, attempts, now):
        raise EnvironmentFault(
            ErrorKind.LOCKED,
            f"An apply that was started on {attempt.data.get('host', 'another machine')} has not reported its end; "
            "it is given time to stop itself. A later run goes on.",
        )
    if alive:
        raise EnvironmentFault(ErrorKind.LOCKED, "An apply whose reconciler died is still running; the next run waits.")
    lock_id = attempt.data.get("lock_id")
    holder = lock.holder() if lock is not None else None
    released = holder is not None and holder.id == lock_id
    if released:
        force_unlock(str(lock_id))
    state = AttemptState.VOID if attempt.state is AttemptState.OPEN else AttemptState.FAILED
    data = {"reason": "died", "lock_released": released, "closed_by": run_id}
    attempts.advance(attempt, state, now, data)
    what = "before it changed anything" if state is AttemptState.VOID else "while it was applying"
    return (
        f"The attempt {attempt.id} of {attempt.opened_at:%Y-%m-%d %H:%M} UTC died {what}"
        f"{'; its state lock was released' if released else ''}."
    )


def _fenced(attempt: Attempt, attempts: Attempts, now: datetime) -> bool:
    """Whether enough time has passed since the attempt was first seen dead; the first sight is recorded."""
    seen = attempt.data.get("seen_dead_at")
    if seen is None:
        attempts.advance(attempt, attempt.state, now, {"seen_dead_at": now.isoformat()})
        return False
    return now - datetime.fromisoformat(str(seen)) >= _FENCED_AFTER
