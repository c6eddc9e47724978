"""Puts both directions of a gRPC connection together to calls, and keeps those that a probe may have to repeat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from driftguard.model.talks import (
    CONFIGURE_CALLS,
    REPEATED_CALLS,
    SCHEMA_CALLS,
    STATIC_CALLS,
    Exchange,
    ProviderSession,
    answer_digest,
)
from driftguard.probe.frames import Data, FrameReader, Headers, Reset, TableSize

_KNOWN: Final = STATIC_CALLS | CONFIGURE_CALLS | REPEATED_CALLS
_SERVICE: Final = "/tfplugin"


@dataclass(slots=True)
class _Call:
    method: str
    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)

    @property
    def is_a_providers(self) -> bool:
        return self.method.startswith(_SERVICE)


class Recorder:
    """One connection, from its first byte to its end.

    Args:
        provider: the provider's address.
        key: for the digests of answers.
    """

    def __init__(self, provider: str, key: bytes) -> None:
        self._provider, self._key = provider, key
        self._up, self._down = FrameReader(from_client=True), FrameReader(from_client=False)
        self._calls: dict[int, _Call] = {}
        self._exchanges: list[Exchange] = []
        self.broken = ""
        self.configured = False

    @property
    def session(self) -> ProviderSession:
        """The calls so far."""
        return ProviderSession(self._provider, tuple(self._exchanges))

    def upward(self, chunk: bytes) -> None:
        """Bytes from Terraform to the provider."""
        for event in self._up.feed(chunk):
            match event:
                case Headers(stream, fields):
                    if stream not in self._calls:
                        self._calls[stream] = self._began(fields.get(b":path", b"").decode())
                case Data(stream, body) if stream in self._calls:
                    self._calls[stream].asked += body
                case Reset(stream):
                    self._cut(stream)
                case TableSize(size):
                    self._down.allow_table(size)

    def downward(self, chunk: bytes) -> None:
        """Bytes from the provider to Terraform."""
        for event in self._down.feed(chunk):
            match event:
                case Headers(stream, fields) if b"grpc-status" in fields and stream in self._calls:
                    self._ended(self._calls.pop(stream), fields[b"grpc-status"])
                case Data(stream, body) if stream in self._calls:
                    self._calls[stream].answered += body
                case Reset(stream):
                    self._cut(stream)
                case TableSize(size):
                    self._up.allow_table(size)

    def closed(self) -> None:
        """The connection is gone."""
        for call in self._calls.values():
            if call.is_a_providers:
                self._break(f"{call.method} had no answer")

    def fail(self, error: Exception) -> None:
        """The bytes were not understood."""
        self._break(f"not understood: {type(error).__name__}")

    def _break(self, reason: str) -> None:
        self.broken = self.broken or reason

    def _began(self, method: str) -> _Call:
        call = _Call(method)
        name = method.rpartition("/")[2]
        if call.is_a_providers and name in CONFIGURE_CALLS:
            if self.configured:
                self._break("configured twice")
            self.configured = True
        return call

    def _cut(self, stream: int) -> None:
        call = self._calls.pop(stream, None)
        if call is not None and call.is_a_providers:
            self._break(f"{call.method} was cut off")

    def _ended(self, call: _Call, status: bytes) -> None:
        name = call.method.rpartition("/")[2]
        if not call.is_a_providers or name in SCHEMA_CALLS:
            return
        if name not in _KNOWN:
            self._break(f"{name} cannot be repeated")
            return
        asked, answers = messages(call.asked), messages(call.answered)
        if len(asked) != 1 or len(answers) > 1:
            self._break(f"{name} is a stream")
        elif name not in STATIC_CALLS:
            digest = answer_digest(self._key, status, answers[0] if answers else b"")
            self._exchanges.append(Exchange(call.method, asked[0], digest))


def messages(body: bytes | bytearray) -> list[bytes]:
    """The messages in a body, each with gRPC's prefix of five bytes.

    Raises:
        ValueError: one is compressed, or cut short.
    """
    found, at = [], 0
    while at < len(body):
        length = int.from_bytes(body[at + 1 : at + 5], "big")
        if body[at] or len(body) < at + 5 + length or len(body) < at + 5:
            raise ValueError("a compressed or incomplete message")
        found.append(bytes(body[at + 5 : at + 5 + length]))
        at += 5 + length
    return found
