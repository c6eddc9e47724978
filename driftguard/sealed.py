"""Sealed values: they compare and digest, but print as redacted; `reveal` is the only way out."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from driftguard.nesting import decode_bounded
from driftguard.redaction import REDACTED, looks_secret_name, looks_secret_text, mask

__all__ = ["ABSENT", "PRESENT", "REDACTED", "UNKNOWN", "Marker", "Sealed", "digest", "looks_secret", "mask", "reveal"]


class Marker:
    """A value that is not a value: the attribute or object is absent, or known only after apply."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word

    def __reduce__(self) -> str:
        return self.word.upper()


ABSENT: Final = Marker("absent")
PRESENT: Final = Marker("present")
UNKNOWN: Final = Marker("unknown")


class Sealed:
    """One attribute's value (any JSON value, or a `Marker`) that cannot be printed by accident.

    `secret` is true when Terraform marks the value as sensitive. Equality is equality of the JSON
    values; `repr`, `str` and `format` never show them.
    """

    __slots__ = ("_value", "secret")

    def __init__(self, value: Any, *, secret: bool = False) -> None:
        self._value = value
        self.secret = secret

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and self._value == other._value

    def __hash__(self) -> int:
        return hash(_canonical(self._value))

    def __repr__(self) -> str:
        return f"Sealed({REDACTED})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a sealed value cannot be pickled")

    def resembles(self, value: Any, shape: Callable[[Any], Any]) -> bool:
        """Whether this is the value as far as `shape` leaves it, to the letter of its JSON text."""
        markers = isinstance(value, Marker) or isinstance(self._value, Marker)
        return not markers and _canonical(shape(self._value)) == _canonical(shape(value))

    def digest(self, key: bytes) -> str:
        """Keyed digest (HMAC-SHA-256, hex) of the canonical JSON text; equal values, equal digests."""
        return hmac.new(key, _canonical(self._value), hashlib.sha256).hexdigest()


def _canonical(value: Any) -> bytes:
    if isinstance(value, Marker):
        return b"\x00" + value.word.encode()
    return msgspec.json.encode(value, order="deterministic")


def digest(key: bytes, parts: Any) -> str:
    """Keyed digest (HMAC-SHA-256, hex) of a JSON value, independent of the order of object keys."""
    return hmac.new(key, _canonical(parts), hashlib.sha256).hexdigest()


def looks_secret(path: str, value: Any) -> bool:
    """Whether an attribute holds a credential, judged by its path and by the shapes of its strings."""
    last = re.sub(r"\[[^\]]*\]", "", path).rsplit(".", 1)[-1]
    if value in (None, "", True, False) or isinstance(value, Marker):
        return False
    return looks_secret_name(last) or (isinstance(value, str) and looks_secret_text(value))


def reveal(sealed: Sealed, path: str = "") -> Any:
    """The printable form of a sealed value: the one place where sealed values are unwrapped for output.

    A value that Terraform marks as sensitive is `"(sensitive)"` as a whole. In others, every leaf that
    looks like a credential (by its name or its shape) is replaced, at any depth.
    """
    if sealed.secret:
        return REDACTED
    return _redact(path, sealed._value)


def _redact(path: str, value: Any) -> Any:
    if isinstance(value, Marker):
        return None if value is UNKNOWN else value.word
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"') and not looks_secret(path, "named"):
        return _redact_json_text(path, value)
    if looks_secret(path, value):
        return REDACTED
    if isinstance(value, dict):
        pair_name = value.get("name", value.get("key"))
        redacted = {}
        for key, item in value.items():
            named = f"{path}.{pair_name}" if key == "value" and isinstance(pair_name, str) else f"{path}.{key}"
            redacted[key] = _redact(named, item)
        return redacted
    if isinstance(value, list):
        return [_redact(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return str(value) if isinstance(value, Decimal) else value  # a number that no float holds keeps its digits as text


def _redact_json_text(path: str, text: str) -> str:
    try:
        decoded = decode_bounded(text.encode())
        redacted = _redact(path, decoded)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return REDACTED if looks_secret(path, text) else text
    except RecursionError:  # JSON in the texts of JSON, without end
        return REDACTED
    return text if redacted == decoded else msgspec.json.encode(redacted).decode()
