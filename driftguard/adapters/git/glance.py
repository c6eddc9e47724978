"""One file at the head of a local repository, by git alone: neither a mirror nor GitPython is needed for that."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from driftguard.adapters.git.environment import git_environment
from driftguard.adapters.process import run

_SECONDS = 60.0
# What git may be handed as a part of a revision: `^`, `:`, `@{` and the like would mean something else to it.
_PLAIN_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_/-]*")


@dataclass(frozen=True, slots=True)
class HeadFile:
    """A file at the head of the tracked branch.

    Attributes:
        display: the repository's location, as `GitRepository.display`.
        content: None where the commit has no such file.
    """

    display: str
    content: bytes | None


def file_at_head(location: str, ref: str | None, path: str) -> HeadFile | None:
    """A file at the head of a branch; None for anything but an ordinary local repository with that branch.

    None is not an answer about the repository: `open_repository` reads every kind, and names the error.

    Args:
        location: as in `open_repository`.
        ref: the branch; None for the one that is checked out.
        path: from the repository's root.
    """
    folder = _folder(location)
    if folder is None or (ref is not None and not _PLAIN_BRANCH.fullmatch(ref)):
        return None
    try:
        found = _git(folder, ["rev-parse", "--absolute-git-dir", "--show-toplevel", "--symbolic-full-name", "HEAD"])
        if found is None:
            return None
        git_dir, root, head = found.decode().splitlines()
        branch = f"refs/heads/{ref}" if ref else head
        if not branch.startswith("refs/heads/"):
            return None
        listed = _git(Path(git_dir), ["ls-tree", "-z", "--full-tree", branch, "--", path])
        if listed is None:
            return None
        display = str(Path(root).resolve())
        if not listed:
            return HeadFile(display, None)
        content = _git(Path(git_dir), ["cat-file", "blob", listed.split(b"\t")[0].split(b" ")[2].decode()])
    except (OSError, ValueError):  # git is not installed, a folder that may not be entered, a name across lines
        return None
    return None if content is None else HeadFile(display, content)


def _folder(location: str) -> Path | None:
    if location.startswith("-") or ":" in location:
        return None
    try:
        path = Path(location).expanduser()
        return path if path.is_dir() else None
    except (OSError, RuntimeError):
        return None


def _git(folder: Path, arguments: Sequence[str]) -> bytes | None:
    """The output of a git command; None if it fails."""
    with tempfile.TemporaryFile() as output:
        done = run(
            ["git", *arguments],
            directory=folder,
            environment=git_environment(),
            timeout_seconds=_SECONDS,
            stdout_file=output,
        )
        output.seek(0)
        return output.read() if done.code == 0 else None
