"""Sinks beside Slack against strict doubles on loopback: PagerDuty, Standard Webhooks, Apprise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from driftguard.adapters.apprise import AppriseSink
from driftguard.adapters.pagerduty import PagerDutySink
from driftguard.adapters.webhook import WebhookSink, standard_signature
from driftguard.config import AlertSettings
from driftguard.errors import DeliveryFault, OperatorError
from driftguard.model import Delivery, DeliveryKind
from tests.support.sample_alerts import NOON, deleted_outside, resolved

# Of a module that Apprise loads late.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
KEY = "R0123456789ABCDEF0123456789ABCDE"


class Service:
    """A double of PagerDuty's Events API v2, as strict as its documentation; other paths keep what they get."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer = 202
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                status = service.taken(json.loads(body)) if self.path == "/v2/enqueue" else service.answer
                self.send_response(status)
                self.send_header("Retry-After", "7")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def taken(self, event: dict[str, Any]) -> int:
        if self.answer != 202:
            return self.answer
        known = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
        assert set(event) <= known
        assert event["event_action"] in ("trigger", "acknowledge", "resolve")
        assert len(event["dedup_key"]) <= 255
        if event["routing_key"] != KEY:
            return 400
        if event["event_action"] == "trigger":
            payload = event["payload"]
            assert payload["severity"] in ("critical", "error", "warning", "info")
            assert 0 < len(payload["summary"]) <= 1024
            assert payload["source"]
            assert all(set(link) == {"href", "text"} for link in event.get("links", []))
        else:
            assert "payload" not in event
        self.events.append(event)
        return 202


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def delivery(event: str) -> Delivery:
    return Delivery("d1", DeliveryKind.EVENT, "pager", "", ("alert-1",), NOON, body={"event": event, "line": "blue: x"})


def test_pagerduty_gets_one_incident_that_is_acknowledged_and_resolved(service: Service) -> None:
    sink = PagerDutySink(KEY, service.url, lambda: NOON)
    opened, ended = deleted_outside().message(), resolved().message()
    for event, message in (("opened", opened), ("worse", opened), ("acknowledged", opened), ("resolved", ended)):
        sink.post(delivery(event), message)
    assert [e["event_action"] for e in service.events] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {e["dedup_key"] for e in service.events} == {"alert-1"}
    payload = service.events[0]["payload"]
    assert (payload["severity"], payload["source"], payload["summary"]) == ("critical", "prod-eu", opened.title)


def test_an_alert_that_ended_before_it_was_sent_opens_no_incident(service: Service) -> None:
    PagerDutySink(KEY, service.url, lambda: NOON).post(delivery("opened"), resolved().message())
    assert [e["event_action"] for e in service.events] == ["resolve"]


def test_pagerduty_that_refuses_is_named_with_what_to_check(service: Service) -> None:
    with pytest.raises(DeliveryFault, match="Check the integration key") as caught:
        PagerDutySink("wrong", service.url, lambda: NOON).post(delivery("opened"), deleted_outside().message())
    assert "wrong" not in str(caught.value)
    service.answer = 429
    with pytest.raises(DeliveryFault, match="HTTP 429") as limited:
        PagerDutySink(KEY, service.url, lambda: NOON).post(delivery("opened"), deleted_outside().message())
    assert limited.value.retry_after_seconds == 7.0


@pytest.mark.parametrize("secret", ["plain key", f"whsec_{base64.b64encode(b'key-of-24-bytes-at-least').decode()}"])
def test_the_webhook_is_signed_as_standard_webhooks(service: Service, secret: str) -> None:
    service.answer = 200
    WebhookSink(f"{service.url}hook", secret, lambda: NOON).post(delivery("opened"), deleted_outside().message())
    headers, body = service.requests[0]
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == "d1"


def test_the_signature_is_that_of_the_specifications_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    signed = standard_signature(
        b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_apprise_sends_what_begins_and_ends_and_nothing_that_only_changed(service: Service) -> None:
    service.answer = 200
    sink = AppriseSink("teams", service.url.replace("http://", "json://"))
    for event, message in (
        ("opened", deleted_outside().message()),
        ("changed", deleted_outside().message()),
        ("resolved", resolved().message()),
    ):
        sink.post(delivery(event), message)
    sent = [json.loads(body) for _, body in service.requests]
    assert [(each["type"], "prod-eu" in each["message"]) for each in sent] == [("failure", True), ("success", True)]
    assert sent[0]["title"] == deleted_outside().message().title


def test_apprise_that_fails_is_named_without_its_url(service: Service) -> None:
    service.answer = 500
    sink = AppriseSink("teams", service.url.replace("http://", "json://user:secret@"))
    with pytest.raises(DeliveryFault, match="The sink teams did not take an alert") as caught:
        sink.post(delivery("opened"), deleted_outside().message())
    assert "secret" not in str(caught.value)
    with pytest.raises(OperatorError, match="does not hold a URL that Apprise knows"):
        AppriseSink("teams", "nothing://secret")


@pytest.mark.parametrize(
    ("sinks", "words"),
    [
        ([{"name": "pager"}], "exactly one of"),
        ([{"name": "pager", "apprise_env": "A", "pagerduty_env": "B"}], "exactly one of"),
        ([{"name": "slack", "apprise_env": "A"}], "choose another name"),
        ([{"name": "a", "apprise_env": "A"}, {"name": "a", "apprise_env": "B"}], "rename one"),
    ],
)
def test_a_sink_that_cannot_be_is_refused_at_load(sinks: list[dict[str, str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AlertSettings.model_validate({"sinks": sinks})
