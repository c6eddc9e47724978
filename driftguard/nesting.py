"""JSON whose nesting is bounded: everything that reads values walks them by recursion.

A commit, a cloud's other users and a plan from elsewhere choose how deep a value is nested.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 100
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_OPENING: Final = b"[{"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ANY: Final = msgspec.json.Decoder()


def decode_bounded(text: bytes, decoder: msgspec.json.Decoder[Any] = _ANY) -> Any:
    """The JSON value of a text.

    Raises:
        msgspec.DecodeError: it is not JSON, or nested deeper than `MAX_DEPTH`.
    """
    if len(text) > MAX_DEPTH and text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise msgspec.DecodeError(f"nested more than {MAX_DEPTH} deep")
    return decoder.decode(text)


def _depth(text: bytes) -> int:
    """How deep brackets are nested, those in strings left out."""
    depth = deepest = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NO_BRACKETS):
        if bracket in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
