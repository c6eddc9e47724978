"""The web application: routes, answers with their headers, and the guard before all of them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from driftguard.errors import DriftGuardError, UsageError
from driftguard.ports import DefectLog
from driftguard.printable import printable
from driftguard.sealed import mask
from driftguard.web.access import Access, Asking, Viewer
from driftguard.web.assets import ASSETS
from driftguard.web.badges import badge_svg
from driftguard.web.links import ServedLinks
from driftguard.web.pages import alerts, approvals, causes, environments, estate, runs, trends
from driftguard.web.query import PageQuery, read_query
from driftguard.web.rendering import Frame, Renderer, WebPage
from driftguard.web.view import View, WebLedger

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
_PRIVATE: Final = "private, no-cache"
_HTML: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"
_SVG: Final = "image/svg+xml"
# Requests that read the ledger side by side; more of them wait.
_PARALLEL: Final = 4

_SECTIONS: Final[Mapping[str, tuple[Callable[[View], WebPage], Callable[[View], Any]]]] = {
    "overview": (estate.page, estate.document),
    "causes": (causes.page, causes.document),
    "approvals": (approvals.page, approvals.document),
    "trends": (trends.page, trends.document),
    "alerts": (alerts.page, alerts.document),
    "runs": (runs.page, runs.document),
}


def application(
    ledger: Callable[[], WebLedger],
    access: Access,
    *,
    repository: str,
    defects: DefectLog,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ASGIApp:
    """The pages as an ASGI application.

    Args:
        ledger: gives the ledger for one request; called in several threads.
        repository: what the pages call the repository.
        now: the clock.
    """
    pages = _Pages(ledger, access, repository, defects, now)
    routes = [Route("/", partial(pages.section, "overview"), methods=["GET"])]
    for name in _SECTIONS:
        if name != "overview":
            routes.append(Route(f"/{name}", partial(pages.section, name), methods=["GET"]))
        path = "index" if name == "overview" else name
        routes.append(Route(f"/{path}.json", partial(pages.twin, name), methods=["GET"]))
    routes += [
        Route("/environments/{name:path}", pages.environment, methods=["GET"]),
        Route("/badge.svg", pages.badge, methods=["GET"]),
        Route("/badge/{name:path}.svg", pages.badge, methods=["GET"]),
        Route("/static/{name}", pages.asset, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: pages.refused,
        UsageError: pages.misused,
        DriftGuardError: pages.unreadable,
        Exception: pages.defect,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), access, pages)


class _Pages:
    """The endpoints; Starlette runs them in threads."""

    def __init__(
        self,
        ledger: Callable[[], WebLedger],
        access: Access,
        repository: str,
        defects: DefectLog,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger, self._access, self._repository = ledger, access, repository
        self._defects, self._now = defects, now
        self._renderer = Renderer()
        self._reading = threading.BoundedSemaphore(_PARALLEL)

    # --- pages ----------------------------------------------------------------------------------

    def section(self, name: str, request: Request) -> Response:
        """A page that is no environment's."""
        with self._reading:
            view = self._view(request)
            return self._page(request, _SECTIONS[name][0](view), view)

    def twin(self, name: str, request: Request) -> Response:
        """Its JSON twin."""
        with self._reading:
            return answer(request, _json(_SECTIONS[name][1](self._view(request))), _JSON)

    def environment(self, request: Request) -> Response:
        """An environment's page, or its JSON twin where the path ends so and no environment is called that."""
        name = str(request.path_params.get("name"))
        with self._reading:
            view = self._view(request)
            page = environments.page(view, name)
            if page is not None:
                return self._page(request, page, view)
            document = environments.document(view, name.removesuffix(".json")) if name.endswith(".json") else None
        if document is None:
            raise HTTPException(404)
        return answer(request, _json(document), _JSON)

    def badge(self, request: Request) -> Response:
        """The badge of an environment, or of all."""
        name = request.path_params.get("name")
        with self._reading:
            found = estate.badge(self._view(request), None if name is None else str(name))
        if found is None:
            raise HTTPException(404)
        return answer(request, badge_svg(*found).encode(), _SVG)

    def asset(self, request: Request) -> Response:
        """A file of style or script: one of those that were read at the start, by its name alone."""
        found = ASSETS.get(str(request.path_params.get("name")))
        if found is None:
            raise HTTPException(404)
        return answer(request, found.content, found.type)

    # --- refusals -------------------------------------------------------------------------------

    def refused(self, request: Request, error: Exception) -> Response:
        """What is not there, or not answered."""
        status = getattr(error, "status_code", 404)
        text = "There is no such page, or it is not visible to you." if status == 404 else "This is not answered."
        return self.failure(request, status, text)

    def misused(self, request: Request, error: Exception) -> Response:
        """A query string that cannot be read."""
        return self.failure(request, 400, str(error))

    def unreadable(self, request: Request, error: Exception) -> Response:
        """The ledger cannot be read now."""
        return self.failure(request, 503, str(error))

    def defect(self, request: Request, error: Exception) -> Response:
        """A defect ends as one sentence, with a log to paste into a report."""
        return self.failure(request, 500, self._defects.write(error, f"the web page {request.url.path}"))

    def failure(self, request: Request, status: int, sentence: str) -> Response:
        """A page, JSON or text about a failure."""
        text = printable(mask(sentence))
        if request.url.path.endswith(".json"):
            return Response(_json({"error": text}), status, media_type=_JSON)
        page = WebPage("error.html", "", f"{status}", {"status": status, "sentence": text})
        frame = Frame(_viewer(request), PageQuery(), self._now(), ServedLinks(), self._repository)
        return Response(self._renderer.html(page, frame), status, media_type=_HTML)

    # --- what they share ------------------------------------------------------------------------

    def _view(self, request: Request) -> View:
        query = read_query(request.query_params.multi_items())
        return View(self._ledger(), _viewer(request), query, query.at or self._now())

    def _page(self, request: Request, page: WebPage, view: View) -> Response:
        path = request.url.path
        twin = f"{'/index' if path == '/' else path}.json{view.query.encoded()}"
        frame = Frame(view.viewer, view.query, view.now, ServedLinks(), self._repository, twin)
        return answer(request, self._renderer.html(page, frame).encode(), _HTML)


def answer(request: Request, body: bytes, media_type: str) -> Response:
    """An answer with its ETag: 304 without a body where the reader has it already."""
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": _PRIVATE, "Vary": "Accept-Encoding"}
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _viewer(request: Request) -> Viewer:
    found = request.scope.get("driftguard.viewer")
    return found if isinstance(found, Viewer) else Viewer("", ())


class Guard:
    """Before every page: only GET and HEAD, only a known `Host`, only a known reader; after it: the headers."""

    def __init__(self, app: ASGIApp, access: Access, pages: _Pages) -> None:
        self._app, self._access, self._pages = app, access, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope.get("type") != "http":
            if scope.get("type") == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message.get("type") == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope.get("method") not in ("GET", "HEAD"):
            return Response("Only GET and HEAD are answered.\n", 405, {"Allow": "GET, HEAD"}, "text/plain")
        if not self._access.allows_host(headers.get("host", "")):
            sentence = "This server does not answer to that Host. Name it in `web.hosts`.\n"
            return Response(sentence, 400, media_type="text/plain")
        client = scope.get("client")
        asking = Asking(client[0] if client else None, headers.items())
        try:
            viewer = self._access.viewer(asking)
        except DriftGuardError as error:
            return self._pages.failure(Request(scope), 503, str(error))
        if viewer is None:
            refused = self._pages.failure(Request(scope), 401, "Sign in at the proxy, or send a bearer token.")
            refused.headers.update({"WWW-Authenticate": "Bearer"} if self._access.takes_tokens else {})
            return refused
        scope.update({"driftguard.viewer": viewer})
        return None
