"""Provider schemas (`terraform providers schema -json`): which attributes are sets, and which no configuration sets.

A schema is decoded when the first resource of its type is asked for: that of a large provider has 20 MB.
Format: https://developer.hashicorp.com/terraform/cli/commands/providers/schema
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


class _Provider(msgspec.Struct, frozen=True):
    resource_schemas: dict[str, msgspec.Raw] = {}


class _Document(msgspec.Struct, frozen=True):
    format_version: str
    provider_schemas: dict[str, _Provider]


class UnreadableSchemas(ValueError):
    """The text is not the output of `terraform providers schema -json`."""


class ProviderSchemas:
    """The schemas of several providers."""

    def __init__(self, providers: Mapping[str, Mapping[str, msgspec.Raw]]) -> None:
        self._providers = providers
        self._known: dict[tuple[str, str], ShapeOfValue | None] = {}

    @classmethod
    def read(cls, text: bytes) -> ProviderSchemas:
        """Decode the output of `terraform providers schema -json`.

        Raises:
            UnreadableSchemas: the text is anything else.
        """
        try:
            document = msgspec.json.decode(text, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableSchemas(f"this is not the output of `terraform providers schema -json` ({error})") from None
        return cls({name: provider.resource_schemas for name, provider in document.provider_schemas.items()})

    def types(self, provider: str) -> Mapping[str, bytes]:
        """The schemas of a provider's resource types, as JSON; empty where it is not known."""
        return {name: bytes(raw) for name, raw in self._providers.get(provider, {}).items()}

    def shape(self, provider: str, type_: str) -> ShapeOfValue | None:
        """The shape of a resource type; None where the schemas do not have it."""
        key = (provider, type_)
        if key not in self._known:
            raw = self._providers.get(provider, {}).get(type_)
            block = msgspec.json.decode(raw).get("block") if raw is not None else None
            self._known[key] = ShapeOfValue(block, is_block=True) if isinstance(block, dict) else None
        return self._known[key]


@dataclass(frozen=True, slots=True)
class ShapeOfValue:
    """What the schema has at one path: a block, an attribute, a block's nesting, or a type such as `["set", "string"]`.

    `nesting` is `set`, `list`, `map` or `single` for what holds several of the shape.
    """

    schema: Any
    is_block: bool = False
    nesting: str = ""

    @property
    def is_set(self) -> bool:
        """Whether the value is a set, whose elements have no positions."""
        if self.nesting:
            return self.nesting == "set"
        return isinstance(self.schema, list) and self.schema[:1] == ["set"]

    @property
    def is_computed_only(self) -> bool:
        """Whether no configuration can set it."""
        return False

    def at(self, key: str | int) -> ShapeOfValue | None:
        """The shape of a member or element; None where the schema does not have it."""
        if self.nesting in ("set", "list", "map"):
            return ShapeOfValue(self.schema, self.is_block)
        if self.is_block:
            return _member(self.schema, key)
        if isinstance(self.schema, list) and len(self.schema) > 1:
            return _of_type(self.schema, key)
        return None


def _member(block: Any, key: str | int) -> ShapeOfValue | None:
    attribute = (block.get("attributes") or {}).get(key)
    if isinstance(attribute, dict):
        nested = attribute.get("nested_type")
        if isinstance(nested, dict):
            return ShapeOfValue(nested, is_block=True, nesting=str(nested.get("nesting_mode")))
        return _Attribute(attribute.get("type"), False, "", attribute)
    nested = (block.get("block_types") or {}).get(key)
    if not isinstance(nested, dict):
        return None
    return ShapeOfValue(nested.get("block") or {}, is_block=True, nesting=str(nested.get("nesting_mode")))


def _of_type(type_: list[Any], key: str | int) -> ShapeOfValue | None:
    if type_[0] == "object":
        member = type_[1].get(key) if isinstance(type_[1], dict) else None
        return None if member is None else ShapeOfValue(member)
    return ShapeOfValue(type_[1]) if type_[0] in ("set", "list", "map") else None


@dataclass(frozen=True, slots=True)
class _Attribute(ShapeOfValue):
    """An attribute with a plain type: the type's shape, and what may set it."""

    attribute: Any = None

    @property
    def is_computed_only(self) -> bool:
        return bool(self.attribute.get("computed")) and not self.attribute.get("optional")
