"""Keyed digests that identify a drift, and exactly what an apply would do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from driftguard.model import AttributeChange, OutputChange, ResourceChange
from driftguard.model.fingerprints import versioned
from driftguard.model.plan_configuration import ConfigurationReferences
from driftguard.model.plan_document import Change, InvocationItem, PlanDocument, ResourceItem, decode
from driftguard.model.words import OUTSIDE
from driftguard.pipeline.classify.equality import identical
from driftguard.sealed import digest

_FOR_A_CHECK = "read_because_check_nested"
_DIGITS: Final = re.compile("[0-9]")
_FOLDERS: Final = re.compile(r"/[^\s\"',;]*/")


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


def plan_fingerprint(
    document: PlanDocument, key: bytes, labelled: Iterable[ResourceChange | OutputChange] = ()
) -> str | None:
    """Identifies exactly what an apply of this plan would do; None where it would do nothing.

    Made of each planned action and the values it moves from and to, each action that it would invoke, and everything
    that it deletes. What stays as it is does not enter, and values that are known only after apply enter as unknown.

    Args:
        labelled: what was labelled, also in an earlier plan; a value that moves by itself enters as a mark with its
            source, not with the value of the moment.
    """
    facts = planned_facts(document, labelled)
    return versioned(digest(key, facts)) if facts else None


def planned_facts(document: PlanDocument, labelled: Iterable[ResourceChange | OutputChange] = ()) -> list[list[Any]]:
    """Each thing that an apply would do, as plain values in a stable order; the first of each is its address or name.

    Values in it may be secret: they are to be compared or digested and never shown.
    """
    moving = _Moving(document, labelled)
    acting = [item for item in document.resource_changes if would_act(item)] or _reads(document)
    facts = [_planned(item, moving) for item in acting]
    outputs = [
        [f"output {name}", *change.actions, decode(change.before), after, decode(change.after_unknown)]
        for name, change in document.output_changes.items()
        if change.actions != ("no-op",)
        for after in [moving.marked_output(name, decode(change.after))]
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


class _Moving:
    """Marks that stand for values that move by themselves: the expression, the variables, and the value's shape."""

    def __init__(self, document: PlanDocument, labelled: Iterable[ResourceChange | OutputChange]) -> None:
        labelled = tuple(labelled)
        resources = [item for item in labelled if isinstance(item, ResourceChange)]
        self._attributes = {r.address: moving for r in resources if (moving := _moving_attributes(r))}
        self._made = {r.address: r.made_with for r in resources if r.made_with}
        self._outputs = {item.name for item in labelled if isinstance(item, OutputChange) and item.moves}
        found = bool(self._attributes or self._made or self._outputs)
        self._references = ConfigurationReferences(document) if found else None
        self._variables = decode(document.variables) if self._references else None

    def marked_output(self, name: str, after: Any) -> Any:
        """An output's planned value, or the mark in its place."""
        if name not in self._outputs or self._references is None:
            return after
        return self._mark(name, self._references.output_expression(name), after)

    def _mark(self, path: str, expression: Any, value: Any) -> Any:
        return {"moves": path, "expression": expression, "variables": self._variables, "shape": _shape(value)}

    def marked(self, address: str, after: Any) -> Any:
        """The planned values with a mark in place of each that moves by itself."""
        made = self._made.get(address, ())
        for name in made:
            assert self._references is not None
            after = {**after, name: self._mark(name, self._references.expression(address, name), after.get(name))}
        for attribute in self._attributes.get(address, ()):
            top = attribute.path.split(".", 1)[0].split("[", 1)[0]
            if top in made:
                continue
            assert self._references is not None
            expression = self._references.expression(address, top)
            mark = partial(self._mark, attribute.path, expression)
            after = {**after, top: _replaced(after.get(top), attribute, top, mark)}
        return after


def _moving_attributes(resource: ResourceChange) -> list[AttributeChange]:
    return [a for a in resource.attributes if a.moves and a.path and not a.unknown]


def _shape(value: Any) -> Any:
    """What stays of a value at another moment and in another checkout: everything but digits and folders."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return _FOLDERS.sub("/", _DIGITS.sub("0", value)) if isinstance(value, str) else value


def _replaced(value: Any, attribute: AttributeChange, path: str, mark: Callable[[Any], Any]) -> Any:
    """A value with the mark at the attribute's path; among the elements of a list, at those of its shape."""
    if attribute.path == path:
        return value if path.endswith("[]") and not attribute.desired.resembles(value, _shape) else mark(value)
    if isinstance(value, dict):
        return {key: _replaced(item, attribute, f"{path}.{key}", mark) for key, item in value.items()}
    if isinstance(value, list):
        below = f"{path}[]" if attribute.path.startswith(f"{path}[]") else None
        return [_replaced(item, attribute, below or f"{path}[{i}]", mark) for i, item in enumerate(value)]
    return value


def _planned(item: ResourceItem, moving: _Moving) -> list[Any]:
    change = item.change
    before, after, unknown = decode(change.before), decode(change.after), decode(change.after_unknown)
    return [
        item.address,
        item.previous_address,
        item.deposed,
        list(change.actions),
        decode(change.replace_paths),
        decode(change.importing),
        _difference(before, moving.marked(item.address, after) if isinstance(after, dict) else after, change),
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
    if trigger is not None and trigger.on_failure:
        by.append(trigger.on_failure)
    return [f"action {item.address}", *by, decode(item.config_values), decode(item.config_unknown)]
