"""Keyed digests that identify a drift, and exactly what an apply would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from driftguard.model import AttributeChange, Label, ResourceChange
from driftguard.model.fingerprints import versioned
from driftguard.model.plan_configuration import ConfigurationReferences
from driftguard.model.plan_document import Change, InvocationItem, PlanDocument, ResourceItem, decode
from driftguard.model.words import OUTSIDE
from driftguard.pipeline.classify.equality import identical
from driftguard.sealed import digest

_FOR_A_CHECK = "read_because_check_nested"


def drift_fingerprint(resources: Iterable[ResourceChange], key: bytes) -> str | None:
    """Identifies this drift: the same over runs, resource order and time; None without drift.

    Made of each drifted place and what reality is there. The state's value is left out on
    purpose: a refresh that writes the same outside change into the state does not make it another drift.
    """
    facts = [
        [change.address, change.deposed, attribute.path, attribute.reality.digest(key)]
        for change in resources
        for attribute in change.attributes
        if attribute.label in OUTSIDE and attribute.mirrors is None
    ]
    return versioned(digest(key, sorted(facts, key=repr))) if facts else None


def plan_fingerprint(document: PlanDocument, key: bytes, resources: Iterable[ResourceChange] = ()) -> str | None:
    """Identifies exactly what an apply of this plan would do; None where it would do nothing.

    Made of each planned action and the values it moves from and to, each action that it would invoke, and everything
    that it deletes. What stays as it is does not enter, and values that are known only after apply enter as unknown.

    Args:
        resources: labelled ones; a restless value among them enters as a mark with its source, not with the value of
            the moment.
    """
    facts = planned_facts(document, resources)
    return versioned(digest(key, facts)) if facts else None


def planned_facts(document: PlanDocument, resources: Iterable[ResourceChange] = ()) -> list[list[Any]]:
    """Each thing that an apply would do, as plain values in a stable order; the first of each is its address or name.

    Values in it may be secret: they are to be compared or digested and never shown.
    """
    restless = _Restless(document, resources)
    acting = [item for item in document.resource_changes if would_act(item)] or _reads(document)
    facts = [_planned(item, restless) for item in acting]
    outputs = [
        [f"output {name}", *change.actions, decode(change.before), decode(change.after), decode(change.after_unknown)]
        for name, change in document.output_changes.items()
        if change.actions != ("no-op",)
    ]
    invocations = [_invoked(item) for item in document.action_invocations]
    return sorted(facts, key=repr) + sorted(outputs, key=repr) + sorted(invocations, key=repr)


def would_act(item: ResourceItem) -> bool:
    """Whether an apply would do something for this entry, be it only to the state (a move, an import)."""
    moved = item.previous_address not in (None, item.address)
    return item.change.actions not in (("no-op",), ("read",)) or moved or item.change.is_import


def _reads(document: PlanDocument) -> list[ResourceItem]:
    """What an apply would read, for a plan that does nothing else; a read for a check block alone is nothing."""
    return [
        item
        for item in document.resource_changes
        if item.change.actions == ("read",) and item.action_reason != _FOR_A_CHECK
    ]


class _Restless:
    """Marks that stand for restless values: what the expression is, and every value that it refers to."""

    def __init__(self, document: PlanDocument, resources: Iterable[ResourceChange]) -> None:
        self._document = document
        self._attributes: Mapping[str, list[AttributeChange]] = {
            resource.address: restless
            for resource in resources
            if (restless := [a for a in resource.attributes if a.label is Label.RESTLESS and a.path and not a.unknown])
        }
        self._references = ConfigurationReferences(document) if self._attributes else None
        self._variables = decode(document.variables) if self._attributes else None

    def marked(self, address: str, after: Any) -> Any:
        """The planned values with a mark in place of each restless one."""
        for attribute in self._attributes.get(address, ()):
            top = attribute.path.split(".", 1)[0].split("[", 1)[0]
            assert self._references is not None
            expression = self._references.expression(address, top)
            mark = {"restless": attribute.path, "expression": expression, "variables": self._variables}
            after = {**after, top: _replaced(after.get(top), attribute, top, mark)}
        return after


def _replaced(value: Any, attribute: AttributeChange, path: str, mark: Any) -> Any:
    """A value with the mark at the attribute's path, wherever it holds the restless value."""
    if attribute.path == path:
        return mark if attribute.desired.holds(value) else value
    if isinstance(value, dict):
        return {key: _replaced(item, attribute, f"{path}.{key}", mark) for key, item in value.items()}
    if isinstance(value, list):
        below = f"{path}[]" if attribute.path.startswith(f"{path}[]") else None
        return [_replaced(item, attribute, below or f"{path}[{i}]", mark) for i, item in enumerate(value)]
    return value


def _planned(item: ResourceItem, restless: _Restless) -> list[Any]:
    change = item.change
    before, after, unknown = decode(change.before), decode(change.after), decode(change.after_unknown)
    return [
        item.address,
        item.previous_address,
        item.deposed,
        list(change.actions),
        decode(change.replace_paths),
        decode(change.importing),
        _difference(before, restless.marked(item.address, after) if isinstance(after, dict) else after, change),
        unknown,
    ]


def _difference(before: Any, after: Any, change: Change) -> Any:
    if not isinstance(before, dict) or not isinstance(after, dict) or {"delete", "forget"} & set(change.actions):
        return {"before": before, "after": after}
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted(before.keys() | after.keys())
        if not identical(before.get(name), after.get(name))
    }


def _invoked(item: InvocationItem) -> list[Any]:
    trigger = item.lifecycle_action_trigger
    by = [trigger.triggering_resource_address, trigger.action_trigger_event] if trigger is not None else []
    return [f"action {item.address}", *by, decode(item.config_values), decode(item.config_unknown)]
