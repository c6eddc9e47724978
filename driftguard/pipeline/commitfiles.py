"""The files of one commit, as entries of the configuration refer to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from driftguard.config import EnvironmentSettings, Settings
from driftguard.model import TreeEntry
from driftguard.pipeline.directories import find, glob_pattern
from driftguard.ports import Repository


class TreeFiles:
    """Files of a commit's tree; nothing is read before it is asked for.

    Args:
        read: the contents of a blob by its object id.
    """

    def __init__(self, tree: Mapping[str, TreeEntry], read: Callable[[str], bytes]) -> None:
        self._tree, self._read = tree, read
        self._matches: dict[str, tuple[str, ...]] = {}

    def matching(self, pattern: str) -> Sequence[str]:
        """The files that match a glob from the root, sorted."""
        if pattern not in self._matches:
            glob = glob_pattern(pattern)
            self._matches[pattern] = tuple(sorted(path for path in self._tree if glob.fullmatch(path)))
        return self._matches[pattern]

    def read(self, path: str) -> bytes:
        """The contents of one."""
        return self._read(self._tree[path].object_id)


def resolved(settings: Settings, repository: Repository, commit: str) -> tuple[EnvironmentSettings, ...]:
    """Every environment that settings give at a commit, sorted by name. UsageError as in `Settings.resolve`."""
    tree = repository.tree(commit)
    files = TreeFiles(tree, lambda object_id: next(iter(repository.read([object_id])))[1])
    return settings.resolve(partial(find, tree), files)
