"""Acting on one environment: attempts that died, the lease, the apply, and the baseline after it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from driftguard.config import EnvironmentSettings
from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import Attempt, AttemptState, Baseline, Classification, Closure, ErrorKind
from driftguard.pipeline.apply.apply import Means, Outcome, act, close_dead
from driftguard.pipeline.apply.lease import hold
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.classify.fingerprints import plan_fingerprint
from driftguard.pipeline.plan import Plan, make_plan
from driftguard.ports import ApplyRun, Attempts, Backend, Clock, Engine, Leases, StateLock, WorkingDirectory


@dataclass(frozen=True, slots=True)
class Authority:
    """What a pass needs to decide and act, besides what it needs to look.

    Attributes:
        holder: who this process is, unique among all reconcilers of the ledger.
        machine: facts that tell later whether this machine still runs what was started.
        alive_here: whether what an attempt recorded still runs; None when it was started on another machine.
        approvals_of: what is approved between a baseline and head; also asked for the commits of an approval file.
        lock_of: the state lock of an initialised directory; None where Terraform has to take its own.
        apply_environment_of: the process environment for an environment's apply.
        retried_at: when each environment was last asked to be retried.
        acts: False for a pass that only says what would be done.
    """

    leases: Leases
    attempts: Attempts
    holder: str
    machine: Mapping[str, str]
    alive_here: Callable[[Mapping[str, Any]], bool | None]
    approvals_of: Callable[[EnvironmentSettings, Closure, Baseline | None, str | None], Approvals]
    lock_of: Callable[[Backend | None, str, Mapping[str, str]], StateLock | None]
    apply_environment_of: Callable[[EnvironmentSettings], Mapping[str, str]]
    retried_at: Mapping[str, datetime]
    acts: bool


def leased(
    authority: Authority, settings: EnvironmentSettings, clock: Clock, fence: Callable[[], None]
) -> AbstractContextManager[Callable[[], bool] | None]:
    """Hold an environment's lease; see `hold`.

    Args:
        fence: called when the lease is lost: whatever runs for this environment must end, because another
            reconciler may take over.
    """
    ttl_seconds = settings.policy.lease.total_seconds()
    return hold(authority.leases, settings.name, authority.holder, ttl_seconds, clock, fence)


def close_dead_attempts(
    authority: Authority,
    settings: EnvironmentSettings,
    clock: Clock,
    run_id: str,
    ready: Callable[[], WorkingDirectory],
    engine: Engine,
    fence: Callable[[], None],
) -> tuple[str, ...]:
    """End what earlier reconcilers left unfinished; a sentence about each.

    Args:
        ready: gives the initialised working directory, with an apply's credentials; asked only if there is something
            to end.

    Raises:
        EnvironmentFault: something of it may still be running.
    """
    if not authority.attempts.unfinished(settings.name):
        return ()
    with leased(authority, settings, clock, fence) as ours:
        if ours is None:
            raise TransientFault(
                ErrorKind.LOCKED, "Another reconciler is applying here right now; the next run looks again."
            )
        work = ready()
        lock = authority.lock_of(engine.backend(work), work.workspace, work.environment)
        return tuple(
            close_dead(
                replace(attempt, run_id=run_id),
                run_id=run_id,
                attempts=authority.attempts,
                lock=lock,
                force_unlock=lambda lock_id: engine.force_unlock(work, lock_id),
                alive_here=authority.alive_here,
                now=clock.now(),
            )
            for attempt in authority.attempts.unfinished(settings.name)
        )


def new_attempt(
    authority: Authority,
    settings: EnvironmentSettings,
    classification: Classification,
    *,
    commit: str,
    run_id: str,
    retry: int,
    now: datetime,
    approvals: Approvals,
    approval: str | None,
    first_apply: bool,
) -> Attempt:
    """An attempt to apply one classified plan, with an id for the state lock and the proof of its approval.

    Args:
        approval: the id of the merged approval file for exactly this plan, which the apply uses up.
        first_apply: the environment had nothing before this attempt or before an earlier one that did not end well.
    """
    assert classification.plan_fingerprint is not None  # nothing planned is never decided to be applied
    data = {
        "lock_id": str(uuid.uuid4()),
        **authority.machine,
        "first_apply": first_apply,
        "approval": approval,
        "approved": list(approvals.reasons),
        "approved_by": [dict(who) for who in approvals.by],
        "planned": {r.address: list(r.actions) for r in classification.resources if r.actions not in ((), ("no-op",))},
    }
    return Attempt(
        id=uuid.uuid4().hex,
        environment=settings.name,
        commit=commit,
        plan_fingerprint=classification.plan_fingerprint,
        drift_fingerprint=classification.drift_fingerprint,
        run_id=run_id,
        state=AttemptState.OPEN,
        opened_at=now,
        data=data,
        retry=retry,
    )


def apply_decided(
    authority: Authority,
    settings: EnvironmentSettings,
    engine: Engine,
    plan: Plan,
    *,
    attempt: Attempt,
    closure_key: str,
    key: bytes,
    clock: Clock,
    still_ours: Callable[[], bool],
    earlier: Sequence[Attempt],
) -> Outcome:
    """Apply what was decided, if the plan is still that one.

    Args:
        earlier: the environment's earlier attempts.
        plan: the plan that was decided on; its working directory is used again, with the apply's credentials.
    """
    work = replace(plan.work, environment=authority.apply_environment_of(settings))
    planner = _Planner(engine, work, closure_key, key)
    lock = authority.lock_of(engine.backend(work), work.workspace, work.environment)
    _release_what_came_late(lock, earlier, lambda lock_id: engine.force_unlock(work, lock_id))
    means = Means(
        attempts=authority.attempts,
        lock=lock,
        lock_timeout_seconds=settings.policy.lock_timeout.total_seconds(),
        plan_again=planner.plan_again,
        apply=planner.apply,
        still_ours=still_ours,
        now=clock.now,
    )
    return act(attempt, means)


def _release_what_came_late(
    lock: StateLock | None, earlier: Sequence[Attempt], force_unlock: Callable[[str], None]
) -> None:
    """Release a lock whose request outlived the attempt that sent it: it appeared after that attempt was ended as dead.

    Call it only while holding the environment's lease.
    """
    dead = {attempt.data.get("lock_id") for attempt in earlier if attempt.data.get("reason") == "died"}
    if lock is None or not dead:
        return
    with suppress(EnvironmentFault):  # what keeps the lock from being seen or released keeps it from being taken, too
        holder = lock.holder()
        if holder is not None and holder.id in dead:
            force_unlock(holder.id)


class _Planner:
    """Plans again under the lock, and applies the file of that very plan."""

    def __init__(self, engine: Engine, work: WorkingDirectory, closure_key: str, key: bytes) -> None:
        self._engine, self._work, self._closure_key, self._key = engine, work, closure_key, key
        self._plan: Plan | None = None

    def plan_again(self, lock_timeout_seconds: float | None) -> str | None:
        self._plan = make_plan(
            self._engine,
            self._work,
            self._closure_key,
            user_directory=None,
            lock_timeout_seconds=lock_timeout_seconds,
        )
        document = self._plan.document
        return plan_fingerprint(document, self._key) if document else None

    def apply(
        self, lock_timeout_seconds: float | None, started: Callable[[int], None], progress: Callable[[str, str], None]
    ) -> ApplyRun:
        assert self._plan is not None  # `act` applies only what it has planned again
        return self._engine.apply(
            self._plan.work,
            self._plan.file,
            lock_timeout_seconds=lock_timeout_seconds,
            on_start=started,
            on_outcome=progress,
        )
