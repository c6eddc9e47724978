"""Detached work trees of the mirror, one for each name, at a path that stays the same from run to run.

Values that hold the checkout's path stay the same with it, and what the apply of one environment leaves behind is never
part of another one's plan.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from driftguard.adapters.filelock import if_free, locked
from driftguard.adapters.folders import folder_name
from driftguard.adapters.git.commands import run
from driftguard.adapters.git.submodules import plain
from driftguard.errors import OperatorError
from driftguard.ports import ERRORED_STATE

_KEPT_SECONDS: Final = 14 * 86_400.0


class WorkTrees:
    """The work trees below a folder.

    Locks are always taken in one order: a work tree's, then the folder's, which guards git's records of work trees.

    Args:
        mirror: the bare repository.
        lay_out: writes the files of a commit's submodules into a work tree.
    """

    def __init__(self, mirror: Path, folder: Path, lay_out: Callable[[str, Path], None]) -> None:
        self._mirror, self._records, self._folder = plain(mirror), mirror / "worktrees", folder
        self._lay_out = lay_out
        self._lock = folder / "all.lock"
        self._guard = threading.Lock()

    @contextmanager
    def use(self, commit: str, name: str) -> Iterator[Path]:
        """The work tree of a name, clean at a commit, and held exclusively while the context is open."""
        path = self._folder / folder_name(name)
        with locked(_beside(path, "lock")):
            self._make_clean(path, commit)
            yield path

    def prune(self) -> None:
        """Delete what was not used for two weeks; a work tree in use, or with a state that was not stored, stays."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        old = time.time() - _KEPT_SECONDS
        unused = [path for path in self._folder.iterdir() if path.is_dir() and _last_use(path) < old]
        for path in unused:
            with if_free(_beside(path, "lock")) as free:
                if free and next(path.rglob(ERRORED_STATE), None) is None:
                    self._delete(path)
        if unused:
            with self._guard, locked(self._lock):
                self._forget_deleted()

    def _make_clean(self, path: Path, commit: str) -> None:
        """Make the work tree, or clean it; the mark is written last, so a half-made one is made again."""
        mark, states = _beside(path, "whole"), _beside(path, "states")
        if not (mark.exists() and self._reset(path, commit)):
            with self._guard, locked(self._lock):
                _move_states(path, states)
                self._delete(path)
                self._forget_deleted()
                run(self._mirror, "worktree", "add", "--detach", "--force", str(path), commit)
        if (path / ".gitmodules").exists():  # the folders of submodules are made anew
            _move_states(path, states)
        self._lay_out(commit, path)
        _move_states(states, path)
        mark.touch()

    def _reset(self, path: Path, commit: str) -> bool:
        """Make the files those of the commit; False for a work tree that is not whole any more.

        What an apply left behind would be part of the next plan. Lock files stay: Terraform made them for us.
        """
        try:
            tree = plain(path / ".git", GIT_WORK_TREE=str(path))
            run(tree, "reset", "--quiet", "--hard", commit)
            run(tree, "clean", "--quiet", "-ffdx", "--exclude", ".terraform.lock.hcl", "--exclude", ERRORED_STATE)
        except (OperatorError, OSError):
            return False
        return True

    def _delete(self, path: Path) -> None:
        _beside(path, "whole").unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)

    def _forget_deleted(self) -> None:
        """Clear git's records of deleted work trees; a `git worktree add` that was killed leaves its record locked."""
        for left in self._records.glob("*/locked"):
            left.unlink(missing_ok=True)
        run(self._mirror, "worktree", "prune", "--expire", "now")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")


def _last_use(path: Path) -> float:
    """When a work tree was last taken, as seconds since 1970; 0 for one that was never whole."""
    try:
        return _beside(path, "whole").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _move_states(source: Path, target: Path) -> None:
    """Move the states that were not stored from one folder to the same places below another."""
    for file in list(source.rglob(ERRORED_STATE)):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.replace(place)
