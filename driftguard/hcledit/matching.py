"""Which written element states which element of the wanted value, and when that is certain. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from driftguard.hcledit.source import EditRefused


def canonical(value: object) -> bytes:
    """A JSON value as bytes that are equal for equal values; 1 and 1.0 are."""
    return msgspec.json.encode(_plain(value), order="deterministic")


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def assignment(states: Sequence[Sequence[bool | None]], touched: set[int]) -> dict[int, int]:
    """The written element for each touched wanted one.

    Args:
        states: for each written element, whether it states each wanted one; None where it may.
        touched: those wanted ones that will change.

    Raises:
        EditRefused: there is none, or more than one that differ.
    """
    size = len(states)
    found: dict[int, int] = {}
    if _complete(states, {}) is None:
        raise EditRefused("what is written here is not what Terraform wants here")
    # Where the written order is the wanted one, equal elements are distinguished by it.
    straight = all(states[index][index] is not False for index in range(size))
    for wanted in sorted(touched):
        may = [w for w in range(size) if states[w][wanted] is not False and _complete(states, {wanted: w}) is not None]
        if len(may) > 1:
            certain = all(states[written][wanted] for written in may)
            if not certain:
                raise EditRefused("several elements could be the one that changed")
            taken = set(found.values())
            may = [wanted] if straight and wanted in may else [written for written in may if written not in taken]
        found[wanted] = may[0]
    return found


def _complete(states: Sequence[Sequence[bool | None]], forced: dict[int, int]) -> dict[int, int] | None:
    """Each wanted element's written one, all different; None where there is no such assignment."""
    owner: dict[int, int] = {written: wanted for wanted, written in forced.items()}
    fixed = set(owner)

    def place(wanted: int, seen: set[int]) -> bool:
        for written in range(len(states)):
            if states[written][wanted] is False or written in seen or written in fixed:
                continue
            seen.add(written)
            if written not in owner or place(owner[written], seen):
                owner[written] = wanted
                return True
        return False

    for wanted in range(len(states)):
        if wanted not in forced and not place(wanted, set()):
            return None
    return {wanted: written for written, wanted in owner.items()}
