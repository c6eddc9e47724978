"""The HTTP of the Slack double: one request and one answer for each connection, or a reset instead."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import sys
import traceback
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl

from tests.support.slack_double.store import Refusal


@dataclass
class Answer:
    """An HTTP answer, and Slack's word for what became of the call."""

    status: int
    body: bytes
    outcome: str
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


class Answering(Protocol):
    """Who answers the requests."""

    broken: list[str]

    def perform(self, handler: Handler, body: bytes) -> Answer | None:
        """Answer one request; None to reset the connection instead."""
        ...


def read_arguments(handler: BaseHTTPRequestHandler, query: str, body: bytes) -> tuple[bool, dict[str, Any]]:
    """Whether a request has a JSON body, and its arguments."""
    arguments: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    kind = handler.headers.get_content_type()
    if not body:
        return False, arguments
    if kind == "application/json":
        try:
            given = json.loads(body)
        except ValueError:
            raise Refusal("invalid_json") from None
        if not isinstance(given, dict):
            raise Refusal("json_not_object")
        return True, arguments | given
    if kind == "application/x-www-form-urlencoded":
        return False, arguments | dict(parse_qsl(body.decode(), keep_blank_values=True))
    raise Refusal("invalid_post_type")


def reusing_socket() -> socket.socket:
    """A socket whose port another one of ours may share."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made


class Server(ThreadingHTTPServer):
    """Listens on a port of loopback; a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_port = True
    request_queue_size = 128

    def __init__(self, port: int, answering: Answering) -> None:
        self.answering = answering
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without the name look-up that HTTPServer does

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is no news
            self.answering.broken.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.close_connection = True  # no connection outlives `down`
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.answering.perform(self, body)
        if answer is None:
            self._reset()
            return
        self.send_response(answer.status)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), "Connection": "close"}
        for name, value in {**answer.headers, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = answer

    def _reset(self) -> None:
        """Close so that the other side gets a TCP reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass
