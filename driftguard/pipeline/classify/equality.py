"""Whether two JSON values mean the same, whatever their form."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from driftguard.model.plan_document import VALUES
from driftguard.nesting import decode_bounded
from driftguard.sealed import Marker

# Members of an access policy's statement whose lists are sets, and in which one string stands for a list of one.
_POLICY_SETS: Final = frozenset({"Action", "NotAction", "Resource", "NotResource", "AWS", "Service", "Federated"})
_ENCODER = msgspec.json.Encoder(order="deterministic")
# No JSON member that Terraform prints begins with NUL, so these stand apart from every object.
_JSON_TEXT, _NUMBER = "\x00json", "\x00number"
_MAX_INTEGER_DIGITS: Final = 4000  # digits; beyond that the exponent is compared


def same(left: Any, right: Any) -> bool:
    """Equality in meaning.

    Numbers are compared exactly; texts that hold JSON objects or lists are compared as JSON, access policies with
    their sets as sets. null, the empty string, the empty list and the empty object are four values, and a member
    that is null is not a missing one. The order of lists counts.
    """
    if left is right:
        return True
    if isinstance(left, Marker) or isinstance(right, Marker):
        return False
    if isinstance(left, str) and isinstance(right, str) and left == right:
        return True
    return meaning(left) == meaning(right)


def same_form(left: Any, right: Any) -> bool:
    """Equality in meaning where a provider's zero values count as one: null, false, 0, "", [] and {}.

    Only for values that Terraform does not compare itself.
    """
    return same(left, right) or (is_zero(left) and is_zero(right))


def is_zero(value: Any) -> bool:
    """Whether a value is null, or what an older provider library stores for null."""
    return not isinstance(value, Marker) and not value


def meaning(value: Any) -> bytes:
    """A text that is equal for exactly those values that mean the same."""
    return _ENCODER.encode(_normal(value))


def identical(left: Any, right: Any) -> bool:
    """Equality to the letter (true is not 1, 1 is not 1.0); cheap, and enough to know that nothing changed."""
    if left is right:
        return True
    return left == right and (isinstance(left, str) or _ENCODER.encode(left) == _ENCODER.encode(right))


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return _normal_text(value)
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return _normal_number(value) if isinstance(value, Decimal) else value


def _normal_number(value: Decimal) -> Any:
    """A number that no float holds: an integer as such, else its digits and exponent."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # JSON has neither NaN nor infinity
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    exponent += len(text) - len(kept)
    if not kept:
        return 0
    if exponent >= 0 and len(kept) + exponent <= _MAX_INTEGER_DIGITS:
        return (-1 if sign else 1) * int(kept) * 10**exponent
    return {_NUMBER: f"{'-' if sign else ''}{kept}e{exponent}"}


def _normal_text(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        decoded = decode_bounded(text.encode(), VALUES)
        if isinstance(decoded, dict) and "Statement" in decoded:
            decoded = _policy(decoded)
        return {_JSON_TEXT: _normal(decoded)}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _policy(value: Any, member: str = "") -> Any:
    if member == "Statement":
        return [_policy(item) for item in (value if isinstance(value, list) else [value])]
    if isinstance(value, Mapping):
        return {key: _policy(item, key) for key, item in value.items()}
    if member in _POLICY_SETS:
        items = value if isinstance(value, list) else [value]
        return sorted((_policy(item) for item in items), key=_ENCODER.encode)
    if isinstance(value, list):
        return [_policy(item) for item in value]
    return value
