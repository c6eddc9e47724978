"""What no test may do by accident: talk to anything but this machine, write into the user's own home."""

from __future__ import annotations

import ipaddress
import os
import pwd
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events of changes to files, by the position of the path that is changed.
_CHANGES: Final = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1}


class NetworkGuardError(AssertionError):
    """A test talked to something that is not this machine."""


class HomeGuardError(AssertionError):
    """A test wrote into the home of the user who runs the tests."""


def refuse_outside_network() -> None:
    """Let this process and its forks ask for the addresses of this machine only, and talk to it only; cannot be undone.

    Libraries in C that open sockets of their own are not seen.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo":
            host = arguments[0]
        elif event in ("socket.connect", "socket.sendto") and arguments[0].family in _INTERNET:
            host = arguments[1][0]
        else:
            return
        name = os.fsdecode(host) if isinstance(host, str | bytes) else ""
        if name and not _is_here(name):
            raise NetworkGuardError(f"a test talks to {name}, which is not this machine")

    sys.addaudithook(hook)


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return host == "localhost"


def refuse_writes_to(home: Path) -> None:
    """Let this process change nothing below a home but what belongs to the tests and to Python; cannot be undone."""
    allowed = [ROOT, Path(tempfile.gettempdir()), Path(sys.prefix), Path(sys.base_prefix)]
    allowed = [path.resolve() for path in allowed]
    below = f"{home.resolve()}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITING:
                return
        elif event in _CHANGES:
            path = arguments[_CHANGES[event]]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            changed = os.path.abspath(os.fsdecode(path))
            if changed.startswith(below) and not any(Path(changed).is_relative_to(known) for known in allowed):
                raise HomeGuardError(f"a test changes {changed}, in the home of the user who runs it")

    sys.addaudithook(hook)


def guard_this_process() -> None:
    """Both guards, with the home of the user who runs the tests."""
    refuse_outside_network()
    refuse_writes_to(Path(pwd.getpwuid(os.getuid()).pw_dir))
