"""The values that the laboratory draws for each kind of attribute: few, so that they meet, and odd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lab.schema import LISTS, MAPS, SETS, STUBBORN, Attribute

_TEXTS: Final = ("one", "two", "", "ü—\u2028", "a\tb\n")
_NUMBERS: Final = (0, 1, 2, 12345678901234567890, 12345678901234567891, 0.1)
_JSON: Final = (
    '{"a":1,"b":[]}',
    '{"b": [], "a": 1}',
    '{"a":1}',
    '{"a":1,"b":null}',
    '{"a":12345678901234567890}',
    '{"a":12345678901234567891}',
    "[1, 2]",
    "[2, 1]",
    "{}",
)
_OBJECTS: Final[tuple[dict[str, Any], ...]] = (
    {"p": "one", "q": 1},
    {"p": "two", "q": 1},
    {"p": "two", "q": 2},
    {"p": "", "q": None},
    {"p": "one", "q": None},
)
_LETTERS: Final = ("a", "b", "c", "")
_KEYS: Final = ("k", "l", "dotted.key", "m")


class Dice:
    """Draws for the laboratory, on top of hypothesis or of a fixed list (see `lab.play`)."""

    def number(self, least: int, most: int) -> int:
        """A number between two, both included; shrinks towards the least."""
        raise NotImplementedError

    def choice(self, options: Sequence[Any]) -> Any:
        """One of them; shrinks towards the first."""
        return options[self.number(0, len(options) - 1)]

    def flag(self, one_in: int = 2) -> bool:
        """True once in so many; shrinks towards False."""
        return self.number(0, one_in - 1) == one_in - 1


def value(dice: Dice, attribute: Attribute) -> Any:
    """A value for an attribute, never null."""
    kind = attribute.kind
    if attribute.options:
        return dice.choice(attribute.options)
    if attribute.form == STUBBORN:
        return dice.choice(("one", "two"))
    if attribute.form == "lower":
        return dice.choice(("one", "One", "TWO", "two"))
    if kind == "json":
        return dice.choice(_JSON)
    if kind == "number":
        return dice.choice(_NUMBERS)
    if kind == "bool":
        return dice.choice((True, False))
    if kind in SETS or kind in LISTS:
        return _elements(dice, kind)
    if kind in MAPS:
        keys = [key for key in _KEYS if dice.flag()]
        return {key: dice.choice(_TEXTS if kind == "map" else _OBJECTS) for key in keys}
    if kind in ("object", "nested", "block"):
        return dict(dice.choice(_OBJECTS))
    return dice.choice(_TEXTS)


def element(dice: Dice, kind: str) -> Any:
    """One element of a list or set."""
    return dice.choice(_LETTERS) if kind in ("list", "set") else dict(dice.choice(_OBJECTS))


def _elements(dice: Dice, kind: str) -> list[Any]:
    found = [element(dice, kind) for _ in range(dice.choice((0, 1, 2, 2, 3)))]
    if kind in SETS:
        found = [item for index, item in enumerate(found) if item not in found[:index]]
    return found
