"""A CloudTrail on loopback that answers `LookupEvents` with the events it was given; moto has none."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from driftguard.demo.cloud import REGION

_TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"


class TrailDouble:
    """Use it in a `with` block; `asked` holds every request's body, `refusing` makes it deny them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.refusing = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> TrailDouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

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


class _Handler(BaseHTTPRequestHandler):
    double: TrailDouble

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == _TARGET
        self.double.asked.append(body)
        if self.double.refusing:
            self._answer(400, {"__type": "AccessDeniedException", "message": "not allowed"})
            return
        # By name nothing is found, as for services that do not say which resource a call was about.
        attributes = {a["AttributeKey"] for a in body.get("LookupAttributes", [])}
        self._answer(200, {"Events": self.double.events if attributes == {"ReadOnly"} else []})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept, not printed."""
