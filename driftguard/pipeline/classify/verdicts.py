"""An environment's verdict from the labels of everything in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from driftguard.model import AttributeChange, Label, ResourceChange, Verdict
from driftguard.model.plan_configuration import without_keys
from driftguard.model.words import DRIFTED, UNAPPLIED

_SETTLED = frozenset({Label.NOISE, Label.ADOPTED, Label.RESTLESS})


def verdict_of(label_sets: Iterable[Iterable[Label]]) -> Verdict:
    """An environment's verdict from the labels of all its resources and outputs.

    `derived` that follows from `restless` alone is to be left out (`counted_labels`).
    """
    labels = frozenset[Label]().union(*label_sets)
    drifted, waiting = bool(labels & DRIFTED), bool(labels & UNAPPLIED)
    if Label.CONFLICT in labels or (drifted and waiting):
        return Verdict.DIVERGED
    if drifted:
        return Verdict.DRIFTED
    # A value that is known only after apply, with nothing that it follows from, is planned all the same.
    return Verdict.PENDING if waiting or Label.DERIVED in labels else Verdict.IN_SYNC


def restless_alone(resources: Sequence[ResourceChange]) -> frozenset[str]:
    """Addresses without keys of resources that change only because of what moves by itself.

    Each has a restless attribute, or follows from one that has, and none is deleted or replaced because of another.
    """
    groups: dict[str, list[ResourceChange]] = {}
    for resource in resources:
        groups.setdefault(without_keys(resource.address), []).append(resource)
    found: set[str] = set()
    growing = True
    while growing:
        more = {
            address
            for address, group in groups.items()
            if address not in found and all(_follows(resource, address, found) for resource in group)
        }
        found |= more
        growing = bool(more)
    return frozenset(found)


def counted_labels(resource: ResourceChange, alone: frozenset[str]) -> frozenset[Label]:
    """The labels of a resource that count for the verdict."""
    follows = without_keys(resource.address) in alone
    return resource.labels - {Label.DERIVED} if follows else resource.labels


def _follows(resource: ResourceChange, address: str, found: set[str]) -> bool:
    if not resource.labels <= _SETTLED | {Label.DERIVED}:
        return False
    own = Label.RESTLESS in resource.labels
    derived = [a for a in resource.attributes if a.label is Label.DERIVED]
    if (not own and not derived) or ("delete" in resource.actions and not _replaces_itself(resource)):
        return False
    from_others = [attribute for attribute in derived if not _is_own(attribute, address)]
    if not own and not from_others:
        return False
    return all(attribute.causes and set(map(without_keys, attribute.causes)) <= found for attribute in from_others)


def _replaces_itself(resource: ResourceChange) -> bool:
    """Whether a restless attribute forces the replacement, which is so only where it has no effect outside."""
    return any(a.forces_replacement for a in resource.attributes if a.label is Label.RESTLESS)


def _is_own(attribute: AttributeChange, address: str) -> bool:
    return tuple(map(without_keys, attribute.causes)) == (address,)
