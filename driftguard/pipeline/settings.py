"""The settings of environments at any commit: the configuration is code, so its history counts like that of code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from driftguard import config
from driftguard.config import CONFIG_FILE, EnvironmentSettings, Listing
from driftguard.errors import UsageError
from driftguard.pipeline.commitfiles import resolved
from driftguard.ports import Repository


class SettingsIndex:
    """The environments of a repository as the configuration of each commit has them. Thread-safe; read once a commit.

    Args:
        operator_text, operator_source: the operator's file, which is part of no commit and wins at each of them.
        listing: gives the workspaces of an environment's backend that are known; they are those of today.
    """

    def __init__(
        self,
        repository: Repository,
        operator_text: bytes | None,
        operator_source: str | None,
        listing: Callable[[EnvironmentSettings], Listing] | None = None,
    ) -> None:
        self._repository, self._operator_text, self._operator_source = repository, operator_text, operator_source
        self._listing = listing
        self._at: dict[str, Mapping[str, EnvironmentSettings] | None] = {}
        self._lock = threading.Lock()

    def at(self, settings: EnvironmentSettings, commit: str) -> EnvironmentSettings | None:
        """An environment's settings at a commit, found by its name or else by its directory and workspace.

        None where it did not exist then, or the configuration of that commit cannot be read.
        """
        with self._lock:
            if commit not in self._at:
                self._at[commit] = self._resolved(commit)
            found = self._at[commit] or {}
        if settings.name in found:
            return found[settings.name]
        by_place = [e for e in found.values() if (e.path, e.workspace) == (settings.path, settings.workspace)]
        alike = [e for e in by_place if e.var_files == settings.var_files] if by_place[1:] else by_place
        return next(iter(alike), None)

    def names(self, commit: str) -> Mapping[str, str]:
        """The environments of a commit: names by directory; of several in one, one of them."""
        with self._lock:
            if commit not in self._at:
                self._at[commit] = self._resolved(commit)
            return {each.path: name for name, each in (self._at[commit] or {}).items()}

    def forget(self) -> None:
        """Read every commit anew: more workspaces are known."""
        with self._lock:
            self._at.clear()

    def _resolved(self, commit: str) -> dict[str, EnvironmentSettings] | None:
        tree = self._repository.tree(commit)
        entry = tree.get(CONFIG_FILE)
        text = next(iter(self._repository.read([entry.object_id])))[1] if entry is not None else None
        try:
            loaded = config.load(
                text, source=CONFIG_FILE, operator_text=self._operator_text, operator_source=self._operator_source
            )
            return {e.name: e for e in resolved(loaded, self._repository, commit, self._listing)}
        except UsageError:
            return None
