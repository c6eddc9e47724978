"""Keyed digests of every attribute: made from a state, asked when a plan is labelled.

A digest shows whether a value is the same as at the baseline, and nothing else of it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from driftguard.model import AttributeChange, Classification, Label, ResourceChange
from driftguard.model.digests import Digests
from driftguard.model.plan_document import VALUES, PlanDocument, decode
from driftguard.pipeline.classify.equality import meaning
from driftguard.pipeline.classify.places import any_true
from driftguard.pipeline.classify.rules import Subject
from driftguard.sealed import ABSENT, Marker, Sealed

_SIZE: Final = 8
_TYPE_NAMES: Final = frozenset({"string", "number", "bool", "dynamic"})
_TYPE_KINDS: Final = frozenset({"list", "set", "map", "object", "tuple"})
_Digested = dict[str, dict[str, bytes]]


def digests_of_state(text: bytes, key: bytes) -> Digests | None:
    """The digests of all attributes and outputs in a state (Terraform's state format 4); None for any other text."""
    try:
        return _of_state(VALUES.decode(text), key)
    except (msgspec.DecodeError, RecursionError):
        return None


def _of_state(state: Any, key: bytes) -> Digests | None:
    if not isinstance(state, dict) or state.get("version") != 4:
        return None
    found: _Digested = {address: _digested(values, key) for address, values in _objects(state)}
    for name, output in _items(state.get("outputs")):
        found[f"output.{name}"] = {"": _digest(output.get("value") if isinstance(output, dict) else None, key)}
    return Digests(found)


def digests_of_plan(document: PlanDocument, key: bytes) -> Digests:
    """The digests of what a plan wants: those of a baseline that an operator gave."""
    found: _Digested = {}
    for item in document.resource_changes:
        after = decode(item.change.after)
        if item.mode == "managed" and item.deposed is None and isinstance(after, dict):
            unknown = decode(item.change.after_unknown)
            partly = {name for name, mask in _items(unknown) if any_true(mask)}
            found[item.address] = _digested({k: v for k, v in after.items() if k not in partly}, key)
            found[item.address].update(dict.fromkeys(partly, b""))
    for name, change in document.output_changes.items():
        if change.actions != ("delete",):
            known = not any_true(decode(change.after_unknown))
            found[f"output.{name}"] = {"": _digest(decode(change.after), key) if known else b""}
    return Digests(found)


def without_restless(
    new: Digests, old: Digests | None, found: Classification, written: Digests | None = None
) -> Digests:
    """The digests with those of what is restless as they were before: only an apply renews them.

    Args:
        written: of the state before the refresh, which still holds the objects that are restless as a whole.
    """
    attributes: _Digested = {address: dict(paths) for address, paths in new.attributes.items()}
    before = old.attributes if old is not None else {}
    there = {**(written.attributes if written is not None else {}), **before}
    for resource in found.resources:
        for attribute in _restless(resource):
            if not attribute.path:
                attributes[resource.address] = dict(there.get(resource.address, {}))
            elif resource.address in attributes:
                kept = before.get(resource.address, {}).get(attribute.path, b"")
                attributes[resource.address][attribute.path] = kept
    for output in found.outputs:
        if output.label is Label.RESTLESS:
            address = f"output.{output.name}"
            attributes[address] = dict(before.get(address) or {"": b""})
    return Digests(attributes, old.stood if old is not None else {})


def _restless(resource: ResourceChange) -> Iterator[AttributeChange]:
    return (attribute for attribute in resource.attributes if attribute.label is Label.RESTLESS)


def has_restless_object(found: Classification) -> bool:
    """Whether an object as a whole is restless, which the refreshed state no longer holds."""
    return any(not attribute.path for resource in found.resources for attribute in _restless(resource))


def with_standing(digests: Digests, resources: Iterable[ResourceChange], key: bytes) -> Digests:
    """The digests with every difference that stands right after a complete apply although its state held R."""
    stood: _Digested = {}
    for resource in resources:
        for attribute in resource.attributes:
            if attribute.path and attribute.label is not Label.NOISE and attribute.state == attribute.reality:
                both = _sealed(attribute.reality, key) + _sealed(attribute.desired, key)
                stood.setdefault(resource.address, {})[attribute.path] = both
    return Digests(digests.attributes, stood)


class KeyedDigests:
    """The digests of a baseline with their key; fulfils `rules.BaselineDigests`."""

    def __init__(self, digests: Digests, key: bytes) -> None:
        self._digests, self._key = digests, key

    def holds(self, subject: Subject, value: Any, other: Any) -> bool | None:
        """Whether the attribute had this value at the baseline; None where no digest of it is known."""
        address, path = subject.address, subject.path
        paths = self._digests.attributes.get(address)
        if not path and not address.startswith("output."):
            return (paths is not None) == (value is not ABSENT)
        if paths is None:
            return value is ABSENT
        if paths.get(path.split(".", 1)[0].split("[", 1)[0]) == b"":
            return None
        if path.endswith("[]"):
            return self._holds_element(paths, subject, value, other)
        stored = paths.get(path)
        if stored is None:
            return _where_nothing_is_stored(paths, path, value)
        return None if not stored else stored == _digest(value, self._key)

    def stood(self, subject: Subject, reality: Any, desired: Any) -> bool:
        """Whether this very difference stood after the last complete apply, whose state held `reality`."""
        stored = self._digests.stood.get(subject.address, {}).get(subject.path)
        return stored is not None and stored == b"".join(_sealed(Sealed(v), self._key) for v in (reality, desired))

    def _holds_element(self, paths: Mapping[str, bytes], subject: Subject, value: Any, other: Any) -> bool | None:
        element = other if value is ABSENT else value
        if isinstance(element, Marker):
            return None
        stored = paths.get(subject.path, b"")
        chunks = [stored[start : start + _SIZE] for start in range(0, len(stored), _SIZE)]
        return (chunks.count(_digest(element, self._key)) > subject.copy) == (value is not ABSENT)


def _where_nothing_is_stored(paths: Mapping[str, bytes], path: str, value: Any) -> bool | None:
    """For a path without a digest: the value was null or absent, unless it lies in a list of several elements."""
    absent = value is ABSENT or value is None
    if "[" not in path:
        return absent
    if "[]." in path:
        return None
    container = path[: path.rindex("[")]
    several = paths.get(f"{container}[]", b"")
    return None if several and f"{container}[0]" not in paths else absent


def _objects(state: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for resource in state.get("resources") or ():
        if resource.get("mode") != "managed":
            continue
        module = f"{resource['module']}." if resource.get("module") else ""
        for instance in resource.get("instances") or ():
            values = instance.get("attributes")
            if isinstance(values, dict) and not instance.get("deposed"):
                yield f"{module}{resource['type']}.{resource['name']}{_instance_key(instance)}", values


def _instance_key(instance: Mapping[str, Any]) -> str:
    key = instance.get("index_key")
    if key is None:
        return ""
    return f"[{key}]" if isinstance(key, int) else f"[{_quoted(str(key))}]"


def _quoted(key: str) -> str:
    """A key as Terraform prints it in an address."""
    text = key.replace("\\", "\\\\").replace('"', '\\"')
    for character, escape in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("${", "$${"), ("%{", "%%{")):
        text = text.replace(character, escape)
    return f'"{text}"'


def _digested(values: Mapping[str, Any], key: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in values.items():
        if value is not None:
            _add(found, name, value, key)
    return found


def _add(found: dict[str, bytes], path: str, value: Any, key: bytes) -> None:
    if isinstance(value, dict):
        if value.keys() == {"type", "value"} and _is_a_type(value["type"]):
            _add(found, path, value["value"], key)  # a value whose type the schema leaves open
            value = {"type": value["type"], "value": value["value"]} if path in found else value
        for name, item in value.items():
            below = f"{path}.{name}"
            if below not in found:
                _add(found, below, item, key)
    elif isinstance(value, list):
        found[f"{path}[]"] = b"".join(_digest(item, key) for item in value)
        if len(value) == 1:
            _add(found, f"{path}[0]", value[0], key)
    if path not in found:
        found[path] = _digest(value, key)


def _is_a_type(value: Any) -> bool:
    """Whether it is how a state writes a type: a name, or a kind with what is in it."""
    if isinstance(value, str):
        return value in _TYPE_NAMES
    return isinstance(value, list) and len(value) >= 2 and value[0] in _TYPE_KINDS


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _digest(value: Any, key: bytes) -> bytes:
    text = value.word.encode() if isinstance(value, Marker) else b"=" + meaning(value)
    return blake2b(text, digest_size=_SIZE, key=key[:64]).digest()


def _sealed(value: Sealed, key: bytes) -> bytes:
    return bytes.fromhex(value.digest(key))[:_SIZE]
