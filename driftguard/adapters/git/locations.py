"""Where a repository is, as the user wrote it: what git may be handed of it, and which credentials go beside it."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import git

from driftguard.adapters.git.commands import commands, succeeds
from driftguard.errors import OperatorError, UsageError
from driftguard.sealed import mask

_URL = re.compile(r"(?:https?|ssh|git|file)://", re.I)
_SCP = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)")
_VARIABLES_SINCE = (2, 31)


class TokenSource(Protocol):
    """A token that may expire."""

    def token(self) -> str:
        """The token now; empty where there is none. DriftGuardError where it cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class HostToken:
    """A token for git on one host.

    Attributes:
        user: the name beside it.
        plain_http: send it also over a connection that others can read; to this machine itself that is always done.
    """

    host: str | None
    user: str
    source: TokenSource = field(repr=False)
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """A repository's place.

    Attributes:
        source: what git is handed; without credentials.
        display: what people are shown.
        root: the user's own work tree, when the location is in one.
        credentials: of the URL itself, as environment variables.
        token: in their place, where it may be sent there.
    """

    source: str
    display: str
    root: Path | None = None
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: HostToken | None = None

    def variables(self) -> Mapping[str, str]:
        """The environment variables for one command that talks to the source; a token is asked for each time.

        Raises:
            DriftGuardError: the token cannot be had.
        """
        token = self.token.source.token() if self.token is not None else ""
        if self.token is None or not token:
            return self.credentials
        parts = urlsplit(self.source)
        userinfo = f"{quote(self.token.user, safe='')}:{quote(token, safe='')}"
        return authorization(parts.scheme, parts.netloc, userinfo)


def locate(location: str) -> Location:
    """Read a location: a path anywhere inside a work tree, a bare repository, or a URL.

    Raises:
        UsageError: it does not exist, or git must not be handed it.
    """
    if not location.strip() or location.startswith("-") or "::" in location.split("/", 1)[0] or "\0" in location:
        raise UsageError(f"--repo {mask(location)!r} is not a path or a URL that can be read.")
    if _URL.match(location):
        return _url(location)
    if _SCP.match(location):
        return Location(location, location)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", location):
        raise UsageError(f"--repo {mask(location)!r}: only https, http, ssh, git and file URLs can be read.")
    return _path(location)


def with_token(location: Location, token: HostToken | None) -> Location:
    """The location with a token, where it is on that host by HTTPS and has no credentials of its own."""
    parts = urlsplit(location.source)
    if token is None or parts.scheme not in ("http", "https") or parts.hostname != token.host or location.credentials:
        return location
    if parts.scheme == "http" and not token.plain_http and not _is_this_machine(parts.hostname or ""):
        return location
    return replace(location, token=token)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_branch(name: str) -> None:
    """Raises `UsageError` for what cannot be a branch's name."""
    if (
        name.startswith("-")
        or "\0" in name
        or not succeeds(commands(Path("/")), "check-ref-format", f"refs/heads/{name}")
    ):
        raise UsageError(f"--ref {name!r} is not a branch name.")


def _url(location: str) -> Location:
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
    except ValueError:
        raise UsageError(f"--repo {mask(location)!r} is not a URL that can be read.") from None
    if host.startswith("-") or unquote(parts.netloc).startswith("-") or re.search(r"[\x00-\x20]", location):
        raise UsageError(f"--repo {mask(location)!r} is not a URL that can be read.")
    if parts.scheme not in ("http", "https"):
        if parts.password:
            raise UsageError("--repo holds a password for a transport that cannot be given one safely; use a key.")
        return Location(location, mask(location) if parts.scheme != "ssh" else location)
    userinfo, _, netloc = parts.netloc.rpartition("@")
    source = urlunsplit(parts._replace(netloc=netloc))
    return Location(source, mask(source), credentials=authorization(parts.scheme, netloc, userinfo) if userinfo else {})


def authorization(scheme: str, netloc: str, userinfo: str) -> dict[str, str]:
    """The credentials as variables, which no other user of the machine sees; for this host alone."""
    found = git.Git().version_info[:2]
    if found < _VARIABLES_SINCE:
        raise OperatorError(
            f"git {'.'.join(map(str, found))} cannot be given credentials of a URL without showing them to other users "
            "of this machine. Install git 2.31 or newer, or use a credential helper or a key."
        )
    user, _, password = userinfo.partition(":")
    pair = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{scheme}://{netloc}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {pair}",
    }


def _path(location: str) -> Location:
    try:
        path = Path(location).expanduser()
        there = path.exists()
    except (OSError, RuntimeError):  # an unknown user's home, a name that is too long
        there = False
    if not there:
        raise UsageError(f"--repo {location} does not exist.")
    try:
        found = git.Repo(path if path.is_dir() else path.parent, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        raise UsageError(f"--repo {location} is not inside a git repository.") from None
    with found:
        source = str(Path(found.git_dir).resolve())
        root = Path(found.working_tree_dir).resolve() if found.working_tree_dir else None
    return Location(source, str(root) if root else source, root)
