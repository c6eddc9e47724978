"""The GitLab double itself: an HTTP server on loopback that is as strict as GitLab and fails on request."""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import secrets
import socket
import struct
import threading
import traceback
import urllib.parse
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.world.gitlab_double.faults import Answer, Fault, Hang, LostAnswer, Refusal, Reset
from tests.world.gitlab_double.routes import ROUTES, Api, Asked, Reply, find
from tests.world.gitlab_double.shapes import Shapes
from tests.world.gitlab_double.store import DEVELOPER, MergeRequest, Note, Project, Store, User


@dataclass
class Request:
    """One request, and what became of it; `token` is what it was sent with."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    token: str = ""
    body: Any = None
    status: int = 0


@dataclass(frozen=True)
class _Caller:
    user: User
    scope: str


class GitLabDouble:
    """GitLab on loopback. Use it in a `with` block.

    Leaving the block raises if the double broke, or was asked for a route that it does not know.

    Args:
        folder: where the bare repositories lie, each at `PATH.git`.

    Attributes:
        url: its address, for `forge.url`.
        token: of the account `bot`, with the scope `api`.
        requests: every request so far; problems: those that GitLab would not know, and the double's own errors.
    """

    def __init__(self, folder: Path, bot: str = "driftguard-bot") -> None:
        self.store = Store(folder)
        self.bot = self.store.user(bot)
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self._tokens: dict[str, _Caller] = {}
        self._queues: dict[str, deque[Fault]] = {}
        self._closing = threading.Event()
        self.token = self.add_token(bot)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.api = Api(self.store, Shapes(self.store, self.url), self.url)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self.problems:
            raise AssertionError("the GitLab double was not used as GitLab can be:\n" + "\n".join(self.problems))

    def stop(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    # --- what the test arranges ------------------------------------------------------------------

    def add_project(self, path: str = "acme/infra") -> Project:
        """A project with an empty bare git repository (`.git.path`), in which the bot is a Developer."""
        project = self.store.add_project(path)
        self.allow(project, self.bot.username, DEVELOPER)
        return project

    def fork(self, project: Project, username: str) -> Project:
        """A fork in somebody's namespace, with every branch."""
        forked = self.store.add_project(f"{username}/{project.path.rpartition('/')[2]}")
        self.allow(forked, username, DEVELOPER)
        forked.git.run("fetch", "--quiet", str(project.git.path), "+refs/heads/*:refs/heads/*")
        return forked

    def allow(self, project: Project, username: str, role: int) -> User:
        """Give an account a role in a project; 0 takes it away."""
        user = self.store.user(username)
        project.members.pop(user.id, None)
        if role:
            project.members[user.id] = role
        return user

    def rename(self, project: Project, path: str) -> None:
        """Give a project another path; GitLab leads from the old one to the new one."""
        self.store.renamed[project.path] = project
        project.path = path

    def add_token(self, username: str, scope: str = "api") -> str:
        """A token of an account; with the scope `read_api` it may only read."""
        token = f"glpat-{secrets.token_urlsafe(15)[:20]}"
        self._tokens[token] = _Caller(self.store.user(username), scope)
        return token

    # --- what people do --------------------------------------------------------------------------

    def open(
        self, project: Project, username: str, branch: str, target: str = "main", *, source: Project | None = None
    ) -> MergeRequest:
        """Open a merge request as a person, from a fork if told so."""
        with self.store.lock:
            user = self.store.user(username)
            return self.store.open(project, source or project, user, branch, target, f"Merge {branch}")

    def push(
        self,
        project: Project,
        username: str,
        branch: str,
        files: dict[str, str | None],
        *,
        author: tuple[str, str] | None = None,
        message: str = "Change",
        start: str | None = "main",
    ) -> str:
        """Push one commit as a person, who is its author unless told otherwise; its id."""
        with self.store.lock:
            user = self.store.user(username)
            made = project.git.add_commit(branch, files, message, author or user.author, start)
            for each in self.store.projects.values():
                self.store.see_pushes(each, user)
            return made

    def approve(self, request: MergeRequest, username: str) -> None:
        """Approve; raises `Refusal` as GitLab would."""
        with self.store.lock:
            self.store.see_pushes(request.project)
            self.store.approve(request, self.store.user(username))

    def revoke(self, request: MergeRequest, username: str) -> None:
        """Take an approval back."""
        with self.store.lock:
            self.store.revoke(request, self.store.user(username))

    def merge(self, request: MergeRequest, username: str, how: str = "merge", *, squash: bool = False) -> str:
        """Press the button: `merge`, `rebase_merge` or `ff`; the last commit of the target. Raises `Refusal`."""
        with self.store.lock:
            self.store.see_pushes(request.project)
            return self.store.merge(request, self.store.user(username), how, squash=squash)

    def rebase(self, request: MergeRequest, username: str) -> str:
        """Press the button "Rebase"; the new tip of the source branch."""
        with self.store.lock:
            return self.store.rebase(request, self.store.user(username))

    def close(self, request: MergeRequest, username: str) -> None:
        """Close as a person."""
        with self.store.lock:
            self.store.end(request, "closed", self.store.user(username))

    def reopen(self, request: MergeRequest) -> None:
        """Open a closed one again."""
        with self.store.lock:
            request.state, request.ended_by, request.ended_at = "opened", None, None

    def comment(self, request: MergeRequest, username: str, body: str) -> Note:
        """Comment as a person."""
        with self.store.lock:
            return self.store.note(request, self.store.user(username), body)

    # --- faults and records ----------------------------------------------------------------------

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next requests of a route meet a fault each, in order.

        Args:
            route: such as `POST /projects/{id}/merge_requests`, or `*`.
        """
        method, _, template = route.partition(" ")
        route = route if route == "*" or template.startswith("/api") else f"{method} /api/v4{template}"
        assert route == "*" or tuple(route.split(" ")) in ROUTES, route
        with self.store.lock:
            self._queues.setdefault(route, deque()).extend(faults)

    def unmet_faults(self) -> int:
        """How many faults no request has met yet."""
        return sum(map(len, self._queues.values()))

    def made(self, method: str, ending: str = "") -> Sequence[Request]:
        """The requests with a method whose path ends so."""
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    # --- answering -------------------------------------------------------------------------------

    def answer(self, request: Request, headers: dict[str, str], raw: bytes) -> Answer | None:
        """The answer to a request; None where the connection is to be dropped."""
        self.requests.append(request)
        request.token = headers.get("private-token", "")
        with contextlib.suppress(ValueError):
            request.body = json.loads(raw) if raw else None
        found = find(request.method, request.path)
        fault = self._fault_of(f"{request.method} {found[0]}" if found else "*")
        if isinstance(fault, Answer):
            return fault
        if isinstance(fault, Reset):
            return None
        if isinstance(fault, Hang):
            self._closing.wait(fault.seconds)
            return None
        try:
            with self.store.lock:
                reply = self._carried_out(request, found)
            answer = self._page(request, reply)
        except Refusal as refusal:
            answer = Answer(refusal.status, json.dumps(refusal.body), refusal.headers)
        if isinstance(fault, LostAnswer):
            return None if fault.status is None else Answer(fault.status, "<html>Bad gateway</html>", {}, "text/html")
        return answer

    def _fault_of(self, route: str) -> Fault | None:
        with self.store.lock:
            for name in (route, "*"):
                if self._queues.get(name):
                    return self._queues[name].popleft()
        return None

    def _carried_out(self, request: Request, found: tuple[str, dict[str, str]] | None) -> Reply:
        caller = self._tokens.get(request.token)
        if caller is None or caller.user.state != "active":
            raise Refusal(401, "401 Unauthorized")
        if found is None:
            self.problems.append(f"unknown route: {request.method} {request.path}")
            raise Refusal(404, "404 Not Found", "error")
        template, words = found
        if caller.scope != "api" and request.method != "GET" and "graphql" not in template:
            raise Refusal(403, "insufficient_scope", "error")
        body = {} if request.body is None else request.body
        if not isinstance(body, dict):
            raise Refusal(400, "The request body is invalid", "error")
        places = {name: urllib.parse.unquote(word) for name, word in words.items()}
        return ROUTES[(request.method, template)](self.api, Asked(caller.user, places, request.query, body))

    def _page(self, request: Request, reply: Reply) -> Answer:
        headers: dict[str, str] = {}
        data = reply.data
        if isinstance(data, list):
            size = min(int(request.query.get("per_page", 20)), 100)
            page, pages = int(request.query.get("page", 1)), max(1, math.ceil(len(data) / size))
            headers |= {"X-Page": str(page), "X-Per-Page": str(size), "X-Total": str(len(data))}
            headers |= {"X-Total-Pages": str(pages), "X-Next-Page": str(page + 1) if page < pages else ""}
            shown = {"next": page + 1, "prev": page - 1, "first": 1, "last": pages}
            # As a server behind a proxy does, that takes itself for another.
            address = f"https://gitlab.example.com{request.path}"
            headers["Link"] = ", ".join(
                f'<{address}?{urllib.parse.urlencode({**request.query, "page": number})}>; rel="{name}"'
                for name, number in shown.items()
                if 1 <= number <= pages
            )
            data = data[(page - 1) * size : page * size]
        return Answer(reply.status, json.dumps(data), headers, "application/json")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement of its head
    server: _Server

    def _any(self) -> None:
        double = self.server.double
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, dict(urllib.parse.parse_qsl(query)))
        try:
            answer = double.answer(request, {name.lower(): value for name, value in self.headers.items()}, raw)
        except Exception:  # noqa: BLE001 - the test is told when it leaves the block
            double.problems.append(traceback.format_exc())
            answer = Answer(500, "{}")
        if answer is None:
            self._drop()
            return
        request.status = answer.status
        body = answer.body.encode()
        self.send_response_only(answer.status)
        self.send_header("Date", answer.headers.get("Date") or email.utils.formatdate(usegmt=True))
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            if name != "Date":
                self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def _drop(self) -> None:
        """End the connection as a broken network does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, double: GitLabDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double = double

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that tests drop are no news."""
