"""The contract's table of labels, as the laboratory reads it: S, R, D, L and the baseline's values in, labels out.

Written from the contract alone. It knows the schema, the cloud and both configurations, which DriftGuard does not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lab.schema import LISTS, MAPS, SETS, SINGLE, Attribute
from lab.wire import UNKNOWN


class _Absent:
    def __repr__(self) -> str:
        return "absent"


class _NotKnown:
    def __repr__(self) -> str:
        return "not known"


ABSENT: Any = _Absent()
PRESENT = "present"
NOT_KNOWN: Any = _NotKnown()


@dataclass(frozen=True, slots=True)
class Five:
    """The values of one place: state, reality, desired, what the last good configuration wants, what was there then."""

    state: Any
    reality: Any
    desired: Any
    wanted: Any
    then: Any

    def each(self, of: Any) -> Five:
        """The same, with a function of each value."""
        return Five(of(self.state), of(self.reality), of(self.desired), of(self.wanted), of(self.then))


@dataclass(frozen=True, slots=True)
class Fact:
    """One place with its label.

    Attributes:
        certain: whether every test for the label can be made.
        gone: whether the object was deleted outside Terraform, so that R is absent whatever the label rests on.
        lost: whether the object is about to be deleted, so that D is absent.
        secret: whether the values are not shown.
        forces: whether the change makes the object be replaced.
    """

    path: str
    label: str
    certain: bool = True
    five: Five | None = None
    gone: bool = False
    lost: bool = False
    secret: bool = False
    forces: bool = False

    @property
    def attribute(self) -> str:
        """The name of the attribute that it lies in; empty for the object itself."""
        return self.path.split(".", 1)[0].split("[", 1)[0]


def identical(left: Any, right: Any) -> bool:
    """Equality to the letter."""
    return left is right or _letters(left) == _letters(right)


def _letters(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def same(left: Any, right: Any) -> bool:
    """Equality to the contract: exact, except that texts of JSON are compared as JSON."""
    if left is right:
        return True
    if isinstance(left, _Absent | _NotKnown) or isinstance(right, _Absent | _NotKnown) or UNKNOWN in (left, right):
        return False
    return _form(left) == _form(right)


def _form(value: Any) -> str:
    if value is UNKNOWN:
        return "unknown"
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return "json:" + json.dumps(json.loads(value), sort_keys=True)
        except ValueError:
            return json.dumps(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={_form(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_form(item) for item in value) + "]"
    return json.dumps(value)


def label(five: Five, configured: bool, *, written: bool) -> tuple[str, bool] | None:
    """The label of one place and whether every test for it could be made; None for what did not change.

    Args:
        written: whether the state was written since the baseline, which decides where the values of then are not known.
    """
    s, r, d, wanted, then = five.state, five.reality, five.desired, five.wanted, five.then
    moved = not same(s, r)
    if d is not UNKNOWN and same(s, r) and same(r, d):
        return None if identical(s, r) and identical(r, d) else ("noise", True)
    if d is UNKNOWN:
        return ("drift", False) if moved and configured else ("derived", True)
    commit: bool | None = None if wanted is NOT_KNOWN or is_open(wanted) else not same(d, wanted)
    if same(r, d):
        changed = commit or is_open(wanted)  # what was unknown then and is known now, a commit made known
        return (("adopted" if changed else "noise"), commit is not None) if moved else None
    if moved:
        if same(d, s) or commit is False:
            return "drift", True
        if commit is None and _is_empty(s) and _is_empty(d):
            return "drift", False
        return "conflict", commit is not None
    if commit is None:
        return "pending", False
    if then is NOT_KNOWN:
        return ("pending", not written) if commit else ("absorbed" if written else "input", False)
    if commit:
        return ("pending" if same(r, then) or same(d, then) else "conflict"), True
    return ("input" if same(r, then) else "absorbed"), True


def is_open(wanted: Any) -> bool:
    """Whether a value or an element of it is known after an apply only."""
    return wanted is UNKNOWN or (isinstance(wanted, list) and any(item is UNKNOWN for item in wanted))


def _is_empty(value: Any) -> bool:
    """Whether a value is null or what a provider stores for it."""
    return not value


def facts(attribute: Attribute, five: Five, configured: bool, *, written: bool) -> Iterator[Fact]:
    """Every place at or below an attribute that has a label; `written` as for `label`."""
    for below, values in places(attribute, attribute.name, five):
        found = label(values, configured, written=written)
        if found is not None:
            yield Fact(below, found[0], found[1], values)


def places(attribute: Attribute, path: str, five: Five) -> Iterator[tuple[str, Five]]:
    """Where the values of an attribute part: its members, entries or elements, or the attribute itself."""
    kind = attribute.kind
    if UNKNOWN in (five.desired,) or not _structured(five):
        yield path, five
        return
    if kind in SINGLE:
        found = list(_members(path, five))
    elif kind in MAPS:
        found = [place for key, inner in _keyed(path, five) for place in _inside(kind, key, inner)]
    elif kind in SETS or (kind in LISTS and _longest(five) > 1):
        found = list(_bag(path, five))
    elif kind in LISTS:
        found = list(_inside(kind, f"{path}[0]", five.each(_first)))
    else:
        found = []
    plain = all(identical(a, b) for _, f in found for a, b in ((f.state, f.reality), (f.reality, f.desired)))
    yield from [(path, five)] if plain else found


def _structured(five: Five) -> bool:
    return any(isinstance(value, dict | list) for value in (five.state, five.reality, five.desired))


def _members(path: str, five: Five) -> Iterator[tuple[str, Five]]:
    for name in ("p", "q"):
        yield f"{path}.{name}", five.each(lambda value, name=name: _member(value, name))


def _member(value: Any, name: str) -> Any:
    if value is None or value is ABSENT:
        return ABSENT
    return value if value is NOT_KNOWN or value is UNKNOWN else value.get(name)


def _keyed(path: str, five: Five) -> Iterator[tuple[str, Five]]:
    keys = {key for value in (five.state, five.reality, five.desired) if isinstance(value, dict) for key in value}
    for key in sorted(keys):
        yield f"{path}.{key}", five.each(lambda value, key=key: _entry(value, key))


def _entry(value: Any, key: str) -> Any:
    if value is NOT_KNOWN or value is UNKNOWN:
        return value
    return value.get(key, ABSENT) if isinstance(value, dict) else ABSENT


def _inside(kind: str, path: str, five: Five) -> Iterator[tuple[str, Five]]:
    """An entry or the only element: member by member where it is in every view, as a whole where it comes or goes."""
    whole = kind in ("map", "list", "set") or ABSENT in (five.state, five.reality, five.desired)
    yield from [(path, five)] if whole else _members(path, five)


def _longest(five: Five) -> int:
    return max(len(value) for value in (five.state, five.reality, five.desired) if isinstance(value, list))


def _first(value: Any) -> Any:
    if value is NOT_KNOWN or value is UNKNOWN:
        return value
    return value[0] if isinstance(value, list) and value else ABSENT


def _bag(path: str, five: Five) -> Iterator[tuple[str, Five]]:
    """Element by element; an unknown one of D stands for one that R has and D does not name, first one that S has."""
    views = (five.state, five.reality, five.desired)
    elements = {_form(e): e for value in views if isinstance(value, list) for e in value if e is not UNKNOWN}
    state, reality, desired = (_counted(value) or Counter() for value in views)
    wanted, then = _counted(five.wanted), _counted(five.then)
    may_be = is_open(five.wanted)

    def held(bag: Counter[str] | None, text: str, copy: int, otherwise: Any = ABSENT) -> Any:
        return NOT_KNOWN if bag is None else elements[text] if copy < bag[text] else otherwise

    for _ in range(desired.pop(_form(UNKNOWN), 0)):
        spare = [text for text in sorted(elements) if reality[text] > desired[text]]
        taken = min(spare, key=lambda text: (state[text] == 0, text), default="")
        there = (elements[taken] if state[taken] else ABSENT, elements[taken]) if taken else (ABSENT, ABSENT)
        state[taken] -= there[0] is not ABSENT
        reality[taken] -= bool(taken)
        yield f"{path}[]", Five(*there, UNKNOWN, UNKNOWN, NOT_KNOWN)
    for text in sorted(elements):
        counts = [bag[text] for bag in (state, reality, desired)]
        for copy in range(min(counts), max(counts)):
            s, r, d = (held(bag, text, copy) for bag in (state, reality, desired))
            before = held(wanted, text, copy, UNKNOWN if may_be else ABSENT)
            yield f"{path}[]", Five(s, r, d, before, held(then, text, copy))


def _counted(value: Any) -> Counter[str] | None:
    if value is NOT_KNOWN or value is UNKNOWN:
        return None
    return Counter(_form(element) for element in value) if isinstance(value, list) else Counter()


_DRIFTED = frozenset({"drift", "absorbed", "residue"})
_WAITING = frozenset({"pending", "input", "refactor"})
_SETTLED = frozenset({"noise", "adopted", "restless"})


def verdict(label_sets: Iterable[Iterable[str]], *, replaces: bool = False) -> str:
    """An environment's verdict from all labels.

    Args:
        replaces: whether an object is to be replaced or deleted, so that what follows is no small thing.
    """
    labels = {label for labels in label_sets for label in labels}
    if "conflict" in labels or (labels & _DRIFTED and labels & _WAITING):
        return "diverged"
    if labels & _DRIFTED:
        return "drifted"
    if labels <= _SETTLED | {"derived"} and "restless" in labels and not replaces:
        return "in_sync"
    return "pending" if labels & _WAITING or "derived" in labels else "in_sync"
