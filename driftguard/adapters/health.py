"""The agent's health page on loopback, and its liveness file."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

from driftguard.adapters.metrics import Metrics
from driftguard.errors import OperatorError

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT_SECONDS: Final = 10.0
_MAX_CONNECTIONS: Final = 32
_EXHAUSTED_SECONDS: Final = 0.2
_HEARTBEAT_SECONDS: Final = 5.0


class HealthServer:
    """`/healthz` and `/metrics` over HTTP, in a thread of its own.

    Args:
        port: 0 for any free one; the attribute `port` has its number.
        healthy: the health, and one sentence about it; called in the server's threads.

    Raises:
        OperatorError: the port is not available.
    """

    def __init__(
        self, port: int, metrics: Metrics, healthy: Callable[[], tuple[bool, str]], address: str = "127.0.0.1"
    ) -> None:
        handler = type("Handler", (_Handler,), {"metrics": metrics, "healthy": staticmethod(healthy)})
        try:
            self._server = _Server((address, port), handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OperatorError(
                f"The health page cannot be served on {address} port {port} ({reason}); choose another --health-port."
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Answers each connection in a thread; ends those that take too long, and the oldest where there are too many."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:  # no descriptor is left: the connection stays in the queue, and asking at once would be a loop
            time.sleep(_EXHAUSTED_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread; there are never more than `_MAX_CONNECTIONS` connections."""
        with self._guard:
            self._open[request] = time.monotonic()
            crowd = list(self._open)[:-_MAX_CONNECTIONS]
        self._cut(crowd)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called about twice a second: ends what has had its time, however slowly it still sends."""
        oldest = time.monotonic() - _REQUEST_TIMEOUT_SECONDS
        with self._guard:
            late = [request for request, since in self._open.items() if since < oldest]
        self._cut(late)

    def _cut(self, requests: list[socket.socket]) -> None:
        """Close both directions, which wakes the thread that waits for such a connection; it gives back the rest."""
        for request in requests:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        # HTTPServer's own method asks the resolver for this machine's name, which can take long and is not needed.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Mostly a client that closed its connection."""
        log.debug("a request for the health page was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    healthy: Callable[[], tuple[bool, str]]
    timeout = _REQUEST_TIMEOUT_SECONDS
    server_version, sys_version = "driftguard", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            well, sentence = self.healthy()
            body = json.dumps({"healthy": well, "message": sentence}).encode() + b"\n"
            self._answer(200 if well else 503, "application/json", body)
        elif path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", self.metrics.text())
        else:
            self._answer(404, "text/plain; charset=utf-8", b"There are /healthz and /metrics.\n")

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # The library answers a method that there is no `do_` for with 501.
        self._answer(405 if code == 501 else code, "text/plain; charset=utf-8", b"Only GET and HEAD are answered.\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: Prometheus asks every few seconds."""


class LivenessFile:
    """A file with the time of the last heartbeat, for probes of its age.

    Raises:
        OperatorError: its folder does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        if not path.parent.is_dir():
            raise OperatorError(f"The liveness file {path} cannot be written: its folder does not exist; create it.")

    def touch(self, now: datetime) -> None:
        """Write the time; a reader sees the old one or the new one, never half of it. Any thread may call it.

        Raises:
            OperatorError: the file cannot be written.
        """
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with self._lock:
                partial.write_text(now.isoformat(timespec="seconds") + "\n")
                partial.replace(self._path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OperatorError(
                f"The liveness file {self._path} cannot be written ({error.strerror}); probes will report the agent as "
                "unhealthy."
            ) from error


class Heartbeat:
    """Touches a liveness file every few seconds while the agent is healthy, in its own thread: also during a run.

    Args:
        healthy: the health of the agent; called in that thread.
    """

    def __init__(
        self,
        file: LivenessFile,
        healthy: Callable[[], bool],
        now: Callable[[], datetime],
        every_seconds: float = _HEARTBEAT_SECONDS,
    ) -> None:
        self._file, self._healthy, self._now, self._every_seconds = file, healthy, now, every_seconds
        self._over = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the heartbeat; may be called twice."""
        self._over.set()
        self._thread.join(_HEARTBEAT_SECONDS)  # no longer for a disk that hangs

    def _beat(self) -> None:
        while True:
            if self._healthy():
                self._touch()
            if self._over.wait(self._every_seconds):
                return

    def _touch(self) -> None:
        try:
            self._file.touch(self._now())
            self._warned = False
        except OperatorError as error:
            if not self._warned:  # once per outage, not every few seconds
                log.warning("%s", error)
            self._warned = True
