"""A CloudTrail on loopback that answers `LookupEvents` with the events it was given; moto has none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from driftguard.demo.cloud import REGION
from tests.support.loopback import Loopback, LoopbackHandler

_TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"


class TrailDouble(Loopback):
    """Use it in a `with` block; `asked` holds every request's body, `refusing` makes it deny them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.refusing = False
        super().__init__(type("Handler", (_Handler,), {"double": self}))

    @property
    def url(self) -> str:
        return self.endpoint

    def happened(self, name: str, source: str, user: str, parameters: dict[str, Any], **record: Any) -> None:
        """Add a call that somebody made just now, from the console."""
        now = datetime.now(UTC)
        number = len(self.events)
        event = {
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": source,
            "eventName": name,
            "awsRegion": REGION,
            "sourceIPAddress": "198.51.100.7",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64)",
            "sessionCredentialFromConsole": "true",
            "userIdentity": {"type": "IAMUser", "userName": user, "accountId": "123456789012"},
            "requestParameters": parameters,
            "readOnly": False,
            "eventID": f"e{number}",
            **record,
        }
        self.events.append(
            {
                "EventId": f"e{number}",
                "EventName": name,
                "ReadOnly": "false",
                "EventTime": now.timestamp(),
                "EventSource": source,
                "Username": user,
                "Resources": [],
                "CloudTrailEvent": json.dumps(event),
            }
        )


class _Handler(LoopbackHandler):
    double: TrailDouble

    def do_POST(self) -> None:
        body = json.loads(self.body())
        assert self.headers["X-Amz-Target"] == _TARGET
        self.double.asked.append(body)
        if self.double.refusing:
            self._answer(400, {"__type": "AccessDeniedException", "message": "not allowed"})
            return
        # By name nothing is found, as for services that do not say which resource a call was about.
        attributes = {a["AttributeKey"] for a in body.get("LookupAttributes", [])}
        self._answer(200, {"Events": self.double.events if attributes == {"ReadOnly"} else []})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/x-amz-json-1.1"})
