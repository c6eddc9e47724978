"""What an environment's attributes were at its baseline, as keyed digests."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

_FORMAT: Final = 1
_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()

Table = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of 8 bytes by address and path, without the values.

    Attributes:
        attributes: at a path the digest of the value; at a path that ends in `[]` those of all elements of a list,
            one after another; empty where the value is known to be unknown (a restless attribute).
        stood: two digests (R, then D) for each difference that stood after the last complete apply.
    """

    attributes: Table
    stood: Table = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The digests as bytes, for storage."""
        return zlib.compress(_ENCODER.encode([_FORMAT, self.attributes, self.stood]), 1)

    @classmethod
    def decoded(cls, data: bytes) -> Digests | None:
        """The digests behind `encoded`; None for bytes of another format or damaged ones."""
        try:
            found = _DECODER.decode(zlib.decompress(data))
        except (zlib.error, msgspec.DecodeError):
            return None
        if not isinstance(found, list) or len(found) != 3 or found[0] != _FORMAT:
            return None
        return cls(found[1], found[2])
