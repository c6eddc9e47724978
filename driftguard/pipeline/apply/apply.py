"""Applies exactly what was decided, once, and leaves a record of it before, during and after.

Takes an `ApplyContext` and a `DecidedPlan`; gives an `Outcome`. Promises that nothing is changed without a durable
attempt, and nothing but the plan that the attempt names: the environment is planned again under the state lock, and
any difference voids the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from driftguard.config import EnvironmentSettings
from driftguard.errors import DriftGuardError, EnvironmentFault, WaitsElsewhere
from driftguard.model import Attempt, AttemptState, ErrorKind, Fault, OutputChange, ResourceChange, rows
from driftguard.model.reasons import ReasonName
from driftguard.pipeline.apply.lease import HeldLease, hold
from driftguard.pipeline.classify.fingerprints import plan_fingerprint
from driftguard.pipeline.plan import Plan, make_plan
from driftguard.pipeline.record import attempt_opened_entry, attempt_step
from driftguard.ports import (
    ERRORED_STATE,
    ApplyEngine,
    ApplyRun,
    Attempts,
    Clock,
    Leases,
    Machine,
    StateLock,
    StateLocks,
    StopSignal,
    TerraformVariables,
    TrackedHead,
    UnwrittenStates,
    WorkingDirectory,
)
from driftguard.sealed import mask


@dataclass(frozen=True, slots=True)
class ApplyContext:
    """What all applies of one run share. A scan has none.

    Attributes:
        holder: the name of this process as a holder of leases, unique among all reconcilers of the ledger.
        variables: give Terraform the credentials for an apply.
        key: the secret for keyed digests.
        head: asked once more before an attempt is opened.
        states: keeps the states that could not be stored.
    """

    run_id: str
    holder: str
    leases: Leases
    attempts: Attempts
    locks: StateLocks
    machine: Machine
    variables: TerraformVariables
    clock: Clock
    key: bytes
    head: TrackedHead
    states: UnwrittenStates

    def moved(self, commit: str) -> Fault | None:
        """Why nothing is begun at a commit any more: the tracked branch moved on, or cannot be asked; else None."""
        try:
            now = self.head.current_head()
        except DriftGuardError as error:
            return Fault(ErrorKind.INTERNAL, f"the tracked branch could not be asked again ({mask(str(error))})")
        if now == commit:
            return None
        return Fault(ErrorKind.CONFIG, f"the tracked branch is at {now[:10] if now else 'no commit'} now")

    def leased(self, settings: EnvironmentSettings, stop: StopSignal) -> AbstractContextManager[HeldLease | None]:
        """Hold an environment's lease; yields None while another reconciler has it.

        Args:
            stop: ends what runs for this environment; requested when the lease is lost, because another reconciler
                may take over.
        """
        ttl_seconds = settings.policy.lease.total_seconds()
        return hold(self.leases, settings.name, self.holder, ttl_seconds, self.clock, stop)


class MovingBaseline(Protocol):
    """The environment's baseline, which follows a complete apply."""

    def move(self) -> None:
        """Move it to what was just applied."""
        ...


@dataclass(frozen=True, slots=True)
class DecidedPlan:
    """One environment's plan that is to be applied.

    Attributes:
        work: a clean working directory at the path that the plan was made in, with the apply's credentials.
        closure_key: the closure's `init_key`.
        labelled: the resources and outputs of the plan that was decided on.
        attempt: not yet recorded; its data names the `lock_id` under which the state lock is taken.
        baseline: is moved before the end of a complete apply is recorded.
        held: what an earlier attempt at the same plan left waiting on a platform.
    """

    settings: EnvironmentSettings
    engine: ApplyEngine
    work: WorkingDirectory
    closure_key: str
    attempt: Attempt
    baseline: MovingBaseline
    labelled: Sequence[ResourceChange | OutputChange] = ()
    held: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        reason: `APPLIED`, `APPLY_FAILED`, `STATE_NOT_WRITTEN`, or why nothing was applied.
        fault: why an apply did not end well.
    """

    attempt: Attempt
    reason: ReasonName
    fault: Fault | None = None


def apply(context: ApplyContext, decided: DecidedPlan, lease: HeldLease, ended_lock_ids: frozenset[str]) -> Outcome:
    """Apply what was decided, if the plan is still that one.

    Args:
        lease: the environment's.
        ended_lock_ids: ids of the state locks of attempts that ended; see `_release_late_lock`.
    """
    work = decided.work
    left = work.directory / ERRORED_STATE
    if left.exists():  # by an attempt that another machine closed, because this one did not come back
        found = f"an earlier apply left it: `terraform state push {left}`, then delete that file"
        return Outcome(decided.attempt, ReasonName.STATE_NOT_WRITTEN, Fault(ErrorKind.CONFIG, found))
    decided.engine.prepare(work, decided.closure_key)
    lock = context.locks.of(decided.engine.backend(work), work.workspace, work.environment)
    _release_late_lock(lock, ended_lock_ids, decided.engine, work)
    return _Attempting(context, decided, lock, lease).outcome()


def _release_late_lock(
    lock: StateLock | None, ended_lock_ids: frozenset[str], engine: ApplyEngine, work: WorkingDirectory
) -> None:
    """Release a lock that outlived its attempt: it appeared after that was ended as dead, or could not be released.

    Call it only while holding the environment's lease.
    """
    if lock is None or not ended_lock_ids:
        return
    with suppress(EnvironmentFault):  # what keeps the lock from being seen or released keeps it from being taken, too
        holder = lock.holder()
        if holder is not None and holder.id in ended_lock_ids:
            engine.force_unlock(work, holder.id)


@dataclass(frozen=True, slots=True)
class _End:
    """How an attempt ended, before that is recorded."""

    state: AttemptState
    reason: ReasonName
    data: Mapping[str, Any]
    fault: Fault | None = None


class _Attempting:
    """One attempt: lock, plan again, compare, apply, unlock, record.

    Args:
        lock: the state lock, if it is one that can be taken under an id of ours; else Terraform takes its own.
    """

    def __init__(self, context: ApplyContext, decided: DecidedPlan, lock: StateLock | None, lease: HeldLease) -> None:
        self._context = context
        self._attempts, self._clock, self._key = context.attempts, context.clock, context.key
        self._decided, self._work, self._lock, self._lease = decided, decided.work, lock, lease
        notes = _PlatformNotes(context.attempts, decided.attempt, context.clock)
        self._engine = decided.engine.recording(notes, decided.held)
        self._lock_seconds = decided.settings.policy.lock_timeout.total_seconds()
        # How long Terraform waits for a lock of its own; None where the lock is ours.
        self._terraform_lock_seconds = None if lock is not None else self._lock_seconds

    def outcome(self) -> Outcome:
        attempt = self._decided.attempt
        moved = self._context.moved(attempt.commit)
        if moved is not None:
            return Outcome(attempt, ReasonName.HEAD_MOVED, moved)
        if not self._attempts.open(attempt, attempt_opened_entry(attempt)):
            return Outcome(attempt, ReasonName.ALREADY_ATTEMPTED)
        lock_id = str(attempt.data["lock_id"])
        try:
            end = self._ended(lock_id)
        finally:
            self._unlock(lock_id)
        # The end is recorded last: an attempt that dies before is found unfinished, and its lock is released. Others
        # wait for it, so none of them compares the new state with the old baseline.
        try:
            if end.reason is ReasonName.APPLIED:
                self._decided.baseline.move()
        finally:
            recorded = self._step(attempt, end.state, end.data)
        return Outcome(recorded, end.reason, end.fault)

    def _step(self, attempt: Attempt, state: AttemptState, data: Mapping[str, Any]) -> Attempt:
        return self._attempts.advance(attempt.id, attempt_step(attempt, state, self._clock.now(), data))

    def _ended(self, lock_id: str) -> _End:
        try:
            if self._lock is not None:
                self._lock.take(lock_id, self._lock_seconds)
            plan = self._planned_again()
            if self._fingerprint(plan) != self._decided.attempt.plan_fingerprint:
                return _void(ReasonName.PLAN_CHANGED, None)
            if not self._lease.still_held():
                return _void(ReasonName.LEASE_LOST, None)
            return self._applied(plan)
        except WaitsElsewhere as fault:
            return _void(ReasonName.WAITS_ON_PLATFORM, Fault(fault.kind, fault.message))
        except EnvironmentFault as fault:
            reason = ReasonName.LOCKED if fault.kind is ErrorKind.LOCKED else ReasonName.NOT_PLANNED
            return _void(reason, Fault(fault.kind, fault.message))
        finally:
            self._engine.withdraw()

    def _unlock(self, lock_id: str) -> None:
        if self._lock is None:
            return
        # What was done here is recorded in any case; a lock that stays is released before the next attempt.
        with suppress(EnvironmentFault):
            self._lock.release(lock_id)

    def _planned_again(self) -> Plan:
        return make_plan(
            self._engine,
            self._work,
            self._decided.closure_key,
            user_directory=None,
            lock_timeout_seconds=self._terraform_lock_seconds,
        )

    def _fingerprint(self, plan: Plan) -> str | None:
        # The decided plan names the restless values: they stand as marks in both fingerprints.
        labelled = self._decided.labelled
        return plan_fingerprint(plan.document, self._key, labelled) if plan.document else None

    def _applied(self, plan: Plan) -> _End:
        applying = self._step(self._decided.attempt, AttemptState.APPLYING, {})
        try:
            run = self._engine.apply(
                plan.work,
                plan.file,
                lock_timeout_seconds=self._terraform_lock_seconds,
                progress=_AttemptProgress(self._attempts, applying, self._clock),
            )
        except EnvironmentFault as fault:
            run = ApplyRun({}, Fault(fault.kind, fault.message), 0.0)
        data: dict[str, Any] = {
            "resources": dict(run.outcomes),
            "cut_off": run.cut_off,
            "seconds": round(run.seconds, 3),
            "error": {"kind": run.fault.kind.value, "message": run.fault.message} if run.fault else None,
        }
        kept = unwritten_state(self._context, applying.id, plan.work)
        if kept is not None:
            message = f"{kept.text}; {run.fault.message}" if run.fault else kept.text
            why = Fault(run.fault.kind if run.fault else ErrorKind.PLAN, message)
            return _End(AttemptState.FAILED, ReasonName.STATE_NOT_WRITTEN, {**data, **not_written(kept)}, why)
        if run.fault is not None:
            return _End(AttemptState.FAILED, ReasonName.APPLY_FAILED, data, run.fault)
        return _End(AttemptState.SUCCEEDED, ReasonName.APPLIED, data)


def _void(reason: ReasonName, fault: Fault | None) -> _End:
    """Nothing was changed; the next run decides anew."""
    return _End(AttemptState.VOID, reason, {"reason": reason.value, "error": fault.message if fault else None}, fault)


def unwritten_state(context: ApplyContext, attempt: str, work: WorkingDirectory) -> rows.UnwrittenStateRow | None:
    """The state that an attempt could not store, and where it is kept now; None where it stored it.

    Raises:
        OperatorError: it cannot be kept; the attempt stays open, so that nothing is applied until it can be.
    """
    kept = context.states.keep(attempt, work.directory)
    if kept is None:
        return None
    host = context.machine.identity().get("host", "")
    return rows.UnwrittenStateRow(str(kept.file), host, kept.identity.lineage, kept.identity.serial)


def not_written(kept: rows.UnwrittenStateRow) -> Mapping[str, Any]:
    """What an attempt records of a state that it could not store."""
    return {"reason": ReasonName.STATE_NOT_WRITTEN.value, "state_not_written": msgspec.to_builtins(kept)}


class _PlatformNotes:
    """Records in an attempt what it makes on a platform; a `ports.AttemptNotes`."""

    def __init__(self, attempts: Attempts, attempt: Attempt, clock: Clock) -> None:
        self._attempts, self._attempt, self._clock = attempts, attempt, clock

    def made(self, what: Mapping[str, str]) -> None:
        step = attempt_step(self._attempt, AttemptState.OPEN, self._clock.now(), {"platform": dict(what)})
        self._attempts.advance(self._attempt.id, step)


class _AttemptProgress:
    """Notes the progress of an apply in its attempt; a `ports.ApplyProgress`."""

    def __init__(self, attempts: Attempts, applying: Attempt, clock: Clock) -> None:
        self._attempts, self._applying, self._clock = attempts, applying, clock

    def started(self, process_group: int) -> None:
        self._note({"process_group": process_group})

    def outcome(self, address: str, word: str) -> None:
        self._note({"resource": {address: word}})

    def _note(self, data: Mapping[str, Any]) -> None:
        # An apply under way is not ended because the ledger is away for a moment; its end is recorded or fails.
        with suppress(DriftGuardError):
            step = attempt_step(self._applying, AttemptState.APPLYING, self._clock.now(), data)
            self._attempts.advance(self._applying.id, step)
