"""JSON documents inside of texts, such as policies: read, compared, and distinguished from differences of form."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from driftguard.hcledit.matching import canonical
from driftguard.nesting import decode_bounded

_SETS: Final = frozenset(("Action", "NotAction", "Resource", "NotResource", "AWS", "Service", "Federated"))


def document(text: Any) -> Any:
    """The object or list that a text is in JSON; None for anything else."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return decode_bounded(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def same(one: Any, other: Any) -> bool:
    """Whether two values of a plan mean the same: JSON texts are compared by their values."""
    if canonical(one) == canonical(other):
        return True
    first, second = document(one), document(other)
    return first is not None and second is not None and canonical(first) == canonical(second)


def kept_form(old: Any, new: Any) -> Any:
    """A policy's new document, with the old one's form wherever only the form differs.

    AWS gives a list of one element as that element and sorts actions and resources; both mean the same in a policy.
    """
    if not (isinstance(old, dict) and isinstance(new, dict) and "Statement" in old and "Statement" in new):
        return new
    was, now = old["Statement"], new["Statement"]
    many = isinstance(was, list)
    if isinstance(now, dict) and many:
        now = [now]
    elif isinstance(now, list) and len(now) == 1 and not many:
        (now,) = now
    if isinstance(now, list) and isinstance(was, list):
        now = [_statement(_counterpart(each, index, was, now), each) for index, each in enumerate(now)]
    elif isinstance(now, dict) and isinstance(was, dict):
        now = _statement(was, now)
    return {**new, "Statement": now}


def _counterpart(statement: Any, index: int, was: list[Any], now: list[Any]) -> Any:
    for old in was:
        if canonical(_statement(old, statement)) == canonical(old):
            return old
    return was[index] if len(was) == len(now) else None


def _statement(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {name: _member(name, old.get(name), value) for name, value in new.items()}


def _member(name: str, old: Any, new: Any) -> Any:
    if name == "Principal" and isinstance(old, dict) and isinstance(new, dict):
        return {kind: _member(kind, old.get(kind), value) for kind, value in new.items()}
    return _set_member(old, new) if name in _SETS and old is not None else new


def _set_member(old: Any, new: Any) -> Any:
    if _as_set(old) == _as_set(new):
        return old
    if not isinstance(old, list):
        return new
    if isinstance(new, str):
        return [new]
    if not isinstance(new, list):
        return new
    # Elements that stay keep their place.
    return [item for item in old if item in new] + [item for item in new if item not in old]


def _as_set(value: Any) -> list[bytes]:
    return sorted(map(canonical, value if isinstance(value, list) else [value]))
