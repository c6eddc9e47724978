"""The source of truth and where changes of it are proposed: repository, branches, forge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from driftguard.model import Commit, MergedRequest, PullRequest, TreeEntry


class Repository(Protocol):
    """The git repository that is the single source of truth, read through a mirror of our own."""

    def tree(self, commit: str) -> Mapping[str, TreeEntry]:
        """Every file of a commit, by its path from the repository's root."""
        ...

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        """The contents of blobs, in the order asked for."""
        ...

    def worktree(self, commit: str) -> AbstractContextManager[Path]:
        """A clean detached work tree at a commit, kept from pruning while the context is open."""
        ...

    def commits(self, base: str | None, head: str, paths: Sequence[str]) -> tuple[Commit, ...]:
        """Commits after `base` up to `head` that touch one of `paths`, newest first; empty without a base."""
        ...


class Branches(Protocol):
    """Branches that DriftGuard itself makes, on the server that the repository comes from."""

    def listed(self, prefix: str) -> Mapping[str, str]:
        """Branches that begin with a prefix, and their commits, as the server says now."""
        ...

    def commit(self, parent: str, files: Mapping[str, bytes | None], message: str, at: datetime) -> str:
        """Make a commit in our own copy; equal arguments give the same one, unless signatures differ.

        Args:
            files: new contents by path from the repository's root; None deletes.
        """
        ...

    def push(self, branch: str, commit: str, expected: str | None) -> None:
        """Point a branch at a commit, if it points at `expected` (None: is not there); done already is done.

        Raises:
            ForgeFault: it does not, or the server refuses or cannot be reached.
        """
        ...

    def delete(self, branch: str, expected: str) -> None:
        """Delete a branch if it points at `expected`; one that is gone is gone. Raises ForgeFault otherwise."""
        ...


class Forge(Protocol):
    """Pull requests of one repository. Every method raises `ForgeFault` when it cannot tell that it worked.

    Attributes:
        longest_title, longest_body: the most characters of each that the forge takes.
    """

    longest_title: int
    longest_body: int

    def requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Every pull request from one branch of the repository itself, in whatever state, newest first."""
        ...

    def open_requests(self, prefix: str) -> tuple[PullRequest, ...]:
        """Open pull requests from branches of the repository itself that begin with a prefix, oldest first."""
        ...

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request; the one that is open from this branch already, as it is, where there is one."""
        ...

    def update(self, number: int, title: str, body: str) -> None:
        """Give an open pull request another title and text."""
        ...

    def comment(self, number: int, text: str, mark: str) -> None:
        """Comment on a pull request, unless one of our comments there holds the mark (an HTML comment) already."""
        ...

    def close(self, number: int) -> None:
        """Close a pull request without merging it; nothing if it is closed or merged."""
        ...

    def compare_url(self, base: str, branch: str) -> str | None:
        """The page where one click opens a pull request from a branch; None where the forge has none."""
        ...

    def merged_with(self, commit: str, base: str, *, owners: bool = False) -> tuple[MergedRequest, ...]:
        """The merged pull requests into `base` that the forge says a commit came with.

        Args:
            owners: find out about code owners, too.
        """
        ...
