"""A plan as it is kept for a probe, and the engine that gives it again.

Where a probe finds nothing changed, a plan now would be this one, so every later stage gets it as if it had
been made now: labels, ignore rules, policies and windows are judged anew.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, ToolVersion
from driftguard.pipeline.plan import Plan
from driftguard.ports import Backend, PlanEngine, PlanRun, StateIdentity, StreamDrift, WorkingDirectory


class RecordedPlan(msgspec.Struct, frozen=True):
    """One plan.

    Attributes:
        file: the saved plan.
        document: it as JSON text; None where nothing is planned.
        backend, settings: where the state lies; an empty type for a local state without a backend.
    """

    changes: bool
    drifted: tuple[StreamDrift, ...]
    lineage: str | None
    serial: int | None
    empty: bool
    file: bytes
    document: bytes | None
    providers: dict[str, str]
    backend: str
    settings: dict[str, Any]


def recorded(engine: PlanEngine, plan: Plan) -> bytes | None:
    """A plan as bytes; None for one that could not be given again (its file holds no readable state)."""
    if not zipfile.is_zipfile(plan.file):
        return None
    run, backend = plan.run, engine.backend(plan.work)
    kept = RecordedPlan(
        changes=run.changes,
        drifted=run.drifted,
        lineage=run.state.lineage,
        serial=run.state.serial,
        empty=run.state.empty,
        file=plan.file.read_bytes(),
        document=plan.text if run.changes else None,
        providers=dict(engine.providers(plan.work)),
        backend=backend.type if backend else "",
        settings=dict(backend.settings) if backend else {},
    )
    return msgspec.msgpack.encode(kept)


def read_recorded(content: bytes) -> RecordedPlan | None:
    """A plan from its bytes; None for those of another version."""
    try:
        return msgspec.msgpack.decode(content, type=RecordedPlan)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


class RecordedEngine(PlanEngine):
    """Gives a recorded plan as its own; it runs nothing.

    Args:
        tool: the program that made the plan.
    """

    def __init__(self, tool: ToolVersion, plan: RecordedPlan) -> None:
        self._tool, self._plan = tool, plan

    def version(self) -> ToolVersion:
        """The program that made the plan."""
        return self._tool

    def cpu_seconds(self) -> float:
        """None: it runs nothing."""
        return 0.0

    def process_environment(self, work: WorkingDirectory) -> Mapping[str, str]:
        """That of the working directory."""
        return work.environment

    def formatted(self, work: WorkingDirectory, text: bytes) -> bytes:
        """The text as it is."""
        return text

    def prepare(self, work: WorkingDirectory, closure_key: str, *, force: bool = False) -> float:
        """Nothing."""
        return 0.0

    def initialised(self, work: WorkingDirectory) -> bool:
        """Always."""
        return True

    def forget_secrets(self, work: WorkingDirectory) -> None:
        """Nothing."""

    def backend(self, work: WorkingDirectory) -> Backend | None:
        """The backend as it was."""
        return Backend(self._plan.backend, self._plan.settings) if self._plan.backend else None

    def providers(self, work: WorkingDirectory) -> Mapping[str, str]:
        """The providers as they were."""
        return self._plan.providers

    def plan(self, work: WorkingDirectory, plan_file: Path, *, lock_timeout_seconds: float | None = None) -> PlanRun:
        """The recorded plan, in no time."""
        plan_file.write_bytes(self._plan.file)
        plan_file.chmod(0o600)
        return PlanRun(self._plan.changes, self._plan.drifted, self.state_identity(work), 0.0)

    def show(self, work: WorkingDirectory, plan_file: Path) -> tuple[bytes, float]:
        """The recorded plan's JSON text."""
        if self._plan.document is None:
            raise _not_recorded("the values of a plan that changes nothing")
        return self._plan.document, 0.0

    def state_in_plan(self, work: WorkingDirectory, plan_file: Path, *, refreshed: bool) -> bytes:
        """The state in the recorded plan's file."""
        try:
            with zipfile.ZipFile(plan_file) as archive:
                return archive.read("tfstate" if refreshed else "tfstate-prev")
        except (OSError, KeyError, zipfile.BadZipFile):
            raise _not_recorded("the state") from None

    def state_identity(self, work: WorkingDirectory) -> StateIdentity:
        """The state that was planned from, which the probe found to be the stored one still."""
        return StateIdentity(self._plan.lineage, self._plan.serial, self._plan.empty)

    def schemas(self, work: WorkingDirectory) -> bytes:
        """They are kept by themselves, since the plan that was recorded."""
        raise _not_recorded("the schemas of the providers")


def agrees(recorded: RecordedPlan, plan: Plan) -> bool:
    """Whether a plan has the contents of the recorded one; its time aside."""
    if recorded.changes != plan.run.changes:
        return False
    return not recorded.changes or _timeless(recorded.document) == _timeless(plan.text)


def _timeless(text: bytes | None) -> object:
    found = msgspec.json.decode(text or b"{}")
    return {key: value for key, value in found.items() if key != "timestamp"}


def _not_recorded(what: str) -> EnvironmentFault:
    return EnvironmentFault(ErrorKind.INTERNAL, f"A recorded plan does not hold {what}; the next run plans anew.")
