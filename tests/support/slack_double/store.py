"""What the Slack double keeps: channels, messages with their threads, and files."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BOT_USER, BOT_ID, APP_ID, TEAM_ID = "U0DRIFTBOT", "B0DRIFTBOT", "A0DRIFTAPP", "T0DRIFT"
WEBHOOK_BOT_ID = "B0WEBHOOK"
SOMEONE = "U0SOMEONE"


class Refusal(Exception):
    """A call that Slack refuses.

    Args:
        error: Slack's word for the reason.
        messages: what stands in `response_metadata.messages`.
        extra: further fields of the answer.
    """

    def __init__(self, error: str, *messages: str, **extra: Any) -> None:
        super().__init__(error, *messages)
        self.error, self.messages, self.extra = error, messages, extra


@dataclass
class SharedFile:
    """A file that was uploaded and, when `shared`, stands in a message."""

    id: str
    name: str
    declared_bytes: int
    title: str = ""
    content: bytes | None = None
    shared: bool = False

    def to_api(self) -> dict[str, Any]:
        size = len(self.content or b"")
        return {"id": self.id, "name": self.name, "title": self.title, "size": size, "user": BOT_USER}


@dataclass
class Message:
    """One message as Slack keeps it; `blocks` and `text` are exactly what was sent."""

    channel: str
    ts: str
    text: str
    user: str
    bot_id: str | None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    client_msg_id: str | None = None
    thread_ts: str | None = None
    broadcast: bool = False
    edited: dict[str, str] | None = None
    edits: int = 0
    files: list[SharedFile] = field(default_factory=list)
    deleted: bool = False
    locked: bool = False

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread below another message."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def own(self) -> bool:
        """Whether the bot token wrote it."""
        return self.bot_id == BOT_ID


@dataclass
class Channel:
    """One channel, its messages in the order of their `ts`."""

    id: str
    name: str
    member: bool = True
    private: bool = False
    archived: bool = False
    messages: list[Message] = field(default_factory=list)

    def find(self, ts: str) -> Message | None:
        """The message with a timestamp."""
        return next((message for message in self.messages if message.ts == ts), None)

    def replies(self, ts: str) -> list[Message]:
        """The replies of a thread, oldest first, without its first message."""
        return [message for message in self.messages if message.thread_ts == ts and message.is_reply]

    def to_api(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": not self.private,
            "is_group": self.private,
            "is_private": self.private,
            "is_archived": self.archived,
            "is_member": self.member,
        }


class Workspace:
    """Channels, messages and files. Every use is under `lock`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, SharedFile] = {}
        self._clock, self._last_microseconds = clock, 0

    def add_channel(self, name: str, *, member: bool = True, private: bool = False, archived: bool = False) -> Channel:
        """Create a channel; its id is fixed by the order of creation."""
        with self.lock:
            letter = "G" if private else "C"
            channel = Channel(f"{letter}{len(self.channels) + 1:09d}", name.lstrip("#"), member, private, archived)
            self.channels[channel.id] = channel
            return channel

    def next_ts(self) -> str:
        """A timestamp later than every other one."""
        with self.lock:
            now = max(int(self._clock() * 1_000_000), self._last_microseconds + 1)
            self._last_microseconds = now
            return f"{now // 1_000_000}.{now % 1_000_000:06d}"

    def channel(self, given: object, *, names: bool = True) -> Channel:
        """A channel that the bot can see, by id and, where allowed, by name; `channel_not_found` otherwise."""
        found = self.channels.get(given) if isinstance(given, str) else None
        if found is None and names and isinstance(given, str):
            name = given.removeprefix("#")
            found = next((channel for channel in self.channels.values() if channel.name == name), None)
        if found is None or (found.private and not found.member):
            raise Refusal("channel_not_found")
        return found

    def add_message(self, channel: Channel, **content: Any) -> Message:
        """Keep a message and give it its timestamp."""
        with self.lock:
            message = Message(channel.id, self.next_ts(), **copy.deepcopy(content))
            channel.messages.append(message)
            return message

    def delete(self, message: Message) -> None:
        """Take a message away; a thread keeps a stone where its first message stood."""
        with self.lock:
            channel = self.channels[message.channel]
            if channel.replies(message.ts):
                message.deleted, message.text = True, "This message was deleted."
                message.blocks, message.attachments, message.metadata, message.files = [], [], None, []
            else:
                channel.messages.remove(message)

    def message_to_api(self, message: Message, *, metadata: bool) -> dict[str, Any]:
        """A message as `conversations.history` gives it: `block_id` is filled in."""
        answer: dict[str, Any] = {
            "type": "message",
            "user": message.user,
            "ts": message.ts,
            "text": message.text,
            "team": TEAM_ID,
        }
        if message.bot_id is not None:
            answer |= {"bot_id": message.bot_id, "app_id": APP_ID}
        if message.deleted:
            answer |= {"subtype": "tombstone", "hidden": True}
        answer |= _contents(message)
        for name in ("client_msg_id", "thread_ts", "edited"):
            if getattr(message, name) is not None:
                answer[name] = getattr(message, name)
        if message.broadcast:
            answer["subtype"] = "thread_broadcast"
        replies = self.channels[message.channel].replies(message.ts)
        if replies:
            answer |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts}
        if metadata and message.metadata is not None:
            answer["metadata"] = copy.deepcopy(message.metadata)
        return answer


def _contents(message: Message) -> dict[str, Any]:
    """The parts of a message that it has."""
    numbered = enumerate(copy.deepcopy(message.blocks or []))
    parts = {
        "blocks": [{"block_id": f"b{message.ts[-4:]}{i}", **block} for i, block in numbered],
        "attachments": copy.deepcopy(message.attachments),
        "files": [file.to_api() for file in message.files],
    }
    return {name: part for name, part in parts.items() if part}
