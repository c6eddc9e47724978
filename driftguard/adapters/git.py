"""Reads a git repository through a bare mirror of our own; never the user's work tree, index or branches."""

from __future__ import annotations

import base64
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import git

from driftguard.adapters.filelock import if_free, locked
from driftguard.adapters.folders import folder_name
from driftguard.errors import OperatorError, UsageError
from driftguard.model import Commit, TreeEntry
from driftguard.sealed import mask

_NETWORK_SECONDS = 600
_LOCAL_SECONDS = 120
_KEPT_WORKTREES = 4
_TRACKED = "refs/driftguard/heads/"
_URL = re.compile(r"^(?:https?|ssh|git|file)://", re.I)
_SCP = re.compile(r"^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!//)")
# What git takes from a surrounding git process (a hook, for one) would point it at another repository.
_NOT_INHERITED = re.compile(r"^GIT_(?!SSH|ASKPASS|SSL_|PROXY|HTTP_PROXY|TRACE_CURL_NO|CONFIG_NOSYSTEM|CONFIG_GLOBAL)")


class GitRepository:
    """One repository at the head of its tracked branch; fulfils `ports.Repository`.

    Attributes:
        head: the commit at the tracked branch's head, resolved once when opened.
        ref: the tracked branch's name.
        display: the location without credentials.
        local_root: the user's own work tree, when the location is one.
    """

    def __init__(self, mirror: git.Repo, folder: Path, display: str, ref: str, head: str, root: Path | None) -> None:
        self.display, self.ref, self.head, self.local_root = display, ref, head, root
        self._mirror, self._folder = mirror, folder
        self._trees: dict[str, Mapping[str, TreeEntry]] = {}
        self._guard = threading.RLock()

    @property
    def mirror(self) -> Path:
        """The bare repository behind this one."""
        return Path(self._mirror.git_dir)

    def tree(self, commit: str) -> Mapping[str, TreeEntry]:
        with self._guard:
            if commit not in self._trees:
                listed = _run(self._mirror, "ls-tree", "-r", "-z", "--full-tree", commit)
                self._trees[commit] = dict(_entries(listed))
            return self._trees[commit]

    def read(self, object_ids: Sequence[str]) -> Iterable[tuple[str, bytes]]:
        with self._guard:
            for object_id in object_ids:
                yield object_id, self._mirror.odb.stream(bytes.fromhex(object_id)).read()

    def file(self, commit: str, path: str) -> bytes | None:
        """The contents of one file of a commit; None if it is not there."""
        entry = self.tree(commit).get(path)
        return None if entry is None else next(iter(self.read([entry.object_id])))[1]

    def resolve(self, name: str) -> str:
        """The full id of a commit that the user named.

        Raises:
            UsageError: there is no such commit in the tracked branch's history.
        """
        if re.fullmatch(r"[0-9a-fA-F]{4,64}", name):
            try:
                return _run(self._mirror, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
            except OperatorError:
                pass
        raise UsageError(f"{name!r} is not a commit of {self.ref} in {self.display}; give its id.")

    def is_ancestor(self, base: str, head: str) -> bool:
        """Whether one commit is an ancestor of (or the same as) another; False for a commit that is gone."""
        try:
            return bool(self._mirror.is_ancestor(self._mirror.commit(base), self._mirror.commit(head)))
        except (git.GitCommandError, ValueError):
            return False

    def commits(self, base: str | None, head: str, paths: Sequence[str]) -> tuple[Commit, ...]:
        if base is None or not paths:
            return ()
        wanted = set(paths)
        return tuple(commit for commit, touched in self._log(f"{base}..{head}") if not wanted.isdisjoint(touched))

    def first_parents(self, base: str | None, head: str) -> tuple[tuple[Commit, frozenset[str]], ...]:
        """First-parent commits after `base` (all without one) with the paths each touched, newest first."""
        return tuple(self._log(f"{base}..{head}" if base else head, "--first-parent"))

    def _log(self, span: str, *options: str) -> Iterator[tuple[Commit, frozenset[str]]]:
        text = _run(
            self._mirror,
            "log",
            "-z",
            "--diff-merges=first-parent",
            "--name-only",
            "--no-renames",
            "--format=%x01%H%x02%an%x02%ct%x02%s%x02",
            *options,
            span,
            "--",
        )
        for block in text.split("\x01")[1:]:
            sha, author, at, subject, names = block.split("\x02", 4)
            touched = frozenset(name for name in names.replace("\n", "\0").split("\0") if name)
            yield Commit(sha, author, datetime.fromtimestamp(int(at), UTC), subject), touched

    @contextmanager
    def worktree(self, commit: str) -> Iterator[Path]:
        trees = self._folder / "trees"
        path = trees / commit
        with locked(trees / f"{commit}.lock", shared=True):
            with self._guard, locked(self._folder / "mirror.lock"):
                self._ensure(path, commit)
            yield path

    def _ensure(self, path: Path, commit: str) -> None:
        """Make the work tree unless it is whole; the mark is written last, so a half-made one is made again."""
        mark = path.with_suffix(".whole")
        if not mark.exists() or not path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            _run(self._mirror, "worktree", "prune")
            _run(self._mirror, "worktree", "add", "--detach", "--force", str(path), commit)
        mark.touch()

    def prune(self) -> None:
        """Delete all but the newest work trees; those in use by any run stay."""
        trees = self._folder / "trees"
        marks = sorted(trees.glob("*.whole"), key=lambda mark: mark.stat().st_mtime, reverse=True)
        for mark in marks[_KEPT_WORKTREES:]:
            commit = mark.stem
            with if_free(trees / f"{commit}.lock") as free, locked(self._folder / "mirror.lock"):
                if free:
                    mark.unlink(missing_ok=True)
                    shutil.rmtree(trees / commit, ignore_errors=True)
                    _run(self._mirror, "worktree", "prune")


def open_repository(location: str, cache: Path, ref: str | None = None) -> GitRepository:
    """Bring the mirror of a repository up to date and resolve the head of its tracked branch.

    Args:
        location: a path (anywhere inside a work tree, or a bare repository) or a URL.
        cache: DriftGuard's cache folder; mirrors lie in `repos` below it.
        ref: the tracked branch; None for the repository's own default (a work tree's current branch).

    Raises:
        UsageError: the location or the branch does not exist, or is not one that git may be handed.
        OperatorError: the repository cannot be reached or read.
    """
    if ref is not None and (ref.startswith("-") or not _valid_branch(ref)):
        raise UsageError(f"--ref {ref!r} is not a branch name.")
    for name in [name for name in os.environ if _NOT_INHERITED.match(name)]:
        del os.environ[name]  # GitPython hands on the whole environment of this process
    source, secret, root = _source(location)
    folder = cache / "repos" / folder_name(source)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder / "mirror.lock"):
        mirror = _mirror(folder / "mirror.git")
        with mirror.git.custom_environment(**secret):
            branch, head = _fetch(mirror, source, ref)
    display = str(root) if root else source
    repository = GitRepository(mirror, folder, display, branch, head, root)
    repository.prune()
    return repository


def _source(location: str) -> tuple[str, dict[str, str], Path | None]:
    """What git is handed: a location without credentials, variables that carry them, the user's work tree."""
    if location.startswith("-") or "::" in location.split("/", 1)[0]:
        raise UsageError(f"--repo {mask(location)!r} is not a path or a URL that can be read.")
    if _URL.match(location):
        parts = urlsplit(location)
        if parts.hostname is not None and parts.hostname.startswith("-"):
            raise UsageError(f"--repo {mask(location)!r} is not a URL that can be read.")
        if parts.scheme.lower() in ("http", "https") and "@" in parts.netloc:
            userinfo, host = parts.netloc.rsplit("@", 1)
            bare = urlunsplit(parts._replace(netloc=host))
            user, _, password = userinfo.partition(":")
            pair = f"{unquote(user)}:{unquote(password)}".encode()
            header = f"Authorization: Basic {base64.b64encode(pair).decode()}"
            variables = {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{host}/.extraHeader",
                "GIT_CONFIG_VALUE_0": header,
            }
            return bare, variables, None
        if parts.password:
            raise UsageError("--repo holds a password for a transport that cannot be given one safely; use a key.")
        return location, {}, None
    if _SCP.match(location):
        return location, {}, None
    if re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", location):
        raise UsageError(f"--repo {mask(location)!r}: only https, http, ssh, git and file URLs can be read.")
    path = Path(location).expanduser()
    if not path.exists():
        raise UsageError(f"--repo {location} does not exist.")
    try:
        found = git.Repo(path, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        raise UsageError(f"--repo {location} is not inside a git repository.") from None
    with found:
        return (
            str(Path(found.git_dir).resolve()),
            {},
            Path(found.working_tree_dir).resolve() if found.working_tree_dir else None,
        )


def _mirror(path: Path) -> git.Repo:
    if not (path / "HEAD").exists():
        shutil.rmtree(path, ignore_errors=True)
        scratch = path.with_name(f"{path.name}.part")
        shutil.rmtree(scratch, ignore_errors=True)
        git.Repo.init(scratch, bare=True, mkdir=True).close()
        scratch.rename(path)
    mirror = git.Repo(path)
    mirror.git.update_environment(GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", LC_ALL="C", GIT_CONFIG_COUNT="0")
    with mirror.config_writer() as settings:
        settings.set_value("gc", "auto", "0")
        settings.set_value("gc", "pruneExpire", "never")
        settings.set_value("core", "hooksPath", os.devnull)
    return mirror


def _fetch(mirror: git.Repo, source: str, ref: str | None) -> tuple[str, str]:
    listed = _run(mirror, "ls-remote", "--symref", "--", source, "HEAD", "refs/heads/*", seconds=_NETWORK_SECONDS)
    default, branches, head = _advertised(listed)
    branch = ref or default
    if branch is None and head is not None:  # a detached work tree: there is no branch to track, only a commit
        _run(
            mirror,
            "fetch",
            "--quiet",
            "--no-tags",
            "--",
            source,
            "+HEAD:refs/driftguard/detached",
            seconds=_NETWORK_SECONDS,
        )
        return "HEAD", head
    if branch is None or branch not in branches:
        known = ", ".join(sorted(branches)[:20]) or "none: the repository is empty"
        raise UsageError(f"there is no branch {branch or 'HEAD'!r} in {source}; branches: {known}.")
    refspec = f"+refs/heads/{branch}:{_TRACKED}{branch}"
    _run(mirror, "fetch", "--quiet", "--no-tags", "--", source, refspec, seconds=_NETWORK_SECONDS)
    return branch, _run(mirror, "rev-parse", "--verify", f"{_TRACKED}{branch}^{{commit}}").strip()


def _advertised(listed: str) -> tuple[str | None, dict[str, str], str | None]:
    default, branches, head = None, {}, None
    for line in listed.splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            default = value.removeprefix("ref: refs/heads/")
        elif name == "HEAD":
            head = value
        elif name.startswith("refs/heads/"):
            branches[name.removeprefix("refs/heads/")] = value
    return default, branches, head


def _entries(listed: str) -> Iterator[tuple[str, TreeEntry]]:
    for record in listed.split("\0"):
        if record:
            facts, path = record.split("\t", 1)
            mode, _, object_id = facts.split(" ")
            yield path, TreeEntry(mode, object_id)


def _valid_branch(name: str) -> bool:
    try:
        git.Git().check_ref_format("--branch", name)
    except git.GitCommandError:
        return False
    return True


_SENTENCES = (
    (re.compile(r"Authentication failed|could not read Username|Permission denied|403|401|access denied", re.I),
     "it refuses our credentials: check the token or key"),
    (re.compile(r"not found|does not exist|does not appear to be a git repository|not a git repository", re.I),
     "there is no such repository, or these credentials may not see it"),
    (re.compile(r"dubious ownership", re.I),
     "it belongs to another user: run as that user, or add it to git's safe.directory"),
    (re.compile(r"Could not resolve host|Connection refused|timed out|unreachable|Failed to connect|reset by", re.I),
     "it cannot be reached: check the network"),
)  # fmt: skip


def _run(mirror: git.Repo, command: str, *arguments: str, seconds: int = _LOCAL_SECONDS) -> str:
    """Run one git command in the mirror; its output, undecodable bytes kept as surrogates.

    Raises:
        OperatorError: git failed; the message holds no credential.
    """
    try:
        output = mirror.git.execute(
            [mirror.git.GIT_PYTHON_GIT_EXECUTABLE, command, *arguments],
            kill_after_timeout=seconds,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
        )
    except git.GitCommandNotFound:
        raise OperatorError("git is not installed, or not on PATH. Install git 2.30 or newer.") from None
    except git.GitCommandError as error:
        said = mask(str(error.stderr or "").strip().removeprefix("stderr: ").strip("' \n"))
        location = next((a for a in arguments if "/" in a and not a.startswith("-")), "the repository")
        for pattern, sentence in _SENTENCES:
            if pattern.search(said):
                raise OperatorError(f"git {command} of {mask(location)} failed, {sentence}. Nothing was run.") from None
        raise OperatorError(f"git {command} failed: {' '.join(said.split())[:500] or 'it said nothing'}.") from None
    return bytes(output).decode(errors="surrogateescape")
