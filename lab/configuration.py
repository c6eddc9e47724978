"""Configurations as values: written as HCL for Terraform, evaluated here for the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lab.schema import BLOCKS, Type
from lab.wire import UNKNOWN


@dataclass(frozen=True, slots=True)
class Ref:
    """An attribute of another resource, by that resource's name, which is unique in a configuration."""

    resource: str
    attribute: str


@dataclass(frozen=True, slots=True)
class Var:
    """A variable of the root module."""

    name: str


@dataclass(frozen=True, slots=True)
class Data:
    """The value that the data source of a key reads."""

    key: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text made of a prefix and another expression."""

    prefix: str
    of: Any


@dataclass(frozen=True, slots=True)
class Each:
    """The key of the instance: its number or its name."""


@dataclass(frozen=True, slots=True)
class Impure:
    """A function that gives another value in every plan, or one that depends on the checkout: its HCL."""

    hcl: str


# What the path of the checkout is part of; each gives the root module's directory.
OF_THE_CHECKOUT: Final = (Impure("abspath(path.root)"), Impure("path.cwd"))


class Moment(str):
    """The value of `plantimestamp()`: equal to itself and to nothing that was written before."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource block.

    Attributes:
        name: unique in the configuration.
        module: names of the modules around it, outermost first.
        keys: instance keys; None for a single instance, a number for `count`.
        notifies: whether its creation and its changes invoke an action (Terraform 1.14).
        arguments: attribute to a tree of plain values and expressions.
    """

    name: str
    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    module: tuple[str, ...] = ()
    keys: int | tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    create_first: bool = False
    replaced_by: str = ""
    notifies: bool = False

    @property
    def address(self) -> str:
        """The address of the block."""
        return "".join(f"module.{name}." for name in self.module) + f"{self.type}.{self.name}"

    @property
    def action(self) -> str:
        """The address of the action that it may invoke."""
        return "".join(f"module.{name}." for name in self.module) + f"action.lab_notify.{self.name}"

    def instances(self) -> Iterator[tuple[str, Any]]:
        """Each instance's address with its key."""
        if self.keys is None:
            yield self.address, None
        elif isinstance(self.keys, int):
            yield from ((f"{self.address}[{index}]", index) for index in range(self.keys))
        else:
            yield from ((f"{self.address}[{quoted(key)}]", key) for key in self.keys)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that an environment's files say.

    Attributes:
        moved: pairs of addresses, from and to.
        removed: addresses that are forgotten, not destroyed.
        imports: address to the id of the object to import.
        variables: names with their defaults; of those that are given otherwise, None.
        values: what the committed variable file gives.
    """

    resources: tuple[Resource, ...] = ()
    variables: Mapping[str, str | None] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    sensitive: frozenset[str] = frozenset()
    moved: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def resource(self, name: str) -> Resource:
        return next(resource for resource in self.resources if resource.name == name)

    def forgets(self, address: str) -> bool:
        """Whether an object at an address that no block wants is forgotten."""
        return address.split("[")[0] in self.removed

    def is_secret_output(self, name: str) -> bool:
        """Whether an output is marked as sensitive: because its value is."""
        tree = self.outputs.get(name)
        return any(isinstance(e, Var) and e.name in self.sensitive for e in expressions(tree))

    def modules(self) -> set[tuple[str, ...]]:
        """The paths of all modules."""
        return {r.module[:depth] for r in self.resources for depth in range(1, len(r.module) + 1)}

    def files(self, types: Mapping[str, Type]) -> dict[str, str]:
        """The environment's files by path, relative to its directory."""
        files = {"main.tf": "\n".join(_root(self, types))}
        for path in sorted(self.modules()):
            folder = "/".join(f"m_{name}" for name in path)
            files[f"{folder}/main.tf"] = "\n".join((_HEADER, *_module(self, types, path)))
        if self.values:
            lines = (f"{name} = {hcl(value)}\n" for name, value in self.values.items())
            files["terraform.tfvars"] = "".join(lines)
        return files


_HEADER = """terraform {
  required_providers {
    lab = { source = "driftguard/lab" }
  }
}
"""


def expressions(tree: Any) -> Iterator[Any]:
    """Every expression in a tree."""
    if isinstance(tree, dict):
        for item in tree.values():
            yield from expressions(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from expressions(item)
    elif isinstance(tree, Text):
        yield tree
        yield from expressions(tree.of)
    elif isinstance(tree, Ref | Var | Data | Each | Impure):
        yield tree


def evaluate(tree: Any, known: Mapping[Any, Any]) -> Any:
    """The value of a tree, from the values of the expressions in it; what is not known is `UNKNOWN`."""
    if isinstance(tree, dict):
        return {key: evaluate(item, known) for key, item in tree.items()}
    if isinstance(tree, list):
        return [evaluate(item, known) for item in tree]
    if isinstance(tree, Text):
        inner = evaluate(tree.of, known)
        return UNKNOWN if inner is UNKNOWN else f"{tree.prefix}{inner}"
    if isinstance(tree, Impure):
        return known.get(tree, Moment(tree.hcl) if tree.hcl == "plantimestamp()" else UNKNOWN)
    if isinstance(tree, Ref | Var | Data | Each):
        return known[tree]
    return tree


def quoted(text: str) -> str:
    """A text as HCL writes it."""
    plain = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    characters = (plain.get(c, f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c) for c in text)
    return '"' + "".join(characters).replace("${", "$${").replace("%{", "%%{") + '"'


def hcl(tree: Any, within: tuple[str, ...] = ()) -> str:
    """A tree as HCL.

    Args:
        within: the path of the module that it stands in.
    """
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{quoted(key)} = {hcl(item, within)}" for key, item in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(hcl(item, within) for item in tree) + "]"
    if isinstance(tree, str):
        return quoted(tree)
    if tree is None or isinstance(tree, bool | int | float):
        return json.dumps(tree)
    return _expression(tree, within)


def _expression(tree: Any, within: tuple[str, ...]) -> str:
    if isinstance(tree, Text):
        return f'"{tree.prefix}${{{hcl(tree.of, within)}}}"'
    if isinstance(tree, Ref):
        return f"<{tree.resource}>.{tree.attribute}"  # `_arguments` knows its type
    if isinstance(tree, Var):
        return f"var.{tree.name}"
    if isinstance(tree, Data):
        return f"data.lab_lookup.{tree.key}.value"
    if isinstance(tree, Each):
        return "<each>"
    if isinstance(tree, Impure):
        return tree.hcl
    return str(tree)


def _root(config: Configuration, types: Mapping[str, Type]) -> Iterator[str]:
    yield _HEADER
    for name, default in config.variables.items():
        lines = ["  type = string"]
        lines += [f"  default = {quoted(default)}"] if default is not None else []
        lines += ["  sensitive = true"] if name in config.sensitive else []
        yield f"variable {quoted(name)} {{\n" + "\n".join(lines) + "\n}\n"
    yield from _module(config, types, ())
    for source, target in config.moved:
        yield f"moved {{\n  from = {source}\n  to   = {target}\n}}\n"
    for address in config.removed:
        yield f"removed {{\n  from = {address}\n  lifecycle {{\n    destroy = false\n  }}\n}}\n"
    for address, object_id in config.imports.items():
        yield f"import {{\n  to = {address}\n  id = {quoted(object_id)}\n}}\n"
    for key in config.checks:
        yield (
            f'check "{key}" {{\n  data "lab_lookup" "checked_{key}" {{\n    key = {quoted(key)}\n  }}\n'
            f'  assert {{\n    condition     = data.lab_lookup.checked_{key}.value != "broken"\n'
            '    error_message = "broken"\n  }\n}\n'
        )
    for name, tree in config.outputs.items():
        more = "  sensitive = true\n" if config.is_secret_output(name) else ""
        yield f"output {quoted(name)} {{\n  value = {_resolved(hcl(tree), config, None)}\n{more}}}\n"


def _module(config: Configuration, types: Mapping[str, Type], path: tuple[str, ...]) -> Iterator[str]:
    inside = [r for r in config.resources if r.module == path]
    below = sorted({m for m in config.modules() if len(m) == len(path) + 1 and m[: len(path)] == path})
    trees = [r.arguments for r in config.resources if r.module[: len(path)] == path]
    found = {e for tree in trees for e in expressions(dict(tree))}
    if path:
        yield from (f'variable "{e.name}" {{}}\n' for e in sorted((e for e in found if isinstance(e, Var)), key=repr))
    here = {e for r in inside for e in expressions(dict(r.arguments))}
    here |= set(config.outputs.values()) if not path else set()
    for key in sorted(e.key for e in here if isinstance(e, Data)):
        yield f'data "lab_lookup" {quoted(key)} {{\n  key = {quoted(key)}\n}}\n'
    for module in below:
        needed = {
            e.name
            for r in config.resources
            if r.module[: len(module)] == module
            for e in expressions(dict(r.arguments))
            if isinstance(e, Var)
        }
        passed = "".join(f"  {name} = var.{name}\n" for name in sorted(needed))
        yield f'module "{module[-1]}" {{\n  source = "./m_{module[-1]}"\n{passed}}}\n'
    for resource in inside:
        yield _resource(config, types[resource.type], resource)


def _resource(config: Configuration, kind: Type, resource: Resource) -> str:
    lines = []
    if isinstance(resource.keys, int):
        lines.append(f"count = {resource.keys}")
    elif resource.keys is not None:
        lines.append(f"for_each = toset({hcl(list(resource.keys))})")
    if kind.is_foreign:
        lines.append("provider = lab")
    for name, tree in resource.arguments.items():
        if kind.attribute(name).kind in BLOCKS:
            lines += _blocks(name, tree)
        else:
            lines.append(f"{name} = {hcl(tree)}")
    life = [f"ignore_changes = [{', '.join(resource.ignore)}]"] if resource.ignore else []
    life += ["create_before_destroy = true"] if resource.create_first else []
    life += [_TRIGGER.format(resource.name)] if resource.notifies else []
    life += [f"replace_triggered_by = [<{resource.replaced_by}>]"] if resource.replaced_by else []
    if life:
        lines.append("lifecycle {\n    " + "\n    ".join(life) + "\n  }")
    body = "\n".join(f"  {line}" for line in lines)
    action = _ACTION.format(resource.name) if resource.notifies else ""
    return _resolved(f'{action}resource "{resource.type}" "{resource.name}" {{\n{body}\n}}\n', config, resource)


_ACTION: Final = """action "lab_notify" "{0}" {{
  config {{
    text = "notify {0}"
  }}
}}
"""
_TRIGGER: Final = """action_trigger {{
      events  = [after_create, after_update]
      actions = [action.lab_notify.{0}]
    }}"""


def _blocks(name: str, tree: Any) -> list[str]:
    if tree is None:
        return []
    if isinstance(tree, list):
        return [_one_block(name, item) for item in tree]
    if set(tree) == {"p", "q"}:
        return [_one_block(name, tree)]
    return [_one_block(f"{name} {quoted(key)}", item) for key, item in tree.items()]


def _one_block(head: str, members: Mapping[str, Any]) -> str:
    inner = "".join(f"    {key} = {hcl(item)}\n" for key, item in members.items() if item is not None)
    return f"{head} {{\n{inner}  }}"


def _resolved(text: str, config: Configuration, inside: Resource | None) -> str:
    """Put the types of resources and the words for the instance's key where `hcl` left marks."""
    for resource in config.resources:
        text = text.replace(f"<{resource.name}>", f"{resource.type}.{resource.name}")
    counted = inside is not None and isinstance(inside.keys, int)
    return text.replace("<each>", "count.index" if counted else "each.key")
