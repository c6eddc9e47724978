"""Applies on a platform: a run that holds after its plan, confirmed as what was approved, or discarded.

Before each step what was made by the one before is recorded, so that a run that waits is found again after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from driftguard.adapters.process import Stop
from driftguard.adapters.tfe import logs
from driftguard.adapters.tfe.client import Missing, Unanswered, wait
from driftguard.adapters.tfe.engine import PlatformPlanner, settle
from driftguard.adapters.tfe.shapes import Run, Workspace
from driftguard.adapters.tfe.workspaces import RemoteWorkspace
from driftguard.errors import EnvironmentFault, TransientFault, WaitsElsewhere
from driftguard.model import ErrorKind, Fault
from driftguard.ports import ApplyEngine, ApplyProgress, ApplyRun, AttemptNotes, PlanRun, WorkingDirectory

_POLL_SECONDS: Final = 1.0
_CONFIRM_POLLS: Final = 5
_GRACE_SECONDS: Final = 120.0


class PlatformApplier(PlatformPlanner, ApplyEngine):
    """The same workspace, in which runs may also be confirmed.

    Args:
        notes: records what an attempt makes; None outside of one.
        held: the run that an earlier attempt at the same plan left waiting for a decision on the platform.
    """

    def __init__(
        self,
        remote: RemoteWorkspace,
        settings: Workspace,
        stop: Stop,
        notes: AttemptNotes | None = None,
        held: str | None = None,
    ) -> None:
        super().__init__(remote, settings, stop)
        self._notes, self._held = notes, held
        self._made_here: dict[str, str] = {}
        self._makes_attempt = False

    def recording(self, notes: AttemptNotes, held: Mapping[str, str] | None) -> ApplyEngine:
        """The same for one attempt."""
        return PlatformApplier(self._remote, self._settings, self._stop, notes, (held or {}).get("run"))

    def _note(self, **made: str) -> None:
        if self._notes is None or not self._makes_attempt:
            return
        self._made_here |= made
        self._notes.made(dict(self._made_here))

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """A plan-only run; with a lock timeout a run that holds after its plan, and so holds the workspace.

        Raises:
            WaitsElsewhere: manual action is required on the platform before it could be confirmed; it stays there.
        """
        if lock_timeout_seconds is None:
            return super().plan(work, plan_file)
        self.withdraw()
        started = time.monotonic()
        workspace = self._at_hand()
        if workspace.applies_itself:
            raise EnvironmentFault(
                ErrorKind.CONFIG,
                f"The workspace {workspace.name} applies by itself (auto-apply, or a VCS connection), so nothing is "
                "applied there.",
            )
        identity, state = self._remote.state(workspace.id)
        self._store(plan_file, state)
        self._makes_attempt = True
        try:
            run = self._waiting_before() or self._made(workspace, work, plan_only=False)
            self._made_here |= {"run": run.id}
            run = self._planned(run, work)
            if run.waiting:
                self._made_here = {}
                raise WaitsElsewhere(
                    ErrorKind.PLATFORM, f"the run waits on the platform ({run.status}): {self.page(run.id)}"
                )
            text = self._plan_text(run, state)
        except WaitsElsewhere:
            raise
        except EnvironmentFault:
            self.withdraw()
            raise
        finally:
            self._makes_attempt = False
        self._write_plan(plan_file, text)
        return self._plan_run(run, text, identity, time.monotonic() - started)

    def _waiting_before(self) -> Run | None:
        """The run that an earlier attempt left waiting; None where there is none any more."""
        if self._held is None:
            return None
        held, self._held = self._held, None
        with suppress(Missing):
            run = self._remote.run(held)
            if not run.ended and not run.plan_only:
                self._note(run=run.id, url=self.page(run.id))
                return run
        return None

    def withdraw(self) -> None:
        """Discard the run that the last plan left, if it holds; one that is confirmed is left alone."""
        made, self._made_here = self._made_here, {}
        if made:
            with suppress(EnvironmentFault):
                self.settle(made)

    def settle(self, left: Mapping[str, str]) -> bool:
        """Discard what an attempt that is over left waiting; whether it had been confirmed.

        Raises:
            TransientFault: `locked`: it is applying there right now.
        """
        remote, stop = self._remote.stopped_by(Stop()), Stop()
        run_id = left.get("run")
        if run_id is None:
            configuration = left.get("configuration_version")
            found = remote.of_configuration(self._settings.id, configuration) if configuration else None
            if found is None:
                return False
            run_id = found.id
        try:
            run = settle(remote, run_id, "DriftGuard: this plan is not applied")
        except Missing:
            return False
        for _ in range(_CONFIRM_POLLS):
            if run.ended:
                return run.confirmed
            wait(_POLL_SECONDS, stop)
            run = remote.run(run_id)
        raise TransientFault(
            ErrorKind.LOCKED,
            f"A run that DriftGuard confirmed is still applying: {self.page(run_id)}.",
        )

    def apply(
        self,
        work: WorkingDirectory,
        plan_file: Path,
        *,
        lock_timeout_seconds: float | None,
        progress: ApplyProgress,
    ) -> ApplyRun:
        """Confirm the run whose plan was compared, and follow it to its end."""
        started = time.monotonic()
        run_id = self._made_here.get("run")
        if run_id is None:
            raise EnvironmentFault(ErrorKind.INTERNAL, "There is no run that could be confirmed; nothing was applied.")
        run = self._confirmed(run_id, work.title)
        if run is None:
            self.withdraw()
            text = f"The run could not be confirmed any more, so nothing was applied: {self.page(run_id)}"
            return ApplyRun({}, Fault(ErrorKind.PLATFORM, text), time.monotonic() - started)
        self._made_here = {}
        run, fault = self._to_the_end(run, work)
        log = self._remote.stopped_by(Stop()).log("applies", run.apply) if run.apply else ""
        outcomes = logs.outcomes(log)
        for address, word in outcomes.items():
            progress.outcome(address, word)
        if fault is None and run.status != "applied":
            failed = logs.failure("terraform apply", log, self._stored(plan_file), self.page(run.id))
            fault = Fault(failed.kind, failed.message)
        return ApplyRun(outcomes, fault, time.monotonic() - started, cut_off=not run.ended)

    def _confirmed(self, run_id: str, title: str) -> Run | None:
        """Confirm a run; None where it cannot be confirmed. Whether it was is what its state shows."""
        run = self._remote.run(run_id)
        if not run.confirmable:
            return None
        with suppress(Unanswered):  # its state shows whether it arrived
            self._remote.act(run_id, "apply", f"DriftGuard: approved, {title}")
        for _ in range(_CONFIRM_POLLS):
            run = self._remote.stopped_by(Stop()).run(run_id)
            if run.confirmed or not run.confirmable:
                break
            wait(_POLL_SECONDS, Stop())
        return None if run.confirmable or run.status in ("discarded", "canceled") else run

    def _to_the_end(self, run: Run, work: WorkingDirectory) -> tuple[Run, Fault | None]:
        """Follow an apply. A stop asks the platform to cancel it, and waits for that a while."""
        remote, never = self._remote.stopped_by(Stop()), Stop()
        until, fault = time.monotonic() + work.timeout_seconds, None
        while not run.ended:
            late = time.monotonic() > until
            if fault is not None and late:
                return run, fault
            if fault is None and (late or self._stop.requested):
                kind = ErrorKind.INTERRUPTED if self._stop.requested else ErrorKind.TIMEOUT
                fault = Fault(kind, f"The apply was asked to end: {self.page(run.id)}")
                until = time.monotonic() + _GRACE_SECONDS
                with suppress(EnvironmentFault):
                    remote.act(run.id, "cancel", "DriftGuard was stopped, or the time for the apply is over")
            wait(_POLL_SECONDS, never)
            with suppress(TransientFault):  # the apply goes on without an answer, too
                run = remote.run(run.id)
        return run, fault if run.status != "applied" else None

    def force_unlock(self, work: WorkingDirectory, lock_id: str) -> None:
        """Never: no lock of a workspace is DriftGuard's. EnvironmentFault."""
        raise EnvironmentFault(ErrorKind.LOCKED, "The lock of a workspace is the platform's; nothing was unlocked.")
