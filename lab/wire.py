"""The few parts of protocol buffers and of Terraform's msgpack that a provider needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack


class Unknown:
    """A value that is known only after apply."""

    def __repr__(self) -> str:
        return "unknown"

    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, memo: object) -> Unknown:
        return self

    def __reduce__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def varint(number: int, value: int) -> bytes:
    """A field of an integer, a boolean or an enumeration; nothing for 0, as proto3 wants it."""
    return _varint(number << 3) + _varint(value) if value else b""


def message(number: int, content: bytes) -> bytes:
    """A field of bytes or of another message, also an empty one."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def string(number: int, text: str) -> bytes:
    """A field of text; nothing for an empty one."""
    return message(number, text.encode()) if text else b""


def mapping(number: int, entries: Mapping[str, bytes]) -> bytes:
    """A map from text to messages."""
    return b"".join(message(number, string(1, key) + message(2, value)) for key, value in entries.items())


def decode(data: bytes) -> dict[int, list[Any]]:
    """A message's fields by number; integers as int, everything else as bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0
    value: int | bytes
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            value, at = _read_varint(data, at)
        elif tag & 7 == 2:
            length, at = _read_varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {tag & 7} does not occur in the provider protocol")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def text_of(fields: Mapping[int, list[Any]], number: int) -> str:
    """A field of text; empty where it is missing."""
    return str(fields[number][-1].decode()) if number in fields else ""


def value_of(fields: Mapping[int, list[Any]], number: int) -> Any:
    """A field that holds a DynamicValue, as plain values and `UNKNOWN`."""
    if number not in fields:
        return None
    content = decode(fields[number][-1])
    return unpack(content[1][-1]) if 1 in content else None


def dynamic(number: int, value: Any) -> bytes:
    """A field that holds a DynamicValue."""
    return message(number, message(1, pack(value)))


def pack(value: Any) -> bytes:
    """Plain values and `UNKNOWN` as Terraform's msgpack."""
    return bytes(msgpack.packb(_outward(value)))


def unpack(data: bytes) -> Any:
    """Terraform's msgpack as plain values; a number beyond a double is an int of any size."""
    return msgpack.unpackb(data, ext_hook=lambda code, payload: UNKNOWN, strict_map_key=False)


def _outward(value: Any) -> Any:
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\0")
    if isinstance(value, dict):
        return {key: _outward(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_outward(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not _SMALLEST <= value <= _LARGEST:
        return str(value)
    return value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
