"""The GitHub double itself: an HTTP server on loopback that is as strict as GitHub and fails on request."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jwt

from tests.support.forge_server import Answer, ForgeServer, Page, Reply, Request, link_header
from tests.support.github_double.faults import Refusal
from tests.support.github_double.routes import ROUTES, Api, App, Asked, Caller, find
from tests.support.github_double.shapes import Shapes
from tests.support.github_double.store import Comment, Protection, Pull, Repository, Review, Store, Team, User

_API_VERSIONS = ("2022-11-28", "2026-03-10")
_ACCEPTED = ("*/*", "application/json", "application/vnd.github")


class GitHubDouble(ForgeServer):
    """GitHub on loopback, in the manner of GitHub Enterprise.

    Args:
        folder: where the bare repositories lie.

    Attributes:
        url: the API's address, for `forge.url`; `web` is the address of the pages.
        token: of the account `bot`, which may do nothing before it is given a permission.
    """

    prefix = "/api/v3"
    page_size = 30

    def __init__(self, folder: Path, bot: str = "driftguard-bot") -> None:
        super().__init__()
        self.store = Store(folder)
        self.lock = self.store.lock
        self.bot = self.store.user(bot)

    def started(self) -> None:
        self.url = f"{self.web}{self.prefix}"
        self.api = Api(self.store, Shapes(self.store, self.url, self.web))
        self.token = self.add_token(self.bot.login)

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
        with self.lock:
            return self.store.open_pull(repository, self.store.user(login), head, base, title, body)

    def review(self, repository: Repository, number: int, login: str, state: str = "APPROVED") -> Review:
        """Review: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `PENDING`; raises `Refusal` as GitHub would."""
        with self.lock:
            pull = repository.pull(number)
            return self.store.review(repository, pull, self.store.user(login), state, "")

    def dismiss(self, review: Review) -> None:
        """Dismiss a review."""
        review.state = "DISMISSED"

    def merge(
        self, repository: Repository, number: int, login: str, how: str = "merge", *, bypass: bool = False
    ) -> str:
        """Press the button: `merge`, `squash` or `rebase`; the last commit of the base. Raises `Refusal`."""
        with self.lock:
            pull = repository.pull(number)
            return self.store.merge(repository, pull, self.store.user(login), how, bypass=bypass)

    def close(self, repository: Repository, number: int, login: str) -> None:
        """Close a pull request as a person."""
        with self.lock:
            self.store.set_state(repository.pull(number), self.store.user(login), "closed")

    def retarget(self, repository: Repository, number: int, base: str) -> None:
        """Change the base of an open pull request, as a person does on its page."""
        with self.lock:
            pull = repository.pull(number)
            tip = repository.git.tip(base)
            assert tip is not None
            pull.base, pull.base_sha = base, tip

    def reopen(self, repository: Repository, number: int, login: str) -> None:
        """Open a closed pull request again."""
        with self.lock:
            self.store.set_state(repository.pull(number), self.store.user(login), "open")

    def comment(self, repository: Repository, number: int, login: str, body: str) -> Comment:
        """Comment as a person."""
        with self.lock:
            return self.store.comment(repository.pull(number), self.store.user(login), body)

    def delete_account(self, login: str) -> None:
        """Whatever the account did stays, with nobody's name."""
        self.store.user(login).gone = True

    # --- answering -------------------------------------------------------------------------------

    def knows(self, route: str) -> bool:
        method, _, template = route.partition(" ")
        return (method, template) in ROUTES

    def route_of(self, request: Request) -> str | None:
        found = find(request.method, request.path)
        return f"{request.method} {found[0]}" if found else None

    def carried_out(self, request: Request, headers: dict[str, str], *, malformed: bool) -> Reply | Answer:
        try:
            return self._carried_out(request, headers, malformed)
        except Refusal as refusal:
            return Answer(refusal.status, json.dumps(refusal.body), refusal.headers)

    def _carried_out(self, request: Request, headers: dict[str, str], malformed: bool) -> Reply:
        caller = self._caller(headers)
        found = find(request.method, request.path)
        if found is None:
            self.problems.append(f"unknown route: {request.method} {request.path}")
            raise Refusal(404, "Not Found")
        if malformed:
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
        caller = self.api.caller(credential)
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

    def page_headers(self, request: Request, page: Page) -> dict[str, str]:
        others = {name: number for name, number in page.around().items() if number != page.number}
        return {"Link": link_header(request, self.url, others)} if others else {}


@contextlib.contextmanager
def github(folder: Path) -> Iterator[GitHubDouble]:
    """A double that lives as long as the block."""
    with GitHubDouble(folder) as double:
        yield double
