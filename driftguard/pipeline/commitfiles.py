"""The files of one commit, as entries of the configuration refer to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from driftguard.config import EnvironmentSettings, Listing, Settings
from driftguard.config.generating import NOT_ASKED
from driftguard.model import TreeEntry
from driftguard.pipeline.directories import find, glob_pattern
from driftguard.pipeline.stacks import stack_units, with_stack_units
from driftguard.ports import Repository


class TreeFiles:
    """Files of a commit's tree; nothing is read before it is asked for.

    Args:
        read: the contents of a blob by its object id.
        listing: gives the workspaces of an environment's backend; by default none is asked.
    """

    def __init__(
        self,
        tree: Mapping[str, TreeEntry],
        read: Callable[[str], bytes],
        listing: Callable[[EnvironmentSettings], Listing] | None = None,
    ) -> None:
        self._tree, self._read, self._listing = tree, read, listing
        self._matches: dict[str, tuple[str, ...]] = {}

    def matching(self, pattern: str) -> Sequence[str]:
        """The files that match a glob from the root, sorted."""
        if pattern not in self._matches:
            glob = glob_pattern(pattern)
            self._matches[pattern] = tuple(sorted(path for path in self._tree if glob.fullmatch(path)))
        return self._matches[pattern]

    def workspaces(self, base: EnvironmentSettings) -> Listing:
        """The workspaces of the backend of an environment."""
        return self._listing(base) if self._listing is not None else NOT_ASKED

    def read(self, path: str) -> bytes:
        """The contents of one."""
        return self._read(self._tree[path].object_id)


def resolved(
    settings: Settings,
    repository: Repository,
    commit: str,
    listing: Callable[[EnvironmentSettings], Listing] | None = None,
) -> tuple[EnvironmentSettings, ...]:
    """Every environment that settings give at a commit, sorted by name. UsageError as in `Settings.resolve`.

    Args:
        listing: gives the workspaces of an environment's backend.
    """
    tree = repository.tree(commit)
    files = TreeFiles(tree, lambda object_id: next(iter(repository.read([object_id])))[1], listing)
    with_stacks = with_stack_units(tree, stack_units(tree, repository))
    return settings.resolve(partial(find, with_stacks), files)
