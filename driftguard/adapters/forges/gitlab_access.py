"""GitLab's REST API: the token, bounded requests, and the meaning of its refusals."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from driftguard.adapters.forges.access import AGAIN, AWAY, credential, retries, unreachable
from driftguard.adapters.ratelimits import WAIT_SECONDS, is_rate_limit
from driftguard.config.forge import Forge
from driftguard.errors import ForgeFault
from driftguard.sealed import REDACTED, mask

if TYPE_CHECKING:
    from gitlab import Gitlab, GitlabError

_T = TypeVar("_T")
_PUBLIC: Final = "https://gitlab.com"
_PAGE: Final = 100
# Errors of python-gitlab and ours over an answer that is not GitLab's: a proxy's page, an object without fields.
_GARBLED: Final = (AttributeError, LookupError, TypeError, ValueError)


class Conflict(ForgeFault):
    """GitLab refused for the state of the project.

    Args:
        exists: what was to be made is there already.
    """

    def __init__(self, message: str, *, exists: bool) -> None:
        super().__init__(message)
        self.exists = exists


class _LimitedError(Exception):
    """The rate limit is used up."""

    def __init__(self, status: int, seconds: float) -> None:
        super().__init__()
        self.status, self.seconds = status, seconds


class _ElsewhereError(Exception):
    """An answer leads to another server, which must not see the token."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place


class _Project(msgspec.Struct):
    id: int
    path_with_namespace: str


class _User(msgspec.Struct):
    id: int


class _Error(msgspec.Struct):
    message: str


class _QueryAnswer(msgspec.Struct):
    data: Any = None
    errors: list[_Error] = []


class GitLabAccess:
    """The token, and requests for one project.

    Attributes:
        name: the path of the project, as configured.
        web: the address of the site, without a slash at its end.
    """

    def __init__(
        self, settings: Forge, environ: Mapping[str, str], stopping: Callable[[], bool], timeout_seconds: float
    ) -> None:
        """Read the token; nothing is asked of GitLab yet.

        Raises:
            OperatorError: there is no token.
        """
        self.name = (settings.repository or "").strip("/")
        self.web = (settings.url or _PUBLIC).rstrip("/")
        self._settings, self._environ = settings, environ
        self._token = self.token()
        self._stopping, self._timeout_seconds = stopping, timeout_seconds
        self._lock = threading.Lock()
        self._client: Gitlab | None = None
        self._project: _Project | None = None
        self._user: int | None = None

    def token(self) -> str:
        """What git may fetch and push with, read anew: a file's token may have been replaced."""
        settings = self._settings
        return credential("GitLab", "token", "forge.token", settings.token_env, settings.token_file, self._environ)

    def project(self) -> int:
        """The project's id, which outlives its being renamed."""
        return self._found().id

    def user(self) -> int:
        """The id of the account that the token belongs to."""
        if self._user is None:
            self._user = self._got("read who the token belongs to", "/user", _User).id
        return self._user

    def get(self, what: str, path: str, kind: type[_T]) -> _T:
        """One object of the project.

        Args:
            what: the attempt, to go on after "to", such as `close !7`.
            path: below the project's own.
        """
        return self._got(what, f"/projects/{self.project()}/{path}", kind)

    def each(self, what: str, path: str, kind: type[_T], **query: Any) -> Iterator[_T]:
        """The objects of every page, one after the other."""
        address = f"/projects/{self.project()}/{path}"
        with self._asking(what):
            listed = self._connected().http_list(
                address, query_data=query, iterator=True, per_page=_PAGE, obey_rate_limit=False
            )
            for item in listed:
                self.go_on(what)
                yield msgspec.convert(item, kind)

    def post(self, what: str, path: str, body: Mapping[str, Any], kind: type[_T]) -> _T:
        """Create something. It is sent once: its answer may be all that was lost."""
        address = f"/projects/{self.project()}/{path}"
        with self._asking(what, writes=True):
            made = self._connected().http_post(address, post_data=dict(body), obey_rate_limit=False)
            return msgspec.convert(made, kind)

    def put(self, what: str, path: str, body: Mapping[str, Any]) -> None:
        """Change something. It is sent once."""
        address = f"/projects/{self.project()}/{path}"
        with self._asking(what, writes=True):
            self._connected().http_put(address, post_data=dict(body), obey_rate_limit=False)

    def query(self, what: str, query: str, variables: Mapping[str, Any], kind: type[_T]) -> _T:
        """Ask GraphQL for what REST lacks.

        Args:
            query: takes `$path`, the project's path, beside the variables.
            kind: of the answer's `data`.
        """
        body = {"query": query, "variables": {"path": self._found().path_with_namespace, **variables}}
        with self._asking(what):
            # It is no path below `/api/v4`, so python-gitlab is given the whole address.
            posted = self._connected().http_post(f"{self.web}/api/graphql", post_data=body, obey_rate_limit=False)
            answer = msgspec.convert(posted, _QueryAnswer)
            if answer.errors:
                raise ForgeFault(f"GitLab refused to {what} ({self._safe(answer.errors[0].message)}). {AGAIN}")
            return msgspec.convert(answer.data, kind)

    def go_on(self, what: str) -> None:
        """Raises `ForgeFault` when a stop was requested meanwhile."""
        if self._stopping():
            raise ForgeFault(f"DriftGuard is stopping, so GitLab was not asked to {what}. {AGAIN}")

    def _found(self) -> _Project:
        if self._project is None:
            path = f"/projects/{quote(self.name, safe='')}"
            self._project = self._got(f"find the project {self.name}", path, _Project)
        return self._project

    def _got(self, what: str, address: str, kind: type[_T]) -> _T:
        with self._asking(what):
            found = self._connected().http_get(address, obey_rate_limit=False)
            return msgspec.convert(found, kind)

    def _connected(self) -> Gitlab:
        with self._lock:
            if self._client is None:
                import gitlab

                client = gitlab.Gitlab(
                    self.web,
                    private_token=self._token,
                    timeout=self._timeout_seconds,
                    user_agent="driftguard",
                    # Else the next page's address is the server's idea of itself, wherever that leads.
                    keep_base_url=True,
                )
                client.session.hooks["response"].append(_checked)
                client.session.get_adapter(self.web).max_retries = retries()  # type: ignore[attr-defined]
                self._client = client
            return self._client

    @contextmanager
    def _asking(self, what: str, *, writes: bool = False) -> Iterator[None]:
        """Translate every error of a request into a `ForgeFault` that names what was tried."""
        from gitlab import GitlabError, GitlabParsingError

        self.go_on(what)
        try:
            yield
        except _LimitedError as limit:
            raise ForgeFault(
                f"GitLab's rate limit exceeded: it did not {what} (HTTP {limit.status}). "
                f"A run after {limit.seconds:.0f} s retries.",
                retry_after_seconds=limit.seconds,
                whole_forge=True,
            ) from None
        except _ElsewhereError as answer:
            raise ForgeFault(
                f"GitLab was asked to {what} at {self.web}, which leads to {self._safe(answer.place)}. "
                "The token was not sent there. Check `forge.url`."
            ) from None
        except (GitlabParsingError, *_GARBLED) as error:
            raise ForgeFault(
                f"GitLab's answer could not be understood when asked to {what} ({type(error).__name__}). "
                f"{self._perhaps_meant() or AGAIN}",
                perhaps_done=writes,
            ) from None
        except GitlabError as error:
            raise self._refused(what, error, writes) from None
        except OSError as error:
            raise unreachable("GitLab", what, error, writes=writes) from None

    def _perhaps_meant(self) -> str:
        """The likely address of the server, where the configured one has a path; empty otherwise."""
        parts = urlsplit(self.web)
        return f"Check `forge.url`: did you mean {parts.scheme}://{parts.netloc}?" if parts.path else ""

    def _safe(self, text: str) -> str:
        return mask(" ".join(text.replace(self._token, REDACTED).split()))[:300]

    def _refused(self, what: str, error: GitlabError, writes: bool) -> ForgeFault:
        status = error.response_code or 0
        answer = f"(HTTP {status}: {self._safe(_refusal_text(error)) or 'no reason given'})"
        if _is_page(error) and (meant := self._perhaps_meant()):
            return ForgeFault(f"{self.web} did not {what} {answer}. {meant}", whole_forge=True)
        if status >= 500:
            return ForgeFault(
                f"GitLab did not answer properly when asked to {what} {answer}. {AGAIN}",
                perhaps_done=writes,
                whole_forge=status in AWAY,
            )
        if status == 401:
            return ForgeFault(
                f"GitLab refused to {what} {answer}. Check the token of `forge`.", denied=True, whole_forge=True
            )
        if status == 403:
            return ForgeFault(
                f"GitLab refused to {what} {answer}. Give the token of `forge` the scope `api` and the role Developer "
                f"in {self.name}.",
                denied=True,
            )
        if status in (404, 410):
            return ForgeFault(
                f"GitLab did not {what}, because it is not there or may not be seen {answer}. "
                f"Check `forge.repository` ({self.name}), and that the token of `forge` may see it.",
                missing=True,
            )
        if status == 409:
            return Conflict(
                f"GitLab refused to {what} {answer}. {AGAIN}", exists="already exists" in _refusal_text(error)
            )
        return ForgeFault(f"GitLab refused to {what} {answer}. {AGAIN}")


def _refusal_text(error: GitlabError) -> str:
    """GitLab's own words about a refusal: text, a list, or an object of lists; nothing of a proxy's page."""
    message: Any = error.error_message
    if _is_page(error):
        return ""
    if isinstance(message, Mapping):
        return "; ".join(f"{name}: {_joined(value)}" for name, value in message.items())
    return _joined(message)


def _is_page(error: GitlabError) -> bool:
    """Whether a refusal is a page for browsers, as a proxy or another address of the site gives it."""
    message: Any = error.error_message
    text = message.decode(errors="replace") if isinstance(message, bytes) else message
    return isinstance(text, str) and text.lstrip().startswith("<")


def _joined(message: Any) -> str:
    if isinstance(message, bytes):
        return message.decode(errors="replace")
    return ", ".join(map(str, message)) if isinstance(message, list) else str(message)


def _checked(response: Any, *_: Any, **__: Any) -> None:
    """Look at each answer before python-gitlab does, which keeps no headers and follows every redirect."""
    if response.status_code == 429 or (response.status_code == 403 and is_rate_limit(response.text)):
        seconds = _seconds(response.headers)
        response.close()
        raise _LimitedError(response.status_code, seconds)
    if response.is_redirect:
        target = urlsplit(urljoin(response.url, response.headers["location"]))
        asked = urlsplit(response.url)
        # A request that changes something would be followed as one that reads.
        if response.request.method != "GET" or (target.scheme, target.netloc) != (asked.scheme, asked.netloc):
            response.close()
            raise _ElsewhereError(f"{target.scheme}://{target.netloc.rpartition('@')[2]}")


def _seconds(headers: Mapping[str, str]) -> float:
    """The seconds that GitLab asks to wait."""
    wait = headers.get("Retry-After", "").strip()
    if wait.isdecimal():
        return max(1.0, float(wait))
    reset = headers.get("RateLimit-Reset", "").strip()
    if not reset.isdecimal():
        return WAIT_SECONDS
    # Against GitLab's own clock, which need not be ours.
    date = email.utils.parsedate_to_datetime(headers["Date"]).timestamp() if "Date" in headers else time.time()
    return max(1.0, float(reset) - date)
