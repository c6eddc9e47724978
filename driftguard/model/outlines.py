"""The outline of a Terraform file: its blocks with their labels and the text of their attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_LITERAL = re.compile(r'"((?:[^"\\$%]|\\.|[$%](?!\{))*)"')


@dataclass(frozen=True, slots=True)
class Outline:
    """One block, or the whole file (its kind is empty then).

    Attributes:
        labels: without quotes.
        attributes: each attribute's expression as written.
        blocks: those inside, in order.
    """

    kind: str = ""
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[Outline, ...] = ()

    def of(self, kind: str) -> Iterator[Outline]:
        """The blocks of one kind right inside this one."""
        return (block for block in self.blocks if block.kind == kind)

    def literal(self, name: str) -> str | None:
        """An attribute's value where it is a plain string; None for anything else."""
        found = _LITERAL.fullmatch(self.attributes.get(name, "").strip())
        return found[1] if found else None
