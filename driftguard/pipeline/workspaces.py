"""The workspaces that a backend lists, for entries of the configuration that name them by globs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from driftguard.config import EnvironmentSettings, Listing
from driftguard.config.generating import NOT_ASKED
from driftguard.config.values import is_glob
from driftguard.errors import DriftGuardError
from driftguard.model import EntryKind
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext, checked_out
from driftguard.pipeline.context import EnvironmentTask
from driftguard.pipeline.history import read_scan
from driftguard.ports import Backend, EnvironmentFolders, JournalReader, WorkspaceEngine
from driftguard.sealed import mask


class KnownWorkspaces:
    """The listings of backends as they were asked for: what readers of other commits hold, who ask nothing."""

    def __init__(self) -> None:
        self._known: dict[str, Listing] = {}

    def of(self, base: EnvironmentSettings) -> Listing:
        """The listing of a backend: for other commits than head, and while a backend is asked."""
        return self._known.get(base.path, NOT_ASKED)

    def keep(self, base: EnvironmentSettings, listing: Listing) -> None:
        """Remember a listing."""
        self._known[base.path] = listing

    def listed(self) -> Mapping[str, Sequence[str]]:
        """The names that backends listed, by the directory of the root module."""
        return {path: listing.names for path, listing in self._known.items() if listing.fault is None}


class WorkspaceIndex:
    """Asks for the listings of backends: each once in a session, at head; they hold for earlier commits too.

    Args:
        known: gets the listings.
        ask: gives the names of the workspaces of an environment's backend; raises DriftGuardError.
        recorded: opens the journal, which knows environments of earlier runs.
    """

    def __init__(
        self,
        known: KnownWorkspaces,
        ask: Callable[[EnvironmentSettings], tuple[str, ...]],
        recorded: Callable[[], JournalReader],
    ) -> None:
        self._known, self._ask, self._recorded = known, ask, recorded

    def asked(self, base: EnvironmentSettings) -> Listing:
        """The workspaces of a backend; where it cannot be listed, those of earlier runs, with the reason."""
        listing = self._known.of(base)
        if listing is NOT_ASKED:
            try:
                listing = Listing(self._ask(base))
            except DriftGuardError as error:
                reason = f"The workspaces of {base.path} cannot be listed, so none is planned: {mask(str(error))}"
                listing = Listing(self._seen_before(base.path), reason)
            self._known.keep(base, listing)
        return listing

    def listed(self) -> Mapping[str, Sequence[str]]:
        """The names that backends listed in this session, by the directory of the root module."""
        return self._known.listed()

    def _seen_before(self, path: str) -> tuple[str, ...]:
        scans = map(read_scan, self._recorded().latest(EntryKind.SCANNED).values())
        found = {scan.workspace for scan in scans if scan.path == path}
        return tuple(sorted(name for name in found if not is_glob(name)))  # one that matched nothing is called so


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
