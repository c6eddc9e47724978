"""Acting on one environment: the lease, the attempt, the apply, the proof that it took."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftguard.config import EnvironmentSettings
from driftguard.errors import DriftGuardError
from driftguard.model import Attempt, AttemptState, Classification, Lease
from driftguard.pipeline.act import Means, Outcome, act
from driftguard.pipeline.classify.fingerprints import plan_fingerprint
from driftguard.pipeline.plan import Plan, make_plan
from driftguard.ports import ApplyRun, Attempts, Backend, Clock, Engine, Leases, StateLock, WorkingDirectory


@dataclass(frozen=True, slots=True)
class Authority:
    """What a pass needs to act, besides what it needs to look.

    Attributes:
        holder: who this process is, unique among all reconcilers of the ledger.
        machine: facts that tell later whether this machine still runs what was started.
        alive_here: whether what an attempt recorded still runs; None when it was started on another machine.
        lock_of: the state lock of an initialised directory; None where Terraform has to take its own.
        apply_environment_of: the process environment for an environment's apply.
    """

    leases: Leases
    attempts: Attempts
    holder: str
    machine: Mapping[str, str]
    alive_here: Callable[[Mapping[str, Any]], bool | None]
    lock_of: Callable[[Backend | None, str, Mapping[str, str]], StateLock | None]
    apply_environment_of: Callable[[EnvironmentSettings], Mapping[str, str]]


@contextmanager
def leased(
    authority: Authority, settings: EnvironmentSettings, clock: Clock, fence: Callable[[], None]
) -> Iterator[Callable[[], bool] | None]:
    """Hold an environment's lease with a heartbeat; yields whether it is still held, or None if another has it.

    Args:
        fence: called when the lease is lost: whatever runs for this environment must end, because another
            reconciler may take over.
    """
    ttl_seconds = settings.policy.lease.total_seconds()
    lease = authority.leases.acquire(settings.name, authority.holder, clock.now(), ttl_seconds)
    if lease is None:
        yield None
        return
    heart = _Heart(authority.leases, lease, clock, ttl_seconds, fence)
    heart.start()
    try:
        yield heart.beating
    finally:
        heart.stop()


class _Heart:
    """Renews a lease from a thread of its own until told to stop."""

    def __init__(
        self, leases: Leases, lease: Lease, clock: Clock, ttl_seconds: float, fence: Callable[[], None]
    ) -> None:
        self._leases, self._lease, self._clock = leases, lease, clock
        self._ttl_seconds, self._fence = ttl_seconds, fence
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, name=f"lease of {lease.environment}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beating(self) -> bool:
        return not self._lost

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self._leases.release(self._lease)

    def _beat(self) -> None:
        while not self._ended.wait(self._ttl_seconds / 3):
            try:
                renewed = self._leases.renew(self._lease, self._clock.now(), self._ttl_seconds)
            except DriftGuardError:
                # The ledger is away; it may be back before the lease runs out.
                renewed = self._lease if self._clock.now() < self._lease.expires_at else None
            if renewed is None:
                self._lost = True
                self._fence()
                return
            self._lease = renewed


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
) -> Outcome:
    """Apply what was decided, if the plan is still that one.

    Args:
        plan: the plan that was decided on; its working directory is used again, with the apply's credentials.
    """
    work = _for_apply(plan.work, authority.apply_environment_of(settings))
    lock = authority.lock_of(engine.backend(work), work.workspace, work.environment)
    made: list[Plan] = []

    def plan_again(lock_timeout_seconds: float | None) -> str | None:
        again = make_plan(engine, work, closure_key, user_directory=None, lock_timeout_seconds=lock_timeout_seconds)
        made.append(again)
        return plan_fingerprint(again.document, key) if again.document else None

    def apply(
        lock_timeout_seconds: float | None, started: Callable[[int], None], progress: Callable[[str, str], None]
    ) -> ApplyRun:
        return engine.apply(
            work, made[-1].file, lock_timeout_seconds=lock_timeout_seconds, on_start=started, on_outcome=progress
        )

    means = Means(
        attempts=authority.attempts,
        lock=lock,
        lock_timeout_seconds=settings.policy.lock_timeout.total_seconds(),
        plan_again=plan_again,
        apply=apply,
        still_ours=still_ours,
        now=clock.now,
    )
    return act(attempt, means)


def _for_apply(work: WorkingDirectory, environment: Mapping[str, str]) -> WorkingDirectory:
    from dataclasses import replace

    return replace(work, environment=environment)


def new_attempt(
    settings: EnvironmentSettings,
    classification: Classification,
    *,
    commit: str,
    run_id: str,
    retry: int,
    now: datetime,
    data: Mapping[str, Any],
) -> Attempt:
    """An attempt to apply one classified plan, with an id for the state lock."""
    assert classification.plan_fingerprint is not None  # nothing planned is never decided to be applied
    return Attempt(
        id=uuid.uuid4().hex,
        environment=settings.name,
        commit=commit,
        plan_fingerprint=classification.plan_fingerprint,
        drift_fingerprint=classification.drift_fingerprint,
        run_id=run_id,
        state=AttemptState.OPEN,
        opened_at=now,
        data={"lock_id": str(uuid.uuid4()), **data},
        retry=retry,
    )
