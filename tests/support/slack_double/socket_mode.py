"""Socket Mode of the Slack double: a web socket on loopback that sends clicks and waits for their confirmation.

Envelopes as in https://docs.slack.dev/apis/events-api/using-socket-mode, frames as in RFC 6455: a client that does not
mask its frames, comes without a ticket or uses one twice is refused.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.slack_double.blocks import Json
from tests.support.slack_double.content import Arguments
from tests.support.slack_double.methods import METHODS, Api, Method
from tests.support.slack_double.store import APP_ID, TEAM_ID, Message, Refusal

_ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_PATIENCE_SECONDS = 20.0


def wait_until(there: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait for something that another thread does; fail with its name."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)


@dataclass
class SocketMode:
    """The app's connections.

    Attributes:
        host: the host in the URLs that it gives out.
        ephemeral: answers that one member alone sees: channel, member, text.
        confirmed: ids of envelopes that the client confirmed.
    """

    app_token: str = field(default_factory=lambda: f"xapp-1-{secrets.token_hex(16)}")
    host: str = "127.0.0.1"
    ephemeral: list[tuple[str, str, str]] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    opened: int = 0

    def __post_init__(self) -> None:
        self._tickets: set[str] = set()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._port = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """End every connection, and take no more."""
        with contextlib.suppress(OSError):  # a system that does not wake who waits does so when it is closed
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(timeout=0.5)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection, as a network does."""
        for connection in self.connections[:]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.connections.clear()

    def new_url(self) -> str:
        """A URL for one connection."""
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        return f"ws://{self.host}:{self._port}/link/?ticket={ticket}&app_id={APP_ID}"

    def connected(self) -> None:
        """Wait for a connection."""
        wait_until(lambda: bool(self.connections), "a connection")

    def ask_to_reconnect(self) -> None:
        """Announce that a connection will be refreshed, as Slack does every few hours."""
        self.send({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "applink-1"}})

    def click(
        self, channel: str, message: Message, member: str, name: str = "ada", *, envelopes: int = 1
    ) -> dict[str, Any]:
        """A member clicks the button of a message; the envelope, after the client has confirmed it.

        Args:
            envelopes: how often Slack sends it, as it does where a confirmation comes late.
        """
        buttons = [each for block in message.blocks if block["type"] == "actions" for each in block["elements"]]
        (button,) = buttons  # a message without one cannot be clicked
        stamp = f"{time.time():.6f}"
        payload = {
            "type": "block_actions",
            "user": {"id": member, "username": name, "name": name, "team_id": TEAM_ID},
            "api_app_id": APP_ID,
            "team": {"id": TEAM_ID, "domain": "acme"},
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": message.channel,
                "is_ephemeral": False,
            },
            "channel": {"id": message.channel, "name": channel},
            "trigger_id": f"{stamp}.1",
            "response_url": "https://hooks.slack.com/actions/T/1/x",
            "actions": [{**button, "block_id": "b", "action_ts": stamp}],
        }
        envelope = {"type": "interactive", "payload": payload, "accepts_response_payload": False}
        for number in range(envelopes):
            envelope |= {"envelope_id": secrets.token_hex(8), "retry_attempt": number}
            self.confirm(envelope)
        return envelope

    def confirm(self, envelope: dict[str, Any]) -> None:
        """Send an envelope, and wait for its confirmation."""
        self.send(envelope)
        wait_until(lambda: envelope["envelope_id"] in self.confirmed, "a confirmation")

    def send(self, value: dict[str, Any]) -> None:
        """Send JSON over the newest connection."""
        self.connected()
        _write(self.connections[-1], _TEXT, json.dumps(value).encode())

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            if not self._shake_hands(connection):
                return
            with self._lock:
                self.opened += 1
            hello = {"type": "hello", "num_connections": 1, "connection_info": {"app_id": APP_ID}}
            _write(connection, _TEXT, json.dumps(hello).encode())
            self.connections.append(connection)
            try:
                self._read(connection)
            finally:
                with contextlib.suppress(ValueError):
                    self.connections.remove(connection)

    def _shake_hands(self, connection: socket.socket) -> bool:
        text = b""
        while b"\r\n\r\n" not in text:
            text += _exactly(connection, 1)
        ticket = re.match(rb"GET /link/\?ticket=([0-9a-f]+)&", text)
        key = re.search(rb"(?i)\r\nSec-WebSocket-Key: (\S+)\r\n", text)
        given = ticket[1].decode() if ticket else ""
        if key is None or given not in self._tickets or re.search(rb"(?i)\r\nUpgrade: websocket\r\n", text) is None:
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return False
        self._tickets.remove(given)
        accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT.encode()).digest())
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        return True

    def _read(self, connection: socket.socket) -> None:
        while True:
            first, second = _exactly(connection, 2)
            assert second & 0x80, "a client masks its frames"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", _exactly(connection, 2))
            mask = _exactly(connection, 4)
            data = bytes(byte ^ mask[n % 4] for n, byte in enumerate(_exactly(connection, size)))
            match first & 0x0F:
                case 1:
                    self.confirmed.append(json.loads(data)["envelope_id"])
                case 8:
                    return
                case 9:
                    _write(connection, _PONG, data)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _write(connection: socket.socket, kind: int, data: bytes) -> None:
    size = bytes([len(data)]) if len(data) < 126 else struct.pack(">BH", 126, len(data))
    connection.sendall(bytes([0x80 | kind]) + size + data)


def _open_connection(api: Api, arguments: Arguments) -> Json:
    return {"url": api.sockets.new_url()}


def _post_ephemeral(api: Api, arguments: Arguments) -> Json:
    channel = api.workspace.channel(arguments["channel"], names=False)
    if not re.fullmatch(r"[UW][A-Z0-9]+", str(arguments["user"])):
        raise Refusal("user_not_in_channel")
    if not channel.member:
        raise Refusal("not_in_channel")
    api.sockets.ephemeral.append((channel.id, str(arguments["user"]), str(arguments["text"])))
    return {"message_ts": f"{time.time():.6f}"}


METHODS.update(
    {
        "apps.connections.open": Method(_open_connection, (), ""),
        "chat.postEphemeral": Method(_post_ephemeral, ("chat:write",), "channel user text", "blocks", json=True),
    }
)
