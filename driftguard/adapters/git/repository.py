"""Reads a git repository through a bare mirror of our own; never the user's work tree, index or branches."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import git

from driftguard.adapters.filelock import locked
from driftguard.adapters.folders import folder_name
from driftguard.adapters.git.blame import LAST_MOMENT, newest_change
from driftguard.adapters.git.commands import attempt, commands, run, succeeds
from driftguard.adapters.git.environment import forget_surrounding_git
from driftguard.adapters.git.lfs import LfsContents
from driftguard.adapters.git.locations import HostToken, Location, check_branch, locate, with_token
from driftguard.adapters.git.mirror import fetch, open_mirror, remote_head
from driftguard.adapters.git.submodules import Submodules
from driftguard.adapters.git.worktrees import WorkTrees
from driftguard.errors import OperatorError, UsageError
from driftguard.model import Commit, TreeEntry
from driftguard.ports import Blame, History, Repository, TrackedHead
from driftguard.sealed import mask

_NETWORK_SECONDS = 600.0
_LISTING_SECONDS = 60.0
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024
_MANY = 50  # blobs: more than so many are asked about at once

Touching = tuple[Commit, frozenset[str]]
"""A commit and the paths that it changed against its first parent."""


class GitRepository(Repository, History, Blame, TrackedHead):
    """One repository at the head of its tracked branch. Safe to share between threads.

    Attributes:
        display: the location without credentials.
        local_root: the user's own work tree, when the location is one.
        mirror: the bare repository behind this one.
    """

    def __init__(self, mirror: Path, worktrees: Path, place: Location, ref: str, head: str) -> None:
        self.mirror, self.display, self.local_root = mirror, place.display, place.root
        self._place, self._ref, self._head = place, ref, head
        self._git = commands(mirror, GIT_DIR=str(mirror))
        self._blobs = commands(mirror, GIT_DIR=str(mirror))
        self.submodules = Submodules(mirror, place)
        self.lfs = LfsContents(mirror, place, lambda: self.file(head, ".lfsconfig"))
        self._worktrees = WorkTrees(mirror, worktrees, self._lay_out)
        self._trees: dict[str, Mapping[str, TreeEntry]] = {}
        self._missing: dict[str, Mapping[str, str]] = {}
        self._pointers: dict[str, bytes | None] = {}
        self._spans: dict[tuple[str, ...], tuple[Touching, ...]] = {}
        self._guard = threading.Lock()
        # The process that reads blobs ends with this object, also where it is not closed.
        weakref.finalize(self, self._blobs.clear_cache)

    def close(self) -> None:
        """End the process that reads blobs; another read starts a new one."""
        with self._guard:
            self._blobs.clear_cache()

    @property
    def ref(self) -> str:
        """The tracked branch's name; `HEAD` for a detached one."""
        return self._ref

    @property
    def head(self) -> str:
        """The commit at the tracked branch's head, resolved once when opened."""
        return self._head

    def current_head(self) -> str | None:
        """The commit at the tracked branch's head as the server has it now; None without such a branch."""
        return remote_head(self._place, self._ref, _LISTING_SECONDS)

    def exists(self, commit: str) -> bool:
        """Whether the mirror holds a commit; it may lack one that was rewritten away before the mirror was made."""
        return _is_id(commit) and succeeds(self._git, "cat-file", "-e", f"{commit}^{{commit}}")

    @cached_property
    def names(self) -> frozenset[str]:
        """The repository's names on its servers, such as `acme/infra`: of its location, and of a local one's origin."""
        places = [self._place.source]
        if self._place.root is not None:
            places.append(attempt(self._git, "config", "--file", f"{places[0]}/config", "remote.origin.url")[1].strip())
        found = (re.search(r"[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", place) for place in places)
        return frozenset(name[1] for name in found if name is not None)

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What the repository lacks that makes results less certain, one sentence each."""
        if not (self.mirror / "shallow").exists():
            return ()
        return (
            f"{self.display} is a shallow clone: commits before its beginning are not known, so labels and approvals "
            "may not be certain. Fetch its whole history (`fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` of "
            "GitLab CI).",
        )

    def tree(self, commit: str) -> Mapping[str, TreeEntry]:
        """Every file of a commit, by its path from the root; nothing for a commit that does not exist any more.

        A submodule's files stand below its own entry (mode 160000), if its pinned commit could be fetched.
        """
        with self._guard:
            if commit not in self._trees:
                files = self._listed(commit) if self.exists(commit) else {}
                self._trees[commit], self._missing[commit] = self.submodules.expanded(files, self._listed)
            return self._trees[commit]

    def missing(self, commit: str) -> Mapping[str, str]:
        """Submodules of a commit whose content is not there: why, by path."""
        self.tree(commit)
        return self._missing[commit]

    def lfs_missing(self, object_ids: Sequence[str]) -> Mapping[str, str]:
        """Why the content of a Git LFS pointer is not here, for those of some blobs that are one; it is fetched."""
        return self.lfs.missing(self._lfs_pointers(object_ids))

    def _lfs_pointers(self, object_ids: Sequence[str]) -> dict[str, bytes]:
        """Those of some blobs that are a pointer, with their content. Each blob is read once: closures overlap."""
        if unknown := [object_id for object_id in dict.fromkeys(object_ids) if object_id not in self._pointers]:
            sizes = self._sizes(unknown) if len(unknown) < _MANY else self._sizes_at_once(unknown)
            read = dict(self.read([object_id for object_id, size in sizes if 100 <= size < _LARGEST_POINTER]))
            for object_id in unknown:
                content = read.get(object_id, b"")
                self._pointers[object_id] = content if content.startswith(_LFS_POINTER) else None
        found = ((object_id, self._pointers[object_id]) for object_id in object_ids)
        return {object_id: content for object_id, content in found if content is not None}

    def _sizes(self, object_ids: Sequence[str]) -> Iterator[tuple[str, int]]:
        """The sizes of blobs, through a process that stays; without those that are not here."""
        for object_id in object_ids:
            with self._guard, suppress(ValueError):
                yield object_id, self._blobs.get_object_header(object_id)[2]

    def _sizes_at_once(self, object_ids: Sequence[str]) -> Iterator[tuple[str, int]]:
        asked = "".join(f"{object_id}\n" for object_id in object_ids)
        sizes = run(self._git, "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", stdin=asked)
        parts = (line.split(" ") for line in sizes.splitlines())
        yield from ((part[0], int(part[2])) for part in parts if len(part) == 3 and part[1] == "blob")

    def _listed(self, commit: str) -> Mapping[str, TreeEntry]:
        return dict(_entries(run(self._git, "ls-tree", "-r", "-z", "--full-tree", commit)))

    def _lay_out(self, commit: str, folder: Path) -> None:
        tree = self.tree(commit)
        self.submodules.lay_out(tree, folder)
        files = {path: entry.object_id for path, entry in tree.items() if entry.mode.startswith("100")}
        pointers = self._lfs_pointers(list(dict.fromkeys(files.values())))
        for path, object_id in files.items():
            if object_id in pointers:
                self.lfs.write(pointers[object_id], folder / path)

    def allow(self, hosts: Sequence[str]) -> None:
        """Let submodules and contents of Git LFS come from further hosts (globs)."""
        self.submodules.allow_hosts = tuple(hosts)
        self.lfs.allow_hosts = tuple(hosts)

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        """The contents of blobs, in the order asked for, all through one process.

        Raises:
            OperatorError: the mirror is damaged.
        """
        for object_id in object_ids:
            with self._guard:
                try:
                    content = self._blobs.get_object_data(object_id)[3]
                except (ValueError, OSError, git.GitCommandError):
                    raise OperatorError(
                        f"{object_id} cannot be read from {self.mirror}. Delete that folder; it will be made again."
                    ) from None
            yield object_id, content

    def file(self, commit: str, path: str) -> bytes | None:
        """The contents of one file of a commit; None if it is not there."""
        entry = self.tree(commit).get(path)
        return None if entry is None else next(iter(self.read([entry.object_id])))[1]

    def resolve(self, name: str) -> str:
        """The full id of a commit that the user named.

        Raises:
            UsageError: there is no such commit in the tracked branch's history.
        """
        if _is_id(name) and self.exists(name):
            return run(self._git, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
        raise UsageError(f"{name!r} is not a commit of {self.ref} in {self.display}; give its id.")

    def is_ancestor(self, base: str, head: str) -> bool:
        """Whether one commit is an ancestor of (or the same as) another; False for a commit that is gone."""
        return _is_id(base) and _is_id(head) and succeeds(self._git, "merge-base", "--is-ancestor", base, head)

    def commits(self, base: str | None, head: str, paths: Sequence[str]) -> tuple[Commit, ...]:
        """Commits after `base` up to `head` that touch one of `paths`, newest first; empty without such a base."""
        if base is None or not paths or not self.exists(base):
            return ()
        wanted = set(paths)
        return tuple(commit for commit, touched in self._span(f"{base}..{head}") if not wanted.isdisjoint(touched))

    def newest_change(self, commit: str, path: str, first: int, last: int) -> Commit | None:
        """The newest commit that wrote one of some lines of a file (counted from 1).

        None if that is not known: no such commit or lines, a history that is damaged or not there.
        """
        if not _is_id(commit):
            return None
        shallow = self.mirror / "shallow"
        try:
            cut = frozenset(shallow.read_text(errors="replace").split())
        except OSError:  # the history is whole
            cut = frozenset()
        return newest_change(self._git, commit, path, first, last, cut)

    def first_parents(self, base: str | None, head: str) -> tuple[Touching, ...]:
        """First-parent commits after `base` (all without one) with the paths each touched, newest first."""
        return self._span(f"{base}..{head}" if base else head, "--first-parent")

    def worktree(self, commit: str, name: str) -> AbstractContextManager[Path]:
        """A detached work tree at a commit, clean and held exclusively while the context is open.

        Its path follows from the name. Lock files that Terraform wrote, and a state that it could not store, stay.
        """
        return self._worktrees.use(commit, name)

    def _span(self, span: str, *options: str) -> tuple[Touching, ...]:
        key = (span, *options)
        with self._guard:
            if key not in self._spans:
                self._spans[key] = tuple(_touching(self._git, span, *options))
            return self._spans[key]


def head_of(location: str, ref: str | None, token: HostToken | None = None) -> str | None:
    """The commit at the tracked branch's head, by one `ls-remote`; None where there is no such branch.

    Raises:
        UsageError: the location cannot be read.
        OperatorError: the repository cannot be reached.
    """
    forget_surrounding_git()
    return remote_head(with_token(locate(location), token), ref, _LISTING_SECONDS)


def open_repository(
    location: str,
    cache: Path,
    ref: str | None = None,
    *,
    token: HostToken | None = None,
    network_seconds: float = _NETWORK_SECONDS,
) -> GitRepository:
    """Bring the mirror of a repository up to date and resolve the head of its tracked branch.

    Args:
        location: a path (anywhere inside a work tree, or a bare repository) or a URL.
        cache: DriftGuard's cache folder; mirrors lie in `repos` below it.
        ref: the tracked branch; None for the repository's own default (a work tree's current branch).
        token: to read it with, where it is on the token's host and has no credentials of its own.
        network_seconds: how long the repository may take to answer, for each of two requests.

    Raises:
        UsageError: the location or the branch does not exist, or is not one that git may be handed.
        OperatorError: the repository cannot be reached or read, or the cache cannot be written.
    """
    forget_surrounding_git()
    if ref is not None:
        check_branch(ref)
    place = with_token(locate(location), token)
    folder = cache / "repos" / folder_name(place.source)
    mirror = folder / "mirror.git"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(folder / "mirror.lock"):
            branch, head = fetch(open_mirror(mirror), mirror, place, ref, network_seconds)
        repository = GitRepository(mirror, folder / "trees", place, branch, head)
        repository._worktrees.prune()
    except OSError as error:
        raise OperatorError(
            f"the cache folder cannot be used: {error.filename or folder}: {error.strerror}. Nothing was run."
        ) from None
    return repository


def _is_id(name: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{4,64}", name) is not None


def _entries(listed: str) -> Iterator[tuple[str, TreeEntry]]:
    for record in listed.split("\0"):
        if record:
            facts, path = record.split("\t", 1)
            mode, _, object_id = facts.split(" ")
            yield path, TreeEntry(mode, object_id)


def _touching(mirror: git.Git, span: str, *options: str) -> Iterator[Touching]:
    """Commits of a span with what they changed, from plumbing that no setting of the user's alters."""
    layout = "--format=%H%x00%P%x00%an%x00%ct%x00%s"
    listed = run(mirror, "rev-list", layout, "--encoding=UTF-8", *options, span, "--")
    commits, asked = [], []
    for line in listed.split("\n")[1::2]:  # each is preceded by a line `commit ID`
        sha, parents, author, at, subject = line.split("\0", 4)
        moment = datetime.fromtimestamp(min(int(at or 0), LAST_MOMENT), UTC)
        commits.append(Commit(sha, mask(author), moment, mask(subject)))  # people paste credentials into both
        asked.append(f"{sha} {parents.split(' ')[0]}".rstrip())
    pairs = "".join(f"{pair}\n" for pair in asked)
    changed = run(mirror, "diff-tree", "--stdin", "--root", "-r", "-z", "--no-renames", stdin=pairs)
    touched: dict[str, set[str]] = {}
    fields = iter(changed.split("\0"))
    current: set[str] = set()
    for item in fields:
        if item.startswith(":"):  # the modes and ids of one file, whose name follows
            current.add(next(fields))
        elif item:
            current = touched.setdefault(item, set())
    for commit in commits:
        yield commit, frozenset(touched.get(commit.sha, ()))
