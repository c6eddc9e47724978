"""PagerDuty as a sink: an incident for each alert, which worse changes update and the end resolves (Events API v2).

https://developer.pagerduty.com/docs/send-alert-event. Repetitions are harmless: `dedup_key` is the alert's id.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from driftguard.adapters.webhook import refuse_redirects, seconds_to_wait
from driftguard.errors import DeliveryFault
from driftguard.model import AlertEvent, Delivery, Message, Severity
from driftguard.ports import Sink
from driftguard.printable import one_line, whole_characters

_TIMEOUT_SECONDS: Final = 15
_MAX_SUMMARY: Final = 1024
_MAX_LINKS: Final = 5
_SEVERITIES: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
_ACTIONS: Final = {AlertEvent.RESOLVED.value: "resolve", AlertEvent.ACKNOWLEDGED.value: "acknowledge"}


class PagerDutySink(Sink):
    """Sends events to one integration of PagerDuty."""

    def __init__(self, key: str, api_url: str, now: Callable[[], datetime]) -> None:
        """`api_url` ends with a slash."""
        self._key, self._url, self._now = key, f"{api_url}v2/enqueue", now
        self._opener = urllib.request.build_opener(refuse_redirects())

    def post(self, delivery: Delivery, message: Message) -> str:
        """Send an event; its id is the delivery's."""
        body = msgspec.json.encode(self._event(delivery, message))
        headers = {"Content-Type": "application/json", "User-Agent": "driftguard"}
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS):
                return delivery.id
        except urllib.error.HTTPError as error:
            with error:
                wrong_key = " Check the integration key." if error.code in (400, 403) else ""
                raise DeliveryFault(
                    f"PagerDuty answered HTTP {error.code}; a later run retries.{wrong_key}",
                    retry_after_seconds=seconds_to_wait(error.headers.get("Retry-After"), self._now()),
                    whole_sink=error.code != 400,
                ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeliveryFault(
                f"PagerDuty could not be reached ({type(error).__name__}); a later run retries.", whole_sink=True
            ) from None

    def _event(self, delivery: Delivery, message: Message) -> dict[str, Any]:
        action = _ACTIONS.get(str(delivery.body.get("event")), "trigger")
        if message.resolution is not None and action == "trigger":
            action = "resolve"  # it ended before it was sent
        event: dict[str, Any] = {"routing_key": self._key, "event_action": action, "dedup_key": delivery.alerts[0]}
        if action != "trigger":
            return event
        changes = {address or "error": text for address, text in message.worst}
        details = {"who": message.who, "changes": changes, "decision": list(message.decision)}
        pages = [(step.text, step.url) for step in message.steps if step.url] + list(message.links)
        payload = {
            "summary": whole_characters(one_line(message.title))[:_MAX_SUMMARY],
            "source": whole_characters(message.environments[0].name if message.environments else "driftguard"),
            "severity": _SEVERITIES[message.severity],
            "timestamp": message.since.astimezone(UTC).isoformat(),
            "component": "terraform",
            "class": "driftguard",
            "custom_details": msgspec.json.decode(whole_characters(msgspec.json.encode(details).decode())),
        }
        links = [{"href": url, "text": text} for text, url in pages[:_MAX_LINKS]]
        return {**event, "payload": payload, "client": "DriftGuard", "links": links}

    def update(self, delivery: Delivery, message: Message) -> None:
        """Nothing: every step is an event of its own."""

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Nothing: there are no threads."""
        return delivery.id

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """No search: PagerDuty recognises a repetition by its key."""
        return None
