"""The routes of GitLab's API that the double knows, each as strict as GitLab's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.forge_server import Reply
from tests.support.gitlab_double.faults import Refusal
from tests.support.gitlab_double.shapes import Shapes, recorded
from tests.support.gitlab_double.store import DEVELOPER, REPORTER, MergeRequest, Project, Store, User

_TITLE, _DESCRIPTION, _NOTE = 255, 1_048_576, 1_000_000
_COMMANDS = re.compile(r"^/(merge|close|reopen|approve|label|title|target_branch)\b[^\n]*\n?", re.MULTILINE)
_STATES = ("opened", "closed", "locked", "merged", "all")


@dataclass(frozen=True)
class Asked:
    """A request that was understood."""

    user: User
    words: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]


Handler = Callable[["Api", Asked], Reply]
ROUTES: dict[tuple[str, str], Handler] = {}
_PROJECT = "/api/v4/projects/{id}"
_REQUEST = f"{_PROJECT}/merge_requests/{{iid}}"


def _route(method: str, template: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        ROUTES[(method, template)] = handler
        return handler

    return keep


def find(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The template of a path (still encoded), and what stands in its places."""
    for known, template in ROUTES:
        matched = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path)
        if known == method and matched:
            return template, matched.groupdict()
    return None


class Api:
    """Answers requests from what is kept; `web` is the address of the pages."""

    def __init__(self, store: Store, shapes: Shapes, web: str) -> None:
        self.store, self.shapes, self.web = store, shapes, web

    def project(self, asked: Asked, *, writes: bool = False) -> Project:
        """The project of a request, if its user may see it and write to it."""
        name = asked.words["id"]
        named = [p for p in self.store.projects.values() if name in (str(p.id), p.path)]
        project = named[0] if named else self.store.renamed.get(name)
        role = project.members.get(asked.user.id, 0) if project is not None else 0
        if project is None or role < REPORTER:
            raise Refusal(404, "404 Project Not Found")
        if not named:
            if writes:
                raise Refusal(405, "Non GET methods are not allowed for moved projects")
            place = {"Location": f"{self.web}/api/v4/projects/{project.id}"}
            raise Refusal(301, f"This resource has been moved permanently to {place['Location']}", headers=place)
        if writes and role < DEVELOPER:
            raise Refusal(403, "403 Forbidden")
        self.store.see_pushes(project)
        return project

    def request(self, asked: Asked, *, writes: bool = False) -> MergeRequest:
        """The merge request of a request."""
        project = self.project(asked, writes=writes)
        if not asked.words["iid"].isdecimal():
            raise Refusal(400, "merge_request_iid is invalid", "error")
        return project.request(int(asked.words["iid"]))


def _texts(body: dict[str, Any], *, allowed: dict[str, type], needed: tuple[str, ...] = ()) -> None:
    missing = [name for name in needed if not body.get(name)]
    if missing:
        raise Refusal(400, ", ".join(f"{name} is missing" for name in missing), "error")
    for name, value in body.items():
        # GitLab ignores what it does not know: here it is a mistake.
        if name not in allowed or not isinstance(value, allowed[name]):
            raise Refusal(400, f"{name} is invalid", "error")
    for name, longest in (("title", _TITLE), ("description", _DESCRIPTION)):
        if len(body.get(name) or "") > longest:
            raise Refusal(400, {name: [f"is too long (maximum is {longest} characters)"]})


def _carried_out(text: str) -> str:
    """A text as GitLab keeps it: lines that are commands are carried out, and gone."""
    return _COMMANDS.sub("", text.replace("\r", "")).rstrip()


@_route("GET", "/api/v4/user")
def _user(api: Api, asked: Asked) -> Reply:
    user = asked.user
    return Reply(recorded("user", id=user.id, username=user.username, name=user.name))


@_route("GET", _PROJECT)
def _project(api: Api, asked: Asked) -> Reply:
    return Reply(api.shapes.project(api.project(asked)))


@_route("GET", f"{_PROJECT}/merge_requests")
def _requests(api: Api, asked: Asked) -> Reply:
    query, project = asked.query, api.project(asked)
    unknown = query.keys() - {"state", "scope", "source_branch", "order_by", "sort", "page", "per_page"}
    if unknown or query.get("state", "all") not in _STATES or query.get("scope", "all") != "all":
        raise Refusal(400, "parameters are invalid", "error")
    found = [
        request
        for request in project.requests.values()
        if query.get("state", "all") in (request.state, "all")
        and query.get("source_branch", request.source_branch) == request.source_branch
    ]
    found.sort(key=lambda request: request.at, reverse=query.get("sort", "desc") == "desc")
    return Reply([api.shapes.request(request, basic=True) for request in found])


@_route("POST", f"{_PROJECT}/merge_requests")
def _open(api: Api, asked: Asked) -> Reply:
    project, body = api.project(asked, writes=True), asked.body
    allowed = {
        **dict.fromkeys(("source_branch", "target_branch", "title", "description", "labels"), str),
        "remove_source_branch": bool,
    }
    _texts(body, allowed=allowed, needed=("title", "source_branch", "target_branch"))
    source, target = body["source_branch"], body["target_branch"]
    made = api.store.open(project, project, asked.user, source, target, body["title"].strip())
    made.description = _carried_out(body.get("description", ""))
    made.labels = [label.strip() for label in body.get("labels", "").split(",") if label.strip()]
    made.remove_source_branch = body.get("remove_source_branch", True)  # the project's own default
    return Reply(api.shapes.request(made), 201)


@_route("GET", _REQUEST)
def _request(api: Api, asked: Asked) -> Reply:
    return Reply(api.shapes.request(api.request(asked)))


@_route("PUT", _REQUEST)
def _edit(api: Api, asked: Asked) -> Reply:
    request, body = api.request(asked, writes=True), asked.body
    _texts(body, allowed=dict.fromkeys(("title", "description", "state_event"), str))
    if not body:
        raise Refusal(
            400, "title, description, state_event are missing, at least one parameter must be provided", "error"
        )
    if body.get("state_event", "close") not in ("close", "reopen"):
        raise Refusal(400, "state_event does not have a valid value", "error")
    request.title = body.get("title", request.title).strip()
    request.description = _carried_out(body.get("description", request.description))
    if "state_event" in body and request.state in ("opened", "closed"):
        if body["state_event"] == "close":
            api.store.end(request, "closed", asked.user)
        else:
            request.state, request.ended_by, request.ended_at = "opened", None, None
    return Reply(api.shapes.request(request))


@_route("GET", f"{_REQUEST}/notes")
def _notes(api: Api, asked: Asked) -> Reply:
    request = api.request(asked)
    notes = sorted(request.notes, key=lambda note: note.at, reverse=asked.query.get("sort", "desc") == "desc")
    return Reply([api.shapes.note(request, note) for note in notes])


@_route("POST", f"{_REQUEST}/notes")
def _comment(api: Api, asked: Asked) -> Reply:
    request, body = api.request(asked), asked.body
    _texts(body, allowed={"body": str}, needed=("body",))
    if len(body["body"]) > _NOTE:
        raise Refusal(400, {"note": [f"is too long (maximum is {_NOTE} characters)"]})
    made = api.store.note(request, asked.user, _carried_out(body["body"]))
    return Reply(api.shapes.note(request, made), 201)


@_route("GET", f"{_REQUEST}/commits")
def _commits(api: Api, asked: Asked) -> Reply:
    request = api.request(asked)
    return Reply([api.shapes.commit(request.project, sha) for sha in request.commits()])


@_route("GET", f"{_REQUEST}/versions")
def _versions(api: Api, asked: Asked) -> Reply:
    request = api.request(asked)
    return Reply([api.shapes.version(request, version) for version in reversed(request.versions)])


@_route("GET", f"{_REQUEST}/approvals")
def _approvals(api: Api, asked: Asked) -> Reply:
    return Reply(api.shapes.approvals(api.request(asked)))


@_route("GET", f"{_REQUEST}/approval_state")
def _approval_state(api: Api, asked: Asked) -> Reply:
    request = api.request(asked)
    if not request.project.licensed:
        raise Refusal(404, "404 Not Found", "error")
    return Reply(api.shapes.approval_state(request))


@_route("GET", f"{_PROJECT}/repository/commits/{{sha}}/merge_requests")
def _of_commit(api: Api, asked: Asked) -> Reply:
    project, sha = api.project(asked), asked.words["sha"]
    if project.git.resolve(sha) is None:
        raise Refusal(404, "404 Commit Not Found")
    found = [
        request
        for request in project.requests.values()
        if sha in (request.merge_commit, request.squash_commit, *request.commits())
    ]
    return Reply([api.shapes.request(request, basic=True) for request in found])


@_route("GET", f"{_PROJECT}/protected_branches")
def _protected(api: Api, asked: Asked) -> Reply:
    project = api.project(asked)
    return Reply(
        [
            {
                "id": number,
                "name": name,
                "push_access_levels": [{"id": role, "access_level": role} for role in roles],
                "merge_access_levels": [{"id": 1, "access_level": 40}],
                "allow_force_push": forced,
            }
            for number, (name, (roles, forced)) in enumerate(project.protected.items(), 1)
        ]
    )


@_route("GET", f"{_PROJECT}/approvals")
def _approval_settings(api: Api, asked: Asked) -> Reply:
    project = api.project(asked)
    if not project.licensed:
        raise Refusal(404, "404 Not Found", "error")
    return Reply({"approvals_before_merge": 0, "reset_approvals_on_push": project.resets})


@_route("GET", f"{_PROJECT}/approval_rules")
def _approval_rules(api: Api, asked: Asked) -> Reply:
    project = api.project(asked)
    if not project.licensed:
        raise Refusal(404, "404 Not Found", "error")
    return Reply([{"id": 1, "name": "All members", "rule_type": "any_approver", "approvals_required": project.needed}])


@_route("GET", f"{_PROJECT}/members/all/{{user}}")
def _member(api: Api, asked: Asked) -> Reply:
    project, number = api.project(asked), asked.words["user"]
    user = next((user for user in api.store.users.values() if str(user.id) == number), None)
    if user is None or user.id not in project.members:
        raise Refusal(404, "404 Not found")
    return Reply(api.shapes.member(user, project.members[user.id]))


@_route("POST", "/api/graphql")
def _graphql(api: Api, asked: Asked) -> Reply:
    """The one query that the product asks; another one is refused with the words for an unknown field."""
    query, variables = str(asked.body.get("query")), asked.body.get("variables", {})
    asked_for = set(re.findall(r"\b[a-z]\w*(?=\s*[({\s}])", re.sub(r"\([^)]*\)", "", query)))
    known = "query project mergeRequest committers commits nodes author username pageInfo hasNextPage endCursor"
    sizes = set(re.findall(r"first: (\d+)", query))
    if asked_for - set(known.split()) or len(sizes) != 1:
        return Reply({"errors": [{"message": f"Field '{min(asked_for)}' doesn't exist on type 'Query'"}]})
    for project in api.store.projects.values():
        if project.path == variables["path"] and project.members.get(asked.user.id, 0) >= REPORTER:
            api.store.see_pushes(project)
            request = project.requests.get(int(variables["iid"]))
            first = min(int(sizes.pop()), 100)
            people = api.shapes.people(request, first, variables["after"]) if request is not None else None
            return Reply({"data": {"project": {"mergeRequest": people}}})
    return Reply({"data": {"project": None}})
