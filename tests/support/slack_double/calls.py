"""Calls of the Slack double through the real client, and small blocks to send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.support.slack_double.blocks import Json
from tests.support.slack_double.server import SlackDouble

PLAIN = {"type": "plain_text", "text": "Look"}
TINY = {"type": "image", "image_url": "https://example.com/a.png", "alt_text": "a"}


def client_of(double: SlackDouble, token: str | None = None, **options: Any) -> WebClient:
    """The real client without its retries: a fault then meets one call only."""
    options = {"retry_handlers": [], "timeout": 10, **options}
    return WebClient(token=token or double.token, base_url=double.api_url, **options)


def refused(call: Callable[..., object], *positional: Any, **named: Any) -> Json:
    """The answer of a call that must be refused."""
    with pytest.raises(SlackApiError) as caught:
        call(*positional, **named)
    answer = caught.value.response.data
    assert isinstance(answer, dict)
    return answer


def error(call: Callable[..., object], *positional: Any, **named: Any) -> str:
    """Slack's word for why a call is refused."""
    return str(refused(call, *positional, **named)["error"])


def post(client: WebClient, text: str = "drift", channel: str = "drift", **more: Any) -> tuple[str, str]:
    """Post a message; its channel id and timestamp."""
    answer = client.chat_postMessage(channel=channel, text=text, **more)
    return answer["channel"], answer["ts"]


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str) -> Json:
    return {"type": "section", "text": mrkdwn(text)}


def fields(*texts: str) -> Json:
    return {"type": "section", "fields": [mrkdwn(text) for text in texts]}


def header(text: str) -> Json:
    return {"type": "header", "text": plain(text)}


def context(*elements: Json) -> Json:
    return {"type": "context", "elements": list(elements)}


def buttons(*elements: Json) -> Json:
    return {"type": "actions", "elements": [{"type": "button", "text": PLAIN, **element} for element in elements]}


def url(length: int) -> str:
    return "https://a.b/" + "c" * (length - 12)
