"""The double itself: an HTTPS server on loopback that answers as the recorded server did, and refuses what it refused.

It also notices a token where none may be: in uploads, in downloads from elsewhere, at hosts that were not named.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from typing import Any

from tests.support.forge_server import Answer, ForgeServer, Page, Reply, Request
from tests.support.tfe_double.shapes import Shapes
from tests.support.tfe_double.store import Configuration, Refused, Store, Terraform, Workspace, identifier

_API = "/api/v2"
_JSON = "application/vnd.api+json"
Handler = Callable[["PlatformDouble", Request, re.Match[str]], Answer]
_ROUTES: list[tuple[str, re.Pattern[str], str, Handler]] = []


def _route(method: str, path: str) -> Callable[[Handler], Handler]:
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

    def keep(handler: Handler) -> Handler:
        _ROUTES.append((method, pattern, f"{method} {path}", handler))
        return handler

    return keep


class PlatformDouble(ForgeServer):
    """A platform on loopback.

    Args:
        terraform: what plans and applies.
        tls: the context of its certificate.

    Attributes:
        host: its name with its port; `elsewhere`: another name of it, which counts as another host.
        redirects: whether plans are answered by a redirect to signed addresses elsewhere, as HCP Terraform does.
        refusal: the status of an action that a run's state does not allow.
    """

    page_size = 20

    def __init__(self, terraform: Terraform, tls: ssl.SSLContext, organization: str = "acme") -> None:
        super().__init__()
        self.tls = tls
        self.store = Store(terraform)
        self.lock = self.store.lock
        self.organization = organization
        self.token = f"double.atlasv1.{identifier('t')}"
        self._contents: dict[int, bytes] = {}
        self.redirects, self.drops_messages, self.refusal = False, True, 409

    def started(self) -> None:
        self.host = self.web.removeprefix("https://")
        self.elsewhere = self.host.replace("127.0.0.1", "localhost")
        self.shapes = Shapes(self)

    def add(self, name: str, **settings: Any) -> Workspace:
        """A workspace."""
        with self.lock:
            made = self.store.workspaces[name] = Workspace(name, **settings)
            return made

    # --- answering -------------------------------------------------------------------------------

    def knows(self, route: str) -> bool:
        return any(name == route for _, _, name, _ in _ROUTES)

    def route_of(self, request: Request) -> str | None:
        found = self._find(request)
        return found[1] if found else None

    def _find(self, request: Request) -> tuple[re.Match[str], str, Handler] | None:
        for method, pattern, name, handler in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                return match, name, handler
        return None

    def answer(self, request: Request, headers: dict[str, str], raw: bytes) -> Answer | None:
        if request.method == "PUT":
            self._contents[id(request)] = raw
        return super().answer(request, headers, b"" if request.method == "PUT" else raw)

    def carried_out(self, request: Request, headers: dict[str, str], *, malformed: bool) -> Reply | Answer:
        request.token = headers.get("authorization", "").removeprefix("Bearer ")
        found = self._find(request)
        if found is None:
            self.problems.append(f"{request.method} {request.path} is no route of the platform")
            return self.error(404, "resource not found")
        match, _, handler = found
        public = request.path.startswith(("/signed/", "/.well-known/"))
        foreign = headers.get("host") != self.host
        if request.token and (public or foreign):
            self.problems.append(f"a token came to {headers.get('host')}{request.path}")
        if not public and request.token != self.token:
            return Answer(401, "invalid JWT\n", content_type="text/plain; charset=utf-8")
        if malformed:
            return self.error(400, "invalid JSON")
        return handler(self, request, match)

    def page_headers(self, request: Request, page: Page) -> dict[str, str]:
        return {}

    def error(self, status: int, detail: str) -> Answer:
        body = {"errors": [{"status": str(status), "title": "Error", "detail": detail}]}
        return Answer(status, json.dumps(body), content_type=_JSON)

    def data(self, value: Any, status: int = 200) -> Answer:
        return Answer(status, json.dumps({"data": value}), content_type=_JSON)

    def listed(self, request: Request, values: list[Any]) -> Answer:
        size, number = int(request.query.get("page[size]", 20)), int(request.query.get("page[number]", 1))
        pages = max(1, -(-len(values) // size))
        around = {"current-page": number, "prev-page": number - 1 or None, "total-pages": pages}
        around |= {"next-page": number + 1 if number < pages else None, "total-count": len(values)}
        body = {"data": values[(number - 1) * size : number * size], "meta": {"pagination": around}}
        return Answer(200, json.dumps(body), content_type=_JSON)

    def missing(self) -> Answer:
        return self.error(404, "resource not found")


@_route("GET", "/.well-known/terraform.json")
def _discovery(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    offered = {"state.v2": f"{_API}/", "tfe.v2": f"{_API}/", "tfe.v2.1": f"{_API}/", "tfe.v2.2": f"{_API}/"}
    return Answer(200, json.dumps(offered))


@_route("GET", f"{_API}/ping")
def _ping(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    return Answer(204, "", {"TFP-API-Version": "2.6", "TFP-AppName": "Terraform Enterprise"})


@_route("GET", f"{_API}/organizations/{{organization}}/entitlement-set")
def _entitlements(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    named = ("operations", "private-module-registry", "state-storage", "teams", "vcs-integrations")
    found = {"id": double.organization, "type": "entitlement-sets", "attributes": dict.fromkeys(named, True)}
    return double.data(found)


@_route("POST", f"{_API}/organizations/{{organization}}/workspaces")
def _add_workspace(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    given = request.body["data"]["attributes"]
    made = double.add(
        given["name"],
        execution=given.get("execution-mode", "remote"),
        directory=given.get("working-directory", ""),
        version=given.get("terraform-version", "1.11.4"),
        auto_apply=given.get("auto-apply", False),
    )
    return double.data(double.shapes.workspace(made), 201)


@_route("GET", f"{_API}/organizations/{{organization}}/workspaces")
def _workspaces(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    tags = {tag for tag in request.query.get("search[tags]", "").split(",") if tag}
    project = request.query.get("filter[project][id]")
    found = [
        double.shapes.workspace(w)
        for w in double.store.workspaces.values()
        if tags <= set(w.tags) and project in (None, w.project)
    ]
    return double.listed(request, found)


@_route("GET", f"{_API}/organizations/{{organization}}/projects")
def _projects(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = [
        {"id": id_, "type": "projects", "attributes": {"name": name}} for name, id_ in double.store.projects.items()
    ]
    return double.listed(request, found)


@_route("GET", f"{_API}/organizations/{{organization}}/workspaces/{{name}}")
def _workspace(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.workspaces.get(match["name"])
    if found is None or match["organization"] != double.organization:
        return double.missing()
    return double.data(double.shapes.workspace(found))


@_route("GET", f"{_API}/workspaces/{{id}}")
def _workspace_by_id(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.by_id(match["id"])
    return double.missing() if found is None else double.data(double.shapes.workspace(found))


@_route("POST", f"{_API}/workspaces/{{id}}/actions/{{action}}")
def _lock(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.workspace(match["id"])
    if match["action"] == "lock":
        if found.locked_by is not None or double.store.holder(found) is not None:
            return double.error(409, "workspace already locked")
        found.locked_by = request.token
    else:
        found.locked_by = None
    return double.data(double.shapes.workspace(found))


@_route("GET", f"{_API}/workspaces/{{id}}/current-state-version")
def _state(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.workspace(match["id"])
    return double.data(double.shapes.state(*found.states[-1])) if found.states else double.missing()


@_route("POST", f"{_API}/workspaces/{{id}}/state-versions")
def _put_state(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.workspace(match["id"])
    double.store.put_encoded(found, request.body["data"]["attributes"]["state"])
    return double.data(double.shapes.state(*found.states[-1]), 201)


@_route("GET", f"{_API}/state-versions/{{id}}/download")
def _download(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    states = [state for w in double.store.workspaces.values() for state in w.states]
    found = next((text for id_, text in states if id_ == match["id"]), None)
    return double.missing() if found is None else Answer(200, found.decode())


@_route("GET", f"{_API}/workspaces/{{id}}/vars")
def _variables(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.workspace(match["id"])
    if found.variables_are_hidden:
        return double.missing()
    return double.listed(request, double.shapes.variables(found.variables))


@_route("POST", f"{_API}/workspaces/{{id}}/vars")
def _add_variable(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = double.store.workspace(match["id"])
    found.variables.append(request.body["data"]["attributes"])
    return double.data(double.shapes.variables(found.variables)[-1], 201)


@_route("GET", f"{_API}/workspaces/{{id}}/varsets")
def _variable_sets(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    of = double.store.variable_sets
    found = [{"id": id_, "type": "varsets", "attributes": {}} for id_, (to, _) in of.items() if match["id"] in to]
    return double.listed(request, found)


@_route("GET", f"{_API}/varsets/{{id}}/relationships/vars")
def _of_variable_set(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    return double.listed(request, double.shapes.variables(double.store.variable_sets[match["id"]][1]))


@_route("POST", f"{_API}/workspaces/{{id}}/configuration-versions")
def _configuration(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found, given = double.store.by_id(match["id"]), request.body["data"]["attributes"]
    if found is None:
        return double.missing()
    if given.get("auto-queue-runs") is not False:
        double.problems.append("a configuration version would begin a run by itself")
    made = Configuration(found, bool(given.get("speculative")))
    double.store.configurations[made.id] = made
    return double.data(double.shapes.configuration(made), 201)


@_route("PUT", "/signed/{id}")
def _upload(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    double.store.configurations[match["id"]].content = double._contents.pop(id(request))
    return Answer(200, "")


@_route("GET", "/signed/{id}/plan")
def _signed_plan(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    planned = double.store.runs[match["id"]].planned
    return Answer(200, planned.json.decode() if planned else "", content_type="text/plain; charset=utf-8")


@_route("GET", "/signed/{id}/log")
def _log(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    run = double.store.runs[match["id"]]
    return Answer(200, run.apply_log or (run.planned.log if run.planned else ""), content_type="text/plain")


@_route("GET", f"{_API}/configuration-versions/{{id}}")
def _uploaded(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    return double.data(double.shapes.configuration(double.store.configurations[match["id"]]))


@_route("POST", f"{_API}/runs")
def _begin(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    given, related = request.body["data"]["attributes"], request.body["data"]["relationships"]
    configuration = double.store.configurations.get(related["configuration-version"]["data"]["id"])
    if configuration is None or configuration.content is None:
        return double.error(422, "the configuration version has no files")
    if configuration.workspace.id != related["workspace"]["data"]["id"]:
        return double.error(422, "the configuration version is of another workspace")
    run = double.store.begin(configuration, given.get("message", ""), bool(given.get("plan-only")))
    return double.data(double.shapes.run(run), 201)


@_route("GET", f"{_API}/runs/{{id}}")
def _run(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    run = double.store.runs.get(match["id"])
    if run is None:
        return double.missing()
    double.store.advance(run)
    return double.data(double.shapes.run(run))


@_route("GET", f"{_API}/workspaces/{{id}}/runs")
def _runs(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    found = [double.shapes.run(r) for r in reversed(double.store.runs.values()) if r.workspace.id == match["id"]]
    return double.listed(request, found)


@_route("POST", f"{_API}/runs/{{id}}/actions/{{action}}")
def _act(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    try:
        double.store.act(double.store.runs[match["id"]], match["action"])
    except Refused as refused:
        return double.error(double.refusal, str(refused))
    return Answer(202, "null", content_type=_JSON)


@_route("GET", f"{_API}/plans/{{id}}")
def _plan(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    return double.data(double.shapes.plan(double.store.runs[match["id"].replace("plan-", "run-")]))


@_route("GET", f"{_API}/applies/{{id}}")
def _apply(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    return double.data(double.shapes.apply(double.store.runs[match["id"].replace("apply-", "run-")]))


@_route("GET", f"{_API}/plans/{{id}}/json-output-redacted")
def _redacted(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    return Answer(404, "404 page not found\n", content_type="text/plain; charset=utf-8")


@_route("GET", f"{_API}/plans/{{id}}/json-output")
def _plan_json(double: PlatformDouble, request: Request, match: re.Match[str]) -> Answer:
    run = double.store.runs[match["id"].replace("plan-", "run-")]
    if double.redirects:
        return Answer(307, "", {"Location": f"https://{double.elsewhere}/signed/{run.id}/plan"})
    planned = run.planned
    return Answer(200, planned.json.decode() if planned else "", content_type="text/plain; charset=utf-8")
