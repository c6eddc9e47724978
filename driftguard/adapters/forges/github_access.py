"""GitHub's REST API: credentials, bounded requests, and the meaning of its refusals."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from driftguard.adapters.forges.access import AGAIN, AWAY, credential, retries, unreachable
from driftguard.adapters.ratelimits import WAIT_SECONDS, is_rate_limit
from driftguard.config.forge import App, Forge
from driftguard.errors import ForgeFault, OperatorError
from driftguard.sealed import REDACTED, mask

if TYPE_CHECKING:
    from github import Github, GithubException, GithubIntegration
    from github.Auth import AppAuth, Auth
    from github.InstallationAuthorization import InstallationAuthorization
    from github.Repository import Repository

_T = TypeVar("_T")
_PUBLIC: Final = "https://api.github.com"
# PyGithub drops the query when it follows a renamed repository, so its name is asked for again now and then.
_REPOSITORY_KEPT_SECONDS: Final = 300.0
# The longest that git may use a token after it was asked for: a fetch and a push have less.
_GIT_SECONDS: Final = timedelta(minutes=12)
# Errors of PyGithub and ours over an answer that is not GitHub's: a proxy's page, an object without its fields.
_GARBLED: Final = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class GitHubAccess:
    """Credentials and requests for one repository.

    Attributes:
        name: `owner/name`, as configured.
        web: the address of the site for browsers, without a slash at its end.
    """

    def __init__(
        self,
        settings: Forge,
        environ: Mapping[str, str],
        stopping: Callable[[], bool],
        timeout_seconds: int,
        seconds_between_writes: float,
    ) -> None:
        """Read the credentials; nothing is asked of GitHub yet.

        Raises:
            OperatorError: a credential is not there or not what it should be.
        """
        self.name = (settings.repository or "").strip("/")
        base = (settings.url or _PUBLIC).rstrip("/")
        self.web = web_address(base)
        self._settings, self._environ, self._stopping = settings, environ, stopping
        self._options: dict[str, Any] = {
            "base_url": base,
            "timeout": timeout_seconds,
            "seconds_between_requests": 0,
            "seconds_between_writes": seconds_between_writes,
            "user_agent": "driftguard",
            "per_page": 100,
        }
        self._github: Github | None = None
        self._repository: Repository | None = None
        self._repository_until = 0.0
        self._app_auth: AppAuth | None = None
        self._auth: Auth | None = None
        self._secret = ""
        self._guard = threading.Lock()
        self._git_token: InstallationAuthorization | None = None
        app = settings.app
        self._installation = app.installation if app else None
        if app is not None:
            self._app_auth = _app_auth(app, environ)
        else:
            self._secret = self._read_token()

    def repository(self) -> Repository:
        """The repository, as GitHub names it now. To be called within `asking`."""
        if self._repository is None or time.monotonic() > self._repository_until:
            self._repository = self._client().get_repo(self.name)
            self._repository_until = time.monotonic() + _REPOSITORY_KEPT_SECONDS
        return self._repository

    def login(self) -> str | None:
        """Our login there; None where GitHub does not give it (the token of a GitHub Actions job)."""
        from github import GithubException

        if self._app_auth is not None:
            with self.asking("read the GitHub App's name"):
                slug = self._integration().get_app().slug
            return f"{slug}[bot]"
        with self.asking("read who the token belongs to"):
            try:
                return self._client().get_user().login
            except GithubException as error:
                if error.status == 403 and retry_after(error) is None:
                    return None
                raise

    @contextmanager
    def asking(self, what: str, *, writes: bool = False) -> Iterator[None]:
        """Translate every error of a request into a `ForgeFault` that names what was tried.

        Args:
            what: goes on after "to", such as `close #7`.
            writes: something changes there, so that a lost answer leaves it open whether it did.
        """
        from github import BadAttributeException, GithubException

        self.go_on(what)
        try:
            yield
        except GithubException as error:
            raise self._refused(what, error, writes) from None
        except OSError as error:
            raise unreachable("GitHub", what, error, writes=writes) from None
        except (BadAttributeException, *_GARBLED) as error:
            raise ForgeFault(
                f"GitHub's answer could not be understood when asked to {what} ({type(error).__name__}). "
                f"{self._perhaps_meant() or AGAIN}",
                perhaps_done=writes,
            ) from None

    def go_on(self, what: str) -> None:
        """Raises `ForgeFault` when a stop was requested meanwhile."""
        if self._stopping():
            raise ForgeFault(f"DriftGuard is stopping, so GitHub was not asked to {what}. {AGAIN}")

    def token(self) -> str:
        """What git may fetch and push with; an app's is renewed before it expires, a file's is read anew."""
        if self._app_auth is None:
            return self._read_token()
        with self._guard, self.asking("give a token for git"):
            given = self._git_token
            if given is None or given.expires_at - _GIT_SECONDS < datetime.now(UTC):
                given = self._git_token = self._integration().get_access_token(self._installed())
            return str(given.token)

    def each(self, what: str, items: Iterable[_T]) -> Iterator[_T]:
        """The items of every page, with a look for a stop between them."""
        for item in items:
            self.go_on(what)
            yield item

    def _client(self) -> Github:
        if self._github is None:
            from github import Auth, Github

            if self._app_auth is None:
                auth: Auth.Auth = Auth.Token(self._secret)
            else:
                auth = Auth.AppInstallationAuth(self._app_auth, self._installed())
            self._github = Github(auth=auth, retry=retries(), **self._options)
        return self._github

    def _integration(self) -> GithubIntegration:
        from github import GithubIntegration

        return GithubIntegration(auth=self._app_auth, retry=retries(), **self._options)

    def _installed(self) -> int:
        """The id of the app's installation on the repository."""
        if self._installation is None:
            owner, _, name = self.name.partition("/")
            self._installation = self._integration().get_repo_installation(owner, name).id
        return self._installation

    def _read_token(self) -> str:
        given = self._settings
        return credential("GitHub", "token", "forge.token", given.token_env, given.token_file, self._environ)

    def _perhaps_meant(self) -> str:
        """The likely address of the API, where the configured one does not look like one; empty otherwise."""
        parts = urlsplit(self._options["base_url"])
        if parts.path.endswith("/api/v3") or (not parts.path and (parts.hostname or "").startswith("api.")):
            return ""
        return f"Check `forge.url`: did you mean {parts.scheme}://{parts.netloc}/api/v3?"

    def _permission(self, answer: str) -> str:
        """What to permit; the token of a workflow's job gets its permissions from the workflow and the settings."""
        if "GitHub Actions is not permitted to" in answer:
            return (
                'Switch on "Allow GitHub Actions to create and approve pull requests" in Settings > Actions > General.'
            )
        if self._app_auth is None and "by integration" in answer:
            return "A workflow's GITHUB_TOKEN needs `permissions: {contents: write, pull-requests: write}`."
        return f"Give the credential of `forge` this permission on {self.name}."

    def _safe(self, text: str) -> str:
        if self._secret:
            text = text.replace(self._secret, REDACTED)
        return mask(" ".join(text.split()))[:300]

    def _refused(self, what: str, error: GithubException, writes: bool) -> ForgeFault:
        status = error.status
        wait = retry_after(error)
        if wait is not None:
            return ForgeFault(
                f"GitHub's rate limit exceeded: it did not {what} (HTTP {status}). A run after {wait:.0f} s retries.",
                retry_after_seconds=wait,
                whole_forge=True,
            )
        answer = f"(HTTP {status}: {self._safe(refusal_text(error)) or 'no reason given'})"
        if not _is_of_the_api(error) and (meant := self._perhaps_meant()):
            return ForgeFault(f"{self._options['base_url']} did not {what} {answer}. {meant}", whole_forge=True)
        if status >= 500:
            return ForgeFault(
                f"GitHub did not answer properly when asked to {what} {answer}. {AGAIN}",
                perhaps_done=writes,
                whole_forge=status in AWAY,
            )
        if status == 401:
            return ForgeFault(
                f"GitHub refused to {what} {answer}. Check the credential of `forge`.", denied=True, whole_forge=True
            )
        if status == 403:
            return ForgeFault(f"GitHub refused to {what} {answer}. {self._permission(answer)}", denied=True)
        if status in (404, 410):
            return ForgeFault(
                f"GitHub did not {what}, because it is not there or may not be seen {answer}. "
                f"Check `forge.repository` ({self.name}), and that the credential of `forge` may see it.",
                missing=True,
            )
        return ForgeFault(f"GitHub refused to {what} {answer}. {AGAIN}")


def _is_of_the_api(error: GithubException) -> bool:
    """Whether a refusal is one of GitHub's API: an object with a message, not a page for browsers."""
    return isinstance(error.data, dict) and "message" in error.data


def refusal_text(error: GithubException) -> str:
    """GitHub's own words about a refusal; they may quote the request."""
    data: Any = error.data
    if not isinstance(data, dict):
        return ""
    plain = str(data.get("data") or "")  # PyGithub's key for an answer that is not JSON
    words = [str(data.get("message") or ("" if plain.lstrip().startswith("<") else plain))]
    for item in data.get("errors") or ():
        if isinstance(item, dict):
            words.append(str(item.get("message") or f"{item.get('field')}: {item.get('code')}"))
        else:
            words.append(str(item))
    return "; ".join(word for word in words if word)


def retry_after(error: GithubException) -> float | None:
    """The seconds that GitHub asks to wait; None where it refused for another reason."""
    limited = is_rate_limit(refusal_text(error))
    if error.status not in (403, 429) and not (error.status == 422 and limited):
        return None
    headers = {name.lower(): str(value) for name, value in (error.headers or {}).items()}
    asked = _number(headers.get("retry-after"))
    if asked is not None:
        return max(1.0, asked)
    if _number(headers.get("x-ratelimit-remaining")) == 0:
        reset = _number(headers.get("x-ratelimit-reset"))
        # Against GitHub's own clock, which need not be ours.
        date = email.utils.parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time.time()
        return WAIT_SECONDS if reset is None else max(1.0, reset - date)
    return WAIT_SECONDS if error.status == 429 or limited else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def web_address(base: str) -> str:
    """Of github.com and ghe.com the API has a host of its own; of other servers it is `/api/v3` on the same one."""
    parts = urlsplit(base)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host if parts.path else host.removeprefix('api.')}"


def _app_auth(app: App, environ: Mapping[str, str]) -> AppAuth:
    import jwt
    from github import Auth

    key = credential("GitHub", "private key", "forge.app.key", app.key_env, app.key_file, environ)
    auth = Auth.AppAuth(str(app.id), key)  # a token's issuer is text
    try:
        auth.create_jwt()
    except (jwt.PyJWTError, ValueError, TypeError):
        where = app.key_env or app.key_file
        raise OperatorError(
            f"The GitHub App's private key in {where} is not an RSA key in PEM form. "
            'Download one from the app\'s settings, under "Private keys".'
        ) from None
    return auth
