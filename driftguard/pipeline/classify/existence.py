"""The labels of an object's existence: created, deleted, due, left behind, moved, imported, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from driftguard.model import AttributeChange, Label
from driftguard.model.plan_document import ResourceItem
from driftguard.pipeline.classify.context import Context
from driftguard.pipeline.classify.due import Renewal, is_renewed
from driftguard.pipeline.classify.restless import file_of_the_checkout
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE, Ruling, Subject, rule
from driftguard.pipeline.classify.views import Views
from driftguard.sealed import ABSENT, PRESENT, Sealed


def existence(
    context: Context, known: ResourceItem, item: ResourceItem | None, views: Views, due: Renewal | None
) -> Iterator[AttributeChange]:
    """What became of the object, or is to become of it, as changes at the empty path."""
    of_the_object = _of_the_object(context, known, item)
    if of_the_object is not None:
        yield _change(views, of_the_object)
        if known.deposed is not None or known.change.actions == ("forget",):
            return
    ruling = _ruling(context, known, item, views, due)
    if ruling is not None:
        yield _change(views, ruling)


def _change(views: Views, ruling: Ruling) -> AttributeChange:
    return AttributeChange(
        path="",
        label=ruling.label,
        state=Sealed(_there(views.state)),
        reality=Sealed(_there(views.reality)),
        desired=Sealed(_there(views.desired)),
        baseline=None if views.baseline is NO_BASELINE_VALUE else Sealed(_there(views.baseline)),
        rule=ruling.rule,
        certain=ruling.certain,
    )


def _of_the_object(context: Context, known: ResourceItem, item: ResourceItem | None) -> Ruling | None:
    if known.deposed is not None:
        if item is None:
            return Ruling(Label.NOISE, "deposed object: nothing planned")
        return Ruling(Label.RESIDUE, "deposed object")
    if known.action_reason == "replace_because_tainted" or _is_replaced_and_tainted(context, known):
        return Ruling(Label.RESIDUE, "tainted object")
    if known.change.actions == ("forget",):
        return Ruling(Label.REFACTOR, "removed from the configuration without being destroyed")
    if "forget" in known.change.actions:
        return Ruling(Label.REFACTOR, "replaced by a new object without being destroyed")
    if known.change.is_import:
        return Ruling(Label.REFACTOR, "imported")
    if known.previous_address not in (None, known.address):
        return Ruling(Label.REFACTOR, f"moved from {known.previous_address}")
    return None


def _is_replaced_and_tainted(context: Context, known: ResourceItem) -> bool:
    return {"create", "delete"} <= set(known.change.actions) and known.address in context.tainted


def _ruling(
    context: Context, known: ResourceItem, item: ResourceItem | None, views: Views, due: Renewal | None
) -> Ruling | None:
    if due is not None and item is not None and item.change.actions not in (("no-op",), ("delete",)):
        again = ", as it was when it was made" if due.again else ""
        return Ruling(Label.INPUT, f"due by the clock since {due.since:%Y-%m-%dT%H:%M:%SZ}{again}")
    of_a_file = file_of_the_checkout(context, item, views.state, views.reality, views.desired)
    if of_a_file is not None:
        return of_a_file
    baseline = views.baseline if views.baseline is NO_BASELINE_VALUE else _there(views.baseline)
    subject = Subject(context.address_before(known))
    ruling = rule(
        _there(views.state), _there(views.reality), _there(views.desired), baseline, context.evidence, subject
    )
    if ruling is not None and ruling.label is Label.DRIFT and is_renewed(known.type) and context.now is None:
        return replace(ruling, certain=False)  # without the plan's timestamp, it may be due by the clock
    return ruling


def _there(value: Any) -> Any:
    return ABSENT if value is None else PRESENT
