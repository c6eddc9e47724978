"""Slack's Web API as a sink: messages with threads, each sent once (slack-sdk)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from driftguard.adapters.slack.blocks import escape, mention_of, render
from driftguard.adapters.slack.calling import Posted, Refused, WebApi
from driftguard.errors import DeliveryFault
from driftguard.model import Delivery, Message
from driftguard.ports import Sink
from driftguard.printable import whole_characters

# Slack takes fewer than a thousand at once, and about twenty such requests a minute.
_MAX_PAGE: Final = 999
_PAGE: Final = 200
_EVENT: Final = "driftguard_alert"
# Clocks differ, and a first attempt may be older than what was meant.
_LOOK_BACK: Final = timedelta(hours=1)
# The message was deleted, or its channel is gone, closed to the bot or archived.
_GONE: Final = frozenset({"message_not_found", "channel_not_found", "is_archived"})
# A message that a workspace's rules keep from being changed stays as it is.
_LEFT_ALONE: Final = frozenset({"edit_window_closed", "cant_update_message"})
# There is nothing below which to answer.
_NO_THREAD: Final = _GONE | {"thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"}
_TOO_MUCH: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
# A private channel needs groups:read, which a bot for public ones does not have, and the other way round.
_CHANNEL_TYPES: Final = ("public_channel,private_channel", "public_channel", "private_channel")


class SlackSink(Sink):
    """Implements `ports.Sink` with a bot token."""

    def __init__(
        self,
        token: str,
        api_url: str,
        sleep: Callable[[float], None] = time.sleep,
        kept: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`api_url` ends with a slash; `kept` gives the ids of channels that earlier runs found, by name."""
        self._api = WebApi(token, api_url, sleep)
        self._client = self._api.client
        self._kept = kept
        self._ids: dict[str, str] = {}
        self._listed = False

    def post(self, delivery: Delivery, message: Message) -> str:
        """Post a message into the delivery's channel; its channel and time stamp."""
        text, blocks = render(message)
        channel = delivery.channel
        about: dict[str, Any] = {
            "channel": channel,
            "text": text,
            "metadata": _metadata(delivery),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        try:
            posted = self._api.post(f"post to {channel}", self._client.chat_postMessage, blocks=blocks, **about)
        except Refused as refused:
            if refused.word not in _TOO_MUCH:
                raise
            posted = self._api.post(f"post to {channel}", self._client.chat_postMessage, **about)
        self._ids[channel] = posted.channel
        return posted.reference

    def update(self, delivery: Delivery, message: Message) -> None:
        """Raises DeliveryFault with `gone` where the message, or its channel, is not there any more."""
        text, blocks = render(message)
        channel, _, stamp = str(delivery.reference).partition("/")
        about: dict[str, Any] = {"channel": channel, "ts": stamp, "text": text, "metadata": _metadata(delivery)}
        for shown in (blocks, []):
            try:
                self._api.call(f"update in {delivery.channel}", self._client.chat_update, blocks=shown, **about)
                return
            except Refused as refused:
                if refused.word in _GONE:
                    text = f"A message in {delivery.channel} cannot be changed any more ({refused.word})."
                    raise DeliveryFault(text, gone=True) from None
                if refused.word in _LEFT_ALONE:
                    return
                if refused.word not in _TOO_MUCH or not shown:
                    raise

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Empty where there is nothing below which to answer: that is done, too."""
        channel, _, stamp = str(parent.reference).partition("/")
        mention = mention_of(delivery.body.get("mention"))
        text = f"{escape(str(delivery.body.get('line', '')), 2500)} {mention}".strip()
        if file is not None and self._upload(delivery, channel, stamp, text, whole_characters(file)):
            return f"{channel}/{stamp}"
        if file is not None:
            text = escape(str(delivery.body.get("without_file") or delivery.body.get("line", "")), 2500)
        try:
            posted = self._api.post(
                f"reply in {delivery.channel}",
                self._client.chat_postMessage,
                channel=channel,
                thread_ts=stamp,
                text=text,
                reply_broadcast=bool(delivery.body.get("broadcast")),
                metadata=_metadata(delivery),
                unfurl_links=False,
                unfurl_media=False,
            )
        except Refused as refused:
            if refused.word not in _NO_THREAD:
                raise
            return ""
        return f"{channel}/{posted.ts}"

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """The id of a message that an interrupted run may have posted; None where it did not arrive."""
        if parent is None:
            channel = self._channel_id(delivery.channel)
            meant_for = min(delivery.meant_for.timestamp(), time.time())  # a moment after now is of a wrong clock
            where: dict[str, Any] = {"oldest": f"{meant_for - _LOOK_BACK.total_seconds():.6f}"}
            read: Callable[..., Any] = self._client.conversations_history
        else:
            channel, _, stamp = str(parent.reference).partition("/")
            where, read = {"ts": stamp}, self._client.conversations_replies
        if channel is None:
            return None
        where |= {"channel": channel, "include_all_metadata": True, "limit": _PAGE}
        try:
            for message in self._api.pages(f"read {delivery.channel}", read, "messages", **where):
                if _names(message, delivery.id):
                    return f"{channel}/{message.get('ts')}"
        except Refused as refused:
            if refused.word not in ("missing_scope", "not_in_channel", "channel_not_found", "thread_not_found"):
                raise
        return None

    def test(self, channel: str, text: str) -> str:
        """Send a test message and look for it again, as after a lost response; one line about the result."""
        who = self._api.call("ask who this is", self._client.auth_test)
        posted = self._api.post(f"post to {channel}", self._client.chat_postMessage, channel=channel, text=escape(text))
        lacking = self._cannot_find(channel, posted)
        doubt = f"; an alert whose response is lost may be posted twice, as {lacking}" if lacking else ""
        return f"{who.get('user')} of {who.get('team')} posted to {channel}{doubt}"

    def _cannot_find(self, channel: str, posted: Posted) -> str | None:
        """Why a message that is there cannot be found again."""
        found = self._channel_id(channel)
        if found != posted.channel:
            scopes = "channels:read, or groups:read for a private channel"
            return f"the channel's id is not found by its name: give the bot {scopes}, or name the id in slack.routes"
        read = self._client.conversations_history
        where = {"channel": posted.channel, "oldest": posted.ts, "inclusive": True}
        try:
            messages = self._api.pages(f"read {channel}", read, "messages", limit=_PAGE, **where)
            if any(message.get("ts") == posted.ts for message in messages):
                return None
        except Refused as refused:
            return f"the bot cannot read the channel ({refused.reason})"
        return "the message is not in the channel's history"

    def _upload(self, delivery: Delivery, channel: str, stamp: str, text: str, file: str) -> bool:
        """Whether the file could be sent; without the scope for files the line alone is."""
        try:
            self._api.call(
                f"upload to {delivery.channel}",
                self._client.files_upload_v2,
                channel=channel,
                thread_ts=stamp,
                content=file,
                filename=f"{delivery.id}.txt",
                title="Everything that changed",
                initial_comment=text,
            )
        except Refused as refused:
            if refused.perhaps_delivered:
                raise
            return False
        return True

    def _channel_id(self, channel: str) -> str | None:
        if not channel.startswith("#"):
            return channel
        if channel not in self._ids:
            kept = self._kept().get(channel)
            if kept is not None and self._is_still(channel, kept):
                self._ids[channel] = kept
            elif not self._listed:
                self._list_channels()
                self._listed = True
        return self._ids.get(channel)

    def _is_still(self, channel: str, id_: str) -> bool:
        """Whether a kept id is that of the channel of a name: it may have been renamed or archived, or be gone."""
        try:
            found = self._api.call("look a channel up", self._client.conversations_info, channel=id_)["channel"]
        except Refused as refused:
            if refused.perhaps_delivered:
                raise
            return refused.word == "missing_scope"
        return f"#{found.get('name')}" == channel and not found.get("is_archived")

    def _list_channels(self) -> None:
        """Learn the ids of the channels that the bot may list."""
        for types in _CHANNEL_TYPES:
            read = self._client.conversations_list
            try:
                found = self._api.pages(
                    "list channels", read, "channels", limit=_MAX_PAGE, types=types, exclude_archived=True
                )
                self._ids.update((f"#{channel.get('name')}", channel.get("id")) for channel in found)
                return
            except Refused as refused:
                if refused.perhaps_delivered:  # Slack broke: whether there is such a channel is not known
                    raise
                if refused.word != "missing_scope":
                    return


def _metadata(delivery: Delivery) -> dict[str, Any]:
    return {"event_type": _EVENT, "event_payload": {"delivery": delivery.id}}


def _names(message: dict[str, Any], delivery_id: str) -> bool:
    """Whether a message in a channel is the delivery: by its metadata, or by the name of its file."""
    metadata = message.get("metadata") or {}
    found = (
        metadata.get("event_type") == _EVENT and (metadata.get("event_payload") or {}).get("delivery") == delivery_id
    )
    return found or any(file.get("name") == f"{delivery_id}.txt" for file in message.get("files") or [])
