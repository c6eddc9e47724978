"""Keyed digests that identify a drift, and exactly what an apply would do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from driftguard.model import ResourceChange
from driftguard.model.plan_document import Change, PlanDocument, ResourceItem, decode
from driftguard.model.words import OUTSIDE
from driftguard.pipeline.classify.equality import identical
from driftguard.sealed import digest


def drift_fingerprint(resources: Iterable[ResourceChange], key: bytes) -> str | None:
    """Identifies this drift: the same over runs, resource order and time; None without drift.

    Made of each drifted place and what reality is there. What the state says is left out on
    purpose: a refresh that writes the same outside change into the state does not make it another drift.
    """
    facts = [
        [change.address, change.deposed, attribute.path, attribute.reality.digest(key)]
        for change in resources
        for attribute in change.attributes
        if attribute.label in OUTSIDE
    ]
    return digest(key, sorted(facts, key=repr)) if facts else None


def plan_fingerprint(document: PlanDocument, key: bytes) -> str | None:
    """Identifies exactly what an apply of this plan would do; None where it would do nothing.

    Made of each planned action and the values it moves from and to; what stays as it is does not enter,
    and values that are known only after apply enter as unknown.
    """
    facts = planned_facts(document)
    return digest(key, facts) if facts else None


def planned_facts(document: PlanDocument) -> list[list[Any]]:
    """Each thing that an apply would do, as plain values in a stable order; the first of each is its address or name.

    Values in it may be secret: they are to be compared or digested and never shown.
    """
    facts = [_planned(item) for item in document.resource_changes if would_act(item)]
    outputs = [
        [f"output {name}", *change.actions, decode(change.before), decode(change.after), decode(change.after_unknown)]
        for name, change in document.output_changes.items()
        if change.actions != ("no-op",)
    ]
    return sorted(facts, key=repr) + sorted(outputs, key=repr)


def would_act(item: ResourceItem) -> bool:
    """Whether an apply would do something for this entry, be it only to the state (a move, an import)."""
    moved = item.previous_address not in (None, item.address)
    return item.change.actions not in (("no-op",), ("read",)) or moved or item.change.is_import


def _planned(item: ResourceItem) -> list[Any]:
    change = item.change
    before, after, unknown = decode(change.before), decode(change.after), decode(change.after_unknown)
    return [
        item.address,
        item.previous_address,
        item.deposed,
        list(change.actions),
        decode(change.replace_paths),
        decode(change.importing),
        _difference(before, after, change),
        unknown,
    ]


def _difference(before: Any, after: Any, change: Change) -> Any:
    if not isinstance(before, dict) or not isinstance(after, dict):
        identity = before.get("id") if isinstance(before, dict) else None
        return {"id": identity, "after": after}
    if "delete" in change.actions:
        return {"id": before.get("id"), "after": after}
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted(before.keys() | after.keys())
        if not identical(before.get(name), after.get(name))
    }
