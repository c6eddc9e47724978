"""Whether two JSON values mean the same, whatever their form."""

from __future__ import annotations

from typing import Any

import msgspec

from driftguard.sealed import Marker

# Members of an access policy's statement whose lists are sets, and in which one string stands for a list of one.
_POLICY_SETS = frozenset({"Action", "NotAction", "Resource", "NotResource", "AWS", "Service", "Federated"})
_ENCODER = msgspec.json.Encoder(order="deterministic")


def same(left: Any, right: Any) -> bool:
    """Equality in meaning.

    null, the empty string, the empty list and the empty object are one value; a member that is null
    or empty equals a missing one; texts that hold JSON objects or lists are compared as JSON, access
    policies with their sets as sets. The order of ordinary lists counts: the provider has already put sets
    into a stable order, so what is left is a list whose order it cares about.
    """
    if left is right:
        return True
    if isinstance(left, Marker) or isinstance(right, Marker):
        return False
    if isinstance(left, str) and isinstance(right, str) and left == right:
        return True
    return meaning(left) == meaning(right)


def meaning(value: Any) -> bytes:
    """A text that is equal for exactly those values that mean the same."""
    return _ENCODER.encode(_normal(value))


def identical(left: Any, right: Any) -> bool:
    """Equality to the letter (true is not 1, 1 is not 1.0); cheap, and enough to know that nothing changed."""
    return left is right or (left == right and _ENCODER.encode(left) == _ENCODER.encode(right))


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        members = {key: inner for key, item in value.items() if (inner := _normal(item)) is not None}
        return members or None
    if isinstance(value, list):
        return [_normal(item) for item in value] or None
    if isinstance(value, str):
        return _normal_text(value) if value else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _normal_text(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        decoded = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text
    if isinstance(decoded, dict) and "Statement" in decoded:
        decoded = _policy(decoded)
    return {"json": _normal(decoded)}


def _policy(value: Any, member: str = "") -> Any:
    if isinstance(value, dict) and member != "Statement":
        return {key: _policy(item, key) for key, item in value.items()}
    if member == "Statement":
        return [_policy(item) for item in (value if isinstance(value, list) else [value])]
    if member in _POLICY_SETS:
        items = value if isinstance(value, list) else [value]
        return sorted((_policy(item) for item in items), key=_ENCODER.encode)
    if isinstance(value, list):
        return [_policy(item) for item in value]
    return value
