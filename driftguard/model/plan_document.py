"""Terraform's plan JSON (`show -json`), decoded only as far as classification needs it.

Values stay undecoded views into the original text (`msgspec.Raw`) until a resource turns out to have
changed, so that a plan of 20,000 resources costs little more memory than its own text.
Format: https://developer.hashicorp.com/terraform/internals/json-format (major version 1; OpenTofu's is the same).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

_NULL = msgspec.Raw(b"null")
_EMPTY = msgspec.Raw(b"{}")


class UnreadablePlan(ValueError):
    """The text is not a plan in Terraform's JSON format; the message names the reason."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What is planned for one object: `before` and `after` with their masks, all undecoded."""

    actions: tuple[str, ...]
    before: msgspec.Raw = _NULL
    after: msgspec.Raw = _NULL
    after_unknown: msgspec.Raw = _EMPTY
    before_sensitive: msgspec.Raw = _EMPTY
    after_sensitive: msgspec.Raw = _EMPTY
    replace_paths: msgspec.Raw = _NULL
    importing: msgspec.Raw = _NULL

    @property
    def is_import(self) -> bool:
        return bytes(self.importing) != b"null"


class ResourceItem(msgspec.Struct, frozen=True, gc=False):
    """One entry of `resource_changes` or `resource_drift`."""

    address: str
    change: Change
    mode: str = "managed"
    type: str = ""
    provider_name: str = ""
    previous_address: str | None = None
    deposed: str | None = None
    action_reason: str | None = None


class PlanDocument(msgspec.Struct, frozen=True):
    """The parts of a plan that say what reality is and what an apply would do."""

    format_version: str
    terraform_version: str = ""
    resource_drift: list[ResourceItem] = []
    resource_changes: list[ResourceItem] = []
    output_changes: dict[str, Change] = {}
    deferred_changes: list[msgspec.Raw] = []
    configuration: msgspec.Raw = _EMPTY
    errored: bool = False
    complete: bool = True

    @property
    def partial(self) -> bool:
        """Whether the plan does not cover everything: it ended in an error, was targeted, or deferred work."""
        return self.errored or not self.complete or bool(self.deferred_changes)


_DECODER = msgspec.json.Decoder(PlanDocument)


def read_document(text: bytes) -> PlanDocument:
    """Decode the output of `terraform show -json PLANFILE`.

    Raises:
        UnreadablePlan: the text is not JSON, not a plan, or of a major version not known here.
    """
    try:
        document = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePlan(f"not a plan in Terraform's JSON format ({error})") from None
    if document.format_version.split(".")[0] != "1":
        raise UnreadablePlan(f"plan format {document.format_version!r} is not known; version 1 is")
    return document


def decode(raw: msgspec.Raw) -> Any:
    """The JSON value behind an undecoded view."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadablePlan(f"a value in the plan cannot be read ({error})") from None


class ConfigurationReferences:
    """Which resources an attribute's expression refers to, as far as the plan's `configuration` tells.

    Locals are not part of Terraform's plan JSON, so a chain through one ends there.
    """

    def __init__(self, document: PlanDocument) -> None:
        configuration = decode(document.configuration)
        root = configuration.get("root_module") if isinstance(configuration, dict) else None
        self._root: dict[str, Any] = root if isinstance(root, dict) else {}
        self._expressions_of: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}

    def is_configured(self, address: str, attribute: str) -> bool | None:
        """Whether the configuration sets this top-level attribute; None if the resource is not found in it."""
        expressions = self._expressions(address)
        return None if expressions is None else attribute in expressions

    def causes(self, address: str, attribute: str) -> set[str]:
        """Addresses (without instance keys) that the attribute's expression refers to, through modules' inputs."""
        expressions = self._expressions(address)
        if not expressions or attribute not in expressions:
            return set()
        path = module_path(address)
        return set(self._resolve(path, _references(expressions[attribute]), depth=0))

    def _expressions(self, address: str) -> dict[str, Any] | None:
        path = module_path(address)
        if path not in self._expressions_of:
            resources = _dicts(self._module(path).get("resources"))
            self._expressions_of[path] = {str(r.get("address")): _dict(r.get("expressions")) for r in resources}
        local = without_keys(address).split(".")[2 * len(path) :]
        return self._expressions_of[path].get(".".join(local))

    def _module(self, path: tuple[str, ...]) -> dict[str, Any]:
        module = self._root
        for name in path:
            module = _dict(_dict(_dict(module.get("module_calls")).get(name)).get("module"))
        return module

    def _resolve(self, path: tuple[str, ...], references: Iterator[str], depth: int) -> Iterator[str]:
        if depth > 16:
            return
        prefix = "".join(f"module.{name}." for name in path)
        for reference in references:
            parts = without_keys(reference).split(".")
            if parts[0] == "var" and path and len(parts) > 1:
                call = _dict(_dict(self._module(path[:-1]).get("module_calls")).get(path[-1]))
                expression = _dict(call.get("expressions")).get(parts[1])
                yield from self._resolve(path[:-1], _references(expression), depth + 1)
            elif parts[0] == "module" and len(parts) > 2:
                inner = (*path, parts[1])
                output = _dict(_dict(self._module(inner).get("outputs")).get(parts[2]))
                yield from self._resolve(inner, _references(output.get("expression")), depth + 1)
            elif parts[0] == "data" and len(parts) > 2:
                yield prefix + ".".join(parts[:3])
            elif parts[0] not in {"var", "local", "each", "count", "path", "terraform", "self", "module"} and parts[1:]:
                yield prefix + ".".join(parts[:2])


def module_path(address: str) -> tuple[str, ...]:
    """The module names of an address, outermost first: `module.a["x"].module.b.t.n` gives `("a", "b")`."""
    parts = without_keys(address).split(".")
    names = []
    while len(parts) > 2 and parts[0] == "module":
        names.append(parts[1])
        parts = parts[2:]
    return tuple(names)


def without_keys(address: str) -> str:
    """An address without instance keys; brackets and quotes inside of quoted keys are understood."""
    kept, depth, quoted, escaped = [], 0, False, False
    for character in address:
        if quoted:
            escaped, quoted = character == "\\" and not escaped, escaped or character != '"'
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        elif depth:
            quoted = character == '"'
        else:
            kept.append(character)
    return "".join(kept)


def _references(expression: Any) -> Iterator[str]:
    if isinstance(expression, dict):
        found = expression.get("references")
        if isinstance(found, list):
            yield from (item for item in found if isinstance(item, str))
        else:
            for value in expression.values():
                yield from _references(value)
    elif isinstance(expression, list):
        for value in expression:
            yield from _references(value)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
