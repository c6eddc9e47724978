"""Source shapes of one resource, and what adopting makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driftguard.hcledit.adopting import adopt
from driftguard.model import Adoption, Departure
from tests.support.adopt_shapes import SHAPES, Shape
from tests.support.adopt_source import all_formatted, source_of

PATH = "env/main.tf"
BEHIND = '\n# n = 30\nresource "aws_x" "other" {\n  n = 30\n  s = "old"\n}\n'


def text_of(shape: Shape, body: str) -> bytes:
    newline = "\r\n" if "\r\n" in shape.before else "\n"
    return f'resource "aws_x" "a" {{{newline}{body}}}{newline}{BEHIND}'.encode()


def departure_of(shape: Shape) -> Departure:
    desired: dict[str, Any] = {"id": "x", **shape.same, **shape.old}
    reality = {**desired, **shape.new}
    return Departure("aws_x.a", "aws_x", desired, reality, frozenset(shape.new), shape.sensitive)


def names(shapes: list[Shape]) -> dict[str, Any]:
    return {"argvalues": shapes, "ids": [shape.name for shape in shapes]}


TOLD = [shape for shape in SHAPES if not shape.why]
REFUSED = [shape for shape in SHAPES if shape.why]


@pytest.mark.parametrize("shape", **names(TOLD))
def test_a_shape_states_reality_and_every_other_byte_stays(shape: Shape) -> None:
    before, after = text_of(shape, shape.before), text_of(shape, shape.after)
    adoption = adopt([departure_of(shape)], source_of({PATH: before}))
    assert adoption == Adoption(files={PATH: after} if after != before else {})


@pytest.mark.parametrize("shape", **names(REFUSED))
def test_a_shape_is_refused_with_its_place_and_without_its_value(shape: Shape) -> None:
    adoption = adopt([departure_of(shape)], source_of({PATH: text_of(shape, shape.before)}))
    assert not adoption.files
    (refusal,) = adoption.refusals
    assert (refusal.address, refusal.path, refusal.line) == ("aws_x.a", PATH, shape.line)
    assert shape.why in refusal.why
    assert refusal.attribute in shape.new


def test_there_are_at_least_sixty_shapes() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 60


@pytest.mark.terraform
def test_what_the_formatter_had_nothing_to_change_in_stays_so(tmp_path: Path) -> None:
    befores = [text_of(shape, shape.before) for shape in TOLD]
    tidy = all_formatted(befores, tmp_path / "before")
    clean = [(shape, before) for shape, before in zip(TOLD, befores, strict=True) if tidy[before] == before]
    # One `terraform fmt` for all texts that adopting will ask about, then one for all of its results.
    tidy |= all_formatted([adopted(shape, before, bytes) for shape, before in clean], tmp_path / "asked")
    afters = [adopted(shape, before, lambda text: tidy[text]) for shape, before in clean]
    tidy |= all_formatted(afters, tmp_path / "after")
    wanted = [text_of(shape, shape.after).split() for shape, _ in clean]
    assert [after.split() for after in afters] == wanted
    assert [after for after in afters if tidy[after] != after] == []
    assert len(clean) > 50


def adopted(shape: Shape, before: bytes, formatted: Callable[[bytes], bytes]) -> bytes:
    adoption = adopt([departure_of(shape)], source_of({PATH: before}, formatted=formatted))
    return adoption.files.get(PATH, before)
