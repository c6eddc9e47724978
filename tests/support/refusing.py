"""State backends that refuse to store a state on demand: one over HTTP, and one in front of an S3."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.loopback import Loopback, LoopbackHandler

_HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "host")


class Refusing:
    """What a backend does with a state from now on.

    Attributes:
        endpoint: where it answers.
        refuses: whether it refuses to store a state; all else is as ever.
        states: what was stored, by path; empty for the one in front of an S3.
    """

    def __init__(self) -> None:
        self.endpoint, self.refuses = "", False
        self.states: dict[str, bytes] = {}
        self.locks: dict[str, bytes] = {}


class _Handler(LoopbackHandler):
    refusing: Refusing


class _Http(_Handler):
    """Terraform's `http` backend with locks."""

    def do_GET(self) -> None:
        state = self.refusing.states.get(self.path.split("?")[0])
        self.answer(200 if state else 404, state or b"")

    def do_POST(self) -> None:
        body = self.body()
        if self.refusing.refuses:
            return self.answer(403)
        self.refusing.states[self.path.split("?")[0]] = body
        return self.answer(200)

    def do_LOCK(self) -> None:
        body = self.body()
        held = self.refusing.locks.setdefault(self.path, body)
        self.answer(200 if held == body else 423, held)

    def do_UNLOCK(self) -> None:
        self.body()
        self.refusing.locks.pop(self.path, None)
        self.answer(200)


class _S3(_Handler):
    """Passes everything on, but the writes of states while they are refused."""

    behind: str

    def _pass_on(self) -> None:
        body = self.body()
        if self.command == "PUT" and self.refusing.refuses and self.path.split("?")[0].endswith(".tfstate"):
            return self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        request = urllib.request.Request(self.behind + self.path, body or None, headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as found:
                return self.answer(found.status, found.read(), _plain(found.headers))
        except urllib.error.HTTPError as error:
            return self.answer(error.code, error.read(), _plain(error.headers))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on


def _plain(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


@contextmanager
def refusing_http() -> Iterator[Refusing]:
    """An `http` backend."""
    with _serving(_Http, Refusing()) as refusing:
        yield refusing


@contextmanager
def refusing_s3(endpoint: str) -> Iterator[Refusing]:
    """An S3 that answers as the one at an endpoint."""

    class Handler(_S3):
        """In front of this one."""

        behind = endpoint

    with _serving(Handler, Refusing()) as refusing:
        yield refusing


@contextmanager
def _serving(handler: type[_Handler], refusing: Refusing) -> Iterator[Refusing]:
    with Loopback(type("Bound", (handler,), {"refusing": refusing})) as served:
        refusing.endpoint = served.endpoint
        yield refusing
