"""The value of an expression, as a value of the plan; in words if it is not a literal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from driftguard.hcledit import writing
from driftguard.hcledit.documents import same
from driftguard.hcledit.syntax import Expression, ObjectEntry

SCALARS: Final = ("string", "number", "bool", "null", "heredoc")


def reason(at: Expression) -> str:
    """Why an expression cannot be changed: what it is, in words."""
    if at.kind == "call":
        return f"the value comes from the function {at.name}"
    if at.kind == "reference":
        first = at.name.split(".", 1)[0]
        what = {"local": "the local", "var": "the variable", "data": "the data source"}.get(first, "the reference")
        return f"the value comes from {what} {at.name}"
    return f"the value comes from {at.kind}"


def unwritten(at: Expression) -> Expression | None:
    """The first part of a value that is not written out; None where all of it is."""
    if at.kind in SCALARS:
        return None
    if at.kind == "list":
        return next((part for part in map(unwritten, at.items) if part), None)
    if at.kind == "object" and not unnamed(at.entries):
        return next((part for part in (unwritten(entry.expression) for entry in at.entries) if part), None)
    if at.kind == "call" and at.name == "jsonencode" and len(at.items) == 1:
        return unwritten(at.items[0])
    return at


def unnamed(entries: Sequence[ObjectEntry]) -> int:
    """How many entries have a key that is an expression."""
    return sum(entry.key is None for entry in entries)


def states(at: Expression, written: str, value: Any, *, typed: bool) -> bool:
    """Whether a scalar means a value of the plan.

    Args:
        written: the scalar as it is written.
        typed: a number and its text are different things here, as in `jsonencode`.
    """
    if at.kind == "null" or value is None:
        return at.kind == "null" and value is None
    if at.kind == "bool" or isinstance(value, bool):
        return (isinstance(value, bool) and at.value is value) or (not typed and _text(at.value) == _text(value))
    if at.kind == "number":
        return _number_states(at, written, value, typed)
    if isinstance(value, str):
        return same(at.value, value)
    if isinstance(value, int | float) and not typed:
        return str(at.value) == writing.scalar(value)
    return False


def _number_states(at: Expression, written: str, value: Any, typed: bool) -> bool:
    if isinstance(value, str):
        return not typed and written.replace(" ", "") == value
    return isinstance(value, int | float) and bool(at.value == value)


def _text(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value


def all_of(results: Iterable[bool | None]) -> bool | None:
    """True where all are, False where one is; None otherwise."""
    known = list(results)
    if False in known:
        return False
    return None if None in known else True
