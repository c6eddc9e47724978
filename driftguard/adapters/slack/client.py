"""Slack's Web API as a sink: messages with threads, each sent once (slack-sdk)."""

from __future__ import annotations

import http.client
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

from driftguard.adapters.slack.blocks import escape, mention_of, render
from driftguard.errors import DeliveryFault
from driftguard.model import Delivery, Message

_TIMEOUT_SECONDS: Final = 15
_LONGEST_WAIT_SECONDS: Final = 30.0
_TRIES: Final = 3
_PAGES: Final = 20
_EVENT: Final = "driftguard_alert"
# Clocks differ, and a first attempt may be older than what was meant.
_LOOK_BACK: Final = timedelta(hours=1)
# A message that a person deleted, or that a workspace's rules keep from being changed, stays as it is.
_LEFT_ALONE: Final = frozenset({"message_not_found", "edit_window_closed", "cant_update_message", "is_archived"})
_TOO_MUCH: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
_CREDENTIALS: Final = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "missing_scope",
        "no_permission",
    }
)
_ADVICE: Final = {
    "channel_not_found": "Check the channel's name in slack.routes; invite the bot where it is private.",
    "not_in_channel": "Invite the bot to the channel.",
    "is_archived": "Name another channel in slack.routes.",
    "missing_scope": "Give the bot the scopes chat:write, channels:read, channels:history and files:write.",
    "invalid_auth": "Check the token.",
    "not_authed": "Check the token.",
}


class SlackSink:
    """Implements `ports.Sink` with a bot token."""

    def __init__(self, token: str, api_url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """`api_url` ends with a slash."""
        from slack_sdk import WebClient

        # No retry handlers: slack-sdk's own repeats a post whose answer was lost, which would post it twice.
        self._client = WebClient(token=token, base_url=api_url, timeout=_TIMEOUT_SECONDS, retry_handlers=[])
        self._sleep = sleep
        self._ids: dict[str, str] = {}

    def post(self, delivery: Delivery, message: Message) -> str:
        text, blocks = render(message)
        channel = delivery.channel
        about: dict[str, Any] = {
            "channel": channel,
            "text": text,
            "metadata": _metadata(delivery),
            "unfurl_links": False,
        }
        try:
            answer = self._call(f"post to {channel}", self._client.chat_postMessage, blocks=blocks, **about)
        except _Refused as refused:
            if refused.word not in _TOO_MUCH:
                raise
            answer = self._call(f"post to {channel}", self._client.chat_postMessage, **about)
        self._ids[channel] = answer["channel"]
        return f"{answer['channel']}/{answer['ts']}"

    def update(self, delivery: Delivery, message: Message) -> None:
        text, blocks = render(message)
        channel, _, stamp = str(delivery.reference).partition("/")
        about: dict[str, Any] = {"channel": channel, "ts": stamp, "text": text, "metadata": _metadata(delivery)}
        try:
            self._call(f"update in {delivery.channel}", self._client.chat_update, blocks=blocks, **about)
        except _Refused as refused:
            if refused.word in _TOO_MUCH:
                self._call(f"update in {delivery.channel}", self._client.chat_update, blocks=[], **about)
            elif refused.word not in _LEFT_ALONE:
                raise

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        channel, _, stamp = str(parent.reference).partition("/")
        mention = mention_of(delivery.body.get("mention"))
        text = f"{escape(str(delivery.body['line']), 2500)} {mention}".strip()
        if file is not None and self._upload(delivery, channel, stamp, text, file):
            return f"{channel}/{stamp}"
        answer = self._call(
            f"reply in {delivery.channel}",
            self._client.chat_postMessage,
            channel=channel,
            thread_ts=stamp,
            text=text,
            reply_broadcast=bool(delivery.body.get("broadcast")),
            metadata=_metadata(delivery),
            unfurl_links=False,
        )
        return f"{channel}/{answer['ts']}"

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        if parent is None:
            channel = self._channel_id(delivery.channel)
            where: dict[str, Any] = {"oldest": f"{(delivery.meant_for - _LOOK_BACK).timestamp():.6f}"}
            read: Callable[..., Any] = self._client.conversations_history
        else:
            channel, _, stamp = str(parent.reference).partition("/")
            where, read = {"ts": stamp}, self._client.conversations_replies
        if channel is None:
            return None
        try:
            for message in self._pages(f"read {delivery.channel}", read, "messages", channel=channel, **where):
                if _names(message, delivery.id):
                    return f"{channel}/{message['ts']}"
        except _Refused as refused:
            if refused.word not in ("missing_scope", "not_in_channel", "channel_not_found", "thread_not_found"):
                raise
        return None

    def test(self, channel: str, text: str) -> str:
        """Send a test message and look for it again; one line about what works."""
        who = self._call("ask who this is", self._client.auth_test)
        answer = self._call(f"post to {channel}", self._client.chat_postMessage, channel=channel, text=escape(text))
        self._ids[channel] = answer["channel"]
        try:
            pages = self._pages(
                f"read {channel}", self._client.conversations_history, "messages", channel=answer["channel"]
            )
            readable = any(message["ts"] == answer["ts"] for message in pages)
        except _Refused as refused:
            readable = refused.word != "missing_scope"
        lacking = "" if readable else "; without channels:history an alert whose answer is lost may be posted twice"
        return f"{who['user']} of {who['team']} posted to {channel}{lacking}"

    def _upload(self, delivery: Delivery, channel: str, stamp: str, text: str, file: str) -> bool:
        """Whether the file could be sent; without the scope for files the line alone is."""
        try:
            self._call(
                f"upload to {delivery.channel}",
                self._client.files_upload_v2,
                channel=channel,
                thread_ts=stamp,
                content=file,
                filename=f"{delivery.id}.txt",
                title="Everything that changed",
                initial_comment=text,
            )
        except _Refused:
            return False
        return True

    def _channel_id(self, channel: str) -> str | None:
        if not channel.startswith("#"):
            return channel
        if channel not in self._ids:
            try:
                pages = self._pages("list channels", self._client.conversations_list, "channels", exclude_archived=True)
                self._ids.update((f"#{found['name']}", found["id"]) for found in pages)
            except _Refused:
                return None
        return self._ids.get(channel)

    def _pages(self, what: str, method: Callable[..., Any], key: str, **arguments: Any) -> Iterator[Any]:
        cursor = None
        if key == "messages":
            arguments["include_all_metadata"] = True
        for _ in range(_PAGES):
            answer = self._call(what, method, limit=200, cursor=cursor, **arguments)
            yield from answer[key]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _call(self, what: str, method: Callable[..., Any], **arguments: Any) -> Any:
        """Slack's answer; asked again as told while it says that it is too much.

        Raises:
            DeliveryFault: it did not work, or nobody can tell whether it did.
        """
        from slack_sdk.errors import SlackApiError, SlackClientError

        for left in reversed(range(_TRIES)):
            try:
                return method(**arguments)
            except SlackApiError as error:
                wait = _asked_to_wait(error)
                if wait is None:
                    raise _refusal(what, error) from None
                if not left or wait > _LONGEST_WAIT_SECONDS:
                    raise DeliveryFault(
                        f"Slack asked to wait {wait:g} s before the next {what}; it is tried again then.",
                        retry_after_seconds=wait,
                    ) from None
                self._sleep(wait)
            except (SlackClientError, OSError, http.client.HTTPException) as error:
                raise unreachable(what, error) from None
        raise AssertionError("the last try returns or raises")


class _Refused(DeliveryFault):
    """Slack answered, and said no."""

    def __init__(self, message: str, word: str) -> None:
        super().__init__(message, whole_sink=word in _CREDENTIALS)
        self.word = word


def unreachable(what: str, error: Exception, service: str = "Slack") -> DeliveryFault:
    """A network error; whether the request may have arrived all the same."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    refused = isinstance(reason, ConnectionRefusedError) or type(reason).__name__ == "gaierror"
    return DeliveryFault(
        f"{service} could not be reached to {what} ({type(reason).__name__}); it is tried again in a later pass.",
        perhaps_delivered=not refused,
        whole_sink=True,
    )


def _asked_to_wait(error: Any) -> float | None:
    response = error.response
    if getattr(response, "status_code", None) != 429:
        return None
    headers = {name.lower(): value for name, value in response.headers.items()}
    try:
        return max(1.0, float(headers.get("retry-after", 1)))
    except (TypeError, ValueError):
        return 1.0


def _refusal(what: str, error: Any) -> DeliveryFault:
    response = error.response
    status = getattr(response, "status_code", 0)
    data = getattr(response, "data", None)
    if status >= 500 or not isinstance(data, dict):
        return DeliveryFault(
            f"Slack did not answer properly when asked to {what} (HTTP {status}); it is tried again in a later pass.",
            perhaps_delivered=True,
            whole_sink=True,
        )
    word = str(data.get("error", "unknown"))[:80]
    advice = _ADVICE.get(word, "It is tried again in a later pass.")
    return _Refused(f"Slack refused to {what} ({word}). {advice}", word)


def _metadata(delivery: Delivery) -> dict[str, Any]:
    return {"event_type": _EVENT, "event_payload": {"delivery": delivery.id}}


def _names(message: dict[str, Any], delivery_id: str) -> bool:
    """Whether a message in a channel is the delivery: by its metadata, or by the name of its file."""
    metadata = message.get("metadata") or {}
    told = metadata.get("event_type") == _EVENT and (metadata.get("event_payload") or {}).get("delivery") == delivery_id
    return told or any(file.get("name") == f"{delivery_id}.txt" for file in message.get("files") or [])
