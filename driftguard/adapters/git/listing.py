"""The files of a work tree, without what git ignores."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from driftguard.adapters.git.environment import git_environment
from driftguard.adapters.process import run

_SECONDS = 120.0
_SKIPPED = frozenset({".git", ".terraform", ".terragrunt-cache", "node_modules"})


def work_tree_root(folder: Path) -> Path | None:
    """The root of the git work tree that a folder lies in; None outside of one."""
    found = _git(folder, ["rev-parse", "--show-toplevel"])
    return Path(os.fsdecode(found.rstrip(b"\n"))) if found else None


def work_tree_files(folder: Path) -> list[str]:
    """Every file below a folder that git tracks or would track, relative to it; all files outside of a work tree."""
    listed = _git(folder, ["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    if listed is not None:
        names = {os.fsdecode(name) for name in listed.split(b"\0") if name}
        return sorted(name for name in names if (folder / name).is_file())
    found = []
    for directory, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        here = os.path.relpath(directory, folder)
        found += [name if here == "." else f"{here}/{name}" for name in files]
    return sorted(found)


def _git(folder: Path, arguments: Sequence[str]) -> bytes | None:
    with tempfile.TemporaryFile() as output:
        try:
            done = run(
                ["git", *arguments],
                directory=folder,
                environment=git_environment(),
                timeout_seconds=_SECONDS,
                stdout_file=output,
            )
        except OSError:  # git is not installed
            return None
        output.seek(0)
        return output.read() if done.code == 0 else None
