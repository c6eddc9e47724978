"""Whether what a merge put on a branch is what git makes of merging it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from driftguard.adapters.git.commands import attempt, commands
from driftguard.adapters.git.locations import Location
from driftguard.errors import ForgeFault
from driftguard.ports import Merges

_NETWORK_SECONDS: Final = 120.0
# What a user's settings may change about a merge.
_PLAINLY: Final = ("-c", "merge.renames=true", "-c", "merge.directoryRenames=conflict")


class GitMerges(Merges):
    """Merges that were made, made again in our own copy of the repository.

    Args:
        mirror: our bare copy; what has to be fetched for a comparison stays in it.
        location: where the forge keeps the heads of requests.
        network_seconds: how long the server may take to answer.
    """

    def __init__(self, mirror: Path, location: Location, *, network_seconds: float = _NETWORK_SECONDS) -> None:
        self._place, self._seconds = location, network_seconds
        self._git = commands(mirror, GIT_DIR=str(mirror))

    def difference(self, oldest: str, last: str, head: str, ref: str) -> str | None:
        """Why a branch does not hold just what was to be merged; None where it does.

        Args:
            oldest, last: the commits that the merge put on the branch: one, or those of a rebase.
            head: the commit that was to be merged; ref: where the server keeps it.

        Raises:
            ForgeFault: the head cannot be had, or this git cannot merge without a work tree.
        """
        if last == head:  # the branch was moved on to it
            return None
        if self._tree(head) is None:
            self._fetch(head, ref)
        before = f"{oldest}^1"
        if self._tree(before) is None:  # the branch began with it
            return None if self._tree(last) == self._tree(head) else "it holds something else than its branch"
        status, output, _ = attempt(self._git, *_PLAINLY, "merge-tree", "--write-tree", before, head)
        if status == 1:
            return "its conflicts were resolved manually"
        merged = output.partition("\n")[0].strip()
        if status != 0:
            raise ForgeFault(
                f"{head[:12]} could not be merged again to see what its merge holds: git 2.38 or newer is needed, and "
                "the whole history"
            )
        return None if merged == self._tree(last) else "it holds something else than its branch"

    def _tree(self, commit: str) -> str | None:
        status, output, _ = attempt(self._git, "rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")
        return output.strip() if status == 0 else None

    def _fetch(self, head: str, ref: str) -> None:
        options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        attempt(
            self._git,
            *("fetch", *options, "--", self._place.source, ref),
            seconds=self._seconds,
            variables=self._place.variables(),
        )
        if self._tree(head) is None:
            raise ForgeFault(f"{head[:12]} could not be fetched from {self._place.display} ({ref})")
