"""The source of truth, read and written: files and commits, the tracked branch, blame, branches, merges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from driftguard.model import Commit, SourceFacts, TreeEntry
from driftguard.model.configuration_sources import Sources
from driftguard.model.expressions import Definitions


class RepositoryContents(Protocol):
    """The files of commits."""

    def tree(self, commit: str) -> Mapping[str, TreeEntry]:
        """Every file of a commit, by its path from the repository's root."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The repository's names on its servers, such as `acme/infra`; empty where it has none."""
        ...

    def missing(self, commit: str) -> Mapping[str, str]:
        """Submodules of a commit whose content is not there: why, by path."""
        ...

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        """The contents of blobs, in the order asked for."""
        ...

    def lfs_missing(self, object_ids: Sequence[str]) -> Mapping[str, str]:
        """Those of some blobs that are a Git LFS pointer without its content, and why it is not here."""
        ...


class Repository(RepositoryContents, Protocol):
    """The git repository that is the single source of truth, read through a mirror of our own."""

    def worktree(self, commit: str, name: str) -> AbstractContextManager[Path]:
        """The work tree of a name, clean at a commit and held exclusively while the context is open.

        Its path follows from the name, and stays the same from run to run.
        """
        ...

    def commits(self, base: str | None, head: str, paths: Sequence[str]) -> tuple[Commit, ...]:
        """Commits after `base` up to `head` that touch one of `paths`, newest first; empty without a base."""
        ...


@dataclass(frozen=True, slots=True)
class Checkout:
    """A work tree as a plan sees it.

    Attributes:
        tree: the folder of the work tree.
        root: the root module's directory, from the repository's root.
        tracked: every path of the commit's tree.
    """

    tree: Path
    root: str
    tracked: Collection[str]


class GivenFiles(Protocol):
    """Files that are made before Terraform runs and lie in no commit."""

    def listed(self, folder: str) -> Mapping[str, str]:
        """The files below an absolute folder, relative to it, with digests of their contents.

        Raises:
            EnvironmentFault: it cannot be read.
        """
        ...

    def copy(self, folder: str, target: Path) -> None:
        """Copy them into a directory, over what is there. Raises as `listed`."""
        ...


class ConfigurationReader(Protocol):
    """Reads the expressions of a configuration, as far as a plan's own `configuration` does not have them."""

    def sources(self, checkout: Checkout, head: Mapping[str, bytes], before: Mapping[str, bytes] | None) -> Sources:
        """The text of each attribute.

        Args:
            head: the closure's Terraform files at head, by their paths from the repository's root.
            before: the same at the baseline; None where no commit changed them.
        """
        ...


class SourceReader(Protocol):
    """The contents of Terraform files, read once for each git blob."""

    def facts(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, SourceFacts]:
        """Facts of Terraform files: takes pairs of path and object id, gives facts by object id."""
        ...

    def templates(self, object_ids: Sequence[str]) -> Mapping[str, SourceFacts]:
        """What templates read by themselves, as `root_paths` and `computed`, by object id."""
        ...

    def definitions(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, Definitions]:
        """The expressions of Terraform files and files of variables, by object id."""
        ...

    def lfs_missing(self, object_ids: Sequence[str]) -> Mapping[str, str]:
        """Those of some blobs that are a Git LFS pointer without its content, and why it is not here."""
        ...

    def link_target(self, object_id: str) -> str:
        """The text of a symbolic link."""
        ...


class Branches(Protocol):
    """Branches that DriftGuard itself makes, on the server that the repository comes from."""

    def listed(self, prefix: str) -> Mapping[str, str]:
        """Branches that begin with a prefix, and their commits, as the server has them now."""
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


class History(Protocol):
    """The history of the tracked branch."""

    @property
    def ref(self) -> str:
        """The tracked branch."""
        ...

    @property
    def head(self) -> str:
        """Its commit that this run goes by."""
        ...

    def is_ancestor(self, base: str, head: str) -> bool:
        """Whether `base` is an ancestor of `head` (or is it)."""
        ...

    def first_parents(self, base: str | None, head: str) -> Sequence[tuple[Commit, Collection[str]]]:
        """The first-parent commits after `base` up to `head`, newest first, each with the paths that it touches."""
        ...


class TrackedHead(Protocol):
    """The tracked branch as its server has it now."""

    def current_head(self) -> str | None:
        """The commit at its head; None where the branch is gone.

        Raises:
            DriftGuardError: the repository cannot be reached.
        """
        ...


class Blame(Protocol):
    """The authors of lines."""

    def newest_change(self, commit: str, path: str, first: int, last: int) -> Commit | None:
        """The newest commit that changed one of the lines (counted from 1); None where that is unknown."""
        ...


class Merges(Protocol):
    """Compares what a merge put on a branch with what was to be merged."""

    def difference(self, oldest: str, last: str, head: str, ref: str) -> str | None:
        """Why the branch holds something else than what was to be merged; None where it does not.

        Args:
            oldest, last: the commits that the merge put on the branch: one, or those of a rebase.
            head: the commit that was to be merged; ref: where the server keeps it.

        Raises:
            ForgeFault: the head cannot be fetched, or this git cannot merge without a work tree.
        """
        ...
