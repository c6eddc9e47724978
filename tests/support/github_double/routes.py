"""The routes of GitHub's REST API that the double knows, each as strict as GitHub's."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.support.forge_server import Reply
from tests.support.github_double.faults import Refusal
from tests.support.github_double.shapes import Shapes
from tests.support.github_double.store import Pull, Repository, Store, User

_NOT_FOUND = "Not Found"
_LISTED_COMMITS, _LISTED_FILES = 250, 3000


@dataclass(frozen=True)
class App:
    """A GitHub App with one installation."""

    id: int
    slug: str
    installation: int
    public_key: str


@dataclass(frozen=True)
class Caller:
    """Who asks: an account's token (`user`), an installation's (`installation`), or an app itself (`app`)."""

    user: User
    kind: str = "user"
    app: App | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Asked:
    """A request that was understood."""

    caller: Caller
    words: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]


Handler = Callable[["Api", Asked], Reply]
ROUTES: dict[tuple[str, str], Handler] = {}
_HERE = "/repos/{owner}/{repo}"


def _route(method: str, template: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        ROUTES[(method, template)] = handler
        return handler

    return keep


def find(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The template of a path, and what stands in its places."""
    for known, template in ROUTES:
        if known != method:
            continue
        expression = re.sub(r"\{(\w+)\}", lambda m: f"(?P<{m[1]}>{'.+' if m[1] == 'path' else '[^/]+'})", template)
        matched = re.fullmatch(expression, path)
        if matched:
            return template, matched.groupdict()
    return None


class Api:
    """Answers requests from what is kept."""

    def __init__(self, store: Store, shapes: Shapes) -> None:
        self.store, self.shapes = store, shapes
        self.tokens: dict[str, Caller] = {}
        self.apps: dict[int, App] = {}

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; None for one that is unknown or has expired."""
        found = self.tokens.get(token)
        expired = found is not None and found.expires_at is not None and found.expires_at <= self.store.now()
        return None if expired else found

    def repository(self, asked: Asked, *, writes: bool = False) -> Repository:
        """The repository of a request, if the caller may see it and write to it."""
        name = f"{asked.words['owner']}/{asked.words['repo']}".casefold()
        repository = self.store.repositories.get(name)
        user = asked.caller.user
        if asked.caller.kind == "app":
            raise Refusal(401, "A JSON web token could not be decoded")
        if repository is None and name in self.store.renamed:
            new = self.shapes.address_by_id(self.store.renamed[name])
            raise Refusal(301, "Moved Permanently", headers={"Location": new})
        if repository is None or repository.permission(user) == "none":
            raise Refusal(404, _NOT_FOUND)
        if writes and not repository.may_write(user):
            kind = "integration" if asked.caller.kind == "installation" else "personal access token"
            raise Refusal(403, f"Resource not accessible by {kind}")
        return repository

    def pull(self, asked: Asked, *, writes: bool = False, place: str = "pull_number") -> tuple[Repository, Pull]:
        repository = self.repository(asked, writes=writes)
        if not asked.words[place].isdigit():
            raise Refusal(404, _NOT_FOUND)
        return repository, repository.pull(int(asked.words[place]))


@_route("GET", "/user")
def _who(api: Api, asked: Asked) -> Reply:
    if asked.caller.kind != "user":
        raise Refusal(403, "Resource not accessible by integration")
    return Reply(api.shapes.user(asked.caller.user))


@_route("GET", "/app")
def _app(api: Api, asked: Asked) -> Reply:
    app = _the_app(asked)
    return Reply({"id": app.id, "slug": app.slug, "name": app.slug, "owner": api.shapes.user(asked.caller.user)})


@_route("GET", _HERE + "/installation")
def _installation(api: Api, asked: Asked) -> Reply:
    app = _the_app(asked)
    name = f"{asked.words['owner']}/{asked.words['repo']}".casefold()
    repository = api.store.repositories.get(name)
    if repository is None or repository.permission(asked.caller.user) == "none":
        raise Refusal(404, _NOT_FOUND)
    return Reply({"id": app.installation, "app_id": app.id, "app_slug": app.slug, "target_type": "Organization"})


@_route("POST", "/app/installations/{installation_id}/access_tokens")
def _access_token(api: Api, asked: Asked) -> Reply:
    app = _the_app(asked)
    if asked.words["installation_id"] != str(app.installation):
        raise Refusal(404, _NOT_FOUND)
    token = f"ghs_{secrets.token_hex(18)}"
    expires = api.store.now() + timedelta(hours=1)
    api.tokens[token] = Caller(asked.caller.user, "installation", app, expires)
    shown = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Reply({"token": token, "expires_at": shown, "permissions": {}, "repository_selection": "all"}, 201)


def _the_app(asked: Asked) -> App:
    if asked.caller.kind != "app" or asked.caller.app is None:
        raise Refusal(401, "A JSON web token could not be decoded")
    return asked.caller.app


@_route("GET", _HERE)
def _get_repository(api: Api, asked: Asked) -> Reply:
    return Reply(api.shapes.repository(api.repository(asked)))


@_route("GET", "/repositories/{repository_id}")
def _get_repository_by_id(api: Api, asked: Asked) -> Reply:
    for repository in api.store.repositories.values():
        if str(repository.id) == asked.words["repository_id"] and repository.permission(asked.caller.user) != "none":
            return Reply(api.shapes.repository(repository))
    raise Refusal(404, _NOT_FOUND)


@_route("GET", _HERE + "/pulls")
def _list_pulls(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    query = asked.query
    state = query.get("state", "open")
    if state not in ("open", "closed", "all"):
        raise Refusal(422, "Validation Failed")
    pulls = [repository.pull(number) for number in sorted(repository.pulls)]
    pulls = [pull for pull in pulls if state in ("all", pull.state)]
    if "base" in query:
        pulls = [pull for pull in pulls if pull.base == query["base"]]
    owner, colon, branch = query.get("head", "").partition(":")
    if colon:  # anything else is ignored by GitHub
        pulls = [
            pull
            for pull in pulls
            if pull.head == branch and pull.head_repository and pull.head_repository.owner.login == owner
        ]
    # GitHub lists the newest first unless it is told otherwise.
    if query.get("direction", "asc" if query.get("sort", "created") != "created" else "desc") == "desc":
        pulls.reverse()
    return Reply([api.shapes.pull(repository, pull) for pull in pulls])


@_route("POST", _HERE + "/pulls")
def _open_pull(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    if not repository.may_write(asked.caller.user) and ":" not in str(asked.body.get("head")):
        raise Refusal(403, "Resource not accessible by personal access token")
    head, base = asked.body.get("head"), asked.body.get("base")
    if not isinstance(head, str) or not isinstance(base, str):
        raise Refusal(422, 'Invalid request.\n\n"base", "head" weren\'t supplied.')
    pull = api.store.open_pull(
        repository, asked.caller.user, head, base, asked.body.get("title"), asked.body.get("body")
    )
    return Reply(api.shapes.whole_pull(repository, pull), 201)


@_route("GET", _HERE + "/pulls/{pull_number}")
def _get_pull(api: Api, asked: Asked) -> Reply:
    return Reply(api.shapes.whole_pull(*api.pull(asked)))


@_route("PATCH", _HERE + "/pulls/{pull_number}")
def _edit_pull(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked, writes=True)
    title, body = asked.body.get("title", pull.title), asked.body.get("body", pull.body)
    api.store.check_texts(title, body)
    state = asked.body.get("state", pull.state)
    if state not in ("open", "closed"):
        raise Refusal(422, "Validation Failed", ({"resource": "PullRequest", "field": "state", "code": "invalid"},))
    if not str(title).strip():
        raise Refusal(
            422, "Validation Failed", ({"resource": "PullRequest", "code": "missing_field", "field": "title"},)
        )
    pull.title, pull.body = title, body or ""
    api.store.set_state(pull, asked.caller.user, state)
    return Reply(api.shapes.whole_pull(repository, pull))


@_route("GET", _HERE + "/pulls/{pull_number}/commits")
def _pull_commits(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked)
    listed = api.shapes.commits_of(repository, pull)[:_LISTED_COMMITS]
    return Reply([api.shapes.commit(repository, sha) for sha in listed])


@_route("GET", _HERE + "/pulls/{pull_number}/files")
def _pull_files(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked)
    listed = []
    for status, name, previous in api.shapes.files_of(repository, pull)[:_LISTED_FILES]:
        file = {"sha": "0" * 40, "filename": name, "status": status, "additions": 1, "deletions": 1, "changes": 2}
        listed.append(file if previous is None else {**file, "previous_filename": previous})
    return Reply(listed)


@_route("GET", _HERE + "/pulls/{pull_number}/reviews")
def _pull_reviews(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked)
    return Reply([api.shapes.review(repository, pull, review) for review in pull.reviews])


@_route("GET", _HERE + "/issues/{issue_number}")
def _get_issue(api: Api, asked: Asked) -> Reply:
    return Reply(api.shapes.issue(*api.pull(asked, place="issue_number")))


@_route("PATCH", _HERE + "/issues/{issue_number}")
def _edit_issue(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked, writes=True, place="issue_number")
    labels = asked.body.get("labels")
    if labels is not None:
        if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
            raise Refusal(422, "Invalid request.\n\nFor 'items', expected strings.")
        pull.labels = list(dict.fromkeys(labels))
    return Reply(api.shapes.issue(repository, pull))


@_route("GET", _HERE + "/issues/{issue_number}/comments")
def _comments(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked, place="issue_number")
    return Reply([api.shapes.comment(repository, pull, comment) for comment in pull.comments])


@_route("POST", _HERE + "/issues/{issue_number}/comments")
def _comment(api: Api, asked: Asked) -> Reply:
    repository, pull = api.pull(asked, place="issue_number")
    if pull.locked and not repository.may_write(asked.caller.user):
        raise Refusal(403, "Unable to create comment because issue is locked.")
    comment = api.store.comment(pull, asked.caller.user, asked.body.get("body"))
    return Reply(api.shapes.comment(repository, pull, comment), 201)


@_route("GET", _HERE + "/commits/{commit_sha}/pulls")
def _pulls_of_commit(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    sha = asked.words["commit_sha"]
    if repository.git.resolve(sha) is None:
        raise Refusal(422, f"No commit found for SHA: {sha}")
    found = []
    # Pull requests between forks are shown from each side.
    for other in {id(one): one for one in (repository, *api.store.network(repository))}.values():
        for number in sorted(other.pulls):
            pull = other.pull(number)
            merged = sha in pull.introduced
            if merged or (pull.state == "open" and sha in api.shapes.commits_of(other, pull)):
                found.append(api.shapes.pull(other, pull))
    return Reply(found)


@_route("GET", _HERE + "/branches/{branch}")
def _branch(api: Api, asked: Asked) -> Reply:
    repository, name = api.repository(asked), asked.words["branch"]
    if repository.git.tip(name) is None:
        raise Refusal(404, "Branch not found")
    return Reply({"name": name, "protected": name in repository.protections})


@_route("GET", _HERE + "/branches/{branch}/protection")
def _protection(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    found = repository.protections.get(asked.words["branch"])
    if repository.permission(asked.caller.user) != "admin":
        raise Refusal(404, _NOT_FOUND)
    if found is None or found.rules:
        raise Refusal(404, "Branch not protected")
    reviews = {"required_approving_review_count": found.approvals, "dismiss_stale_reviews": found.dismiss_stale}
    return Reply(
        {
            **({"required_pull_request_reviews": reviews} if found.approvals else {}),
            "enforce_admins": {"url": f"{api.shapes.repository(repository)['url']}/x", "enabled": found.admins_too},
            "allow_force_pushes": {"enabled": found.force_push},
        }
    )


@_route("GET", _HERE + "/rules/branches/{branch}")
def _rules(api: Api, asked: Asked) -> Reply:
    found = api.repository(asked).protections.get(asked.words["branch"])
    if found is None or not found.rules:
        return Reply([])
    parameters = {
        "required_approving_review_count": found.approvals,
        "dismiss_stale_reviews_on_push": found.dismiss_stale,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_review_thread_resolution": False,
    }
    kinds: list[dict[str, Any]] = [] if found.force_push else [{"type": "non_fast_forward"}]
    if found.approvals:
        kinds.append({"type": "pull_request", "parameters": parameters})
    origin = {"ruleset_source_type": "Repository", "ruleset_source": asked.words["repo"], "ruleset_id": 1}
    return Reply([{**kind, **origin} for kind in kinds])


@_route("GET", _HERE + "/git/commits/{commit_sha}")
def _git_commit(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    sha = asked.words["commit_sha"]
    if repository.git.resolve(sha) is None:
        raise Refusal(404, _NOT_FOUND)
    commit = api.shapes.commit(repository, sha)
    return Reply({"sha": sha, "url": commit["url"], "parents": commit["parents"], **commit["commit"]})


@_route("GET", _HERE + "/contents/{path}")
def _contents(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    path, ref = asked.words["path"], asked.query.get("ref", "main")
    commit = repository.git.resolve(ref)
    if commit is None:
        raise Refusal(404, f"No commit found for the ref {ref}")
    content = repository.git.read(commit, path)
    if content is None:
        entries = repository.git.entries(commit, path)
        if entries is None:
            raise Refusal(404, _NOT_FOUND)
        return Reply([{"type": kind, "path": name, "name": name.rpartition("/")[2]} for kind, name in entries])
    short = len(content) <= 1_000_000
    return Reply(
        {
            "type": "file",
            "path": path,
            "name": path.rpartition("/")[2],
            "size": len(content),
            "encoding": "base64" if short else "none",
            "content": base64.encodebytes(content).decode() if short else "",
        }
    )


@_route("GET", _HERE + "/collaborators/{username}/permission")
def _permission(api: Api, asked: Asked) -> Reply:
    repository = api.repository(asked)
    user = api.store.users.get(asked.words["username"].casefold())
    if user is None or user.gone:
        raise Refusal(404, _NOT_FOUND)
    role = repository.permission(user)
    # The older field knows no `maintain` and no `triage`.
    permission = {"maintain": "write", "triage": "read"}.get(role, role)
    return Reply({"permission": permission, "role_name": role, "user": api.shapes.user(user)})


@_route("GET", "/orgs/{org}/teams/{team_slug}/members")
def _members(api: Api, asked: Asked) -> Reply:
    team = api.store.teams.get((asked.words["org"].casefold(), asked.words["team_slug"].casefold()))
    if team is None or team.secret:
        raise Refusal(404, _NOT_FOUND)
    return Reply([api.shapes.user(member) for member in team.members if not member.gone])
