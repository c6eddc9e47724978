"""Detached work trees of the mirror, one per commit, shared by environments, threads and runs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from driftguard.adapters.filelock import if_free, locked
from driftguard.adapters.git.commands import run
from driftguard.adapters.git.submodules import plain
from driftguard.errors import OperatorError

_KEPT = 4
ERRORED_STATE = "errored.tfstate"
"""What Terraform writes into a root module's directory when it cannot store the state of an apply."""


class WorkTrees:
    """The work trees below a folder.

    Locks are always taken in one order: the folder's, then a work tree's. The user of a work tree holds its lock
    shared; who holds the folder's lock and finds a work tree's free may change or delete it.

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
                    if free and next((self._folder / commit).rglob(ERRORED_STATE), None) is None:
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
        self._lay_out(commit, path)
        mark.touch()

    def _reset(self, path: Path, commit: str) -> bool:
        """Make the files those of the commit again; False for a work tree that is not whole any more.

        What an apply left behind would be part of the next plan. Lock files stay: Terraform made them for us.
        """
        try:
            tree = plain(path / ".git", GIT_WORK_TREE=str(path))
            run(tree, "reset", "--quiet", "--hard", commit)
            run(tree, "clean", "--quiet", "-ffdx", "--exclude", ".terraform.lock.hcl", "--exclude", ERRORED_STATE)
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
