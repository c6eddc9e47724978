"""What becomes of the elements of a list and the entries of an object between two values of the plan. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from driftguard.hcledit.expressions import unnamed
from driftguard.hcledit.matching import canonical
from driftguard.hcledit.source import EditRefused
from driftguard.hcledit.syntax import Expression, ObjectEntry

EMPTY: Final[tuple[Any, ...]] = (None, "", [], {}, 0, False)


@dataclass(frozen=True, slots=True)
class ListChanges:
    """What happens to the wanted elements, by index; `added` is by the index that it comes before."""

    changed: tuple[tuple[int, Any], ...]
    removed: set[int]
    added: dict[int, list[Any]]


def ordered(old: Sequence[Any], new: Sequence[Any]) -> ListChanges:
    """The changes of a list whose order counts."""
    changed: list[tuple[int, Any]] = []
    removed: set[int] = set()
    added: dict[int, list[Any]] = {}
    matcher = SequenceMatcher(None, list(map(canonical, old)), list(map(canonical, new)), autojunk=False)
    for operation, start, end, new_start, new_end in matcher.get_opcodes():
        if operation == "equal":
            continue
        both = min(end - start, new_end - new_start)
        changed += [(start + offset, new[new_start + offset]) for offset in range(both)]
        removed |= set(range(start + both, end))
        if new_end > new_start + both:
            added[end] = list(new[new_start + both : new_end])
    return ListChanges(tuple(changed), removed, added)


def unordered(old: Sequence[Any], new: Sequence[Any]) -> ListChanges:
    """The changes of a set, in whatever order it is written."""
    left = list(map(canonical, new))
    gone = []
    for index, value in enumerate(old):
        if canonical(value) in left:
            left.remove(canonical(value))
        else:
            gone.append(index)
    come = []
    for value in new:
        if canonical(value) in left:
            left.remove(canonical(value))
            come.append(value)
    changed = tuple(zip(gone, come, strict=False))
    rest = come[len(changed) :]
    return ListChanges(changed, set(gone[len(changed) :]), {len(old): rest} if rest else {})


@dataclass(frozen=True, slots=True)
class EntryChanged:
    """An entry whose value changes."""

    entry: ObjectEntry
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class EntryRemoved:
    """An entry that goes, by its index among those written."""

    index: int
    entry: ObjectEntry


@dataclass(frozen=True, slots=True)
class EntryAdded:
    """An entry that comes."""

    name: str
    value: Any


EntryChange = EntryChanged | EntryRemoved | EntryAdded


def entry_changes(
    at: Expression, old: Mapping[str, Any], new: Mapping[str, Any], *, partial: bool
) -> Iterator[EntryChange]:
    """The changes of an object's entries: those of the old value in its order, then those that are new.

    Args:
        partial: the object states only some of its value, as a block does: what is empty need not be written.

    Raises:
        EditRefused: a key stands there twice, or what changed is not written there by its name.
    """
    written = {entry.key: (index, entry) for index, entry in enumerate(at.entries) if entry.key is not None}
    if len(written) + unnamed(at.entries) < len(at.entries):
        raise EditRefused("a key stands here twice", at.line)
    differing = [name for name in dict.fromkeys((*old, *new)) if _differs(name, old, new)]
    for name in differing:
        if name in written:
            index, entry = written[name]
            stays = name in new and not (partial and new[name] is None)
            yield EntryChanged(entry, old.get(name), new[name]) if stays else EntryRemoved(index, entry)
        elif not (partial and new.get(name) in EMPTY and old.get(name) in EMPTY):
            yield _added(at, name, old, new, partial)


def _added(at: Expression, name: str, old: Mapping[str, Any], new: Mapping[str, Any], partial: bool) -> EntryAdded:
    """The new entry for a name that is not written; refused where another expression may already stand for it."""
    may_be = new.get(name) is not None if partial else name in new and old.get(name) is None
    if not may_be:
        line = next((entry.line for entry in at.entries if entry.key is None), at.line)
        raise EditRefused("what changed is not written here by its name", line)
    return EntryAdded(name, nonempty(new[name]) if partial else new[name])


def _differs(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return canonical(old.get(name)) != canonical(new.get(name)) or (name in old) != (name in new)


def nonempty(value: Any) -> Any:
    """What has to be written of an attribute in a body: of each element in a list, nothing that is empty."""
    return [nonempty_element(item) for item in value] if isinstance(value, list) else value


def nonempty_element(value: Any) -> Any:
    """An element without what is empty in it."""
    if not isinstance(value, Mapping):
        return value
    return {name: nonempty(item) for name, item in value.items() if item not in EMPTY}
