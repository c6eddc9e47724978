"""What the user's ignore rules cover becomes noise, and stays visible as that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from driftguard.model import AttributeChange, Label
from driftguard.model.plan_document import ResourceItem
from driftguard.pipeline.classify.context import Ignoring


def ignored(rules: Sequence[Ignoring], known: ResourceItem, attributes: list[AttributeChange]) -> list[AttributeChange]:
    """Turn what the rules cover into noise; never for a resource that would be deleted or replaced."""
    if not rules or {"delete", "forget"} & set(known.change.actions):
        return attributes
    covered = [_ignored(rules, known.address, attribute) for attribute in attributes]
    primary = [a for a in covered if a.label is not Label.DERIVED and not (a.label is Label.NOISE and not a.ignored_by)]
    if primary and all(attribute.ignored_by for attribute in primary):
        first = primary[0].ignored_by
        own = (known.address,)
        return [
            replace(a, label=Label.NOISE, ignored_by=first) if a.label is Label.DERIVED and a.causes == own else a
            for a in covered
        ]
    return covered


def _ignored(rules: Sequence[Ignoring], address: str, attribute: AttributeChange) -> AttributeChange:
    if attribute.path == "" or attribute.label is Label.NOISE:
        return attribute
    for rule in rules:
        if rule.matches(address, attribute.path) or (attribute.mirrors and rule.matches(address, attribute.mirrors)):
            return replace(attribute, label=Label.NOISE, ignored_by=rule.name)
    return attribute
