"""Branches that DriftGuard itself makes: commits in our own copy, pushed to where the repository comes from."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

from driftguard.adapters.git.commands import attempt, commands, run
from driftguard.adapters.git.locations import Location, locate
from driftguard.adapters.ratelimits import WAIT_SECONDS, is_rate_limit
from driftguard.config import Signing
from driftguard.errors import ForgeFault, OperatorError, UsageError
from driftguard.ports import Branches
from driftguard.printable import one_line
from driftguard.sealed import mask

_NETWORK_SECONDS: Final = 120.0
_SIGNING_SECONDS: Final = 30.0
_FILE, _LINK, _SUBMODULE, _FOLDER = "100644", "120000", "160000", "040000"
# What a user's own settings would add to a commit is not wanted, and would make it another one on another machine.
_WITHOUT_SETTINGS: Final = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
# No terminal to type a passphrase.
_WITHOUT_QUESTIONS: Final = {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force", "GPG_TTY": "", "DISPLAY": ""}
# Exactly one branch goes, whatever the user's own settings would add to a push.
_PUSH: Final = (
    *("-c", "push.pushOption=", "push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed"),
    "--recurse-submodules=no",
)
_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*:(?!:|//)")
# A server that refuses an update for these reasons is in trouble; for any other, it does not allow it.
_TROUBLE: Final = re.compile(
    r"unpack|cannot lock|failed to (?:update|lock)|incorrect old value|necessary objects|timeout"
)
_NO_RIGHT: Final = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied|error: 40[13]\b|access denied"
    r"|Permission to \S+ denied|not allowed to|marked as read.only",
    re.I,
)
_NOT_THERE: Final = re.compile(
    r"repository\b.*not found|could not be found|does not exist|does not appear to be a git repository", re.I
)
_NO_ANSWER: Final = "it did not answer in time"


class GitBranches(Branches):
    """Branches on a git server, with git. Safe to share between threads.

    Args:
        mirror: our bare copy, in which the commits are made; its objects stay.
        location: where branches are pushed.
        author: `Name <address>`, of every commit.
        signing: how commits are signed; None leaves them unsigned.
        network_seconds: how long the server may take to answer, for each request.

    Raises:
        UsageError: the author or the key's path is not one.
    """

    def __init__(
        self,
        mirror: Path,
        location: Location,
        *,
        author: str,
        signing: Signing | None,
        network_seconds: float = _NETWORK_SECONDS,
    ) -> None:
        self._mirror, self._place, self._signing, self._seconds = mirror, location, signing, network_seconds
        name, _, address = author.rpartition(" <")
        if not name.strip() or not address.endswith(">"):
            raise UsageError(f"forge.author: {mask(author)!r} is not `Name <address>`.")
        if signing is not None and signing.key_file is not None and not os.path.isabs(signing.key_file):
            raise UsageError(f"forge.signing.key_file: {signing.key_file!r} is not an absolute path.")
        self._identity = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", name), ("EMAIL", address.removesuffix(">")))
        }
        self._git = commands(mirror, GIT_DIR=str(mirror))

    def listed(self, prefix: str) -> Mapping[str, str]:
        """Branches that begin with a prefix, and their commits, as the server has them now.

        Raises:
            ForgeFault: the server refuses or cannot be reached.
        """
        variables = self._place.variables()
        status, output, error = attempt(
            self._git,
            *("ls-remote", "--heads", "--", self._place.source, f"refs/heads/{prefix}*"),
            seconds=self._seconds,
            variables=variables,
        )
        if status != 0 and is_rate_limit(error):
            raise _limited(f"The branches of {self._place.display} could not be listed", _words(variables, error))
        if status != 0:
            raise ForgeFault(
                f"The branches of {self._place.display} could not be listed: {_words(variables, error)}. "
                "The next run retries.",
                denied=_NO_RIGHT.search(error) is not None,
                missing=_NOT_THERE.search(error) is not None,
                whole_forge=True,
            )
        pairs = (line.split("\t", 1) for line in output.split("\n") if "\t" in line)
        found = {name.removeprefix("refs/heads/"): commit for commit, name in pairs}
        return {name: commit for name, commit in found.items() if name.startswith(prefix)}

    def commit(self, parent: str, files: Mapping[str, bytes | None], message: str, at: datetime) -> str:
        """Make a commit in our own copy; equal arguments give the same one.

        Args:
            files: new contents by path from the repository's root; None deletes. An existing file keeps its mode.
            message: any text; it ends with a line end.

        Raises:
            OperatorError: the commit cannot be signed, a path cannot be written, or our copy is damaged.
        """
        _check_id(parent)
        for path in files:
            _check_path(path)
        stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        with tempfile.TemporaryDirectory(prefix="driftguard-") as scratch:
            runner = commands(
                self._mirror,
                GIT_DIR=str(self._mirror),
                GIT_INDEX_FILE=str(Path(scratch, "index")),
                GIT_LITERAL_PATHSPECS="1",
                GIT_AUTHOR_DATE=stamp,
                GIT_COMMITTER_DATE=stamp,
                **self._identity,
                **_WITHOUT_SETTINGS,
            )
            wanted = sorted({*files, *(folder for path in files for folder in _folders(path))})
            listed = run(runner, "ls-tree", "-t", "-z", "--full-tree", parent, "--", *wanted) if wanted else ""
            modes = {entry.split("\t", 1)[1]: entry.split(" ", 1)[0] for entry in listed.split("\0") if entry}
            _check_places(files, modes)
            records = []
            for path, content in files.items():
                if content is None:
                    records.append(f"0 {'0' * 40}\t{path}\0")
                    continue
                blob = Path(scratch, "blob")
                blob.write_bytes(content)
                object_id = run(runner, "hash-object", "-w", "--no-filters", "--", str(blob)).strip()
                records.append(f"{modes.get(path, _FILE)} {object_id}\t{path}\0")
            run(runner, "read-tree", parent)
            run(runner, "update-index", "-z", "--index-info", stdin="".join(records))
            file = Path(scratch, "message")
            text = message if message.endswith("\n") else f"{message}\n"
            file.write_bytes(text.encode(errors="replace").replace(b"\0", b"?"))  # git refuses NUL
            made = ("-p", parent, "-F", str(file), run(runner, "write-tree").strip())
            if self._signing is None:
                return run(runner, "commit-tree", *made).strip()
            variables = self._signing_variables(self._signing)
            status, output, error = attempt(
                runner, "commit-tree", "-S", *made, seconds=_SIGNING_SECONDS, variables=variables
            )
        if status != 0:
            key = self._signing.key_file or self._signing.key_id
            raise OperatorError(
                f"A commit could not be signed with {key}: {_words({}, error)}. Nothing was pushed. "
                "Check forge.signing: the key must be readable and usable without a passphrase being typed."
            )
        return output.strip()

    def push(self, branch: str, commit: str, expected: str | None) -> None:
        """Point a branch at a commit, if it points at `expected` (None: is not there); done already is done.

        Raises:
            ForgeFault: it does not, or the server refuses or cannot be reached.
            OperatorError: one of the arguments cannot be a branch or a commit.
        """
        _check_id(commit)
        self._update(branch, commit, expected)

    def delete(self, branch: str, expected: str) -> None:
        """Delete a branch if it points at `expected`; one that is gone is gone. Raises ForgeFault otherwise."""
        self._update(branch, None, expected)

    def _update(self, branch: str, commit: str | None, expected: str | None) -> None:
        if expected is not None:
            _check_id(expected)
        _check_name(branch)
        lease = f"--force-with-lease=refs/heads/{branch}:{expected or ''}"
        wanted = f"{commit or ''}:refs/heads/{branch}"
        arguments = (*_PUSH, lease, "--", self._place.source, wanted)
        variables = self._place.variables()
        status, output, error = attempt(self._git, *arguments, seconds=self._seconds, variables=variables)
        if status == 0:
            return
        what = f"{branch} could not be {'pushed' if commit else 'deleted'} at {self._place.display}"
        reason = _reason(output)
        words = _words(variables, error, reason)
        if is_rate_limit(f"{error}\n{reason}"):
            raise _limited(what, words)
        denied = _is_denied(reason, error)
        try:  # the answer may be all that was lost, so what is there now counts
            there = self.listed(branch).get(branch)
        except ForgeFault as fault:
            raise ForgeFault(
                f"{what}: {words}. Whether it arrived is not known; the next run checks again.",
                denied=fault.denied or denied,
                missing=fault.missing,
                perhaps_done=not (reason or fault.denied or fault.missing),
                whole_forge=True,
            ) from None
        if there == commit:
            return
        if there != expected:
            raise ForgeFault(f"{what}: it was moved meanwhile, so it was left alone. The next run retries.")
        raise ForgeFault(f"{what}: {words}. {_remedy(error) if denied else 'The next run retries.'}", denied=denied)

    @staticmethod
    def _signing_variables(signing: Signing) -> dict[str, str]:
        """What signs a commit, as variables: what a user configures is never an argument of a command."""
        key = signing.key_file if signing.format == "ssh" else signing.key_id
        settings = {"gpg.format": signing.format, "user.signingKey": str(key)}
        variables = {"GIT_CONFIG_COUNT": str(len(settings)), **_WITHOUT_QUESTIONS}
        for number, (name, value) in enumerate(settings.items()):
            variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return variables


def push_location(location: Location, push_url: str | None) -> Location:
    """Where branches are pushed: what is configured; of a work tree its `origin`; otherwise where it is read.

    Raises:
        UsageError: git must not be handed it, or it does not exist.
    """
    if push_url is not None:
        return _located(push_url, "forge.push_url")
    if location.root is None:
        return location
    status, output, _ = attempt(commands(location.root), "remote", "get-url", "--push", "origin")
    url = output.strip()
    if status != 0 or not url:
        return location
    plain_path = "://" not in url and not url.startswith(("/", "~")) and ":" not in url.split("/", 1)[0]
    return _located(str(location.root / url) if plain_path else url, "the remote `origin`")


def _located(url: str, name: str) -> Location:
    """A place to push to; `HOST:PATH` is one too, where HOST is what the user's SSH configuration calls a server."""
    if _ALIAS.match(url):
        return Location(url, mask(url))
    try:
        return locate(url)
    except UsageError as error:
        words = mask(str(error)).removeprefix("--repo ")
        raise UsageError(f"branches cannot be pushed to {name}: {words} Set forge.push_url to where they go.") from None


def _words(variables: Mapping[str, str], error: str, reason: str = "") -> str:
    """The output of git and the server, on one line, without the credentials of the command."""
    if "did not complete in" in error:
        return _NO_ANSWER
    remote = [line.removeprefix("remote:") for line in error.split("\n") if line.startswith("remote:")]
    words = " ".join([reason, *remote]) if reason else error
    for value in variables.values():  # a server may repeat what it was given
        kind, _, pair = value.rpartition(" ")
        if kind == "Authorization: Basic":
            word = base64.b64decode(pair).decode(errors="replace").partition(":")[2]
            for secret in (pair, word, quote(word, safe="")):
                words = words.replace(secret, "(sensitive)") if secret else words
    return one_line(mask(words))[:400].rstrip(".") or "no reason was given"


def _remedy(error: str) -> str:
    if "denied to github-actions[bot]" in error:
        return "A workflow's GITHUB_TOKEN needs `permissions: {contents: write}`."
    return "Check that DriftGuard may push branches there."


def _is_denied(reason: str, error: str) -> bool:
    """Whether a push is not allowed: by the server's own answer, or else by what happened on the way to it."""
    return _TROUBLE.search(reason) is None if reason else _NO_RIGHT.search(error) is not None


def _limited(what: str, words: str) -> ForgeFault:
    return ForgeFault(
        f"{what}: rate limit exceeded ({words}). A run after {WAIT_SECONDS:.0f} s retries.",
        retry_after_seconds=WAIT_SECONDS,
        whole_forge=True,
    )


def _check_path(path: str) -> None:
    """Raises `OperatorError` for what git would refuse, leave out in silence, or check out outside of the tree."""
    parts = path.split("/")
    inside = "\0" not in path and not {"", ".", "..", ".git"} & {part.casefold() for part in parts}
    try:
        path.encode()
    except UnicodeEncodeError:
        inside = False
    if not inside:
        raise OperatorError(f"{path!r} is not a file that a commit may hold.")


def _check_places(files: Mapping[str, bytes | None], modes: Mapping[str, str]) -> None:
    """Raises `OperatorError` where writing a file would take the place of something else, or go through a link."""
    for path, content in files.items():
        if modes.get(path) in (_LINK, _SUBMODULE):
            raise OperatorError(f"{path!r} is a link or a submodule, which DriftGuard does not write.")
        if modes.get(path) == _FOLDER:
            raise OperatorError(f"{path!r} is a folder, which DriftGuard does not replace.")
        for folder in _folders(path) if content is not None else ():
            stays = modes.get(folder, _FOLDER) != _FOLDER and files.get(folder, b"") is not None
            if stays or files.get(folder) is not None:
                raise OperatorError(f"{path!r} cannot be written: {folder!r} is not a folder.")


def _folders(path: str) -> Iterable[str]:
    """Every folder above a file but the root."""
    return (str(folder) for folder in PurePosixPath(path).parents if folder.name)


def _check_id(commit: str) -> None:
    """Raises `OperatorError` for what is not a whole commit id, and so might be an option or another refspec."""
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit) is None:
        raise OperatorError(f"{commit!r} is not the id of a commit.")


def _check_name(branch: str) -> None:
    """Raises `OperatorError` for what would not be exactly one branch in a refspec."""
    if re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//", branch) or branch.startswith(("-", "/")) or not branch:
        raise OperatorError(f"{branch!r} is not a branch's name.")


def _reason(output: str) -> str:
    """The server's answer to the update in `git push --porcelain`; empty without one."""
    for line in output.split("\n"):
        if line.startswith("!\t") and "[remote rejected]" in line:
            return line.rpartition("[remote rejected]")[2].strip().strip("()")
    return ""
