"""Walks the values of one attribute tree side by side and yields the places where they part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from driftguard.pipeline.classify.equality import identical, meaning, same
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE
from driftguard.sealed import ABSENT, UNKNOWN


@dataclass(frozen=True, slots=True)
class Place:
    """One path with its four values. `secret` is true when any of the masks covers it."""

    path: str
    state: Any
    reality: Any
    desired: Any
    baseline: Any
    secret: bool


@dataclass(frozen=True, slots=True)
class Masks:
    """Terraform's masks at one path: true, or an object or list shaped like the value."""

    unknown: Any = False
    baseline_unknown: Any = False
    secret: tuple[Any, ...] = ()

    def at(self, key: str | int) -> Masks:
        return Masks(
            _child(self.unknown, key),
            _child(self.baseline_unknown, key),
            tuple(child for mask in self.secret if (child := _child(mask, key))),
        )

    @property
    def is_secret(self) -> bool:
        return any(_any_true(mask) for mask in self.secret)


def walk(path: str, state: Any, reality: Any, desired: Any, baseline: Any, masks: Masks) -> Iterator[Place]:
    """Every place at or below `path` where S, R and D are not all the same, or D is unknown.

    Objects are compared member by member. Lists of at most one element are compared by index; longer
    ones as bags of elements (path `list[]`), so that an element added outside and one added by a commit stay two
    separate facts. A pure change of order is one place, the list.
    """
    if masks.unknown is True:
        yield Place(path, state, reality, UNKNOWN, _baseline(baseline, masks), masks.is_secret)
        return
    if not masks.unknown and identical(state, reality) and identical(reality, desired):
        return
    values = (state, reality, desired)
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, dict) for value in present):
        yield from _walk_objects(path, state, reality, desired, baseline, masks)
    elif present and all(isinstance(value, list) for value in present):
        yield from _walk_lists(path, state, reality, desired, baseline, masks)
    elif not (same(state, reality) and same(reality, desired)):
        yield Place(path, state, reality, desired, _baseline(baseline, masks), masks.is_secret)


def _walk_objects(path: str, state: Any, reality: Any, desired: Any, baseline: Any, masks: Masks) -> Iterator[Place]:
    s, r, d = state or {}, reality or {}, desired or {}
    keys = s.keys() | r.keys() | d.keys()
    if isinstance(masks.unknown, dict):
        keys |= {key for key, mask in masks.unknown.items() if _any_true(mask)}
    for key in sorted(keys):
        values = (s.get(key), r.get(key), d.get(key))
        if not _child(masks.unknown, key) and identical(values[0], values[1]) and identical(values[1], values[2]):
            continue  # as `walk` would find; most attributes of a changed resource end here
        below = f"{path}.{key}" if path else key
        yield from walk(below, *values, _member(baseline, key), masks.at(key))


def _walk_lists(path: str, state: Any, reality: Any, desired: Any, baseline: Any, masks: Masks) -> Iterator[Place]:
    s, r, d = state or [], reality or [], desired or []
    longest = max(len(s), len(r), len(d))
    if longest <= 1 or _any_true(masks.unknown):
        unknowns = len(masks.unknown) if isinstance(masks.unknown, list) else 0
        for index in range(max(longest, unknowns)):
            yield from walk(
                f"{path}[{index}]",
                _item(s, index),
                _item(r, index),
                _item(d, index),
                _element(baseline, index),
                masks.at(index),
            )
        return
    places = list(_bag(path, s, r, d, baseline, masks))
    if places:
        yield from places
    elif not (same(s, r) and same(r, d)):
        yield Place(path, state, reality, desired, _baseline(baseline, masks), masks.is_secret)


def _bag(path: str, s: list[Any], r: list[Any], d: list[Any], baseline: Any, masks: Masks) -> Iterator[Place]:
    known = _baseline(baseline, masks)
    bags = [Counter(meaning(element) for element in values) for values in (s, r, d)]
    l_bag = None if known in (NO_BASELINE_VALUE, UNKNOWN) else Counter(meaning(element) for element in _list(known))
    elements = {meaning(element): element for element in [*s, *r, *d]}
    for text in sorted(elements):
        counts = [bag[text] for bag in bags]
        for copy in range(min(counts), max(counts)):
            values = [elements[text] if copy < count else ABSENT for count in counts]
            wanted = known if l_bag is None else elements[text] if copy < l_bag[text] else ABSENT
            yield Place(f"{path}[]", values[0], values[1], values[2], wanted, masks.is_secret)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _child(mask: Any, key: str | int) -> Any:
    if mask is True:
        return True
    if isinstance(mask, dict) and isinstance(key, str):
        return mask.get(key, False)
    if isinstance(mask, list) and isinstance(key, int) and key < len(mask):
        return mask[key]
    return False


def _any_true(mask: Any) -> bool:
    if isinstance(mask, dict):
        return any(_any_true(item) for item in mask.values())
    if isinstance(mask, list):
        return any(_any_true(item) for item in mask)
    return mask is True


def _baseline(value: Any, masks: Masks) -> Any:
    return UNKNOWN if _any_true(masks.baseline_unknown) else value


def _member(baseline: Any, key: str) -> Any:
    if baseline is NO_BASELINE_VALUE or baseline is UNKNOWN:
        return baseline
    return baseline.get(key) if isinstance(baseline, dict) else None


def _element(baseline: Any, index: int) -> Any:
    if baseline is NO_BASELINE_VALUE or baseline is UNKNOWN:
        return baseline
    return _item(baseline, index) if isinstance(baseline, list) else None


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT
