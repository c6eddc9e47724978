"""The GitHub double itself: an HTTP server on loopback that is as strict as GitHub and fails on request."""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import secrets
import socket
import struct
import threading
import time
import traceback
import urllib.parse
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jwt

from tests.world.github_double.faults import Answer, Fault, Hang, LostAnswer, Refusal, Reset
from tests.world.github_double.routes import ROUTES, Api, App, Asked, Caller, Reply, find
from tests.world.github_double.shapes import Shapes
from tests.world.github_double.store import Comment, Protection, Pull, Repository, Review, Store, Team, User

_API_VERSIONS = ("2022-11-28", "2026-03-10")
_ACCEPTED = ("*/*", "application/json", "application/vnd.github")


@dataclass
class Request:
    """One request: its path below the API's address, what became of it, and what was answered."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    answer: Any = None
    status: int = 0
    fault: Fault | None = None


class GitHubDouble:
    """GitHub on loopback, in the manner of GitHub Enterprise. Use it in a `with` block.

    Leaving the block raises if the double broke, or was asked for a route that it does not know.

    Args:
        folder: where the bare repositories lie.

    Attributes:
        url: the API's address, for `forge.url`; web: the address of the pages.
        token: of the account `bot`, which may do nothing before it is given a permission.
        requests: every request so far; problems: those that GitHub would not know, and the double's own errors.
    """

    def __init__(self, folder: Path, bot: str = "driftguard-bot") -> None:
        self.store = Store(folder)
        self.bot = self.store.user(bot)
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self._queues: dict[str, deque[Fault]] = {}
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.web = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.web}/api/v3"
        self.api = Api(self.store, Shapes(self.store, self.url, self.web))
        self.token = self.add_token(self.bot.login)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self.problems:
            raise AssertionError("the GitHub double was not used as GitHub can be:\n" + "\n".join(self.problems))

    def stop(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    # --- what the test arranges ------------------------------------------------------------------

    def add_repository(self, full_name: str = "acme/infra", *, private: bool = True) -> Repository:
        """A repository with an empty bare git repository (`.git.path`), which the bot may write to."""
        repository = self.store.add_repository(full_name, private=private)
        self.allow(repository, self.bot.login, "write")
        return repository

    def fork(self, repository: Repository, login: str) -> Repository:
        """A fork in somebody's account, with every branch."""
        forked = self.store.add_repository(f"{login}/{repository.name}", private=False, parent=repository)
        forked.git.run("fetch", "--quiet", str(repository.git.path), "+refs/heads/*:refs/heads/*")
        return forked

    def allow(self, repository: Repository, login: str, permission: str) -> User:
        """Give an account a permission: `admin`, `maintain`, `write`, `triage`, `read` or `none`."""
        repository.permissions[login.casefold()] = permission
        return self.store.user(login)

    def rename(self, repository: Repository, full_name: str) -> None:
        """Give a repository another name; GitHub leads from the old one to the new one."""
        self.store.rename(repository, full_name)

    def protect(self, repository: Repository, branch: str, **rules: Any) -> None:
        """Protect a branch; see `Protection`."""
        repository.protections[branch] = Protection(**rules)

    def add_team(self, organisation: str, slug: str, logins: Sequence[str], *, secret: bool = False) -> None:
        team = Team(organisation, slug, [self.store.user(login) for login in logins], secret)
        self.store.teams[(organisation.casefold(), slug.casefold())] = team

    def add_token(self, login: str) -> str:
        """A token of an account, in the shape that Enterprise servers of old gave them: 40 hex digits."""
        token = secrets.token_hex(20)
        self.api.tokens[token] = Caller(self.store.user(login))
        return token

    def add_actions_token(self, repository: Repository) -> str:
        """The token of an Actions job, which may write but may not ask who it is."""
        token = f"ghs_{secrets.token_hex(18)}"
        user = self.store.user("github-actions[bot]", "Bot")
        self.allow(repository, user.login, "write")
        self.api.tokens[token] = Caller(user, "installation")
        return token

    def add_app(self, repository: Repository, public_key: str, slug: str = "driftguard-acme") -> App:
        """A GitHub App that is installed on a repository; its public key as PEM."""
        app = App(self.store.new_id(), slug, self.store.new_id(), public_key)
        self.store.user(f"{slug}[bot]", "Bot")
        self.allow(repository, f"{slug}[bot]", "write")
        self.api.apps[app.id] = app
        return app

    # --- what people do --------------------------------------------------------------------------

    def open_pull(
        self, repository: Repository, login: str, head: str, base: str = "main", title: str = "Change", body: str = ""
    ) -> Pull:
        """Open a pull request as a person; `head` is a branch, or `OWNER:BRANCH` of a fork."""
        with self.store.lock:
            return self.store.open_pull(repository, self.store.user(login), head, base, title, body)

    def review(self, repository: Repository, number: int, login: str, state: str = "APPROVED") -> Review:
        """Review: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `PENDING`; raises `Refusal` as GitHub would."""
        with self.store.lock:
            pull = repository.pull(number)
            return self.store.review(repository, pull, self.store.user(login), state, "")

    def dismiss(self, review: Review) -> None:
        """Dismiss a review."""
        review.state = "DISMISSED"

    def merge(
        self, repository: Repository, number: int, login: str, how: str = "merge", *, bypass: bool = False
    ) -> str:
        """Press the button: `merge`, `squash` or `rebase`; the last commit of the base. Raises `Refusal`."""
        with self.store.lock:
            pull = repository.pull(number)
            return self.store.merge(repository, pull, self.store.user(login), how, bypass=bypass)

    def close(self, repository: Repository, number: int, login: str) -> None:
        """Close a pull request as a person."""
        with self.store.lock:
            self.store.set_state(repository.pull(number), self.store.user(login), "closed")

    def reopen(self, repository: Repository, number: int, login: str) -> None:
        """Open a closed pull request again."""
        with self.store.lock:
            self.store.set_state(repository.pull(number), self.store.user(login), "open")

    def comment(self, repository: Repository, number: int, login: str, body: str) -> Comment:
        """Comment as a person."""
        with self.store.lock:
            return self.store.comment(repository.pull(number), self.store.user(login), body)

    def delete_account(self, login: str) -> None:
        """Whatever the account did stays, with nobody's name."""
        self.store.user(login).gone = True

    # --- faults and records ----------------------------------------------------------------------

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next requests of a route (`POST /repos/{owner}/{repo}/pulls`, or `*`) meet a fault each, in order."""
        method, _, template = route.partition(" ")
        assert route == "*" or (method, template) in ROUTES, route
        with self.store.lock:
            self._queues.setdefault(route, deque()).extend(faults)

    def unmet_faults(self) -> int:
        """How many faults no request has met yet."""
        return sum(map(len, self._queues.values()))

    def clear_faults(self) -> None:
        """Forget faults that no request has met."""
        with self.store.lock:
            self._queues.clear()

    def made(self, method: str, ending: str = "") -> list[Request]:
        """The requests with a method whose path ends so."""
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    def _fault_of(self, route: str) -> Fault | None:
        with self.store.lock:
            for name in (route, "*"):
                if self._queues.get(name):
                    return self._queues[name].popleft()
        return None

    # --- answering -------------------------------------------------------------------------------

    def answer(self, request: Request, headers: dict[str, str], raw: bytes) -> Answer | None:
        """The answer to a request; None where the connection is to be dropped."""
        self.requests.append(request)
        with contextlib.suppress(ValueError):
            request.body = json.loads(raw) if raw else None
        found = find(request.method, request.path)
        fault = request.fault = self._fault_of(f"{request.method} {found[0]}" if found else "*")
        if isinstance(fault, Answer):
            return fault
        if isinstance(fault, Reset):
            return None
        if isinstance(fault, Hang):
            self._closing.wait(fault.seconds)
            return None
        try:
            with self.store.lock:
                reply = self._carried_out(request, found, headers, raw)
            answer = self._page(request, reply)
        except Refusal as refusal:
            answer = Answer(refusal.status, json.dumps(refusal.body), refusal.headers)
        if isinstance(fault, LostAnswer):
            return None if fault.status is None else Answer(fault.status, "<html>Bad gateway</html>", {}, "text/html")
        return answer

    def _carried_out(
        self, request: Request, found: tuple[str, dict[str, str]] | None, headers: dict[str, str], raw: bytes
    ) -> Reply:
        caller = self._caller(headers)
        if found is None:
            self.problems.append(f"unknown route: {request.method} {request.path}")
            raise Refusal(404, "Not Found")
        if raw and request.body is None:
            raise Refusal(400, "Problems parsing JSON")
        body = {} if request.body is None else request.body
        if not isinstance(body, dict):
            raise Refusal(400, "Body should be a JSON object")
        template, words = found
        places = {name: urllib.parse.unquote(word) for name, word in words.items()}
        return ROUTES[(request.method, template)](self.api, Asked(caller, places, request.query, body))

    def _caller(self, headers: dict[str, str]) -> Caller:
        """Who asks, by the headers that GitHub insists on."""
        if not headers.get("user-agent"):
            raise Refusal(403, "Request forbidden by administrative rules. Please make sure your request has a UA")
        if not headers.get("accept", "*/*").startswith(_ACCEPTED):
            raise Refusal(415, "Unsupported 'Accept' header. Must accept 'application/json'.")
        if headers.get("x-github-api-version", _API_VERSIONS[0]) not in _API_VERSIONS:
            raise Refusal(400, "The API version is not supported")
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or not credential:
            raise Refusal(401, "Requires authentication")
        if credential.count(".") == 2:
            return self._app_of(credential)
        caller = self.api.tokens.get(credential)
        if caller is None:
            raise Refusal(401, "Bad credentials")
        return caller

    def _app_of(self, token: str) -> Caller:
        try:
            issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
            app = self.api.apps[int(issuer)]
            claims = jwt.decode(token, app.public_key, algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]})
        except (jwt.PyJWTError, KeyError, ValueError):
            raise Refusal(401, "A JSON web token could not be decoded") from None
        if claims["exp"] - time.time() > 600:
            raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
        return Caller(self.store.user(f"{app.slug}[bot]", "Bot"), "app", app)

    def _page(self, request: Request, reply: Reply) -> Answer:
        headers: dict[str, str] = {}
        data = reply.data
        if isinstance(data, list):
            size = min(int(request.query.get("per_page", 30)), 100)
            page, pages = int(request.query.get("page", 1)), max(1, math.ceil(len(data) / size))
            links = {"first": 1, "prev": page - 1, "next": page + 1, "last": pages}
            shown = {name: number for name, number in links.items() if 1 <= number <= pages and number != page}
            if shown:
                address = f"{self.url}{request.path}"
                headers["Link"] = ", ".join(
                    f'<{address}?{urllib.parse.urlencode({**request.query, "page": number})}>; rel="{name}"'
                    for name, number in shown.items()
                )
            data = data[(page - 1) * size : page * size]
        request.answer = data
        return Answer(reply.status, json.dumps(data), headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement of its head
    server: _Server

    def _any(self) -> None:
        double = self.server.double
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        prefix = "/api/v3"
        request = Request(self.command, path.removeprefix(prefix), dict(urllib.parse.parse_qsl(query)))
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
        now = int(time.time())
        self.send_header("Date", email.utils.formatdate(now, usegmt=True))
        if answer.reset_in_seconds is not None:
            self.send_header("X-RateLimit-Reset", str(now + answer.reset_in_seconds))
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, double: GitHubDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double = double

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that tests drop are no news."""


@contextlib.contextmanager
def github(folder: Path) -> Iterator[GitHubDouble]:
    """A double that lives as long as the block."""
    with GitHubDouble(folder) as double:
        yield double
