"""Ends what earlier reconcilers left unfinished: attempts whose process died, and their state locks.

Takes an `ApplyContext` and one environment; gives a sentence for each attempt that was ended. Raises
`EnvironmentFault` while something of it may still be running.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import Attempt, AttemptState, EntryKind, ErrorKind, rows
from driftguard.pipeline.apply.apply import ApplyContext, not_written, unwritten_state
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext, checked_out
from driftguard.pipeline.record import attempt_step
from driftguard.ports import ApplyEngine, Attempts, JournalReader, StateLock, StopSignal, WorkingDirectory

APPLYING_ELSEWHERE: Final = "Another reconciler is applying here right now; the next run looks again."
# An attempt on another machine that lost its lease interrupts its own apply, and kills it after 120 seconds.
_FENCED_AFTER: Final = timedelta(seconds=180)


def close_dead_attempts(
    context: ApplyContext,
    journal: JournalReader,
    scan: ScanContext,
    run: EnvironmentRun,
    engine: ApplyEngine,
    stop: StopSignal,
) -> tuple[str, ...]:
    """End what earlier reconcilers left unfinished; a sentence for each attempt.

    Args:
        journal: holds how far each of them got.
        stop: ends what runs for this environment.

    Raises:
        EnvironmentFault: something of it may still be running.
    """
    name = run.settings.name
    if not context.attempts.unfinished(name):
        return ()
    with context.leased(run.settings, stop) as lease, ExitStack() as stack:
        if lease is None:
            raise TransientFault(ErrorKind.LOCKED, APPLYING_ELSEWHERE)
        work = checked_out(scan, run, stack, purpose="apply")
        stack.callback(engine.forget_secrets, work)
        engine.prepare(work, run.closure.init_key)
        lock = context.locks.of(engine.backend(work), work.workspace, work.environment)
        return tuple(
            _close(context, attempt, _outcomes(journal, attempt), engine, work, lock)
            for attempt in context.attempts.unfinished(name)
        )


def lock_ids_of_ended(attempts: tuple[Attempt, ...]) -> frozenset[str]:
    """The ids of the state locks of attempts that ended; none of them is in use any more."""
    return frozenset(str(a.data.get("lock_id")) for a in attempts if a.finished_at is not None)


def _outcomes(journal: JournalReader, attempt: Attempt) -> dict[str, Any]:
    """How far an attempt got, by address, as far as its process could record it."""
    steps = journal.entries(environment=attempt.environment, kinds=[EntryKind.ATTEMPT_PROGRESS])
    noted = [step.data for step in steps if step.data.get("attempt") == attempt.id]
    found = [msgspec.convert(data, rows.AttemptRow).data.resource or {} for data in noted]
    return {address: word for resource in found for address, word in resource.items()}


def _close(
    context: ApplyContext,
    unfinished: Attempt,
    outcomes: Mapping[str, Any],
    engine: ApplyEngine,
    work: WorkingDirectory,
    lock: StateLock | None,
) -> str:
    """End an attempt whose process died, and release its own state lock. Call it only while holding the lease.

    Args:
        outcomes: how far it got, by address.
        lock: whether the state is locked under the very id that the attempt recorded before it locked.
    """
    attempt, now = replace(unfinished, run_id=context.run_id), context.clock.now()
    alive = context.machine.still_running(attempt.data)
    if alive is None and not _fenced(attempt, context.attempts, now):
        raise EnvironmentFault(
            ErrorKind.LOCKED,
            f"An apply that was started on {attempt.data.get('host', 'another machine')} has not reported its end; "
            "it is given time to stop itself. A later run goes on.",
        )
    if alive:
        raise EnvironmentFault(ErrorKind.LOCKED, "An apply whose reconciler died is still running; the next run waits.")
    left = attempt.data.get("platform")
    untouched = left is not None and not engine.settle(left)
    lock_id = attempt.data.get("lock_id")
    holder = lock.holder() if lock is not None else None
    released = holder is not None and holder.id == lock_id
    if released:
        engine.force_unlock(work, str(lock_id))
    state = AttemptState.VOID if attempt.state is AttemptState.OPEN else AttemptState.FAILED
    data: dict[str, Any] = {"reason": "died", "lock_released": released, "closed_by": context.run_id}
    if state is AttemptState.FAILED:
        kept = unwritten_state(context, attempt.id, work)
        resources = {} if untouched else dict(outcomes)
        data |= {"resources": resources, "cut_off": not untouched, **(not_written(kept) if kept else {})}
    context.attempts.advance(attempt.id, attempt_step(attempt, state, now, data))
    what = "before it changed anything" if state is AttemptState.VOID else "while it was applying"
    return (
        f"The attempt {attempt.id} of {attempt.opened_at:%Y-%m-%d %H:%M} UTC died {what}"
        f"{'; its state lock was released' if released else ''}"
        f"{'; its run on the platform was not confirmed and is discarded' if untouched else ''}."
    )


def _fenced(attempt: Attempt, attempts: Attempts, now: datetime) -> bool:
    """Whether enough time has passed since the attempt was first seen dead; the first sight is recorded."""
    recorded = attempt.data.get("seen_dead_at")
    seen = None if recorded is None else datetime.fromisoformat(str(recorded))
    if seen is None or seen > now:  # never seen, or under a wrong clock
        step = attempt_step(attempt, attempt.state, now, {"seen_dead_at": now.isoformat()})
        attempts.advance(attempt.id, step)
        return False
    return now - seen >= _FENCED_AFTER
