"""What of a repository no entry covers, and what no probe can cover, at the head of the tracked branch."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import dirname

import msgspec

from driftguard import config
from driftguard.adapters.folders import data_folder
from driftguard.adapters.hcl.outline import outline
from driftguard.bootstrap.session import Session
from driftguard.config import EnvironmentSettings
from driftguard.config.workspaces import DEFAULT
from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import Closure
from driftguard.model.report import RunReport, UncoveredPlace
from driftguard.pipeline.checkout import HEAD
from driftguard.pipeline.layout import directory_of, is_terraform
from driftguard.pipeline.uncovered import uncovered, unread_directories
from driftguard.pipeline.usedworkspaces import used_workspaces


def with_uncovered(session: Session, report: RunReport) -> RunReport:
    """A run's report with what no entry covers; as it is where that cannot be read."""
    try:
        return msgspec.structs.replace(report, uncovered=uncovered_places(session))
    except DriftGuardError:
        return report


def uncovered_places(session: Session) -> tuple[UncoveredPlace, ...]:
    """Directories and var files that look like environments and are none; sorted."""
    tree = session.repository.tree(session.head)
    modules = set(_modules(session))
    wanted = {path: tree[path].object_id for path in unread_directories(tree, session.environments, modules)}
    contents = dict(session.repository.read(list(wanted.values())))
    outlines = {path: outline(path, contents[object_id]) for path, object_id in wanted.items()}

    def read(path: str) -> bytes:
        return b"".join(content for _, content in session.repository.read([tree[path].object_id]))

    return uncovered(tree, outlines, session.environments, modules, read, _workspaces(session))


def _workspaces(session: Session) -> dict[str, set[str]]:
    """The workspaces of directories with several: those that code names, that a backend listed, and of local states."""
    tree, root = session.repository.tree(session.head), session.repository.local_root
    found: dict[str, set[str]] = {}
    for directory in {each.path for each in session.environments if each.workspace != DEFAULT and each.fault is None}:
        inside = {p: e.object_id for p, e in tree.items() if (dirname(p) or ".") == directory and is_terraform(p)}
        contents = dict(session.repository.read(list(inside.values())))
        files = [outline(path, contents[object_id]) for path, object_id in inside.items()]
        found[directory] = {*used_workspaces(files, directory, tree), *session.workspaces.listed().get(directory, ())}
        if root is not None:
            states = (root / directory / "terraform.tfstate.d").glob("*/terraform.tfstate")
            found[directory].update(state.parent.name for state in states)
    return found


def _modules(session: Session) -> Iterator[str]:
    """The directories that environments reach as modules, also by the repository's own address."""
    described = session.describe(session.environments)
    for settings, item in zip(session.environments, described, strict=True):
        found = item if item.fault is None else _closure(session, settings)
        if found is not None:
            yield from found.modules
            yield from filter(None, map(directory_of, found.remote_sources))


def _closure(session: Session, settings: EnvironmentSettings) -> Closure | None:
    """The closure of an environment that cannot be planned, such as one without a Terraform that will do."""
    try:
        return session.closures.at(settings, session.head)
    except EnvironmentFault:
        return None


def not_probed(session: Session, settings: EnvironmentSettings) -> tuple[str, ...]:
    """What keeps an environment from being probed, with file and line where there is one."""
    if session.probe is None:
        return ("the probe is switched off, or not installed",)
    closure = None if settings.fault else session.closures.at(settings, session.head)
    data = data_folder(config.directories().cache, session.repository.display, settings.name) / HEAD
    return () if closure is None else tuple(session.probe.probe.hindrances(closure, data))
