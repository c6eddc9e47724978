"""What the doubles of forges share: an HTTP server on loopback that keeps every request and fails when told to."""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import socket
import ssl
import struct
import threading
import time
import traceback
import urllib.parse
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

# --- what can go wrong between a client and a forge, to be injected by tests ------------------------


@dataclass(frozen=True)
class Answer:
    """Answer with this instead of doing anything; `reset_in_seconds` goes into `x-ratelimit-reset`."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    reset_in_seconds: int | None = None


@dataclass(frozen=True)
class Reset:
    """Drop the connection before anything is done."""


@dataclass(frozen=True)
class Hang:
    """Say nothing for some seconds and do nothing."""

    seconds: float


@dataclass(frozen=True)
class LostAnswer:
    """Do it, and lose the answer: the connection is dropped, or a gateway answers with a status of its own."""

    status: int | None = None


Fault = Answer | Reset | Hang | LostAnswer


# --- the server -------------------------------------------------------------------------------------


@dataclass
class Request:
    """One request: its path below the API's address, what became of it, and what was answered."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    token: str = ""
    answer: Any = None
    status: int = 0
    fault: Fault | None = None


@dataclass(frozen=True)
class Reply:
    """What is answered; lists are cut into pages."""

    data: Any
    status: int = 200


@dataclass(frozen=True)
class Page:
    """A part of a list: its number, how many parts there are, how many entries each has, and all have."""

    number: int
    pages: int
    size: int
    entries: int

    def around(self) -> dict[str, int]:
        """The pages that there are by the names that links have: first, prev, next, last."""
        numbers = {"first": 1, "prev": self.number - 1, "next": self.number + 1, "last": self.pages}
        return {name: number for name, number in numbers.items() if 1 <= number <= self.pages}


def link_header(request: Request, server: str, pages: Mapping[str, int]) -> str:
    """What leads to other pages of a request, by their names."""
    return ", ".join(
        f'<{server}{request.path}?{urllib.parse.urlencode({**request.query, "page": number})}>; rel="{name}"'
        for name, number in pages.items()
    )


class ForgeServer(ABC):
    """A forge on loopback. Use it in a `with` block.

    Leaving the block raises if the double broke, or was asked for a route that it does not know.

    Attributes:
        web: the server's address.
        requests: every request so far; problems: those that the forge would not know, and the double's own errors.
    """

    prefix: ClassVar[str] = ""
    page_size: ClassVar[int]
    lock: threading.RLock
    tls: ssl.SSLContext | None = None

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self._queues: dict[str, deque[Fault]] = {}
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        if self.tls is not None:  # the handshake is the business of each connection's thread
            plain = self._server.socket
            self._server.socket = self.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.web = f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        self.started()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self.problems:
            raise AssertionError("the double was not used as the forge can be:\n" + "\n".join(self.problems))

    @abstractmethod
    def started(self) -> None:
        """Make what needs the server's address."""

    def stop(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    # --- faults and records ----------------------------------------------------------------------

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next requests of a route meet a fault each, in order.

        Args:
            route: such as `POST /repos/{owner}/{repo}/pulls`, or `*`.
        """
        assert route == "*" or self.knows(route), route
        with self.lock:
            self._queues.setdefault(route, deque()).extend(faults)

    def unmet_faults(self) -> int:
        """How many faults no request has met yet."""
        return sum(map(len, self._queues.values()))

    def clear_faults(self) -> None:
        """Forget faults that no request has met."""
        with self.lock:
            self._queues.clear()

    def made(self, method: str, ending: str = "") -> list[Request]:
        """The requests with a method whose path ends so."""
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    def _fault_of(self, route: str) -> Fault | None:
        with self.lock:
            for name in (route, "*"):
                if self._queues.get(name):
                    return self._queues[name].popleft()
        return None

    # --- answering -------------------------------------------------------------------------------

    @abstractmethod
    def knows(self, route: str) -> bool:
        """Whether there is such a route."""

    @abstractmethod
    def route_of(self, request: Request) -> str | None:
        """The route that a request takes; None where there is none."""

    @abstractmethod
    def carried_out(self, request: Request, headers: dict[str, str], *, malformed: bool) -> Reply | Answer:
        """What the forge does with a request, or how it refuses it; `malformed` where its body is no JSON."""

    @abstractmethod
    def page_headers(self, request: Request, page: Page) -> dict[str, str]:
        """How the forge leads from one page to the next."""

    def answer(self, request: Request, headers: dict[str, str], raw: bytes) -> Answer | None:
        """The answer to a request; None where the connection is to be dropped."""
        self.requests.append(request)
        with contextlib.suppress(ValueError):
            request.body = json.loads(raw) if raw else None
        fault = request.fault = self._fault_of(self.route_of(request) or "*")
        if isinstance(fault, Answer):
            return fault
        if isinstance(fault, Reset):
            return None
        if isinstance(fault, Hang):
            self._closing.wait(fault.seconds)
            return None
        with self.lock:
            reply = self.carried_out(request, headers, malformed=bool(raw) and request.body is None)
        answer = reply if isinstance(reply, Answer) else self._paged(request, reply)
        if isinstance(fault, LostAnswer):
            return None if fault.status is None else Answer(fault.status, "<html>Bad gateway</html>", {}, "text/html")
        return answer

    def _paged(self, request: Request, reply: Reply) -> Answer:
        headers: dict[str, str] = {}
        data = reply.data
        if isinstance(data, list):
            size = min(int(request.query.get("per_page", self.page_size)), 100)
            number = int(request.query.get("page", 1))
            headers = self.page_headers(request, Page(number, max(1, math.ceil(len(data) / size)), size, len(data)))
            data = data[(number - 1) * size : number * size]
        request.answer = data
        return Answer(reply.status, json.dumps(data), headers)


# A page of the site: not the API.
_PAGE = Answer(404, "<html>Page not found</html>", {}, "text/html")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement of its head
    server: _Server

    def _any(self) -> None:
        double = self.server.double
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        request = Request(self.command, path.removeprefix(double.prefix), dict(urllib.parse.parse_qsl(query)))
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = double.answer(request, headers, raw) if path.startswith(double.prefix) else _PAGE
        except Exception:  # noqa: BLE001 - the test is told when it leaves the block
            double.problems.append(traceback.format_exc())
            answer = Answer(500, "{}")
        if answer is None:
            self._drop()
            return
        request.status = answer.status
        body = answer.body.encode()
        self.send_response_only(answer.status)
        for name, value in _headers(answer, len(body)):
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any

    def _drop(self) -> None:
        """End the connection as a broken network does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _headers(answer: Answer, length: int) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    if "Date" not in answer.headers:
        yield "Date", email.utils.formatdate(now, usegmt=True)
    if answer.reset_in_seconds is not None:
        yield "X-RateLimit-Reset", str(now + answer.reset_in_seconds)
    yield "Content-Type", answer.content_type
    yield "Content-Length", str(length)
    yield from answer.headers.items()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, double: ForgeServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double = double

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that tests drop are no news."""
