"""Terraform's `http` backend in memory: the states of one laboratory process, with locks."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StateStore:
    """States by name on a port of this machine; use it in a `with` block."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.locks: dict[str, bytes] = {}
        store = self

        class Handler(_Handler):
            """Answers for this store."""

            kept = store

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> StateStore:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def backend(self, name: str) -> str:
        """The backend block for a state."""
        address = f"http://127.0.0.1:{self._server.server_port}/{name}"
        return (
            f'  backend "http" {{\n    address        = "{address}"\n'
            f'    lock_address   = "{address}"\n    unlock_address = "{address}"\n  }}\n'
        )


class _Handler(BaseHTTPRequestHandler):
    """One request of Terraform's: read, write, lock, unlock."""

    kept: StateStore

    def do_GET(self) -> None:
        state = self.kept.states.get(self._name)
        self._answer(200 if state is not None else 404, (state or "").encode())

    def do_POST(self) -> None:
        self.kept.states[self._name] = self._body().decode()
        self._answer(200)

    def do_LOCK(self) -> None:
        body = self._body()
        held = self.kept.locks.setdefault(self._name, body)
        self._answer(200 if held == body else 423, held)

    def do_UNLOCK(self) -> None:
        self._body()
        self.kept.locks.pop(self._name, None)
        self._answer(200)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the laboratory prints only what it finds."""

    @property
    def _name(self) -> str:
        return self.path.split("?")[0].strip("/")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
