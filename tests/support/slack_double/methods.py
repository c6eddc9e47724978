"""The Web API methods and the incoming webhooks of the Slack double, with the refusals that Slack has for them."""

from __future__ import annotations

import base64
import binascii
import copy
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.slack_double.blocks import Json
from tests.support.slack_double.content import Arguments, from_json, message_content
from tests.support.slack_double.store import (
    BOT_ID,
    BOT_USER,
    TEAM_ID,
    WEBHOOK_BOT_ID,
    Channel,
    Message,
    Refusal,
    SharedFile,
    Workspace,
)

if TYPE_CHECKING:
    from tests.support.slack_double.socket_mode import SocketMode

DEFAULT_SCOPES = frozenset(
    {"chat:write", "channels:history", "groups:history", "channels:read", "groups:read", "files:write"}
)
_TS = re.compile(r"\d{10}\.\d{6}")
_CONTENT = "text blocks attachments metadata markdown_text parse link_names mrkdwn unfurl_links unfurl_media"


@dataclass(frozen=True)
class Method:
    """What a method takes: any one of its scopes, its arguments, and whether a JSON body is read."""

    handle: Callable[[Api, Arguments], Json]
    scopes: Sequence[str]
    required: str
    optional: str = ""
    json: bool = False


class Api:
    """Carries out calls on a workspace. Every call is one step: two calls never see each other half done.

    Args:
        base_url: where the server listens, without a slash at the end.
        scopes: what the token may do; `missing_scope` otherwise.
        strict_escaping: refuse messages with an unescaped `&`, `<` or `>` in mrkdwn (Slack itself shows them wrongly).
        dedupe_client_msg_id: answer a `client_msg_id` seen before with the first message, as some have seen Slack do.
    """

    def __init__(
        self,
        workspace: Workspace,
        base_url: str,
        scopes: frozenset[str],
        sockets: SocketMode,
        *,
        strict_escaping: bool = True,
        dedupe_client_msg_id: bool = False,
    ) -> None:
        self.workspace, self.base_url, self.scopes = workspace, base_url, scopes
        self.sockets = sockets
        self.strict_escaping, self.dedupe_client_msg_id = strict_escaping, dedupe_client_msg_id
        self.unescaped: list[str] = []
        self.markup: list[str] = []
        self.uploads: dict[str, str] = {}
        self._client_msg_ids: dict[tuple[str, str], str] = {}

    def call(self, name: str, arguments: Arguments, *, json_body: bool) -> Json:
        """Carry out one method; `Refusal` where Slack refuses. The token was checked before."""
        method = METHODS.get(name)
        if method is None:
            raise Refusal("unknown_method", req_method=name)
        if method.scopes and not self.scopes & set(method.scopes):
            self._missing(method.scopes[0])
        if json_body and not method.json:
            arguments = {}  # Slack does not read a JSON body here; the required arguments are then missing
        missing = [field for field in method.required.split() if arguments.get(field) in (None, "")]
        unknown = sorted(arguments.keys() - {*method.required.split(), *method.optional.split()})
        if missing or unknown:
            wrong = [f"missing required field: {field}" for field in missing]
            wrong += [f"unknown argument: {field}" for field in unknown]
            raise Refusal("invalid_arguments", *wrong)
        with self.workspace.lock:
            return {"ok": True, **method.handle(self, arguments)}

    def _missing(self, needed: str) -> None:
        raise Refusal("missing_scope", needed=needed, provided=",".join(sorted(self.scopes)))

    # --- what several methods need ---------------------------------------------------------------

    def _writable(self, given: object, *, names: bool) -> Channel:
        channel = self.workspace.channel(given, names=names)
        if channel.archived:
            raise Refusal("is_archived")
        if not channel.member and "chat:write.public" not in self.scopes:
            raise Refusal("not_in_channel")
        return channel

    def _readable(self, given: object) -> Channel:
        channel = self.workspace.channel(given, names=False)
        needed = "groups:history" if channel.private else "channels:history"
        if needed not in self.scopes:
            self._missing(needed)
        if not channel.member:
            raise Refusal("not_in_channel")
        return channel

    def _thread(self, channel: Channel, thread_ts: object) -> str:
        """The timestamp of a thread that a reply may be added to."""
        if not isinstance(thread_ts, str) or not _TS.fullmatch(thread_ts):
            raise Refusal("invalid_thread_ts", f"{thread_ts} is not a valid thread_ts")
        first = channel.find(thread_ts)
        if first is None or first.deleted:
            raise Refusal("thread_not_found")
        if first.is_reply:
            raise Refusal("cannot_reply_to_message")
        if first.locked:
            raise Refusal("restricted_action_thread_locked")
        return thread_ts

    def content(self, arguments: Arguments, *, webhook: bool = False) -> Json:
        """The checked content of a message; only what was given stands in it."""
        content = message_content(arguments, webhook=webhook)
        self.unescaped.extend(content.unescaped)
        self.markup.extend(content.markup)
        if content.unescaped and self.strict_escaping:
            raise Refusal("unescaped_text", *content.unescaped)
        return content.given

    # --- chat ------------------------------------------------------------------------------------

    def auth_test(self, arguments: Arguments) -> Json:
        who = {"url": f"{self.base_url}/", "team": "Drift", "user": "driftguard", "team_id": TEAM_ID}
        return {**who, "user_id": BOT_USER, "bot_id": BOT_ID, "is_enterprise_install": False}

    def post_message(self, arguments: Arguments) -> Json:
        channel = self._writable(arguments["channel"], names=True)
        content = self.content(arguments)
        if not (content.get("text", "").strip() or content.get("blocks") or content.get("attachments")):
            raise Refusal("no_text")
        client_msg_id = arguments.get("client_msg_id")
        key = (channel.id, str(client_msg_id))
        if self.dedupe_client_msg_id and client_msg_id and key in self._client_msg_ids:
            first = channel.find(self._client_msg_ids[key])
            if first is None or first.deleted:
                raise Refusal("duplicate_message_not_found")
            return self._posted(channel, first)
        thread_ts = self._thread(channel, arguments["thread_ts"]) if "thread_ts" in arguments else None
        message = self.workspace.add_message(
            channel,
            **{"text": "", **content, "metadata": content.get("metadata") or None},
            user=BOT_USER,
            bot_id=BOT_ID,
            client_msg_id=client_msg_id,
            thread_ts=thread_ts,
            broadcast=thread_ts is not None and _flag(arguments, "reply_broadcast"),
        )
        if client_msg_id:
            self._client_msg_ids[key] = message.ts
        return self._posted(channel, message)

    def _posted(self, channel: Channel, message: Message) -> Json:
        shown = self.workspace.message_to_api(message, metadata=True)
        return {"channel": channel.id, "ts": message.ts, "message": shown}

    def update(self, arguments: Arguments) -> Json:
        channel = self._writable(arguments["channel"], names=False)
        message = channel.find(str(arguments["ts"]))
        if message is None or message.deleted:
            raise Refusal("message_not_found")
        if not message.own:
            raise Refusal("cant_update_message")
        content = self.content(arguments)
        if not content.keys() & {"text", "blocks", "attachments"}:
            raise Refusal("no_text")
        # As documented: a text without blocks removes the blocks; blocks without a text leave the text.
        if "text" in content and "blocks" not in content:
            content["blocks"] = []
        after: Json = {"text": message.text, "blocks": message.blocks, "attachments": message.attachments} | content
        if not (after["text"].strip() or after["blocks"] or after["attachments"]):
            raise Refusal("no_text")
        for name, value in copy.deepcopy(content).items():
            setattr(message, name, value or None if name == "metadata" else value)
        message.edited = {"user": BOT_USER, "ts": self.workspace.next_ts()}
        message.edits += 1
        return {**self._posted(channel, message), "text": message.text}

    def delete(self, arguments: Arguments) -> Json:
        channel = self._writable(arguments["channel"], names=False)
        message = channel.find(str(arguments["ts"]))
        if message is None or message.deleted:
            raise Refusal("message_not_found")
        if not message.own:
            raise Refusal("cant_delete_message")
        self.workspace.delete(message)
        return {"channel": channel.id, "ts": arguments["ts"]}

    def permalink(self, arguments: Arguments) -> Json:
        channel = self.workspace.channel(arguments["channel"], names=False)
        message = channel.find(str(arguments["message_ts"]))
        if message is None:
            raise Refusal("message_not_found")
        link = f"{self.base_url}/archives/{channel.id}/p{message.ts.replace('.', '')}"
        return {"channel": channel.id, "permalink": link}

    # --- conversations ---------------------------------------------------------------------------

    def history(self, arguments: Arguments) -> Json:
        channel = self._readable(arguments["channel"])
        shown = [message for message in channel.messages if not message.is_reply or message.broadcast]
        return self._page(_between(shown, arguments)[::-1], arguments)

    def replies(self, arguments: Arguments) -> Json:
        channel = self._readable(arguments["channel"])
        first = channel.find(str(arguments["ts"]))
        if first is None:
            raise Refusal("thread_not_found")
        return self._page([first, *_between(channel.replies(first.ts), arguments)], arguments, most=1000, usual=1000)

    def _page(self, messages: list[Message], arguments: Arguments, *, most: int = 999, usual: int = 100) -> Json:
        start = 0
        if arguments.get("cursor"):
            ts = _cursor_value(arguments["cursor"])
            start = next((index for index, message in enumerate(messages) if message.ts == ts), len(messages))
        limit = _limit(arguments, most, usual)
        page, rest = messages[start : start + limit], messages[start + limit :]
        metadata = _flag(arguments, "include_all_metadata")
        answer: Json = {"messages": [self.workspace.message_to_api(item, metadata=metadata) for item in page]}
        answer |= {"has_more": bool(rest)}
        if rest:
            answer["response_metadata"] = {"next_cursor": _cursor(rest[0].ts)}
        return answer

    def list_channels(self, arguments: Arguments) -> Json:
        types = set(str(arguments.get("types") or "public_channel").split(","))
        if not types <= {"public_channel", "private_channel", "mpim", "im"}:
            raise Refusal("invalid_types")
        for kind, scope in (("public_channel", "channels:read"), ("private_channel", "groups:read")):
            if kind in types and scope not in self.scopes:
                self._missing(scope)
        wanted = {"public_channel": False, "private_channel": True}
        privacy = {wanted[kind] for kind in types if kind in wanted}
        found = [c for c in self.workspace.channels.values() if c.private in privacy and (c.member or not c.private)]
        if _flag(arguments, "exclude_archived"):
            found = [channel for channel in found if not channel.archived]
        start = 0
        if arguments.get("cursor"):
            start = next((i for i, c in enumerate(found) if c.id == _cursor_value(arguments["cursor"])), len(found))
        limit = _limit(arguments, 999, 100)
        page, rest = found[start : start + limit], found[start + limit :]
        following = _cursor(rest[0].id) if rest else ""
        return {"channels": [c.to_api() for c in page], "response_metadata": {"next_cursor": following}}

    def channel_info(self, arguments: Arguments) -> Json:
        channel = self.workspace.channel(arguments["channel"], names=False)
        needed = "groups:read" if channel.private else "channels:read"
        if needed not in self.scopes:
            self._missing(needed)
        return {"channel": channel.to_api()}

    # --- files -----------------------------------------------------------------------------------

    def upload_url(self, arguments: Arguments) -> Json:
        if not str(arguments["length"]).isdigit() or int(arguments["length"]) < 1:
            raise Refusal("invalid_arguments", "length must be a positive number")
        file = SharedFile(f"F{len(self.workspace.files) + 1:09d}", arguments["filename"], int(arguments["length"]))
        path = f"/upload/v1/{secrets.token_hex(16)}"
        self.workspace.files[file.id], self.uploads[path] = file, file.id
        return {"file_id": file.id, "upload_url": self.base_url + path}

    def complete_upload(self, arguments: Arguments) -> Json:
        files: list[SharedFile] = []
        for given in from_json(arguments["files"], list, "invalid_arguments"):
            file = self.workspace.files.get(str(given.get("id"))) if isinstance(given, dict) else None
            if file is None or file.content is None or file.shared:
                raise Refusal("file_not_found")
            file.title = given.get("title") or file.name
            files.append(file)
        if not files:
            raise Refusal("invalid_arguments", "no less than 1 items required [json-pointer:/files]")
        if "channel_id" in arguments:
            channel = self._writable(arguments["channel_id"], names=False)
            comment = self.content({"text": arguments.get("initial_comment", "")})["text"]
            thread_ts = self._thread(channel, arguments["thread_ts"]) if "thread_ts" in arguments else None
            message = self.workspace.add_message(
                channel, text=comment, user=BOT_USER, bot_id=BOT_ID, thread_ts=thread_ts
            )
            message.files = files
        for file in files:
            file.shared = True
        return {"files": [{"id": file.id, "title": file.title} for file in files]}

    def uploaded(self, path: str, body: bytes) -> str | None:
        """Keep what came to an upload URL; what is wrong with it, or None."""
        with self.workspace.lock:
            file_id = self.uploads.get(path)
            if file_id is None:
                return "unknown upload"
            file = self.workspace.files[file_id]
            if len(body) != file.declared_bytes or file.content is not None:
                return f"declared {file.declared_bytes} bytes, got {len(body)}"
            file.content = body
            return None

    # --- webhooks --------------------------------------------------------------------------------

    def webhook(self, channel: Channel, arguments: Arguments) -> None:
        """Post what came to an incoming webhook; `Refusal` with the webhook's word."""
        with self.workspace.lock:
            if channel.archived:
                raise Refusal("channel_is_archived")
            content = self.content(arguments, webhook=True)
            if not (content.get("text", "").strip() or content.get("blocks") or content.get("attachments")):
                raise Refusal("no_text")
            thread_ts = self._thread(channel, arguments["thread_ts"]) if "thread_ts" in arguments else None
            webhook = {"user": BOT_USER, "bot_id": WEBHOOK_BOT_ID, "thread_ts": thread_ts}
            self.workspace.add_message(channel, **{"text": "", **content, **webhook})


def _flag(arguments: Arguments, name: str) -> bool:
    return arguments.get(name) in (True, 1, "1", "true", "True")


def _limit(arguments: Arguments, most: int, usual: int) -> int:
    given = str(arguments.get("limit", usual))
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise Refusal("invalid_limit")
    return int(given)


def _cursor(value: str) -> str:
    return base64.b64encode(f"next:{value}".encode()).decode()


def _cursor_value(cursor: str) -> str:
    try:
        kind, _, value = base64.b64decode(cursor, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        kind = value = ""
    if kind != "next":
        raise Refusal("invalid_cursor")
    return value


def _between(messages: list[Message], arguments: Arguments) -> list[Message]:
    """Those between `oldest` and `latest`, which themselves count only when `inclusive`."""
    bounds = {}
    for name, default in (("oldest", "0"), ("latest", "9999999999.999999")):
        given = str(arguments.get(name) or default)
        if not re.fullmatch(r"\d{1,10}(\.\d{1,6})?", given):
            raise Refusal(f"invalid_ts_{name}")
        whole, _, rest = given.partition(".")
        bounds[name] = f"{int(whole):010d}.{rest:0<6}"
    low, high = bounds["oldest"], bounds["latest"]
    inclusive = _flag(arguments, "inclusive")
    return [m for m in messages if low < m.ts < high or (inclusive and m.ts in (low, high))]


_PAGES = "cursor limit inclusive oldest latest include_all_metadata"
METHODS: dict[str, Method] = {
    "auth.test": Method(Api.auth_test, (), "", json=True),
    "chat.postMessage": Method(
        Api.post_message,
        ("chat:write",),
        "channel",
        f"{_CONTENT} thread_ts reply_broadcast client_msg_id username icon_emoji icon_url",
        json=True,
    ),
    "chat.update": Method(Api.update, ("chat:write",), "channel ts", f"{_CONTENT} reply_broadcast as_user", json=True),
    "chat.delete": Method(Api.delete, ("chat:write",), "channel ts", "as_user", json=True),
    "chat.getPermalink": Method(Api.permalink, (), "channel message_ts"),
    "conversations.history": Method(Api.history, ("channels:history", "groups:history"), "channel", _PAGES),
    "conversations.replies": Method(Api.replies, ("channels:history", "groups:history"), "channel ts", _PAGES),
    "conversations.list": Method(
        Api.list_channels, ("channels:read", "groups:read"), "", "cursor limit exclude_archived types team_id"
    ),
    "conversations.info": Method(
        Api.channel_info, ("channels:read", "groups:read"), "channel", "include_locale include_num_members"
    ),
    "files.getUploadURLExternal": Method(Api.upload_url, ("files:write",), "filename length", "alt_txt snippet_type"),
    "files.completeUploadExternal": Method(
        Api.complete_upload, ("files:write",), "files", "channel_id initial_comment thread_ts"
    ),
}
