"""A strict double of Slack on loopback: the Web API methods and incoming webhooks that alerts use.

with SlackDouble(channels=("drift", "prod-drift")) as double:
    client = WebClient(token=double.token, base_url=double.api_url)
    double.fail("chat.postMessage", RateLimited(1), LostAnswer())
    ...
    assert double.plain("drift") == "..."
"""

from __future__ import annotations

from tests.support.slack_double.blocks import MAX_MESSAGE, message_size
from tests.support.slack_double.faults import (
    ApiError,
    Fault,
    Hang,
    Held,
    HtmlPage,
    LostAnswer,
    RateLimited,
    Reset,
    ServerError,
)
from tests.support.slack_double.methods import DEFAULT_SCOPES
from tests.support.slack_double.mrkdwn import offences
from tests.support.slack_double.server import Call, SlackDouble
from tests.support.slack_double.store import Message, SharedFile
from tests.support.slack_double.text import render_text

__all__ = [
    "DEFAULT_SCOPES",
    "MAX_MESSAGE",
    "ApiError",
    "Call",
    "Fault",
    "Hang",
    "Held",
    "HtmlPage",
    "LostAnswer",
    "Message",
    "RateLimited",
    "Reset",
    "ServerError",
    "SharedFile",
    "SlackDouble",
    "message_size",
    "offences",
    "render_text",
]
