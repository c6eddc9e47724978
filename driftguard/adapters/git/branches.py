"""Branches that DriftGuard itself makes: commits in our own copy, pushed to where the repository comes from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, urlsplit

from driftguard.adapters.git.commands import attempt, commands, run
from driftguard.adapters.git.locations import Location, authorization, locate
from driftguard.config import Signing
from driftguard.errors import ForgeFault, OperatorError
from driftguard.sealed import mask

_NETWORK_SECONDS: Final = 120.0
_SIGNING_SECONDS: Final = 30.0
_FILE, _LINK, _SUBMODULE = "100644", "120000", "160000"
# What a user's own settings would add to a commit is not wanted, and would make it another one on another machine.
_WITHOUT_SETTINGS: Final = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
# Nobody is there to type a passphrase.
_WITHOUT_QUESTIONS: Final = {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force", "GPG_TTY": "", "DISPLAY": ""}
_PUSH: Final = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")


class Branches:
    """Implements `ports.Branches`. Safe to share between threads.

    Args:
        mirror: our bare copy, in which the commits are made; its objects stay.
        location: where branches are pushed.
        author: `Name <address>`, of every commit.
        signing: how commits are signed; None leaves them unsigned.
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
        self._identity = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", name), ("EMAIL", address.removesuffix(">")))
        }
        self._git = commands(mirror, GIT_DIR=str(mirror))

    def listed(self, prefix: str) -> Mapping[str, str]:
        """Branches that begin with a prefix, and their commits, as the server says now."""
        status, output, error = attempt(
            self._git,
            "ls-remote",
            "--heads",
            "--",
            self._place.source,
            f"refs/heads/{prefix}*",
            seconds=self._seconds,
            variables=self._place.credentials,
        )
        if status != 0:
            raise ForgeFault(
                f"The branches of {self._place.display} could not be listed: {_words(error)}. The next run tries again."
            )
        pairs = (line.split("\t", 1) for line in output.splitlines() if "\t" in line)
        found = {name.removeprefix("refs/heads/"): commit for commit, name in pairs}
        return {name: commit for name, commit in found.items() if name.startswith(prefix)}

    def commit(self, parent: str, files: Mapping[str, bytes | None], message: str, at: datetime) -> str:
        """Make a commit in our own copy; equal arguments give the same one.

        Args:
            files: new contents by path from the repository's root; None deletes. An existing file keeps its mode.

        Raises:
            OperatorError: the commit cannot be signed, or our copy is damaged.
        """
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
            for path in files:
                _check_path(path)
            listed = run(runner, "ls-tree", "-z", "--full-tree", parent, "--", *files) if files else ""
            modes = {entry.split("\t", 1)[1]: entry.split(" ", 1)[0] for entry in listed.split("\0") if entry}
            records = []
            for path, content in files.items():
                if modes.get(path) in (_LINK, _SUBMODULE):
                    raise OperatorError(f"{path} is a link or a submodule, which DriftGuard does not write.")
                if content is None:
                    records.append(f"0 {'0' * 40}\t{path}\0")
                    continue
                blob = Path(scratch, "blob")
                blob.write_bytes(content)
                object_id = run(runner, "hash-object", "-w", "--no-filters", "--", str(blob)).strip()
                records.append(f"{modes.get(path, _FILE)} {object_id}\t{path}\0")
            run(runner, "read-tree", parent)
            run(runner, "update-index", "-z", "--index-info", stdin="".join(records))
            tree = run(runner, "write-tree").strip()
            options, variables = self._signed()
            seconds = _SIGNING_SECONDS if self._signing else self._seconds
            about = "a signed commit" if self._signing else None
            made = ("commit-tree", *options, "-p", parent, tree)
            return run(runner, *made, stdin=message, variables=variables, seconds=seconds, about=about).strip()

    def push(self, branch: str, commit: str, expected: str | None) -> None:
        """Point a branch at a commit, if it points at `expected` (None: is not there); done already is done.

        Raises:
            ForgeFault: it does not, or the server refuses or cannot be reached.
        """
        self._update(branch, commit, expected)

    def delete(self, branch: str, expected: str) -> None:
        """Delete a branch if it points at `expected`; one that is gone is gone. Raises ForgeFault otherwise."""
        self._update(branch, None, expected)

    def _update(self, branch: str, commit: str | None, expected: str | None) -> None:
        lease = f"--force-with-lease=refs/heads/{branch}:{expected or ''}"
        wanted = f"{commit or ''}:refs/heads/{branch}"
        arguments = ("push", *_PUSH, lease, "--", self._place.source, wanted)
        variables = self._place.credentials
        status, _, error = attempt(self._git, *arguments, seconds=self._seconds, variables=variables)
        if status == 0:
            return
        # The answer may be all that was lost, so what is there now counts.
        there = self.listed(branch).get(branch)
        if there == commit:
            return
        what = f"{branch} could not be {'pushed' if commit else 'deleted'} at {self._place.display}"
        if there != expected:
            raise ForgeFault(f"{what}: somebody else moved it meanwhile, so it was left alone.")
        raise ForgeFault(f"{what}: {_words(error)}. Check that DriftGuard may push branches there.", denied=True)

    def _signed(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """The options and variables that sign a commit."""
        if self._signing is None:
            return (), {}
        key = self._signing.key_file if self._signing.format == "ssh" else self._signing.key_id
        settings = {"gpg.format": self._signing.format, "user.signingKey": str(key)}
        variables = {"GIT_CONFIG_COUNT": str(len(settings)), **_WITHOUT_QUESTIONS}
        for number, (name, value) in enumerate(settings.items()):
            variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return ("-S",), variables


def push_location(location: Location, push_url: str | None) -> Location:
    """Where branches are pushed: what is configured; of a work tree its `origin`; otherwise where it is read."""
    if push_url is not None:
        return locate(push_url)
    if location.root is None:
        return location
    status, output, _ = attempt(commands(location.root), "remote", "get-url", "--push", "origin")
    url = output.strip()
    if status != 0 or not url:
        return location
    plain_path = "://" not in url and not url.startswith(("/", "~")) and ":" not in url.split("/", 1)[0]
    return locate(str(location.root / url) if plain_path else url)


def with_token(location: Location, host: str | None, user: str, token: str) -> Location:
    """The location with a token for pushing, where it is on that host by HTTP and has no credentials of its own."""
    parts = urlsplit(location.source)
    if parts.scheme not in ("http", "https") or parts.hostname != host or location.credentials or not token:
        return location
    userinfo = f"{quote(user, safe='')}:{quote(token, safe='')}"
    return replace(location, credentials=authorization(parts.scheme, parts.netloc, userinfo))


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or "\0" in path or {"..", ".git"} & {part.casefold() for part in parts}:
        raise OperatorError(f"{path!r} is not a file that a commit may hold.")


def _words(error: str) -> str:
    """What git said, on one line, without a credential."""
    said = " ".join(mask(error).split())
    return said[:400].rstrip(".") or "it did not say why"
