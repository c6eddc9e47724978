"""A git server on loopback that asks for a token, as a forge does: HTTP in front of git's own `http-backend`."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.loopback import Loopback, LoopbackHandler

_PASSED_ON = {
    "Content-Type": "CONTENT_TYPE",
    "Content-Encoding": "HTTP_CONTENT_ENCODING",
    "Git-Protocol": "GIT_PROTOCOL",
}


class GitServer(Loopback):
    """Serves every repository below a folder to whoever has the password. Use it in a `with` block.

    Attributes:
        writable: whether who has the password may also push.
        lost_answers: how many of the next pushes are done without their answer arriving.
        refusal: an HTTP status and text with which everything is refused; None refuses nothing.
        away_after_loss: whether the server answers nothing at all once an answer was lost.
    """

    def __init__(self, root: Path, user: str, password: str, accepts: Callable[[str], bool] | None = None) -> None:
        """`accepts` decides about a password in place of comparing it."""
        self._user, self._password = user, password
        self.writable, self.lost_answers, self.away_after_loss, self._away = True, 0, False, False
        self.refusal: tuple[int, str] | None = None
        server = self
        known = accepts or (lambda given: given == password)

        def allowed(header: str) -> bool:
            name, _, given = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            return name == user and known(given)

        class Handler(LoopbackHandler):
            def serve(self) -> None:
                body = self.body()
                if server._away:
                    return
                if server.refusal is not None:
                    self.send_response(server.refusal[0])
                    self.send_header("Content-Type", "text/plain")
                    self.end_headers()
                    self.wfile.write(server.refusal[1].encode())
                    return
                if not allowed(self.headers.get("Authorization") or ""):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.end_headers()
                    return
                path, _, query = self.path.partition("?")
                variables = {
                    "PATH": os.environ["PATH"],
                    "HOME": os.devnull,
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_LENGTH": str(len(body)),
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "http.receivepack",
                    "GIT_CONFIG_VALUE_0": str(server.writable).lower(),
                    **{name: self.headers[header] for header, name in _PASSED_ON.items() if header in self.headers},
                }
                done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True)
                # Git asks with four bytes whether a large push may come; that is not the push.
                if path.endswith("/git-receive-pack") and server.lost_answers and len(body) > 4:
                    server.lost_answers -= 1
                    server._away = server.away_after_loss
                    return
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = serve

        super().__init__(Handler)

    def url(self, path: str, password: str | None = None) -> str:
        """The URL of a repository, with the user and a password in it."""
        return f"http://{self._user}:{password or self._password}@127.0.0.1:{self.port}/{path}"
