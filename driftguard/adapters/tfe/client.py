"""The API of a platform over HTTPS: requests within its limits, answers as JSON, faults translated once.

Requests carry the token to the platform's own host alone: redirects, uploads and downloads from elsewhere go without.
Source: https://developer.hashicorp.com/terraform/cloud-docs/api-docs
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec

from driftguard.errors import EnvironmentFault, TransientFault
from driftguard.model import ErrorKind
from driftguard.ports import StopSignal
from driftguard.sealed import mask

# Addresses of uploads and downloads are signed: they need no token.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_MEDIA_TYPE: Final = "application/vnd.api+json"
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_MAX_TRIES: Final = 5
_MAX_WAIT_SECONDS: Final = 60.0
_MAX_REDIRECTS: Final = 3
_MAX_BYTES: Final = 1 << 29
_MAX_TEXT: Final = 600
_TICK_SECONDS: Final = 0.2
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
DISCOVERY: Final = "/.well-known/terraform.json"
_SERVICES: Final = ("tfe.v2.2", "tfe.v2.1", "tfe.v2")


class Missing(EnvironmentFault):
    """The platform has no such thing, or does not show it with this token."""


class Unanswered(TransientFault):
    """The answer was lost, so what was asked for may have been done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status, and its body."""

    status: int
    body: bytes

    @property
    def document(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}


def wait(seconds: float, stop: StopSignal) -> None:
    """Wait, in steps. EnvironmentFault (`interrupted`) where the run is stopped meanwhile."""
    until = time.monotonic() + seconds
    while True:
        if stop.requested:
            raise EnvironmentFault(ErrorKind.INTERRUPTED, "The run was stopped while the platform was asked.")
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _TICK_SECONDS))


class RequestWindow:
    """So many requests in so many seconds, for everything that shares it."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests, self._seconds = requests, seconds
        self._sent: deque[float] = deque()
        self._guard = threading.Lock()

    def enter(self, stop: StopSignal) -> None:
        """Wait until one more may be sent. Raises as `wait`."""
        while True:
            with self._guard:
                now = time.monotonic()
                while self._sent and now - self._sent[0] >= self._seconds:
                    self._sent.popleft()
                if len(self._sent) < self._requests:
                    self._sent.append(now)
                    return
                left = self._seconds - (now - self._sent[0])
            wait(left, stop)


class Platform:
    """One platform as one token sees it. Thread-safe; shared by everything in this process that asks it.

    Args:
        host: its name, with a port where it has one.
    """

    def __init__(self, host: str, token: str) -> None:
        self.host = host
        self._token = token
        self._http = httpx.Client(timeout=_TIMEOUT, follow_redirects=False)
        self._all, self._run_lists = RequestWindow(30, 1.0), RequestWindow(30, 60.0)
        self._api: str | None = None
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"Platform({self.host})"

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def get(
        self, path: str, stop: StopSignal, query: Mapping[str, str | int] | None = None, *, lists_runs: bool = False
    ) -> Answer:
        """Read something below the API's address. Raises `Missing` for a 404, and as `post`."""
        if lists_runs:
            self._run_lists.enter(stop)
        return self._asked("GET", self.address(path, stop), stop, query=query)

    def post(self, path: str, body: Mapping[str, Any], stop: StopSignal, *, once: bool = True) -> Answer:
        """Make or change something.

        Args:
            once: it must not be done twice, so it is not asked again where an answer is lost.

        Raises:
            Unanswered: with `once`: it may have been done.
            TransientFault: `platform`: the platform does not answer, or refuses for now.
            EnvironmentFault: `denied` or `platform`: it refuses.
        """
        content = msgspec.json.encode(body)
        return self._asked("POST", self.address(path, stop), stop, content=content, again=not once)

    def upload(self, address: str, content: bytes, stop: StopSignal) -> None:
        """Put a file to a signed address. Raises as `post`."""
        where = urljoin(f"https://{self.host}/", address)
        self._asked("PUT", where, stop, content=content, media_type="application/octet-stream", with_token=False)

    def download(self, address: str, stop: StopSignal) -> bytes:
        """The contents at an address that the platform gave: with the token on its own host alone."""
        where = urljoin(f"https://{self.host}/", address)
        return self._asked("GET", where, stop, with_token=self._is_own(where)).body

    def address(self, path: str, stop: StopSignal) -> str:
        """The address of something of the API, after one look at what the host offers."""
        with self._guard:
            if self._api is None:
                self._api = self._discovered(stop)
        return self._api + path

    def _discovered(self, stop: StopSignal) -> str:
        own = f"https://{self.host}"
        offered = self._asked("GET", own + DISCOVERY, stop, with_token=False).document
        found = next((str(offered[name]) for name in _SERVICES if isinstance(offered.get(name), str)), None)
        if found is None:
            raise EnvironmentFault(
                ErrorKind.CONFIG,
                f"{self.host} does not offer the API of HCP Terraform ({DISCOVERY}), so it has no runs.",
            )
        api = urljoin(own, found).rstrip("/")
        if not self._is_own(api):
            raise EnvironmentFault(
                ErrorKind.CONFIG,
                f"{self.host} names {urlsplit(api).netloc} as the host of its API, and the token is for {self.host} "
                "alone. Use that host in the configuration, with a token of its own.",
            )
        return api

    def _is_own(self, address: str) -> bool:
        parts = urlsplit(address)
        return parts.scheme == "https" and parts.netloc.lower() == self.host.lower()

    def _asked(
        self,
        method: str,
        address: str,
        stop: StopSignal,
        *,
        content: bytes | None = None,
        query: Mapping[str, str | int] | None = None,
        media_type: str = _MEDIA_TYPE,
        with_token: bool = True,
        again: bool = True,
    ) -> Answer:
        """One request with its redirects, repeated within bounds."""
        headers = {"Content-Type": media_type} if content is not None else {}
        for tries in range(1, _MAX_TRIES + 1):
            self._all.enter(stop)
            try:
                status, after, body = self._sent(method, address, content, query, headers, with_token)
            except httpx.TransportError as error:
                if not again and not isinstance(error, _NOT_SENT):
                    raise Unanswered(ErrorKind.PLATFORM, self._silent(error)) from None
                if tries == _MAX_TRIES:
                    raise TransientFault(ErrorKind.PLATFORM, self._silent(error)) from None
                wait(min(0.5 * 2**tries, _MAX_WAIT_SECONDS), stop)
                continue
            if status != 429 and (status < 500 or not again):
                return self._judged(method, Answer(status, body), once=not again)
            if tries == _MAX_TRIES:
                break
            wait(min(after if after is not None else 0.5 * 2**tries, _MAX_WAIT_SECONDS), stop)
        if status == 429:
            raise TransientFault(
                ErrorKind.PLATFORM, f"{self.host} refused {tries} requests in a row: rate limit exceeded."
            )
        raise TransientFault(ErrorKind.PLATFORM, self._refused(Answer(status, body)))

    def _sent(
        self,
        method: str,
        address: str,
        content: bytes | None,
        query: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
        with_token: bool,
    ) -> tuple[int, float | None, bytes]:
        """Status, seconds to wait, and body, after redirects, which never carry the token."""
        for _ in range(_MAX_REDIRECTS + 1):
            own = {"Authorization": f"Bearer {self._token}"} if with_token else {}
            request = self._http.build_request(
                method, address, content=content, params=query or None, headers={**headers, **own}
            )
            response = self._http.send(request, stream=True)
            try:
                body = _bounded(response)
            finally:
                response.close()
            target = response.headers.get("location")
            if response.status_code not in (301, 302, 303, 307, 308) or method != "GET" or target is None:
                return response.status_code, _seconds(response.headers), body
            address, query, with_token = urljoin(address, target), None, False
            if urlsplit(address).scheme != "https":
                break
        return 508, None, b"it redirects too often, or away from HTTPS"

    def _judged(self, method: str, answer: Answer, *, once: bool) -> Answer:
        if answer.status < 400:
            return answer
        if answer.status in (401, 403):
            raise EnvironmentFault(
                ErrorKind.DENIED,
                f"{self.host} refused the token: {_reason(answer)}. Check that it is valid and may do this there.",
            )
        if answer.status == 404:
            raise Missing(ErrorKind.CONFIG, f"{self.host} has no such object, or the token may not see it.")
        if answer.status >= 500 and once:
            raise Unanswered(ErrorKind.PLATFORM, self._refused(answer))
        raise EnvironmentFault(ErrorKind.PLATFORM, self._refused(answer))

    def _refused(self, answer: Answer) -> str:
        return f"{self.host} answered {answer.status}: {_reason(answer)}."

    def _silent(self, error: httpx.TransportError) -> str:
        return f"{self.host} does not answer ({type(error).__name__}: {mask(str(error))}). The next run retries."


def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise EnvironmentFault(
                ErrorKind.PLATFORM, "The platform's answer is larger than 512 MB, so it was not read."
            )
    return bytes(body)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """The delay that a platform asks for."""
    for name in ("retry-after", "x-ratelimit-reset"):
        try:
            return max(0.0, float(headers[name]))
        except (KeyError, ValueError):
            continue
    return None


def _reason(answer: Answer) -> str:
    """The platform's own words: `errors[].detail`, or a text."""
    errors = answer.document.get("errors")
    found = [e.get("detail") or e.get("title") if isinstance(e, dict) else e for e in errors or ()]
    text = "; ".join(str(each) for each in found if each) or answer.body.decode(errors="replace")
    return mask(" ".join(text.split())[:_MAX_TEXT].rstrip(".")) or "without a reason"
