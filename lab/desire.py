"""What a configuration wants of a known reality: D, and L when the configuration is the baseline's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from lab.cloud import Values, differs, plan
from lab.configuration import (
    OF_THE_CHECKOUT,
    Configuration,
    Data,
    Each,
    Impure,
    Ref,
    Resource,
    Var,
    evaluate,
    expressions,
)
from lab.schema import Type, canonical
from lab.wire import UNKNOWN


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance as a configuration wants it.

    Attributes:
        values: with `UNKNOWN` where only an apply will tell.
        configured: the attributes that the configuration sets to something.
        impure: of those, the attributes whose expression calls an impure function.
        replaced: whether the object would be made anew.
        replaces: the attributes that would make it so.
        secret: the attributes whose expression names a sensitive variable, also where Terraform does not mark them: in
            an object that is replaced, `ignore_changes` keeps the sensitivity as it was.
        ignored: the attributes that stay as they are, and as sensitive as they are (`ignore_changes`).
        trees: the expressions as they are written, by attribute.
    """

    values: Values
    configured: frozenset[str] = frozenset()
    impure: frozenset[str] = frozenset()
    replaced: bool = False
    replaces: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    trees: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Inputs:
    """What reaches a configuration from outside of it: given variables by name, and what data sources read.

    Attributes:
        checkout: the root module's directory in DriftGuard's own checkout; empty before the first scan.
    """

    variables: Mapping[str, str]
    data: Mapping[str, str]
    checkout: str = ""


@dataclass(slots=True)
class Desire:
    """What a configuration wants of a reality, by address."""

    instances: dict[str, Wanted] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


def desire(
    config: Configuration,
    types: Mapping[str, Type],
    reality: Mapping[str, Values | None],
    inputs: Inputs,
    tainted: Collection[str] = (),
    marks: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Desire:
    """What the configuration wants.

    Args:
        reality: what is there now, by the address in this configuration; None for what is gone.
        tainted: addresses of objects that are to be made anew.
        marks: the attributes that the state marks as sensitive, by address.
    """
    known: dict[Any, Any] = {Var(name): value for name, value in {**config.values, **inputs.variables}.items()}
    known |= {Data(key): value for key, value in inputs.data.items()}
    known |= dict.fromkeys(OF_THE_CHECKOUT, inputs.checkout)
    found = Desire()
    changing: set[str] = set()
    for resource in _in_order(config.resources):
        _needed(known, resource, found, config)
        for address, key in resource.instances():
            known[Each()] = str(key) if isinstance(key, int) else key
            forced = resource.replaced_by in changing or address in tainted
            wanted = _wanted(config, resource, types[resource.type], reality.get(address), known, forced)
            if address in tainted:
                wanted = replace(wanted, secret=_secret(config, resource), ignored=frozenset())
                wanted = replace(wanted, replaces=frozenset())  # whatever changes, that is not why it is replaced
            found.instances[address] = wanted
            before = reality.get(address)
            kind, marked = types[resource.type], marks.get(address)
            if before is not None and (
                wanted.replaced or moves(kind, wanted, before) or _remarked(kind, wanted, marked)
            ):
                changing.add(resource.name)
    for name, tree in config.outputs.items():
        for ref in expressions(tree):
            if isinstance(ref, Ref):
                known[ref] = found.instances[config.resource(ref.resource).address].values[ref.attribute]
        found.outputs[name] = evaluate(tree, known)
    return found


def _remarked(kind: Type, wanted: Wanted, marked: Collection[str] | None) -> bool:
    """Whether the sensitivity of an attribute changes, which Terraform plans as an update."""
    if marked is None:
        return False
    names = (name for name in wanted.configured - wanted.ignored if not kind.attribute(name).sensitive)
    return any((name in wanted.secret) != (name in marked) for name in names)


def _in_order(resources: tuple[Resource, ...]) -> Iterator[Resource]:
    """What is referred to comes first; resources refer only to earlier ones by construction of their names."""
    done: set[str] = set()
    waiting = list(resources)
    while waiting:
        for resource in waiting:
            needs = {e.resource for e in expressions(dict(resource.arguments)) if isinstance(e, Ref)}
            needs |= {resource.replaced_by} if resource.replaced_by else set()
            if needs <= done:
                break
        else:
            raise ValueError("resources refer to each other in a circle")
        waiting.remove(resource)
        done.add(resource.name)
        yield resource


def _needed(known: dict[Any, Any], resource: Resource, found: Desire, config: Configuration) -> None:
    for ref in expressions(dict(resource.arguments)):
        if isinstance(ref, Ref):
            known[ref] = found.instances[config.resource(ref.resource).address].values[ref.attribute]


def _wanted(
    whole: Configuration, resource: Resource, kind: Type, prior: Values | None, known: Mapping[Any, Any], forced: bool
) -> Wanted:
    config: Values = {}
    for attribute in kind.attributes:
        tree = resource.arguments.get(attribute.name)
        value = evaluate(tree, known) if tree is not None else attribute.empty
        config[attribute.name] = canonical(attribute.kind, value)
    full = dict(config)
    if prior is not None:
        config.update({name: prior[name] for name in resource.ignore})
    values, replaces = plan(kind, prior, config)
    if forced and prior is not None:
        replaces = replaces or {""}
    if replaces:
        values, _ = plan(kind, None, full)
    ignored = frozenset(resource.ignore) if prior is not None else frozenset[str]()
    impure = {n for n, tree in resource.arguments.items() if is_impure(tree)}
    return Wanted(
        values=values,
        configured=frozenset(n for n, tree in resource.arguments.items() if tree is not None),
        impure=frozenset(impure),
        replaced=bool(replaces),
        replaces=frozenset(replaces),
        trees=resource.arguments,
        secret=_secret(whole, resource) - (frozenset() if replaces else ignored),
        ignored=ignored,
    )


def _secret(config: Configuration, resource: Resource) -> frozenset[str]:
    return frozenset(n for n, tree in resource.arguments.items() if _names_secret(tree, config.sensitive))


def _names_secret(tree: Any, secret: Collection[str]) -> bool:
    return any(isinstance(e, Var) and e.name in secret for e in expressions(tree))


def is_impure(tree: Any) -> bool:
    """Whether a value moves by itself."""
    return any(isinstance(e, Impure) for e in expressions(tree))


def moves(kind: Type, wanted: Wanted, prior: Values) -> bool:
    """Whether an apply would change an object that is there."""
    return any(
        wanted.values[a.name] is UNKNOWN or differs(a, wanted.values[a.name], prior[a.name]) for a in kind.attributes
    )
