"""Attributes that a provider fills from another one: they have its label, and count for nothing themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from driftguard.model import AttributeChange, Label

# The mirror and what it mirrors; defaults of the provider may stand in it besides.
_MIRRORS: Final = {"tags_all": "tags", "effective_labels": "labels", "terraform_labels": "labels"}


def with_mirrors(attributes: list[AttributeChange]) -> list[AttributeChange]:
    """The attributes with each mirror marked, and labelled as what it mirrors."""
    by_path = {attribute.path: attribute for attribute in attributes}
    return [_mirrored(attribute, by_path) for attribute in attributes]


def _mirrored(attribute: AttributeChange, by_path: dict[str, AttributeChange]) -> AttributeChange:
    top, dot, rest = attribute.path.partition(".")
    original = by_path.get(f"{_MIRRORS[top]}{dot}{rest}") if top in _MIRRORS else None
    if original is None or attribute.label is Label.NOISE:
        return attribute
    if not attribute.unknown and (attribute.reality, attribute.desired) != (original.reality, original.desired):
        return attribute
    return replace(
        attribute,
        label=original.label,
        rule=f"mirrors {original.path}: {original.rule}",
        certain=original.certain,
        causes=original.causes,
        mirrors=original.path,
    )
