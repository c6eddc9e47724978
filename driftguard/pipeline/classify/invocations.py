"""Actions that an apply would invoke (Terraform 1.14), each with the label of what triggers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from driftguard.model import Invocation, Label, ResourceChange
from driftguard.model.plan_document import PlanDocument

# The most important label of a resource comes first.
_ORDER: Final = (
    Label.CONFLICT,
    Label.DRIFT,
    Label.ABSORBED,
    Label.RESIDUE,
    Label.PENDING,
    Label.INPUT,
    Label.REFACTOR,
    Label.DERIVED,
    Label.RESTLESS,
)


def label_invocations(document: PlanDocument, resources: Mapping[str, ResourceChange]) -> Iterator[Invocation]:
    """Each action, in the plan's order; one that no labelled resource triggers is `pending`."""
    for item in document.action_invocations:
        trigger = item.lifecycle_action_trigger
        address = trigger.triggering_resource_address if trigger is not None else None
        resource = resources.get(address or "")
        labels = resource.labels if resource is not None else frozenset[Label]()
        label = next((label for label in _ORDER if label in labels), Label.PENDING)
        yield Invocation(item.address, address, label)
