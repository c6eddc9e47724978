"""What walking compares: four values at one path, and the masks and the schema that guide it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from driftguard.pipeline.classify.equality import is_zero, meaning
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE, Ruling
from driftguard.sealed import ABSENT, UNKNOWN, Marker


class SchemaShape(Protocol):
    """A provider's schema at one path."""

    @property
    def is_set(self) -> bool:
        """Whether the value is a set, whose elements have no positions."""
        ...

    @property
    def is_computed_only(self) -> bool:
        """Whether no configuration can set it."""
        ...

    def at(self, key: str | int) -> SchemaShape | None:
        """The shape of a member or element; None where the schema does not state it."""
        ...


@dataclass(frozen=True, slots=True)
class Four:
    """S, R, D and L at one path; `ABSENT` where a member or element is not there."""

    state: Any
    reality: Any
    desired: Any
    baseline: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One path with its four values.

    Attributes:
        secret: whether any of the masks covers it.
        certain: whether the pairing of elements that led here is the only possible one.
        copy: which one of several equal elements it is, counted from 0.
        gone: whether the object is not there, so that the reality reported is `absent`.
        ruling: the label, where the place alone decides it.
    """

    path: str
    state: Any
    reality: Any
    desired: Any
    baseline: Any
    secret: bool
    certain: bool = True
    gone: bool = False
    copy: int = 0
    ruling: Ruling | None = None


@dataclass(frozen=True, slots=True)
class Masks:
    """Terraform's masks at one path (true, or an object or list shaped like the value), and the schema there.

    Attributes:
        lenient: whether a provider's zero values count as null, in values that Terraform does not compare itself.
    """

    unknown: Any = False
    baseline_unknown: Any = False
    secret: tuple[Any, ...] = ()
    shape: SchemaShape | None = None
    lenient: bool = False

    def at(self, key: str | int) -> Masks:
        """The masks of a member or element."""
        return Masks(
            self.unknown and child(self.unknown, key),
            self.baseline_unknown and child(self.baseline_unknown, key),
            self.secret and tuple(inner for mask in self.secret if (inner := child(mask, key))),
            self.shape.at(key) if self.shape is not None else None,
            self.lenient,
        )

    @property
    def is_secret(self) -> bool:
        """Whether anything at or below the path is sensitive."""
        return any(any_true(mask) for mask in self.secret)

    @property
    def is_set(self) -> bool:
        """Whether the value is a set by its schema."""
        return self.shape is not None and self.shape.is_set

    def baseline(self, value: Any) -> Any:
        """L at this path; `UNKNOWN` where the baseline's plan did not know it."""
        return UNKNOWN if any_true(self.baseline_unknown) else value

    def text(self, value: Any) -> bytes:
        """A text that is equal for exactly those elements that count as one."""
        return meaning(_without_zeros(value) if self.lenient else _without_empties(value))

    def alike(self, left: Any, right: Any) -> bool:
        """Whether two values count as one."""
        return self.text(left) == self.text(right)


def child(mask: Any, key: str | int) -> Any:
    """A mask's part for a member or element."""
    if mask is True:
        return True
    if isinstance(mask, dict) and isinstance(key, str):
        return mask.get(key, False)
    if isinstance(mask, list) and isinstance(key, int) and key < len(mask):
        return mask[key]
    return False


def any_true(mask: Any) -> bool:
    """Whether a mask covers anything."""
    if isinstance(mask, dict):
        return any(any_true(item) for item in mask.values())
    if isinstance(mask, list):
        return any(any_true(item) for item in mask)
    return mask is True


def covered(mask: Any) -> Any:
    """What a mask covers, alike for masks of the same extent."""
    if isinstance(mask, dict):
        return {key: below for key, item in mask.items() if (below := covered(item))}
    if isinstance(mask, list):
        return {index: below for index, item in enumerate(mask) if (below := covered(item))}
    return mask is True


def is_known(baseline: Any) -> bool:
    """Whether L is a value."""
    return baseline is not NO_BASELINE_VALUE and baseline is not UNKNOWN


def compatible(value: Any, partial: Any, mask: Any, masks: Masks) -> bool:
    """Whether a value could be what a partly unknown one becomes: equal wherever that is known."""
    if mask is True:
        return True
    if not any_true(mask):
        return masks.alike(value, partial)
    if isinstance(value, dict) and isinstance(partial, dict):
        keys = value.keys() | partial.keys()
        return all(compatible(value.get(key), partial.get(key), child(mask, key), masks) for key in keys)
    if isinstance(value, list) and isinstance(partial, list):
        pairs = enumerate(zip(value, partial, strict=False))
        return len(value) == len(partial) and all(compatible(v, p, child(mask, i), masks) for i, (v, p) in pairs)
    return False


def _without_empties(value: Any) -> Any:
    """An element with null for every empty member of its objects.

    A provider's library writes the one or the other when it plans a set anew; a member that is missing stays missing.
    """
    if isinstance(value, dict):
        return {key: None if item in ("", [], {}) else _without_empties(item) for key, item in value.items()}
    return [_without_empties(item) for item in value] if isinstance(value, list) else value


def _without_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if not is_zero(inner := _without_zeros(item))}
    if isinstance(value, list):
        return [_without_zeros(item) for item in value]
    return None if not isinstance(value, Marker) and is_zero(value) else value


def absent_if_missing(values: dict[str, Any], key: str, *, top: bool) -> Any:
    """An object's member; a top-level attribute that is missing is null, an entry of a map is absent."""
    return values.get(key) if top else values.get(key, ABSENT)
