"""What no test may do by accident: talk to anything but this machine, write into the user's own home."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events of changes to files, by the position of the path that is changed.
_CHANGES: Final = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1}


class NetworkGuardError(AssertionError):
    """A test talked to something that is not this machine."""


class HomeGuardError(AssertionError):
    """A test wrote into the home of the user who runs the tests."""


def refuse_outside_network(kind: type[socket.socket] = socket.socket) -> None:
    """Let sockets of this process connect to this machine only."""
    for name in ("connect", "connect_ex"):
        setattr(kind, name, _guarded(getattr(kind, name)))


def _guarded(original: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(str(address[0])):
            raise NetworkGuardError(f"a test connects to {address[0]}, which is not this machine")
        return original(self, address)

    return connect


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
