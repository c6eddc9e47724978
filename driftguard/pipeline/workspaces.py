"""The workspaces that a backend lists, for entries of the configuration that name them by globs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from driftguard.config import EnvironmentSettings, Listing
from driftguard.config.generating import NOT_ASKED
from driftguard.errors import DriftGuardError
from driftguard.model import EntryKind
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext, checked_out
from driftguard.pipeline.context import EnvironmentTask
from driftguard.pipeline.history import read_scan
from driftguard.ports import Backend, EnvironmentFolders, JournalReader, WorkspaceEngine
from driftguard.sealed import mask


class WorkspaceIndex:
    """The listings of backends: each is asked once in a session, at head, and holds for earlier commits too.

    Args:
        ask: gives the names of the workspaces of an environment's backend; raises DriftGuardError.
        recorded: opens the journal, which knows environments of earlier runs.
    """

    def __init__(
        self, ask: Callable[[EnvironmentSettings], tuple[str, ...]], recorded: Callable[[], JournalReader]
    ) -> None:
        self._ask, self._recorded = ask, recorded
        self._known: dict[str, Listing] = {}

    def asked(self, base: EnvironmentSettings) -> Listing:
        """The workspaces of a backend; where it cannot be listed, those of earlier runs, with the reason."""
        if base.path not in self._known:
            try:
                listing = Listing(self._ask(base))
            except DriftGuardError as error:
                reason = f"The workspaces of {base.path} cannot be listed, so none is planned: {mask(str(error))}"
                listing = Listing(self._seen_before(base.path), reason)
            self._known[base.path] = listing
        return self._known[base.path]

    def known(self, base: EnvironmentSettings) -> Listing:
        """The same without asking: for other commits, and while a backend is asked."""
        return self._known.get(base.path, NOT_ASKED)

    def _seen_before(self, path: str) -> tuple[str, ...]:
        scans = map(read_scan, self._recorded().latest(EntryKind.SCANNED).values())
        return tuple(sorted({scan.workspace for scan in scans if scan.path == path}))


def listed_workspaces(
    scan: ScanContext, folders: EnvironmentFolders, task: EnvironmentTask, engine: WorkspaceEngine
) -> tuple[str, ...]:
    """The workspaces of an environment's backend, initialised as for a plan.

    Raises:
        EnvironmentFault: it cannot be initialised or listed.
    """
    settings = task.settings
    with folders.occupy(f"workspaces of {settings.path}") as own, ExitStack() as stack:
        work = checked_out(scan, EnvironmentRun(settings, task.closure, task.engine, own), stack)
        stack.callback(task.engine.forget_secrets, work)
        task.engine.prepare(work, task.closure.init_key)
        backend, user = task.engine.backend(work), scan.user_directory(settings)
        if user is not None and (backend is None or backend.type == "local"):
            return _local(backend, user)
        return engine.workspaces(work)


def _local(backend: Backend | None, user_directory: Path) -> tuple[str, ...]:
    """Those whose states lie in the user's own directory."""
    settings: Mapping[str, object] = backend.settings if backend else {}
    folder = user_directory / str(settings.get("workspace_dir") or "terraform.tfstate.d")
    return ("default", *sorted(path.name for path in folder.glob("*") if path.is_dir()))
