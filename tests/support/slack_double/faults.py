"""What a test can make the Slack double do in place of answering: refuse, break, hang, or lose its answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


class Fault:
    """One failure of one call."""

    #: Whether the call is carried out (and what it did kept) although its answer never arrives.
    done: bool = False

    @property
    def name(self) -> str:
        """The word for it in the log of calls."""
        return type(self).__name__


@dataclass(frozen=True)
class RateLimited(Fault):
    """429; nothing is done.

    Args:
        retry_after: the header `Retry-After`: seconds, or what something between here and Slack makes of it; None
            for an answer without it.
    """

    retry_after: int | str | None = 1


@dataclass(frozen=True)
class ServerError(Fault):
    """A bare HTTP status (500, 502, 503) with an HTML body; nothing is done."""

    status: int = 500


@dataclass(frozen=True)
class Hang(Fault):
    """Says nothing for some seconds, then drops the connection.

    Args:
        done: whether the call is carried out before the silence.
    """

    seconds: float
    done: bool = False


@dataclass(frozen=True)
class Reset(Fault):
    """A TCP reset in place of an answer; nothing is done."""


@dataclass(frozen=True)
class LostAnswer(Fault):
    """The call is carried out and kept, then the connection is reset without an answer."""

    done: bool = field(default=True, init=False)


@dataclass(frozen=True)
class ApiError(Fault):
    """`{"ok": false, "error": ...}` with HTTP 200, whatever the call; for a webhook its word as plain text.

    Args:
        status: the HTTP status of a webhook's refusal; a method always answers 200.
    """

    error: str
    extra: dict[str, Any] = field(default_factory=dict)
    status: int = 400


@dataclass(frozen=True)
class HtmlPage(Fault):
    """200 with an HTML page, as a login page of a proxy; nothing is done."""

    text: str = "<!doctype html><html><title>Sign in</title><body>The proxy wants you to sign in.</body></html>"


class Held(Fault):
    """Holds one call until `release`: after it was carried out, or before. Usable in a `with` block.

    Args:
        done: whether the call is carried out before it is held.
    """

    def __init__(self, *, done: bool) -> None:
        self.done = done
        self._reached, self._released = threading.Event(), threading.Event()

    def wait(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until a call is held here; False when none came in time."""
        return self._reached.wait(timeout_seconds)

    def release(self) -> None:
        """Let the held call go on and be answered."""
        self._released.set()

    def hold(self) -> None:
        """Called by the server in the call's own thread."""
        self._reached.set()
        self._released.wait()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
