"""The `configuration` of a plan: which resources, variables and paths an attribute's expression refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from driftguard.model.plan_document import PlanDocument, decode

_DEEPEST_CHAIN: Final = 16
_KEY: Final = re.compile(r"""\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\]""", re.DOTALL)
_REF: Final = re.compile(r"[?&]ref=([^&]+)")
_NO_RESOURCE: Final = frozenset({"var", "local", "each", "count", "path", "terraform", "self", "module"})


@dataclass(frozen=True, slots=True)
class Reached:
    """Everything that an attribute's expression refers to, through modules' inputs and outputs.

    Attributes:
        resources: addresses without instance keys.
        paths: `path.module` and its like.
        open: whether the chain ends at a local value, `each` or `count`, which the plan's JSON does not follow.
        bare: whether the expression has neither a constant nor a reference: a call of a function without any,
            or a function of constants alone.
        calls: whether it can call a function: it is not made of constants alone.
        variables: names of variables of the root module.
        secret: whether a variable or an output of a module is among them that is declared as sensitive.
    """

    resources: frozenset[str]
    paths: frozenset[str]
    variables: frozenset[str]
    open: bool
    bare: bool
    calls: bool
    secret: bool


class ConfigurationReferences:
    """Which resources an attribute's expression refers to, as far as the plan's `configuration` holds it.

    Locals are not part of Terraform's plan JSON, so a chain through one ends there.
    """

    def __init__(self, document: PlanDocument) -> None:
        configuration = decode(document.configuration)
        root = configuration.get("root_module") if isinstance(configuration, dict) else None
        self._root: dict[str, Any] = root if isinstance(root, dict) else {}
        self._expressions_of: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
        self._newest: tuple[str, dict[str, Any] | None] | None = None
        self._newest_reached: tuple[str, str, Reached] | None = None

    def is_configured(self, address: str, attribute: str) -> bool | None:
        """Whether the configuration sets this top-level attribute; None if the resource is not found in it."""
        expressions = self._expressions(address)
        return None if expressions is None else attribute in expressions

    def expression(self, address: str, attribute: str) -> Any:
        """The top-level attribute's expression as the plan has it; None where it is not set or not found."""
        return (self._expressions(address) or {}).get(attribute)

    def causes(self, address: str, attribute: str) -> frozenset[str]:
        """Addresses (without instance keys) that the attribute's expression refers to, through modules' inputs."""
        return self.reached(address, attribute).resources

    def reached(self, address: str, attribute: str) -> Reached:
        """What the attribute's expression refers to."""
        newest = self._newest_reached
        if newest is None or newest[:2] != (address, attribute):  # asked for the label, and then for the causes
            found = self._reached(module_path(address), self.expression(address, attribute))
            newest = self._newest_reached = (address, attribute, found)
        return newest[2]

    def output_expression(self, name: str) -> Any:
        """A root output's expression as the plan has it; None where it is not found."""
        return _dict(_dict(self._root.get("outputs")).get(name)).get("expression")

    def reached_by_output(self, name: str) -> Reached:
        """What a root output's expression refers to."""
        return self._reached((), self.output_expression(name))

    def module_versions(self, path: Sequence[str]) -> list[str]:
        """The version of each module call on a path, outermost first: its constraint, or the `ref` of its source."""
        versions, module = [], self._root
        for name in path:
            call = _dict(_dict(module.get("module_calls")).get(name))
            ref = _REF.search(str(call.get("source", "")))
            versions.append(str(call.get("version_constraint") or (ref.group(1) if ref else "")))
            module = _dict(call.get("module"))
        return versions

    def _reached(self, path: tuple[str, ...], expression: Any) -> Reached:
        references = list(_references(expression))
        found = list(self._resolve(path, references, depth=0))
        bare = _holds_bare(expression)
        return Reached(
            resources=frozenset(name for kind, name in found if kind == "resource"),
            paths=frozenset(name for kind, name in found if kind == "path"),
            variables=frozenset(name for kind, name in found if kind == "variable"),
            open=any(kind == "open" for kind, _ in found),
            bare=bare,
            calls=bare or bool(references),
            secret=any(kind == "secret" for kind, _ in found),
        )

    def _expressions(self, address: str) -> dict[str, Any] | None:
        if self._newest is None or self._newest[0] != address:  # all attributes of a resource are asked for in a row
            self._newest = (address, self._found(address))
        return self._newest[1]

    def _found(self, address: str) -> dict[str, Any] | None:
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

    def _resolve(self, path: tuple[str, ...], references: Iterable[str], depth: int) -> Iterator[tuple[str, str]]:
        """Pairs of a kind (`resource`, `path`, `variable`, `open`, `secret`) and a name."""
        if depth > _DEEPEST_CHAIN:
            yield "open", ""
            return
        prefix = "".join(f"module.{name}." for name in path)
        for reference in references:
            parts = without_keys(reference).split(".")
            if parts[0] in ("var", "module"):
                yield from self._through_a_module(path, parts, depth)
            elif parts[0] == "data" and len(parts) > 2:
                yield "resource", prefix + ".".join(parts[:3])
            elif parts[0] == "path":
                yield "path", ".".join(parts[:2])
            elif parts[0] in ("local", "each", "count", "self"):
                yield "open", parts[0]
            elif parts[0] not in _NO_RESOURCE and parts[1:]:
                yield "resource", prefix + ".".join(parts[:2])

    def _through_a_module(self, path: tuple[str, ...], parts: list[str], depth: int) -> Iterator[tuple[str, str]]:
        if self._is_secret(path, parts):
            yield "secret", parts[1]
        if parts[0] == "var" and not path and len(parts) > 1:
            yield "variable", parts[1]
        if parts[0] == "var" and path and len(parts) > 1:
            call = _dict(_dict(self._module(path[:-1]).get("module_calls")).get(path[-1]))
            expression = _dict(call.get("expressions")).get(parts[1])
            yield from self._resolve(path[:-1], _references(expression), depth + 1)
        elif parts[0] == "module" and len(parts) > 2:
            inner = (*path, parts[1])
            output = _dict(_dict(self._module(inner).get("outputs")).get(parts[2]))
            yield from self._resolve(inner, _references(output.get("expression")), depth + 1)

    def _is_secret(self, path: tuple[str, ...], parts: list[str]) -> bool:
        """Whether a variable, or an output of a called module, is declared as sensitive."""
        if parts[0] == "var":
            declared = _dict(self._module(path).get("variables")).get(parts[1] if len(parts) > 1 else "")
        else:
            inner = self._module((*path, parts[1])) if len(parts) > 2 else {}
            declared = _dict(inner.get("outputs")).get(parts[-1] if len(parts) < 3 else parts[2])
        return _dict(declared).get("sensitive") is True


@lru_cache(maxsize=4096)  # a resource's address is asked for many times in a row
def module_path(address: str) -> tuple[str, ...]:
    """The module names of an address, outermost first: `module.a["x"].module.b.t.n` gives `("a", "b")`."""
    parts = without_keys(address).split(".")
    names = []
    while len(parts) > 2 and parts[0] == "module":
        names.append(parts[1])
        parts = parts[2:]
    return tuple(names)


@lru_cache(maxsize=4096)
def without_keys(address: str) -> str:
    """An address without instance keys; brackets and quotes inside of quoted keys are understood."""
    if "[" not in address:
        return address
    if address.endswith("]") and address.count("[") == 1:
        return address[: address.index("[")]
    return _KEY.sub("", address)


def _holds_bare(expression: Any) -> bool:
    if isinstance(expression, dict):
        if not expression:
            return True
        if "references" in expression or "constant_value" in expression:
            return False
        return any(_holds_bare(value) for value in expression.values())
    return isinstance(expression, list) and any(_holds_bare(value) for value in expression)


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
