"""From a working directory to a plan: init if needed, plan, read the plan, make sure that the state stood still.

Takes an engine and a working directory; gives a `Plan`. A clean environment costs one Terraform process.
Raises `EnvironmentFault` with the contract's error kind; never gives a partial plan.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from driftguard.errors import EnvironmentFault, InitNeeded, TransientFault
from driftguard.model import ErrorKind, Seconds
from driftguard.model.plan_document import PlanDocument, UnreadablePlan, read_document
from driftguard.ports import Backend, PlanEngine, PlanRun, StateIdentity, WorkingDirectory


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of one environment.

    Attributes:
        document: the plan's contents; None if nothing is planned and the values are not needed.
        text: the contents as JSON text, where there is a document.
        file: the saved plan, in the private folder.
        work: the working directory as it was used, with its local state if it has one.
    """

    run: PlanRun
    document: PlanDocument | None
    file: Path
    work: WorkingDirectory
    seconds: Seconds
    text: bytes | None = field(default=None, repr=False)


def make_plan(
    engine: PlanEngine,
    work: WorkingDirectory,
    closure_key: str,
    *,
    user_directory: Path | None,
    always_show: bool = False,
    lock_timeout_seconds: float | None = None,
) -> Plan:
    """Plan one environment.

    Args:
        closure_key: the closure's `init_key`.
        user_directory: the environment's directory in the user's own work tree, where a local state lies; None
            when the repository was given as a URL.
        always_show: read the plan's values even if nothing is planned.
        lock_timeout_seconds: hold the state lock while planning, waiting this long for it; None plans without it.
    """
    init_seconds = engine.prepare(work, closure_key)
    planned = None
    for last_try in (False, True):
        original = local_state(engine.backend(work), work, user_directory)
        used = _with_copied_state(work, original)
        plan_file = work.private / "plan"
        try:
            run = engine.plan(used, plan_file, lock_timeout_seconds=lock_timeout_seconds)
        except InitNeeded:
            if last_try:
                raise
            init_seconds += engine.prepare(work, closure_key, force=True)
            continue
        planned = (planned or 0.0) + run.seconds
        if not run.changes or run.state == _identity_now(engine, used, original):
            break
        if last_try:
            raise TransientFault(
                ErrorKind.STATE_MOVED,
                "The state changed during planning, twice in a row: another process is applying. "
                "The next run looks again.",
            )
    document, text, show_seconds = None, None, 0.0
    if run.changes or always_show:
        text, show_seconds = engine.show(used, plan_file)
        document = _document(text)
    seconds = Seconds(init=init_seconds, plan=planned or 0.0, show=show_seconds)
    return Plan(run, document, plan_file, used, seconds, text)


def _document(text: bytes) -> PlanDocument:
    try:
        document = read_document(text)
    except UnreadablePlan as error:
        raise EnvironmentFault(ErrorKind.PLAN, f"The plan could not be read: {error}.") from None
    if document.partial:
        raise EnvironmentFault(
            ErrorKind.PARTIAL,
            "The plan does not cover the whole environment (it ended early, or changes were deferred), "
            "so no label would be certain. Run `terraform plan` there to see what is missing.",
        )
    return document


def local_state(backend: Backend | None, work: WorkingDirectory, user_directory: Path | None) -> Path | None:
    """The file a local state lies in; None for a remote backend."""
    if backend is not None and backend.type != "local":
        return None
    if user_directory is None:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            "This environment keeps its state in a local file, which is not part of git: "
            "scan it with --repo PATH where the state is, or give it a remote backend.",
        )
    settings = backend.settings if backend else {}
    if work.workspace == "default":
        return user_directory / str(settings.get("path") or "terraform.tfstate")
    folder = str(settings.get("workspace_dir") or "terraform.tfstate.d")
    return user_directory / folder / work.workspace / "terraform.tfstate"


def _with_copied_state(work: WorkingDirectory, original: Path | None) -> WorkingDirectory:
    if original is None:
        return work
    copy = work.private / "terraform.tfstate"
    copy.unlink(missing_ok=True)
    if original.exists():
        shutil.copyfile(original, copy)
    return replace(work, state_file=copy)


def _identity_now(engine: PlanEngine, work: WorkingDirectory, original: Path | None) -> StateIdentity:
    return engine.state_identity(work if original is None else replace(work, state_file=original))
