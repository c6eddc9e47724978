"""Alerts as signed JSON events for a machine.

Each event is a POST with the headers `X-DriftGuard-Delivery` (the same for every repetition), `X-DriftGuard-Timestamp`
(Unix seconds) and `X-DriftGuard-Signature`: `sha256=` and the HMAC-SHA-256 (hex) of timestamp, a dot and the body.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from driftguard.errors import DeliveryFault
from driftguard.model import Delivery, Message

_TIMEOUT_SECONDS: Final = 15


class WebhookSink:
    """Implements `ports.Sink`; a receiver tells repetitions by the delivery's id."""

    def __init__(self, url: str, key: str, now: Callable[[], datetime]) -> None:
        self._url, self._key, self._now = url, key.encode(), now
        self._opener = urllib.request.build_opener(_NoRedirects)

    def post(self, delivery: Delivery, message: Message) -> str:
        body = msgspec.json.encode({"id": delivery.id, **delivery.body})
        moment = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "driftguard",
            "X-DriftGuard-Delivery": delivery.id,
            "X-DriftGuard-Timestamp": moment,
            "X-DriftGuard-Signature": f"sha256={signature(self._key, moment, body)}",
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS):
                return delivery.id
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After", "") if error.headers else ""
            raise DeliveryFault(
                f"The alert webhook answered HTTP {error.code}; it is tried again in a later pass.",
                retry_after_seconds=float(wait) if wait.isdigit() else None,
                whole_sink=True,
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryFault(
                f"The alert webhook could not be reached ({type(error).__name__}); it is tried again in a later pass.",
                whole_sink=True,
            ) from None

    def update(self, delivery: Delivery, message: Message) -> None:
        """Nothing: every step is an event of its own."""

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Nothing: there are no threads."""
        return delivery.id

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """Nothing is asked: the receiver tells a repetition by its id."""
        return None


def signature(key: bytes, moment: str, body: bytes) -> str:
    """The signature of an event (hex)."""
    return hmac.new(key, moment.encode() + b"." + body, hashlib.sha256).hexdigest()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A signed event goes to the address it was made for and to no other."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def check_url(name: str, value: str) -> str:
    return value.strip()
