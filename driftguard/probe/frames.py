"""Reads one direction of an HTTP/2 connection as it passes by; changes nothing and holds nothing up (RFC 9113)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import hpack

_PREFACE_BYTES: Final = 24
_HEADER_BYTES: Final = 9
_DATA, _HEADERS, _RESET, _SETTINGS, _CONTINUATION = 0, 1, 3, 4, 9
_ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
_TABLE_SIZE: Final = 1
_MAX_HEADERS_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Headers:
    """A whole header block of a stream; a later field of one name hides the earlier."""

    stream: int
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream's body, without padding."""

    stream: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream was cut off."""

    stream: int


@dataclass(frozen=True, slots=True)
class TableSize:
    """What this side allows the other's header table to grow to, in bytes."""

    bytes: int


Event = Headers | Data | Reset | TableSize


class FrameReader:
    """Puts frames together from pieces of any size.

    Args:
        from_client: the direction that begins with the connection preface.
    """

    def __init__(self, *, from_client: bool) -> None:
        self._preface = _PREFACE_BYTES if from_client else 0
        self._buffer = bytearray()
        self._block = bytearray()
        self._decoder = hpack.Decoder(max_header_list_size=_MAX_HEADERS_BYTES)

    def allow_table(self, size: int) -> None:
        """The other side's SETTINGS allow this direction's header table to be that large, in bytes."""
        self._decoder.max_allowed_table_size = max(self._decoder.max_allowed_table_size, size)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that a piece completes.

        Raises:
            ValueError, hpack.HPACKError: it is not HTTP/2.
        """
        buffer = self._buffer
        buffer += chunk
        if self._preface:
            if len(buffer) < self._preface:
                return
            del buffer[: self._preface]
            self._preface = 0
        at = 0
        while len(buffer) - at >= _HEADER_BYTES:
            end = at + _HEADER_BYTES + int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < end:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFFFFFF
            yield from self._frame(kind, flags, stream, bytes(buffer[at + _HEADER_BYTES : end]))
            at = end
        del buffer[:at]

    def _frame(self, kind: int, flags: int, stream: int, body: bytes) -> Iterator[Event]:
        if kind == _DATA:
            yield Data(stream, _unpadded(flags, body))
        elif kind in (_HEADERS, _CONTINUATION):
            yield from self._header_block(kind, flags, stream, body)
        elif kind == _RESET:
            yield Reset(stream)
        elif kind == _SETTINGS and not flags & _ACK:
            for at in range(0, len(body), 6):
                if int.from_bytes(body[at : at + 2], "big") == _TABLE_SIZE:
                    yield TableSize(int.from_bytes(body[at + 2 : at + 6], "big"))

    def _header_block(self, kind: int, flags: int, stream: int, body: bytes) -> Iterator[Event]:
        if kind == _HEADERS:
            body = _unpadded(flags, body)
            self._block = bytearray(body[5:] if flags & _PRIORITY else body)
        else:
            self._block += body
        if flags & _END_HEADERS:
            fields = self._decoder.decode(bytes(self._block), raw=True)
            yield Headers(stream, {bytes(name): bytes(value) for name, value in fields})


def _unpadded(flags: int, body: bytes) -> bytes:
    if not flags & _PADDED:
        return body
    if not body or body[0] >= len(body):
        raise ValueError("more padding than frame")
    return body[1 : len(body) - body[0]]
