"""What sinks are given, and a service that gives every request the same answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from driftguard.adapters.slack.client import SlackSink
from driftguard.errors import DeliveryFault
from driftguard.model import ChangeText, Delivery, DeliveryKind, EnvironmentText, Message, Severity, StepText
from tests.support.slack_double import SlackDouble

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def message(title: str = "blue has drifted", **more: Any) -> Message:
    """A message about one changed resource."""
    return Message(
        title=title,
        severity=Severity.WARNING,
        environments=(EnvironmentText("blue", "drifted", (ChangeText("toy.web", "drift", ("value: a → b",), ()),), 0),),
        decision=("It waits.",),
        steps=(StepText("Put it back", "terraform apply"), StepText("Page", url="https://example.org/x")),
        commits=(),
        since=NOON,
        seen_at=NOON,
        **more,
    )


def delivery(channel: str = "#drift", kind: DeliveryKind = DeliveryKind.MESSAGE, **more: Any) -> Delivery:
    """Something to be shown now, that was not shown before."""
    return Delivery("d1", kind, "slack", channel, ("a1",), datetime.now(UTC), **more)


def reply_to(parent: Delivery) -> Delivery:
    """A line for the thread of a message."""
    return replace(delivery(kind=DeliveryKind.REPLY, body={"line": "more drift"}), id="d2", parent=parent.id)


def slack_sink(double: SlackDouble, slept: list[float] | None = None) -> SlackSink:
    """A sink that never sleeps, and notes in `slept` for how many seconds it would have."""
    return SlackSink(double.token, double.api_url, ([] if slept is None else slept).append)


def fault_of(call: Callable[..., object], *arguments: Any) -> DeliveryFault:
    """The fault of a call that must raise one."""
    with pytest.raises(DeliveryFault) as caught:
        call(*arguments)
    return caught.value


@dataclass
class Service:
    """A service that gives every request the same answer, and keeps what came."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def service(status: int = 200, body: bytes = b"", headers: Mapping[str, str | None] | None = None) -> Iterator[Service]:
    """A service on loopback; a header that is None is left out."""
    given = {"Content-Type": "application/json", **(headers or {})}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            running.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            running.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            for name, value in given.items():
                if value is not None:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Service(f"http://127.0.0.1:{server.server_port}/hook")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
