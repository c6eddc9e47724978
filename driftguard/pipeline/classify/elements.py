"""Pairs the elements of lists and sets across S, R, D and L by what they hold, never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from driftguard.pipeline.classify.places import Four, Masks, any_true, child, compatible, is_known
from driftguard.sealed import ABSENT, UNKNOWN


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements in each view; `baseline` may be no list where L is not known."""

    state: list[Any]
    reality: list[Any]
    desired: list[Any]
    baseline: Any


@dataclass(frozen=True, slots=True)
class Pair:
    """One element across the views; `ABSENT` where a view does not have it.

    Attributes:
        element_mask: what of D is unknown, for an element that goes on member by member; None for a whole one.
        certain: whether the pairing is the only possible one.
        copy: which one of several equal elements it is, counted from 0.
    """

    four: Four
    element_mask: Any = None
    certain: bool = True
    copy: int = 0


def paired(elements: Elements, masks: Masks) -> Iterator[Pair]:
    """The elements that are not the same in S, R and D, or not known in D."""
    yield from _Bag(elements, masks).pairs()


class _Bag:
    """Counts of equal elements in each view, from which partly unknown elements of D take their counterparts."""

    def __init__(self, elements: Elements, masks: Masks) -> None:
        self._masks = masks
        self._values: dict[bytes, Any] = {}
        self._state, self._reality = self._count(elements.state), self._count(elements.reality)
        known = [e for i, e in enumerate(elements.desired) if not any_true(child(masks.unknown, i))]
        self._desired = self._count(known)
        self._wanted = _Wanted(elements.baseline, masks)
        self._partial = [
            (value, child(masks.unknown, index))
            for index, value in enumerate(elements.desired)
            if any_true(child(masks.unknown, index))
        ]

    def _count(self, elements: list[Any]) -> Counter[bytes]:
        texts = [self._masks.text(element) for element in elements]
        self._values.update(zip(texts, elements, strict=True))
        return Counter(texts)

    def pairs(self) -> Iterator[Pair]:
        for value, mask in sorted(self._partial, key=lambda pair: pair[1] is True):  # what is wholly unknown last
            yield self._partly_unknown(value, mask)
        for text in sorted(self._values):
            counts = [bag[text] for bag in (self._state, self._reality, self._desired)]
            for copy in range(min(counts), max(counts)):
                s, r, d = (self._values[text] if copy < count else ABSENT for count in counts)
                yield Pair(Four(s, r, d, self._wanted.known(self._values[text], copy)), copy=copy)

    def _partly_unknown(self, value: Any, mask: Any) -> Pair:
        found = self._take(self._reality, value, mask)
        if found is not None:
            element = self._values[found]
            held = self._state[found] > 0
            self._state[found] -= held
            if mask is True:
                return Pair(Four(element if held else ABSENT, element, UNKNOWN, self._wanted.known(element, 0)))
            if held:
                return Pair(Four(element, element, value, self._wanted.known(element, 0)), element_mask=mask)
            return Pair(Four(ABSENT, element, element, self._wanted.known(element, 0)), certain=False)
        if mask is True:
            return Pair(Four(ABSENT, ABSENT, UNKNOWN, UNKNOWN))
        found = self._take(self._state, value, mask)
        if found is not None:  # wanted, in the state, and gone from reality
            element = self._values[found]
            return Pair(Four(element, ABSENT, element, self._wanted.known(element, 0)), certain=False)
        return Pair(Four(ABSENT, ABSENT, value, self._wanted.partly_unknown(value, mask)))

    def _take(self, view: Counter[bytes], value: Any, mask: Any) -> bytes | None:
        """Take an element that the partly unknown one may become, first one that both S and R hold."""
        spare = [text for text in sorted(view) if view[text] > self._desired[text]]
        fitting = [text for text in spare if compatible(self._values[text], value, mask, self._masks)]
        if not fitting:
            return None
        best = min(fitting, key=lambda text: (self._state[text] == 0, text))
        view[best] -= 1
        return best


class _Wanted:
    """L of single elements: the element, `ABSENT`, or why L is not known."""

    def __init__(self, baseline: Any, masks: Masks) -> None:
        self._masks = masks
        self._unknown: Any = None if is_known(baseline) else baseline
        if masks.baseline_unknown is True:
            self._unknown = UNKNOWN
        elements = baseline if isinstance(baseline, list) else []
        covered = [(element, child(masks.baseline_unknown, index)) for index, element in enumerate(elements)]
        self._partial = [(element, mask) for element, mask in covered if any_true(mask)]
        self._elements = [element for element, mask in covered if not any_true(mask)]
        self._counts = Counter(masks.text(element) for element in self._elements)

    def known(self, element: Any, copy: int) -> Any:
        """L of the n-th of several equal elements."""
        if self._unknown is not None:
            return self._unknown
        if copy < self._counts[self._masks.text(element)]:
            return element
        fits = any(compatible(element, wanted, mask, self._masks) for wanted, mask in self._partial)
        return UNKNOWN if fits else ABSENT

    def partly_unknown(self, element: Any, mask: Any) -> Any:
        """L of an element whose value D does not know in full."""
        if self._unknown is not None:
            return self._unknown
        wanted = [*self._elements, *(value for value, _ in self._partial)]
        return element if any(compatible(value, element, mask, self._masks) for value in wanted) else ABSENT
