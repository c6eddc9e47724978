"""The Slack double itself: an HTTP server on loopback that is as strict as Slack and fails on request."""

from __future__ import annotations

import contextlib
import copy
import json
import secrets
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.support.slack_double.faults import ApiError, Fault, Hang, Held, HtmlPage, RateLimited, ServerError
from tests.support.slack_double.http import Answer, Handler, Server, read_arguments, reusing_socket
from tests.support.slack_double.methods import DEFAULT_SCOPES, METHODS, Api
from tests.support.slack_double.socket_mode import SocketMode
from tests.support.slack_double.store import SOMEONE, TEAM_ID, Channel, Message, Refusal, SharedFile, Workspace
from tests.support.slack_double.text import render_text

_WEBHOOK_STATUS = {
    "action_prohibited": 403,
    "invalid_token": 403,
    "no_service": 404,
    "no_team": 404,
    "channel_not_found": 404,
    "channel_is_archived": 410,
}


@dataclass
class Call:
    """One request: its arguments as sent, what became of it (`ok` or Slack's word), and the fault it met."""

    method: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    fault: Fault | None = None


class SlackDouble:
    """Slack on loopback. Use it in a `with` block; leaving it raises if the double itself broke.

    Args:
        channels: public channels that the bot is a member of; see `add_channel` for others.
        clock: Slack's own time in seconds, from which the timestamps of messages follow.
        scopes, strict_escaping, dedupe_client_msg_id: see `Api`.
    """

    def __init__(
        self,
        channels: Sequence[str] = ("drift",),
        *,
        scopes: frozenset[str] = DEFAULT_SCOPES,
        strict_escaping: bool = True,
        dedupe_client_msg_id: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = f"xoxb-{secrets.token_hex(16)}"
        self.workspace, self.sockets = Workspace(clock), SocketMode()
        self._options = {"strict_escaping": strict_escaping, "dedupe_client_msg_id": dedupe_client_msg_id}
        self._scopes = scopes
        self._webhooks: dict[str, Channel] = {}
        self._prohibited: set[str] = set()
        self._queues: dict[str, deque[Fault]] = {}
        self._standing: dict[str, Fault] = {}
        self._calls: list[Call] = []
        self.broken: list[str] = []
        self._held: list[Held] = []
        self._closing = threading.Event()
        for name in channels:
            self.add_channel(name)

    # --- where it is -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        # This socket never listens; it keeps the port while the server is down.
        self._port_keeper = reusing_socket()
        self._port_keeper.bind(("127.0.0.1", 0))
        self.port: int = self._port_keeper.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_url = f"{self.url}/api/"
        self.api = Api(self.workspace, self.url, self._scopes, self.sockets, **self._options)
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for held in self._held:
            held.release()
        self._stop()
        self.sockets.close()
        self._port_keeper.close()
        if kind is None and self.broken:
            raise AssertionError("the Slack double itself broke:\n" + "\n".join(self.broken))

    def _listen(self) -> None:
        self._server: Server | None = Server(self.port, self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections while the block runs; the port and everything stored stay."""
        self._stop()
        try:
            yield
        finally:
            self._listen()

    # --- what the test arranges ------------------------------------------------------------------

    def add_channel(self, name: str, *, member: bool = True, private: bool = False, archived: bool = False) -> str:
        """Create a channel; its id."""
        return self.workspace.add_channel(name, member=member, private=private, archived=archived).id

    def channel(self, name: str) -> Channel:
        """A channel as kept, by name or id, to be changed by the test: `.archived`, `.member`, `.private`."""
        for channel in self.workspace.channels.values():
            if name.removeprefix("#") in (channel.id, channel.name):
                return channel
        raise KeyError(name)

    def webhook_url(self, channel: str) -> str:
        """The address of a new incoming webhook that posts to a channel."""
        path = f"/services/{TEAM_ID}/B{len(self._webhooks) + 1:09d}/{secrets.token_hex(12)}"
        self._webhooks[path] = self.channel(channel)
        return self.url + path

    def prohibit_webhook(self, url: str) -> None:
        """Let a webhook answer 403 `action_prohibited`, as a workspace's restriction does."""
        self._prohibited.add(url.removeprefix(self.url))

    def someone_posts(self, channel: str, text: str, thread_ts: str | None = None) -> Message:
        """A message of a person, which is not the bot's own."""
        kept = self.workspace.add_message(
            self.channel(channel), text=text, user=SOMEONE, bot_id=None, thread_ts=thread_ts
        )
        return copy.deepcopy(kept)

    def someone_deletes(self, channel: str, ts: str) -> None:
        """A person deletes a message, also one of the bot's; its replies stay."""
        with self.workspace.lock:
            self.workspace.delete(self._kept(channel, ts))

    def lock_thread(self, channel: str, ts: str) -> None:
        """A person locks a thread: what it holds stays, and nothing is added to it."""
        with self.workspace.lock:
            self._kept(channel, ts).locked = True

    def _kept(self, channel: str, ts: str) -> Message:
        found = self.channel(channel).find(ts)
        if found is None:
            raise KeyError(ts)
        return found

    # --- faults ----------------------------------------------------------------------------------

    def fail(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method meet these faults, one each, in order.

        Args:
            method: a method's name, `webhook`, `upload`, or `*` for any; a method's own queue comes before `*`.
        """
        with self.workspace.lock:
            self._queues.setdefault(method, deque()).extend(faults)

    @contextlib.contextmanager
    def failing(self, method: str, fault: Fault) -> Iterator[None]:
        """Let every call of a method (or `*`) meet a fault while the block runs; queued faults come first."""
        self._standing[method] = fault
        try:
            yield
        finally:
            del self._standing[method]

    def block_after(self, method: str) -> Held:
        """Hold the next call of a method after it was carried out and kept, before its answer goes out.

        `wait()` on what is returned until a call is there, end the client's process if that is the test, then
        `release()`.
        """
        return self._hold(method, Held(done=True))

    def block_before(self, method: str) -> Held:
        """Hold the next call of a method before anything is done; it is carried out once released."""
        return self._hold(method, Held(done=False))

    def _hold(self, method: str, held: Held) -> Held:
        self._held.append(held)
        self.fail(method, held)
        return held

    def _next_fault(self, method: str) -> Fault | None:
        with self.workspace.lock:
            for name in (method, "*"):
                if self._queues.get(name):
                    return self._queues[name].popleft()
            return self._standing.get(method) or self._standing.get("*")

    # --- what it keeps ---------------------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """Every request so far, oldest first."""
        with self.workspace.lock:
            return copy.copy(self._calls)

    def calls_of(self, method: str) -> list[Call]:
        """Every request of one method, oldest first."""
        return [call for call in self.calls if call.method == method]

    @property
    def markup(self) -> list[str]:
        """Every link, mention and date that came in mrkdwn: a `<!channel>` from outside shows here."""
        with self.workspace.lock:
            return list(self.api.markup)

    @property
    def unescaped(self) -> list[str]:
        """Every unescaped `&`, `<` or `>` that came in mrkdwn, with its place."""
        with self.workspace.lock:
            return list(self.api.unescaped)

    @property
    def everything(self) -> str:
        """Every string that came in any call, also in a refused one, and every file: secrets are looked for here."""
        found: list[str] = []
        waiting: list[Any] = [call.arguments for call in self.calls]
        waiting += [(file.content or b"").decode(errors="replace") for file in self.files]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                waiting += value
            else:
                found.append(str(value))
        return "\n".join(found)

    def messages(self, channel: str) -> list[Message]:
        """The messages of a channel, oldest first, without replies in threads and without deleted ones."""
        with self.workspace.lock:
            kept = self.channel(channel).messages
            return copy.deepcopy([message for message in kept if not message.is_reply and not message.deleted])

    def replies(self, channel: str, ts: str) -> list[Message]:
        """The replies in a thread, oldest first."""
        with self.workspace.lock:
            return copy.deepcopy(self.channel(channel).replies(ts))

    def message(self, channel: str, ts: str) -> Message:
        """One message or reply; `KeyError` when there is none."""
        with self.workspace.lock:
            return copy.deepcopy(self._kept(channel, ts))

    @property
    def files(self) -> list[SharedFile]:
        """Every file that was announced, oldest first; `content` and `shared` tell how far it came."""
        with self.workspace.lock:
            return copy.deepcopy(list(self.workspace.files.values()))

    def plain(self, channel: str) -> str:
        """A channel as a reader sees it: its messages, replies indented below theirs, an empty line between."""
        shown: list[str] = []
        for message in self.messages(channel):
            lines = render_text(message).splitlines()
            for reply in self.replies(channel, message.ts):
                first, *rest = render_text(reply).splitlines() or [""]
                lines += [f"  > {first}", *(f"    {line}" for line in rest)]
            shown.append("\n".join(lines))
        return "\n\n".join(shown)

    # --- answering -------------------------------------------------------------------------------

    def perform(self, handler: Handler, body: bytes) -> Answer | None:
        """Answer one request; None to reset the connection instead."""
        path, _, query = handler.path.partition("?")
        known = {"services": "webhook", "upload": "upload"}
        method = known.get(path.split("/")[1]) or path.removeprefix("/api/").strip("/")
        call = Call(method, fault=self._next_fault(method))
        if method != "upload":
            with contextlib.suppress(Refusal):
                call.arguments = read_arguments(handler, query, body)[1]
        with self.workspace.lock:
            self._calls.append(call)
        fault = call.fault
        if isinstance(fault, Held) and not fault.done:
            fault.hold()
            fault = None
        if fault is not None and not fault.done:
            call.outcome = fault.name
            return self._instead(fault, method)
        try:
            answer = self._carry_out(handler, call, path, query, body)
        except Exception:  # noqa: BLE001 - kept for the test, which fails with it at its end
            self.broken.append(traceback.format_exc())
            answer = Answer(500, b"the double broke", "broken", "text/plain")
        call.outcome = answer.outcome
        if fault is None:
            return answer
        if isinstance(fault, Held):
            fault.hold()
            return answer
        if isinstance(fault, Hang):
            self._closing.wait(fault.seconds)
        return None

    def _instead(self, fault: Fault, method: str) -> Answer | None:
        plain = method in ("webhook", "upload")
        match fault:
            case RateLimited():
                body = b"rate_limited" if plain else b'{"ok":false,"error":"ratelimited"}'
                wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                return Answer(429, body, "ratelimited", headers=wait)
            case ServerError():
                return Answer(fault.status, b"<html><body>Server Error</body></html>", fault.name, "text/html")
            case HtmlPage():
                return Answer(200, fault.text.encode(), fault.name, "text/html; charset=utf-8")
            case ApiError() if plain:
                return Answer(fault.status, fault.error.encode(), fault.error, "text/plain")
            case ApiError():
                return _json({"ok": False, "error": fault.error, **fault.extra})
            case Hang():
                self._closing.wait(fault.seconds)
        return None

    def _carry_out(self, handler: Handler, call: Call, path: str, query: str, body: bytes) -> Answer:
        if call.method == "upload":
            wrong = self.api.uploaded(path, body)
            call.arguments = {"bytes": len(body)}
            return Answer(400 if wrong else 200, (wrong or f"OK - {len(body)}").encode(), wrong or "ok", "text/plain")
        if call.method == "webhook":
            return self._webhook(handler, call, path, body)
        if not path.startswith("/api/"):
            return Answer(404, b"not found", "not found", "text/plain")
        accepted = ",".join(METHODS[call.method].scopes) if call.method in METHODS else ""
        headers = {"X-OAuth-Scopes": ",".join(sorted(self._scopes)), "X-Accepted-OAuth-Scopes": accepted}
        try:
            is_json, call.arguments = read_arguments(handler, query, body)
            self._authorise(handler, call.method)
            return _json(self.api.call(call.method, call.arguments, json_body=is_json), headers)
        except Refusal as refusal:
            return _json(_refused(refusal), headers)

    def _authorise(self, handler: Handler, method: str) -> None:
        given = handler.headers.get("Authorization")
        wanted, other = self.token, self.sockets.app_token
        if method == "apps.connections.open":
            wanted, other = other, wanted
        wrong = {None: "not_authed", f"Bearer {other}": "not_allowed_token_type"}
        if given != f"Bearer {wanted}":
            raise Refusal(wrong.get(given, "invalid_auth"))

    def _webhook(self, handler: Handler, call: Call, path: str, body: bytes) -> Answer:
        try:
            channel = self._webhooks.get(path)
            if channel is None:
                parent = path.rpartition("/")[0]
                known = any(other.rpartition("/")[0] == parent for other in self._webhooks)
                raise Refusal("invalid_token" if known else "no_service")
            if handler.command != "POST":
                raise Refusal("invalid_payload")
            try:
                _, call.arguments = read_arguments(handler, "", body)
                if set(call.arguments) == {"payload"}:
                    call.arguments = json.loads(call.arguments["payload"])
            except (Refusal, ValueError):
                raise Refusal("invalid_payload") from None
            if path in self._prohibited:
                raise Refusal("action_prohibited")
            self.api.webhook(channel, call.arguments)
        except Refusal as refusal:
            status = _WEBHOOK_STATUS.get(refusal.error, 400)
            return Answer(status, refusal.error.encode(), refusal.error, "text/plain; charset=utf-8")
        return Answer(200, b"ok", "ok", "text/plain; charset=utf-8")


def _json(answer: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    outcome = "ok" if answer["ok"] else str(answer["error"])
    return Answer(200, json.dumps(answer).encode(), outcome, headers=headers or {})


def _refused(refusal: Refusal) -> dict[str, Any]:
    answer: dict[str, Any] = {"ok": False, "error": refusal.error, **refusal.extra}
    if refusal.messages:
        answer["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in refusal.messages]}
    return answer
