"""Walks the values of one attribute tree side by side and yields the places where they part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from driftguard.pipeline.classify.elements import Elements, paired
from driftguard.pipeline.classify.equality import identical
from driftguard.pipeline.classify.places import Difference, Four, Masks, absent_if_missing, any_true, is_known
from driftguard.sealed import ABSENT, UNKNOWN


def walk(path: str, four: Four, masks: Masks) -> Iterator[Difference]:
    """Every place at or below `path` where S, R and D are not all the same, or D is unknown.

    Objects are compared member by member. Lists of at most one element are compared by index unless they are sets by
    their schema; all others as bags of elements (path `list[]`), so that an element added outside Terraform and
    one added by a commit stay two separate facts. A pure change of order is one place, the list.
    """
    if masks.unknown is True:
        yield _whole(path, four, masks, desired=UNKNOWN)
        return
    if not masks.unknown and _equal(four):
        return
    views = (four.state, four.reality, four.desired)
    present = [value for value in views if value is not None]
    if present and all(isinstance(value, dict) for value in present):
        below = _members(path, four, masks)
    elif present and all(isinstance(value, list) for value in present):
        below = _elements(path, four, masks)
    else:
        below = iter(())
    found = False
    for place in below:
        found = True
        yield place
    if not found and not _equal(four):
        yield _whole(path, four, masks)


def _equal(four: Four) -> bool:
    return identical(four.state, four.reality) and identical(four.reality, four.desired)


def _whole(path: str, four: Four, masks: Masks, *, desired: Any = None) -> Difference:
    desired = four.desired if desired is None else desired
    return Difference(path, four.state, four.reality, desired, masks.baseline(four.baseline), masks.is_secret)


def _members(path: str, four: Four, masks: Masks) -> Iterator[Difference]:
    s, r, d = four.state or {}, four.reality or {}, four.desired or {}
    keys = s.keys() | r.keys() | d.keys()
    unknown = masks.unknown if isinstance(masks.unknown, dict) else {}
    not_known = {key for key, mask in unknown.items() if any_true(mask)}
    top = not path
    missing = None if top else ABSENT  # a top-level attribute that is missing is null, an entry of a map is absent
    for key in sorted(keys | not_known):
        state, reality, desired = s.get(key, missing), r.get(key, missing), d.get(key, missing)
        if key not in not_known and identical(state, reality) and identical(reality, desired):
            continue  # as `walk` would find; most attributes of a changed resource end here
        inner = Four(state, reality, desired, _member(four.baseline, key, top=top))
        yield from walk(f"{path}.{key}" if path else key, inner, masks.at(key))


def _member(baseline: Any, key: str, *, top: bool) -> Any:
    if not is_known(baseline):
        return baseline
    if top and baseline is None:
        return ABSENT  # the object is not wanted, which is not the same as an attribute that is null
    return absent_if_missing(baseline if isinstance(baseline, dict) else {}, key, top=top)


def _elements(path: str, four: Four, masks: Masks) -> Iterator[Difference]:
    s, r, d = four.state or [], four.reality or [], four.desired or []
    unknowns = len(masks.unknown) if isinstance(masks.unknown, list) else 0
    longest = max(len(s), len(r), len(d), unknowns)
    if longest <= 1 and not masks.is_set:
        for index in range(longest):
            inner = Four(_item(s, index), _item(r, index), _item(d, index), _element(four.baseline, index))
            yield from walk(f"{path}[{index}]", inner, masks.at(index))
        return
    for pair in paired(Elements(s, r, d, four.baseline), masks):
        if pair.element_mask is None:
            yield Difference(
                f"{path}[]",
                pair.four.state,
                pair.four.reality,
                pair.four.desired,
                pair.four.baseline,
                masks.is_secret,
                certain=pair.certain,
                copy=pair.copy,
            )
        else:
            below = Masks(pair.element_mask, False, masks.secret, masks.at(0).shape, masks.lenient)
            yield from walk(f"{path}[]", pair.four, below)


def _element(baseline: Any, index: int) -> Any:
    if not is_known(baseline):
        return baseline
    return _item(baseline, index) if isinstance(baseline, list) else ABSENT


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT
