"""Whether two values differ only in what moves by itself: the moment of the plan, or the checkout's path."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from driftguard.pipeline.classify.due import moment
from driftguard.pipeline.classify.equality import identical

# As `formatdate` is mostly used; the longest first, so that a date inside a moment is not taken alone.
_RENDERINGS: Final = (
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
    "%Y-%m-%d-%H-%M-%S",
    "%Y-%m-%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
)


def moves_with_the_clock(reality: Any, desired: Any, now: datetime | None, *, bare: bool) -> bool:
    """Whether every difference is a text about the plan's moment where R has another moment in the same form.

    Args:
        bare: whether the expression has neither a constant nor a reference, so that two moments are enough.
    """

    def moves(old: str, new: str) -> bool:
        if bare and moment(old) is not None and moment(new) is not None:
            return True
        return now is not None and _same_text_at_another_moment(old, new, now)

    return _each_difference(reality, desired, moves)


def moves_with_the_checkout(reality: Any, desired: Any) -> bool:
    """Whether every difference is one absolute path against another that ends alike."""

    def moves(old: str, new: str) -> bool:
        alike = old.rsplit("/", 1)[-1] == new.rsplit("/", 1)[-1]
        return alike and all(text.startswith("/") and not re.search(r"\s", text) for text in (old, new))

    return _each_difference(reality, desired, moves)


def _each_difference(old: Any, new: Any, moves: Any) -> bool:
    if identical(old, new):
        return True
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_each_difference(old[key], new[key], moves) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip(old, new, strict=False)
        return len(old) == len(new) and all(_each_difference(a, b, moves) for a, b in pairs)
    return isinstance(old, str) and isinstance(new, str) and bool(moves(old, new))


def _same_text_at_another_moment(old: str, new: str, now: datetime) -> bool:
    for form in _RENDERINGS:
        rendered = now.strftime(form)
        if rendered in new:
            shape = re.sub("[0-9]", "[0-9]", rendered).replace(".", r"\.")
            around = (re.escape(part) for part in new.split(rendered))
            return re.fullmatch(shape.join(around), old) is not None
    return False
