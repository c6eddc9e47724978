"""Rows in aligned columns as plain text: long cells are folded, never cut."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from driftguard.printable import printable

_GAP: Final = 2
_NARROWEST: Final = 8


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> tuple[str, list[str]]:
    """The line of headings, and the lines of the rows.

    Args:
        headings: printed in capitals.
        rows: as many cells each as there are headings.
        width: characters of a line; only more columns than fit at their narrowest make a line longer.
    """
    table = [
        [heading.upper() for heading in headings],
        *([printable(cell, lines=True) for cell in row] for row in rows),
    ]
    natural = [max(cells(row[index]) for row in table) for index in range(len(headings))]
    widths = _fitted(natural, width - _GAP * (len(headings) - 1))
    first, *rest = ("\n".join(_lines(row, widths)) for row in table)
    return first, rest


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _fitted(natural: Sequence[int], room: int) -> list[int]:
    """Widths of the columns: the widest give way first."""
    if sum(natural) <= room:
        return list(natural)
    most = max(natural)
    while most > _NARROWEST and sum(min(width, most) for width in natural) > room:
        most -= 1
    return [min(width, most) for width in natural]


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    folded = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*folded, fillvalue=""):
        padded = (part + " " * (width - cells(part)) for part, width in zip(parts, widths, strict=True))
        yield (" " * _GAP).join(padded).rstrip()


def _folded(cell: str, width: int) -> list[str]:
    if cells(cell) <= width and "\n" not in cell:
        return [cell]
    if not cell.isascii():  # a wide character takes two cells
        width = max(1, width // 2)
    return [line for part in cell.split("\n") for line in textwrap.wrap(part, width) or [""]]
