"""Who wrote some lines of a file last."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import git
from msgspec import Struct, convert

from driftguard.adapters.git.commands import run
from driftguard.errors import OperatorError
from driftguard.model import Commit
from driftguard.sealed import mask

LAST_MOMENT: Final = 253402300799  # of the year 9999; a commit may claim any
_SECONDS: Final = 20.0
# A user's `blame.ignoreRevsFile`, which is not in our mirror, would make every blame fail.
_WITHOUT_SETTINGS: Final = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def newest_change(
    mirror: git.Git, commit: str, path: str, first: int, last: int, cut: Collection[str]
) -> Commit | None:
    """The newest commit, by when it was committed, among those that wrote lines of a file (counted from 1).

    Args:
        commit: an id, never a name.
        cut: commits whose parents the mirror lacks; they seem to have written all that is older than they are.

    Returns:
        None if git does not know: the lines, the commit or their history do not exist, or it timed out.
    """
    asked = ("--line-porcelain", "--encoding=UTF-8", "--no-textconv", "-L", f"{first},{last}", commit, "--", path)
    try:
        listed = run(mirror, "blame", *asked, seconds=_SECONDS, about=path, variables=_WITHOUT_SETTINGS)
    except OperatorError:
        return None
    found: list[Commit] = []
    fields: dict[str, str] = {}
    for line in listed.split("\n"):
        if line.startswith("\t"):  # the line itself ends its commit's description
            found.append(_commit(fields))
            fields = {}
            continue
        name, _, value = line.partition(" ")
        fields.setdefault(name if fields else "sha", name if not fields else value)
    newest = max(found, key=lambda each: each.date, default=None)
    return None if newest is None or newest.sha in cut else newest


class _Described(Struct, frozen=True, rename="kebab"):
    sha: str
    author: str
    committer_time: int
    summary: str


def _commit(fields: dict[str, str]) -> Commit:
    found = convert(fields, _Described, strict=False)
    # The committer's time is the time in this history; the author's may be of any age.
    moment = datetime.fromtimestamp(min(max(found.committer_time, 0), LAST_MOMENT), UTC)
    return Commit(found.sha, mask(found.author), moment, mask(found.summary))
