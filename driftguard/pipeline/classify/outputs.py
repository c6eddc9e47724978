"""Root outputs whose value would change. They have no reality of their own: S and R are what the state holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from driftguard.model import Label, OutputChange
from driftguard.model.plan_document import Change, decode
from driftguard.pipeline.classify.context import Context, unknown_in
from driftguard.pipeline.classify.places import any_true
from driftguard.pipeline.classify.restless import by_expression, is_wanted_as_before, moves_by_itself
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE, Ruling, Subject, rule
from driftguard.sealed import ABSENT, UNKNOWN


def label_outputs(context: Context) -> Iterator[OutputChange]:
    """Each output that the plan changes, in the order of their names."""
    for name, change in sorted(context.document.output_changes.items()):
        if change.actions == ("no-op",):
            continue
        ruling = _ruling(context, name, change)
        if ruling is not None:
            moves = ruling.label is Label.RESTLESS or moves_by_itself(context, f"output {name}", "")
            yield OutputChange(name, ruling.label, _is_secret(change), ruling.certain, ruling.rule, moves)


def follows_alone(context: Context, output: OutputChange, alone: frozenset[str]) -> bool:
    """Whether an output's value is unknown only because of what moves by itself."""
    if output.label is not Label.DERIVED:
        return False
    causes = context.references.reached_by_output(output.name).resources & context.becoming_known
    return bool(causes) and causes <= alone


def _ruling(context: Context, name: str, change: Change) -> Ruling | None:
    created = change.actions == ("create",)
    before = ABSENT if created else decode(change.before)
    desired = UNKNOWN if unknown_in(change) else ABSENT if change.actions == ("delete",) else decode(change.after)
    subject = Subject(f"output.{name}")
    if not created and desired is not ABSENT:
        restless = by_expression(context, f"output {name}", "", subject, (before, desired))
        if restless is not None:
            return restless
    baseline = _baseline(context, name)
    if is_wanted_as_before(context, f"output {name}", "", before=f"output {name}"):
        baseline = desired
    ruling = rule(before, before, desired, baseline, context.evidence, subject)
    if ruling is None:
        label = Label.INPUT if context.evidence.same_closure else Label.PENDING
        return Ruling(label, "S=R=D, and the sensitivity changes", context.evidence.has_baseline)
    return ruling


def _baseline(context: Context, name: str) -> Any:
    if context.wanted_outputs is None:
        return NO_BASELINE_VALUE
    wanted = context.wanted_outputs.get(name)
    if wanted is None or wanted.actions == ("delete",):
        return ABSENT
    return UNKNOWN if unknown_in(wanted) else decode(wanted.after)


def _is_secret(change: Change) -> bool:
    return any_true(decode(change.before_sensitive)) or any_true(decode(change.after_sensitive))
