"""Clicks on the buttons of messages by Slack's Socket Mode, which needs no public endpoint (slack-sdk)."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct, ValidationError, convert
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from driftguard.adapters.slack.blocks import ACK_ACTION, escape
from driftguard.adapters.slack.calling import TROUBLE, silent_log
from driftguard.errors import DriftGuardError
from driftguard.model import AckClick

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS: Final = 15
_PING_SECONDS: Final = 5.0
_INITIAL_RETRY_SECONDS: Final = 1.0
_MAX_RETRY_SECONDS: Final = 60.0
_SLACK: Final = re.compile(r"(?:[a-z0-9-]+\.)*slack(?:-gov)?\.com")
# Clicks that Slack may send again are about as young as its patience: three seconds, and a few repetitions.
_REMEMBERED: Final = 256


class _Member(Struct):
    id: str
    username: str = ""
    name: str = ""


class _Action(Struct):
    action_id: str
    action_ts: str = ""
    value: str = ""


class _Container(Struct):
    channel_id: str


class _Clicked(Struct):
    user: _Member
    container: _Container
    actions: list[_Action]


class ForeignHost(SlackClientError):
    """The API names a web socket of another host than Slack's."""


class _Client(SocketModeClient):
    """Connects to Slack's own hosts, and to that of the API."""

    def issue_new_wss_url(self) -> str:
        url = super().issue_new_wss_url()
        there, api = urlsplit(url), urlsplit(self.web_client.base_url)
        host, secure = there.hostname or "", api.scheme == "https"
        if not (_SLACK.fullmatch(host) or host == api.hostname) or there.scheme != ("wss" if secure else "ws"):
            raise ForeignHost(f"the API names a web socket at {host}, which is not Slack's")
        return url


class ButtonListener:
    """Receives clicks until it is closed; connects again by itself."""

    def __init__(
        self,
        app_token: str,
        bot_token: str,
        api_url: str,
        click: Callable[[AckClick], str],
        ping_seconds: float = _PING_SECONDS,
    ) -> None:
        """A connection that answers no ping for four intervals is opened anew.

        Args:
            api_url: ends with a slash.
            click: gets each one once and returns the answer that only the member sees.
        """
        self._api = WebClient(
            token=bot_token, base_url=api_url, timeout=_TIMEOUT_SECONDS, retry_handlers=[], logger=silent_log()
        )
        web = WebClient(base_url=api_url, timeout=_TIMEOUT_SECONDS, retry_handlers=[], logger=silent_log())
        self._client = _Client(app_token, silent_log(), web, concurrency=1, ping_interval=ping_seconds)
        self._client.socket_mode_request_listeners.append(self._received)
        self._click = click
        self._seen: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._connect, name="slack-buttons", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the connection; no click is taken any more. What remains of it ends by itself, within seconds."""
        self._closing.set()
        self._thread.join()
        threading.Thread(target=self._client.close, name="slack-buttons-end", daemon=True).start()

    def _connect(self) -> None:
        """Connect for the first time, with a backoff; from then on the client itself keeps a connection."""
        wait = _INITIAL_RETRY_SECONDS
        while not self._closing.is_set():
            try:
                self._client.connect()
                return
            except (SlackClientError, *TROUBLE) as error:
                what = error if isinstance(error, ForeignHost) else type(error).__name__
                log.warning("Slack's Socket Mode cannot be reached (%s). Retry in %d s.", what, wait)
            self._client.wss_uri = None
            self._closing.wait(wait)
            wait = min(wait * 2, _MAX_RETRY_SECONDS)

    def _received(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """One envelope: it is confirmed once its click is recorded, else Slack sends it again."""
        if self._closing.is_set():
            return
        found = _clicked(request)
        answer = self._answer(*found) if found is not None else ""
        client.send_socket_mode_response(SocketModeResponse(request.envelope_id))
        if found is not None and answer:
            self._reply(found[0], answer)

    def _answer(self, clicked: _Clicked, action: _Action) -> str:
        member, once = clicked.user, (action.action_ts, clicked.user.id)
        if once in self._seen:
            return ""
        name = member.username or member.name or member.id
        try:
            answer = self._click(AckClick(member.id, name, action.value))
        except DriftGuardError as error:
            log.warning("An acknowledgement from Slack was not recorded: %s", error)
            return "It could not be recorded; the agent's log has the reason. Try again, or run `driftguard ack`."
        self._seen.append(once)
        return answer

    def _reply(self, clicked: _Clicked, text: str) -> None:
        try:
            self._api.chat_postEphemeral(
                channel=clicked.container.channel_id, user=clicked.user.id, text=escape(text, 2500)
            )
        except (SlackClientError, *TROUBLE) as error:
            log.warning("Slack did not take an answer to a click (%s).", type(error).__name__)


def _clicked(request: SocketModeRequest) -> tuple[_Clicked, _Action] | None:
    """The click on a button of ours in an envelope; None for anything else."""
    payload: Any = request.payload
    if request.type != "interactive" or not isinstance(payload, dict) or payload.get("type") != "block_actions":
        return None
    try:
        found = convert(payload, _Clicked)
    except ValidationError:
        return None
    ours = next((action for action in found.actions if action.action_id == ACK_ACTION), None)
    return (found, ours) if ours is not None else None
