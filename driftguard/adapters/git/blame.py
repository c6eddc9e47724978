"""Who wrote some lines of a file last."""

from __future__ import annotations

from datetime import UTC, datetime

import git

from driftguard.adapters.git.commands import run
from driftguard.model import Commit

_SECONDS = 60.0


def newest_change(mirror: git.Git, commit: str, path: str, first: int, last: int) -> Commit | None:
    """The newest commit among those that wrote lines of a file (counted from 1); None for lines that are not there.

    Raises:
        OperatorError: git failed.
    """
    listed = run(
        mirror, "blame", "--line-porcelain", "-L", f"{first},{last}", commit, "--", path, seconds=_SECONDS, about=path
    )
    found: list[Commit] = []
    fields: dict[str, str] = {}
    for line in listed.split("\n"):
        if line.startswith("\t"):  # the line itself ends its commit's description
            found.append(_commit(fields))
            fields = {}
            continue
        name, _, value = line.partition(" ")
        fields.setdefault(name if fields else "sha", name if not fields else value)
    return max(found, key=lambda each: each.date, default=None)


def _commit(fields: dict[str, str]) -> Commit:
    # The committer's time says when it came into the history; the author's may be of any age.
    seconds = int(fields["committer-time"])
    return Commit(fields["sha"], fields["author"], datetime.fromtimestamp(seconds, UTC), fields["summary"])
