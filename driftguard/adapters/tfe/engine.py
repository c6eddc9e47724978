"""Plans and applies in a workspace of a platform, where Terraform runs there: no program is needed here.

A scan makes plan-only runs of speculative configuration versions: they wait for nothing, lock nothing, and cannot be
applied. An apply makes a run that holds after its plan, and confirms it only as what was approved.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from driftguard.adapters.process import Stop
from driftguard.adapters.terraform.files import lock_file_versions
from driftguard.adapters.tfe import logs
from driftguard.adapters.tfe.archive import archive
from driftguard.adapters.tfe.client import wait
from driftguard.adapters.tfe.shapes import Run, Workspace
from driftguard.adapters.tfe.workspaces import RemoteWorkspace
from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind, ToolVersion
from driftguard.ports import Backend, PlanEngine, PlanRun, StateIdentity, StreamDrift, WorkingDirectory

_FIRST_POLL_SECONDS: Final = 0.25
_MAX_POLL_SECONDS: Final = 8.0
_NO_ACTION: Final = {"no-op"}


class _Changes(msgspec.Struct):
    actions: tuple[str, ...] = ()
    importing: Any = None


class _Item(msgspec.Struct):
    address: str = ""
    type: str = ""
    provider_name: str = ""
    previous_address: str | None = None
    change: _Changes = msgspec.field(default_factory=_Changes)

    @property
    def planned(self) -> bool:
        return bool(set(self.change.actions) - _NO_ACTION or self.previous_address or self.change.importing)


class _Outline(msgspec.Struct):
    """What of a plan decides whether it changes anything."""

    resource_changes: tuple[_Item, ...] = ()
    resource_drift: tuple[_Item, ...] = ()
    output_changes: dict[str, _Changes] = {}
    action_invocations: tuple[Any, ...] = ()
    applyable: bool = False

    @property
    def changes(self) -> bool:
        outputs = any(set(change.actions) - _NO_ACTION for change in self.output_changes.values())
        return (
            self.applyable or outputs or bool(self.action_invocations) or any(i.planned for i in self.resource_changes)
        )


class PlatformPlanner(PlanEngine):
    """A workspace with remote execution, as far as nothing is changed there.

    Args:
        remote: the workspace.
        settings: what it was when the environment's run began.
    """

    def __init__(self, remote: RemoteWorkspace, settings: Workspace, stop: Stop) -> None:
        self._remote, self._settings, self._stop = remote, settings, stop

    def version(self) -> ToolVersion:
        """The Terraform that the workspace runs."""
        return ToolVersion("terraform", self._settings.version, "")

    def cpu_seconds(self) -> float:
        """None are spent here."""
        return 0.0

    def process_environment(self, work: WorkingDirectory) -> Mapping[str, str]:
        """The variables of this side; those of the run are the platform's."""
        return work.environment

    def formatted(self, work: WorkingDirectory, text: bytes) -> bytes:
        """The text as it is: there is no program here that formats."""
        return text

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        """Nothing: the platform initialises each run."""
        return 0.0

    def initialised(self, work: WorkingDirectory) -> bool:
        """Never: there is nothing here that a probe could look at."""
        return False

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Nothing is recorded here."""

    def backend(self, work: WorkingDirectory) -> Backend | None:
        """The workspace, as the backend `remote` names it."""
        place = self._remote.place
        where = {"hostname": place.host, "organization": place.organization, "workspace": place.name}
        return Backend("remote", where)

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        """Versions of the providers in the committed lock file; empty without one."""
        return lock_file_versions(work.directory) if work.lock_committed else {}

    def schemas(self, work: WorkingDirectory) -> bytes:
        """Never: the platform does not give the schemas of providers. EnvironmentFault (`platform`)."""
        raise EnvironmentFault(ErrorKind.PLATFORM, "the platform does not give them")

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """A plan-only run, which needs no lock; `plan_file` gets its JSON."""
        started = time.monotonic()
        workspace = self._at_hand()
        identity, state = self._remote.state(workspace.id)
        self._store(plan_file, state)
        run = self._made(workspace, work, plan_only=True)
        try:
            run = self._planned(run, work)
        except EnvironmentFault:
            self._abandon(run.id)
            raise
        text = self._plan_text(run, state)
        self._write_plan(plan_file, text)
        return self._plan_run(run, text, identity, time.monotonic() - started)

    def _at_hand(self) -> Workspace:
        """The workspace as it is now."""
        workspace = self._remote.read()
        if not workspace.is_remote:
            raise TransientFault(
                ErrorKind.PLATFORM,
                f"The workspace {workspace.name} was switched to local execution during the run, so nothing was "
                "planned. The next run plans here.",
            )
        return workspace

    def _made(self, workspace: Workspace, work: WorkingDirectory, *, plan_only: bool) -> Run:
        """Upload the commit's tree and make a run of it."""
        content = archive(work, workspace.directory)
        configuration, address = self._remote.configuration(workspace.id, speculative=plan_only)
        self._remote.upload(configuration, address, content)
        self._note(configuration_version=configuration)
        what = "scan" if plan_only else "apply"
        run = self._remote.start(workspace.id, configuration, f"DriftGuard {what} of {work.title}", plan_only=plan_only)
        self._note(run=run.id, url=self.page(run.id))
        return run

    def _note(self, **made: str) -> None:
        """Record what was made: of a plan-only run nothing has to be found again."""

    def page(self, run: str) -> str:
        """The page of a run."""
        return self._remote.place.page(run)

    def _planned(self, run: Run, work: WorkingDirectory) -> Run:
        """Follow a run until its plan stands, or will not."""
        return Following(self._remote, self._stop).until_planned(run, work)

    def _plan_text(self, run: Run, state: bytes) -> bytes:
        """The plan of a run that stands. Raises what a run that failed amounts to."""
        page = self.page(run.id)
        if run.status in ("canceled", "force_canceled", "discarded"):
            raise TransientFault(ErrorKind.PLATFORM, f"The run was ended on the platform ({run.status}): {page}")
        text = b"" if run.failed or run.plan is None else self._remote.plan_json(run.plan)
        if not text.strip():
            log = self._remote.log("plans", run.plan) if run.plan else ""
            raise logs.failure("terraform plan", log, state, page)
        return text

    def _plan_run(self, run: Run, text: bytes, identity: StateIdentity, seconds: float) -> PlanRun:
        try:
            found = msgspec.json.decode(text, type=_Outline)
        except msgspec.DecodeError:
            raise EnvironmentFault(
                ErrorKind.PLATFORM, f"The plan of the run is no JSON, so nothing was judged: {self.page(run.id)}"
            ) from None
        drifted = tuple(StreamDrift(i.address, i.type, i.provider_name) for i in found.resource_drift)
        return PlanRun(found.changes, drifted, identity, seconds, url=self.page(run.id))

    def _write_plan(self, plan_file: Path, text: bytes) -> None:
        _write(plan_file, text)

    def _store(self, plan_file: Path, state: bytes) -> None:
        """Keep the state that a plan is made from beside it."""
        _write(_state_file(plan_file), state)

    def _stored(self, plan_file: Path) -> bytes:
        return _state_file(plan_file).read_bytes()

    def _abandon(self, run: str) -> None:
        """Cancel or discard a run that is not waited for any more, also where this run is interrupted."""
        with suppress(EnvironmentFault):
            settle(self._remote.stopped_by(Stop()), run, "abandoned by DriftGuard")

    def show(self, work: WorkingDirectory, plan_file: Path) -> tuple[bytes, float]:
        """The plan's JSON."""
        return plan_file.read_bytes(), 0.0

    def state_in_plan(self, work: WorkingDirectory, plan_file: Path, *, refreshed: bool) -> bytes:
        """The state as it was stored when the run was made: a platform gives no refreshed one."""
        return self._stored(plan_file)

    def state_identity(self, work: WorkingDirectory) -> StateIdentity:
        """Lineage and serial of the state now."""
        return self._remote.state(self._settings.id)[0]


class Following:
    """Follows a run, within the time for its queue and the time for its work."""

    def __init__(self, remote: RemoteWorkspace, stop: Stop) -> None:
        self._remote, self._stop = remote, stop

    def until_planned(self, run: Run, work: WorkingDirectory) -> Run:
        """Until its plan stands: it ended, holds for a confirmation, or waits for a decision on the platform."""
        began, planning, pause = time.monotonic(), None, _FIRST_POLL_SECONDS
        while not (run.ended or run.confirmable or run.waiting):
            now = time.monotonic()
            if not run.queued and planning is None:
                planning = now
            if planning is None and now - began > work.queue_seconds:
                raise TransientFault(
                    ErrorKind.PLATFORM,
                    f"The run waited {work.queue_seconds:g} seconds and its plan did not begin ({run.status}); it was "
                    f"cancelled: {self._remote.place.page(run.id)}. Raise `tfe.queue_timeout`, or give the "
                    "organization more parallel runs.",
                )
            if planning is not None and now - planning > work.timeout_seconds:
                raise TransientFault(
                    ErrorKind.TIMEOUT,
                    f"The run did not end its plan within {work.timeout_seconds:g} seconds and was cancelled: "
                    f"{self._remote.place.page(run.id)}. If it needs longer, raise `timeout` for this environment.",
                )
            wait(pause, self._stop)
            pause = min(pause * 1.5, _MAX_POLL_SECONDS)
            run = self._remote.run(run.id)
        return run


def settle(remote: RemoteWorkspace, run_id: str, why: str) -> Run:
    """Discard or cancel a run that is to change nothing; the run as it is after that. One that is confirmed stays."""
    run = remote.run(run_id)
    for _ in range(3):
        if run.ended or run.confirmed or not (run.discardable or run.cancelable):
            return run
        with suppress(EnvironmentFault):  # too late, or done, or the answer was lost: its state decides
            remote.act(run.id, "discard" if run.discardable else "cancel", why)
        wait(_FIRST_POLL_SECONDS, Stop())
        run = remote.run(run_id)
    return run


def _state_file(plan_file: Path) -> Path:
    return plan_file.with_name(f"{plan_file.name}.state")


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
