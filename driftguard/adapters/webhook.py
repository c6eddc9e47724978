"""Alerts as signed JSON events, and the parts that all webhooks share: the URL, and the delay that a service asks for.

Each event is a POST with the headers `X-DriftGuard-Delivery` (the same for every repetition), `X-DriftGuard-Timestamp`
(Unix seconds) and `X-DriftGuard-Signature`: `sha256=` and the HMAC-SHA-256 (hex) of timestamp, a dot and the body; and
with those of Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import http.client
import ipaddress
import math
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from driftguard.errors import DeliveryFault, OperatorError
from driftguard.model import Delivery, Message
from driftguard.ports import Sink
from driftguard.printable import whole_characters

_TIMEOUT_SECONDS: Final = 15
# What a receiver answers to one event that it does not take; others behind it may be taken.
_OF_ONE_EVENT: Final = frozenset({400, 406, 409, 411, 412, 413, 414, 415, 416, 422, 431})
_MIN_WAIT_SECONDS: Final = 1.0
_MAX_WAIT_SECONDS: Final = 3600.0


class WebhookSink(Sink):
    """Sends events to a webhook; a receiver recognises repetitions by the delivery's id."""

    def __init__(self, url: str, key: str, now: Callable[[], datetime]) -> None:
        self._url, self._key, self._now = url, key, now
        self._opener = urllib.request.build_opener(_NoRedirects)

    def post(self, delivery: Delivery, message: Message) -> str:
        """Send an event; its id is the delivery's."""
        try:
            with self._opener.open(self._request(delivery), timeout=_TIMEOUT_SECONDS):
                return delivery.id
        except urllib.error.HTTPError as error:
            with error:
                raise DeliveryFault(
                    f"The alert webhook answered HTTP {error.code}; a later run retries.",
                    retry_after_seconds=seconds_to_wait(error.headers.get("Retry-After"), self._now()),
                    whole_sink=error.code not in _OF_ONE_EVENT,
                ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeliveryFault(
                f"The alert webhook could not be reached ({type(error).__name__}); a later run retries.",
                whole_sink=True,
            ) from None

    def _request(self, delivery: Delivery) -> urllib.request.Request:
        wrong = wrong_with_url(self._url)
        if wrong is not None:
            raise DeliveryFault(f"The alert webhook's URL is not usable: {wrong}. Correct it.", whole_sink=True)
        try:
            # As the environment holds it: bytes that are no text stand as surrogates in a variable's value.
            key = self._key.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            key = b""
        if not key:
            raise DeliveryFault("The key of the alert webhook's signature is empty or no text.", whole_sink=True)
        body = msgspec.json.encode(_whole({"id": delivery.id, **delivery.body}))
        moment = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "driftguard",
            "X-DriftGuard-Delivery": delivery.id,
            "X-DriftGuard-Timestamp": moment,
            "X-DriftGuard-Signature": f"sha256={signature(key, moment, body)}",
            "webhook-id": delivery.id,
            "webhook-timestamp": moment,
            "webhook-signature": standard_signature(key, delivery.id, moment, body),
        }
        return urllib.request.Request(self._url, body, headers, method="POST")

    def update(self, delivery: Delivery, message: Message) -> None:
        """Nothing: every step is an event of its own."""

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Nothing: there are no threads."""
        return delivery.id

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """No search: the receiver recognises a repetition by its id."""
        return None


def signature(key: bytes, moment: str, body: bytes) -> str:
    """The signature of an event (hex)."""
    return hmac.new(key, moment.encode() + b"." + body, hashlib.sha256).hexdigest()


def standard_signature(key: bytes, id_: str, moment: str, body: bytes) -> str:
    """The signature of Standard Webhooks; a key that begins with `whsec_` is base64, as that specification writes it.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    if key.startswith(b"whsec_"):
        with suppress(ValueError):
            key = base64.b64decode(key.removeprefix(b"whsec_"), validate=True)
    signed = hmac.new(key, b".".join((id_.encode(), moment.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def refuse_redirects() -> urllib.request.HTTPRedirectHandler:
    """A handler by which a request goes to its own address and to no other."""
    return _NoRedirects()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A signed event goes to the address it was made for and to no other."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def check_url(name: str, value: str) -> str:
    """A webhook's URL, which is a secret, without the white space around it.

    Args:
        name: of the environment variable that holds it.

    Raises:
        OperatorError: the URL is not usable. The message names the fault, without any part of the value.
    """
    url = value.strip()
    wrong = wrong_with_url(url)
    if wrong is not None:
        raise OperatorError(f"the environment variable {name} does not hold a usable webhook URL: {wrong}.")
    return url


def wrong_with_url(url: str) -> str | None:
    """What is wrong with a webhook's URL, in words that hold nothing of it; None where it is usable."""
    if not url:
        return "it is empty"
    if not re.fullmatch(r"[!-~]+", url):
        return "it has a space, a line end or another character that no URL has"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:  # also what the encoding raises
        return "its host or port is malformed"
    if parts.scheme not in ("http", "https"):
        return "it does not begin with https://"
    if not host:
        return "it has no host"
    if "@" in parts.netloc:
        return "it has a user name or a password before its host"
    if parts.scheme == "http" and not _on_this_machine(host):
        return "it begins with http://, and only https:// keeps it secret on its way"
    return None


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def seconds_to_wait(retry_after: str | None, now: datetime) -> float | None:
    """The delay that a service asks for, limited to between a second and an hour.

    Args:
        retry_after: the header `Retry-After`: seconds, or a moment as HTTP writes it.

    Returns:
        None for a value that is not understood.
    """
    try:
        seconds = float(retry_after or "")
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(retry_after or "")
        except (ValueError, OverflowError):
            return None
        # Without a time zone it is meant in UTC.
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    if math.isnan(seconds):
        return None
    return min(max(seconds, _MIN_WAIT_SECONDS), _MAX_WAIT_SECONDS)


def _whole(value: Any) -> Any:
    """A JSON value whose every text can be encoded."""
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, Mapping):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list | tuple) else value
