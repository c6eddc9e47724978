"""Which environments a new commit changes, so that only they are run."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from driftguard.model import Entry, EntryKind
from driftguard.pipeline.approve.approval_file import folder_of
from driftguard.ports import JournalReader, Repository


class LastScans:
    """The last scan of each environment, compared with head."""

    def __init__(self, repository: Repository, journal: JournalReader, head: str) -> None:
        self._repository, self._head = repository, head
        self._last = journal.latest(EntryKind.SCANNED)

    def file_differs(self, names: AbstractSet[str], path: str) -> bool:
        """Whether a file at head differs from the one at any environment's last scan, or none was ever scanned."""
        scanned = {_commit(self._last[name]) for name in names & self._last.keys()}
        return {self._object_id(commit, path) for commit in scanned} != {self._object_id(self._head, path)}

    def differing(self, hashes: Mapping[str, str]) -> frozenset[str]:
        """The environments whose closure or approval files at head differ from those of their last scan.

        Args:
            hashes: the closure hash of every environment at head, by name.
        """
        return frozenset(name for name, closure_hash in hashes.items() if self._differs(name, closure_hash))

    def _differs(self, name: str, closure_hash: str) -> bool:
        last = self._last.get(name)
        if last is None or last.data["closure_hash"] != closure_hash:
            return True
        return self._approvals(name, _commit(last)) != self._approvals(name, self._head)

    def _approvals(self, name: str, commit: str) -> dict[str, str]:
        folder, tree = folder_of(name), self._repository.tree(commit)
        return {path: entry.object_id for path, entry in tree.items() if path.startswith(folder)}

    def _object_id(self, commit: str, path: str) -> str | None:
        entry = self._repository.tree(commit).get(path)
        return entry.object_id if entry is not None else None


def _commit(scan: Entry) -> str:
    return str(scan.data["commit"])
