"""The GitLab double itself: an HTTP server on loopback that is as strict as GitLab and fails on request."""

from __future__ import annotations

import json
import secrets
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from tests.support.forge_server import Answer, Fault, ForgeServer, Page, Reply, Request, link_header
from tests.support.gitlab_double.faults import Refusal
from tests.support.gitlab_double.routes import ROUTES, Api, Asked, find
from tests.support.gitlab_double.shapes import Shapes
from tests.support.gitlab_double.store import DEVELOPER, MergeRequest, Note, Project, Store, User


@dataclass(frozen=True)
class _Caller:
    user: User
    scope: str


class GitLabDouble(ForgeServer):
    """GitLab on loopback.

    Args:
        folder: where the bare repositories lie, each at `PATH.git`.

    Attributes:
        url: its address, for `forge.url`.
        token: of the account `bot`, with the scope `api`.
    """

    page_size = 20

    def __init__(self, folder: Path, bot: str = "driftguard-bot") -> None:
        super().__init__()
        self.store = Store(folder)
        self.lock = self.store.lock
        self.bot = self.store.user(bot)
        self._tokens: dict[str, _Caller] = {}
        self.token = self.add_token(bot)

    def started(self) -> None:
        self.url = self.web
        self.api = Api(self.store, Shapes(self.store, self.url), self.url)

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
        with self.lock:
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
        with self.lock:
            user = self.store.user(username)
            made = project.git.add_commit(branch, files, message, author or user.author, start)
            for each in self.store.projects.values():
                self.store.see_pushes(each, user)
            return made

    def approve(self, request: MergeRequest, username: str) -> None:
        """Approve; raises `Refusal` as GitLab would."""
        with self.lock:
            self.store.see_pushes(request.project)
            self.store.approve(request, self.store.user(username))

    def revoke(self, request: MergeRequest, username: str) -> None:
        """Take an approval back."""
        with self.lock:
            self.store.revoke(request, self.store.user(username))

    def merge(self, request: MergeRequest, username: str, how: str = "merge", *, squash: bool = False) -> str:
        """Press the button: `merge`, `rebase_merge` or `ff`; the last commit of the target. Raises `Refusal`."""
        with self.lock:
            self.store.see_pushes(request.project)
            return self.store.merge(request, self.store.user(username), how, squash=squash)

    def rebase(self, request: MergeRequest, username: str) -> str:
        """Press the button "Rebase"; the new tip of the source branch."""
        with self.lock:
            return self.store.rebase(request, self.store.user(username))

    def close(self, request: MergeRequest, username: str) -> None:
        """Close as a person."""
        with self.lock:
            self.store.end(request, "closed", self.store.user(username))

    def reopen(self, request: MergeRequest) -> None:
        """Open a closed one again."""
        with self.lock:
            request.state, request.ended_by, request.ended_at = "opened", None, None

    def comment(self, request: MergeRequest, username: str, body: str) -> Note:
        """Comment as a person."""
        with self.lock:
            return self.store.note(request, self.store.user(username), body)

    # --- faults and records ----------------------------------------------------------------------

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next requests of a route meet a fault each: `POST /projects/{id}/merge_requests`, or `*`."""
        method, _, template = route.partition(" ")
        super().fail(route if not template or template.startswith("/api") else f"{method} /api/v4{template}", *faults)

    # --- answering -------------------------------------------------------------------------------

    def knows(self, route: str) -> bool:
        method, _, template = route.partition(" ")
        return (method, template) in ROUTES

    def route_of(self, request: Request) -> str | None:
        found = find(request.method, request.path)
        return f"{request.method} {found[0]}" if found else None

    def carried_out(self, request: Request, headers: dict[str, str], *, malformed: bool) -> Reply | Answer:
        request.token = headers.get("private-token", "")
        try:
            return self._carried_out(request)
        except Refusal as refusal:
            return Answer(refusal.status, json.dumps(refusal.body), refusal.headers)

    def _carried_out(self, request: Request) -> Reply:
        found = find(request.method, request.path)
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

    def page_headers(self, request: Request, page: Page) -> dict[str, str]:
        around = page.around()
        # As a server behind a proxy does, that takes itself for another.
        return {
            "Link": link_header(request, "https://gitlab.example.com", around),
            "X-Next-Page": str(around.get("next", "")),
            "X-Page": str(page.number),
            "X-Per-Page": str(page.size),
            "X-Total": str(page.entries),
            "X-Total-Pages": str(page.pages),
        }
