"""Serves the application with uvicorn: in this thread until a signal, or in a thread of its own beside the agent."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from driftguard.config import WebSettings
from driftguard.errors import OperatorError

_MAX_CONNECTIONS: Final = 200
_KEEP_ALIVE_SECONDS: Final = 5
_SHUTDOWN_SECONDS: Final = 5
_BACKLOG: Final = 128


class WebServer:
    """One listening server.

    Args:
        settings: where it listens; port 0 is any free one.

    Attributes:
        address: what a browser opens, or the path of the socket behind `unix:`.

    Raises:
        OperatorError: the address is not available.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._settings = settings
        self._socket = _listening(settings)
        self.address = _address(settings, self._socket)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="critical",  # a failed request writes a log of its own
                access_log=False,
                proxy_headers=False,  # who asks is decided by `web.access` alone
                server_header=False,
                lifespan="off",
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._release()

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; may be called twice."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_SHUTDOWN_SECONDS * 2)
        self._release()

    def _release(self) -> None:
        self._socket.close()
        if self._settings.socket is not None:
            with suppress(OSError):
                Path(self._settings.socket).unlink()


def _address(settings: WebSettings, listening: socket.socket) -> str:
    if settings.socket is not None:
        return settings.address
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}/"


def _listening(settings: WebSettings) -> socket.socket:
    path = settings.socket
    family = socket.AF_UNIX if path is not None else socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if path is not None:
            _bind_unix(made, Path(path))
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((settings.host, settings.port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise OperatorError(
            f"The web view cannot be served on {settings.address} ({error.strerror or error}); choose another address "
            "(`web.address`, `--address`)."
        ) from None
    return made


def _bind_unix(made: socket.socket, path: Path) -> None:
    """Bind to a path that only this user and group may connect to; a socket that a dead server left is replaced."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()
    before = os.umask(0o117)
    try:
        made.bind(str(path))
    finally:
        os.umask(before)
