"""Detached work trees of the mirror, one per commit, shared by environments, threads and runs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import git

from driftguard.adapters.filelock import if_free, locked
from driftguard.adapters.git.commands import commands, run
from driftguard.errors import OperatorError

_KEPT = 4


class WorkTrees:
    """The work trees below a folder.

    Locks are always taken in one order: the folder's, then a work tree's. Whoever uses a work tree holds its lock
    shared; who holds the folder's lock and finds a work tree's free may change or delete it.
    """

    def __init__(self, mirror: git.Git, mirror_folder: Path, folder: Path) -> None:
        self._mirror, self._records, self._folder = mirror, mirror_folder / "worktrees", folder
        self._lock = folder / "all.lock"
        self._guard = threading.Lock()

    @contextmanager
    def use(self, commit: str) -> Iterator[Path]:
        """A clean work tree at a commit, kept from pruning while the context is open."""
        path, lock = self._folder / commit, self._folder / f"{commit}.lock"
        with ExitStack() as stack:
            with self._guard, locked(self._lock):
                with if_free(lock) as first:
                    if first:
                        self._make_clean(path, commit)
                stack.enter_context(locked(lock, shared=True))
            yield path

    def prune(self) -> None:
        """Delete all but the newest, and what killed runs left half-made; those in use by any run stay."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._guard, locked(self._lock):
            marks = sorted(self._folder.glob("*.whole"), key=lambda mark: mark.stat().st_mtime, reverse=True)
            kept = {mark.stem for mark in marks[:_KEPT]}
            old = {path.stem for path in self._folder.iterdir() if path != self._lock} - kept
            for commit in old:
                with if_free(self._folder / f"{commit}.lock") as free:
                    if free:
                        self._delete(commit)
            if old:
                self._forget_deleted()

    def _make_clean(self, path: Path, commit: str) -> None:
        """Make the work tree unless it is whole; the mark is written last, so a half-made one is made again."""
        mark = path.with_suffix(".whole")
        if not (mark.exists() and self._reset(path, commit)):
            self._delete(commit)
            self._forget_deleted()
            run(self._mirror, "worktree", "add", "--detach", "--force", str(path), commit)
        mark.touch()

    def _reset(self, path: Path, commit: str) -> bool:
        """Undo what somebody did to tracked files; False for a work tree that is not whole any more."""
        try:
            tree = commands(path, GIT_DIR=str(path / ".git"), GIT_WORK_TREE=str(path))
            run(tree, "reset", "--quiet", "--hard", commit)
        except (OperatorError, OSError):
            return False
        return True

    def _delete(self, commit: str) -> None:
        self._folder.joinpath(f"{commit}.whole").unlink(missing_ok=True)
        shutil.rmtree(self._folder / commit, ignore_errors=True)
        self._folder.joinpath(f"{commit}.lock").unlink(missing_ok=True)

    def _forget_deleted(self) -> None:
        """Clear git's records of deleted work trees; a `git worktree add` that was killed leaves its record locked."""
        for left in self._records.glob("*/locked"):
            left.unlink(missing_ok=True)
        run(self._mirror, "worktree", "prune", "--expire", "now")
