"""What looks like an environment and no entry covers, so that a new account is never silently unwatched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from posixpath import dirname, join, normpath

from driftguard.config import EnvironmentSettings
from driftguard.config.workspaces import DEFAULT
from driftguard.model.outlines import Outline
from driftguard.model.report import UncoveredPlace
from driftguard.pipeline.layout import is_terraform, read_layout, var_files_by_directory
from driftguard.pipeline.othertools import Read


def unread_directories(
    paths: Collection[str], environments: Sequence[EnvironmentSettings], modules: Collection[str]
) -> list[str]:
    """The Terraform files whose outlines `uncovered` needs: those of directories that no environment reaches."""
    reached = {environment.path for environment in environments} | set(modules)
    return [path for path in paths if is_terraform(path) and (dirname(path) or ".") not in reached]


def uncovered(
    paths: Collection[str],
    outlines: Mapping[str, Outline],
    environments: Sequence[EnvironmentSettings],
    modules: Collection[str],
    read: Read,
    workspaces: Mapping[str, Collection[str]],
) -> tuple[UncoveredPlace, ...]:
    """Directories, workspaces and var files that look like environments and are none; sorted.

    Args:
        paths: every file of the commit.
        outlines: of the files that `unread_directories` names.
        modules: directories that environments reach as modules.
        read: gives a file's content, of the settings of other tools.
        workspaces: those that are known of directories with several, by directory.
    """
    covered = {environment.path for environment in environments}
    unread = set(unread_directories(paths, environments, modules))
    seen = [path for path in paths if not is_terraform(path) or path in unread]
    found = {UncoveredPlace(root.path, "default") for root in read_layout(seen, outlines, read).roots}
    named = frozenset[str]().union(*(environment.named_files for environment in environments))
    for directory, files in var_files_by_directory(paths, covered).items():
        full = {normpath(join(directory, file)): name for file, name in files.items()}
        if full.keys() & named:  # some of them make environments, so the others look like it
            found |= {UncoveredPlace(directory, full[file]) for file in full.keys() - named}
    for directory, names in workspaces.items():
        own = {environment.workspace for environment in environments if environment.path == directory}
        found |= {UncoveredPlace(directory, name) for name in {*names} - own - {DEFAULT}}
    return tuple(sorted(found, key=lambda place: (place.path, place.workspace)))
