"""Resource types of the laboratory: what an attribute holds, who sets it, and what the provider makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lab import wire

_STRING, _NUMBER = "string", "number"
_MEMBERS: Final = {"p": _STRING, "q": _NUMBER}
_OBJECT: Final = ["object", _MEMBERS]
# Kinds of values by name, as Terraform's type constraints; blocks stand apart.
CONSTRAINTS: Final[Mapping[str, Any]] = {
    "string": _STRING,
    "json": _STRING,
    "number": _NUMBER,
    "bool": "bool",
    "list": ["list", _STRING],
    "set": ["set", _STRING],
    "map": ["map", _STRING],
    "object": _OBJECT,
    "objects": ["list", _OBJECT],
    "object_set": ["set", _OBJECT],
}
_NESTED: Final = {"nested": 1, "nested_list": 2, "nested_set": 3, "nested_map": 4}
_BLOCKS: Final = {"block": 1, "blocks": 2, "block_set": 3, "block_map": 4}
KINDS: Final = (*CONSTRAINTS, *_NESTED, *_BLOCKS)
SETS: Final = frozenset({"set", "object_set", "nested_set", "block_set"})
LISTS: Final = frozenset({"list", "objects", "nested_list", "blocks"})
MAPS: Final = frozenset({"map", "nested_map", "block_map"})
SINGLE: Final = frozenset({"object", "nested", "block"})
BLOCKS: Final = frozenset(_BLOCKS)
STUBBORN: Final = "stubborn"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute or nested block of a type.

    Attributes:
        mode: required, optional, computed, or both for optional and computed.
        volatile: computed anew with each change of the object.
        default: what the provider takes where the configuration says nothing; only with mode both.
        form: what the provider takes for the same value: lower (case), order (of a list), json; empty for none. With
            stubborn it stores the lower case, and plans the configured value again for ever.
        options: the only values that are drawn; all of the kind's where empty.
        clock: set by the provider from the time, and by nothing else.
    """

    name: str
    kind: str = "string"
    mode: str = "optional"
    sensitive: bool = False
    write_only: bool = False
    replaces: bool = False
    volatile: bool = False
    default: Any = None
    form: str = ""
    options: tuple[str, ...] = ()
    clock: bool = False

    @property
    def configurable(self) -> bool:
        return self.mode != "computed"

    @property
    def empty(self) -> Any:
        """The value where the configuration says nothing."""
        return {} if self.kind == "block_map" else [] if self.kind in ("blocks", "block_set") else None


ID = Attribute("id", mode="computed")
NAME = Attribute("name", mode="required")
PARENT = Attribute("parent")
ETAG = Attribute("etag", mode="computed", volatile=True)


@dataclass(frozen=True, slots=True)
class Type:
    """A resource type; each has an id, a name, a parent and an etag besides its own attributes."""

    name: str
    own: tuple[Attribute, ...] = ()

    @property
    def is_stubborn(self) -> bool:
        """Whether its provider plans again what an apply did not settle."""
        return any(attribute.form == STUBBORN for attribute in self.own)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return (ID, NAME, PARENT, ETAG, *self.own)

    @property
    def is_foreign(self) -> bool:
        """Whether its name belongs to another provider, whose rules it follows."""
        return self.name in FOREIGN

    def attribute(self, name: str) -> Attribute:
        return next(attribute for attribute in self.attributes if attribute.name == name)

    def encoded(self) -> bytes:
        """The type as the protocol's Schema."""
        plain = b"".join(wire.message(2, _attribute(a)) for a in self.attributes if a.kind not in BLOCKS)
        blocks = b"".join(wire.message(3, _block(a)) for a in self.attributes if a.kind in BLOCKS)
        return wire.message(2, plain + blocks)


# Types whose name stands in a table of DriftGuard's; each behaves as its own provider makes it.
ROTATING: Final = Type(
    "time_rotating",
    tuple(Attribute(name, mode="computed", clock=True) for name in ("rfc3339", "rotation_rfc3339")),
)
CERTIFICATE: Final = Type(
    "tls_self_signed_cert",
    (
        *(Attribute(name, mode="computed", clock=True) for name in ("validity_start_time", "validity_end_time")),
        Attribute("ready_for_renewal", "bool", mode="computed", clock=True),
    ),
)
FILES_OF_THE_CHECKOUT: Final = ("out/kubeconfig", "./key.pem")
_OTHER_FILES: Final = ("../../../etc/x", "/etc/hosts", "x.auto.tfvars", ".terraform/x", "main.tf")
FILE: Final = Type(
    "local_file",
    (
        Attribute("filename", mode="required", options=(*FILES_OF_THE_CHECKOUT * 2, *_OTHER_FILES)),
        Attribute("content", options=("one", "two", "")),
    ),
)
FOREIGN: Final[Mapping[str, Type]] = {kind.name: kind for kind in (ROTATING, CERTIFICATE, FILE)}
# When an object was made and when it is due, by type.
TIMES: Final[Mapping[str, tuple[str, str]]] = {
    ROTATING.name: ("rfc3339", "rotation_rfc3339"),
    CERTIFICATE.name: ("validity_start_time", "validity_end_time"),
}


def canonical(kind: str, value: Any) -> Any:
    """A value with its sets in one order and its numbers in one form."""
    if isinstance(value, list):
        items = [_members(item) for item in value]
        return sorted(items, key=_in_order) if kind in SETS else items
    if isinstance(value, dict):
        return {key: _members(item) if kind in MAPS else item for key, item in _members(value).items()}
    return _number(value) if kind == _NUMBER else value


def _members(value: Any) -> Any:
    """An object of ours with its number in one form; anything else as it is."""
    if isinstance(value, dict) and set(value) == set(_MEMBERS):
        return {**value, "q": _number(value["q"])}
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_order(item: Any) -> str:
    return json.dumps(item, sort_keys=True, default=repr)


def plain_schema(attributes: Mapping[str, tuple[str, str]]) -> bytes:
    """A Schema of simple attributes: name to kind and mode."""
    encoded = (_attribute(Attribute(name, kind, mode)) for name, (kind, mode) in attributes.items())
    return wire.message(2, b"".join(wire.message(2, item) for item in encoded))


def _attribute(attribute: Attribute) -> bytes:
    if attribute.kind in _NESTED:
        members = b"".join(wire.message(1, _attribute(Attribute(n, k))) for n, k in _MEMBERS.items())
        content = wire.message(10, members + wire.varint(3, _NESTED[attribute.kind]))
    else:
        content = wire.message(2, json.dumps(CONSTRAINTS[attribute.kind]).encode())
    return (
        wire.string(1, attribute.name)
        + content
        + wire.varint(4, attribute.mode == "required")
        + wire.varint(5, attribute.mode in ("optional", "both"))
        + wire.varint(6, attribute.mode in ("computed", "both"))
        + wire.varint(7, attribute.sensitive)
        + wire.varint(11, attribute.write_only)
    )


def _block(attribute: Attribute) -> bytes:
    members = b"".join(wire.message(2, _attribute(Attribute(n, k))) for n, k in _MEMBERS.items())
    return wire.string(1, attribute.name) + wire.message(2, members) + wire.varint(3, _BLOCKS[attribute.kind])
