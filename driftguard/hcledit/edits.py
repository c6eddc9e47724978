"""Changes of a text, each of one stretch of it: lines cut, and elements of lists, objects and bodies put in."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from driftguard.hcledit.source import EditRefused
from driftguard.hcledit.syntax import Expression

_COMMENT_LINE: Final = re.compile(r"[ \t]*(?:#|//).*")


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands between two positions (in characters) becomes `text`."""

    start: int
    end: int
    text: str = field(repr=False)


def applied(text: str, edits: Sequence[Edit]) -> str:
    """A text after all edits, whose positions are those before any of them.

    Raises:
        EditRefused: two of them change the same place.
    """
    parts, at = [], 0
    for edit in in_order(edits):
        if edit.start < at:
            raise EditRefused("two changes meet at the same place")
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def in_order(edits: Sequence[Edit]) -> list[Edit]:
    """By position; what is put in at one place keeps the order in which it was asked for."""
    return sorted(edits, key=lambda edit: (edit.start, edit.end))


def line_start(text: str, position: int) -> int:
    """The position where the line begins."""
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    """The position behind the line's end, or the text's."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def indent_at(text: str, position: int) -> str:
    """The white space that the position's line begins with."""
    start = line_start(text, position)
    line = text[start:position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def begins_line(text: str, position: int) -> bool:
    """Whether only white space stands before a position in its line."""
    return not text[line_start(text, position) : position].strip(" \t")


def ends_line(text: str, position: int, comments: Collection[tuple[int, int]]) -> bool:
    """Whether nothing but a comma and a comment follows on the line."""
    end = line_end(text, position)
    for start, stop in comments:
        if position <= start < end and stop <= end:
            end = start
            break
        if position <= start < end:
            return False
    return text[position:end].strip(" \t\r\n") in ("", ",")


def own_lines(text: str, start: int, end: int, comments: Collection[tuple[int, int]]) -> tuple[int, int] | None:
    """The whole lines of a stretch, where nothing else but a comma and a comment stands in them."""
    if begins_line(text, start) and ends_line(text, end, comments):
        return line_start(text, start), line_end(text, end)
    return None


def with_leading_comments(text: str, start: int) -> int:
    """The start of the comment lines directly above a line, or of the line."""
    while start > 0:
        above = line_start(text, start - 1)
        if not _COMMENT_LINE.fullmatch(text[above : start - 1].rstrip("\r")):
            break
        start = above
    return start


def cut_block(text: str, start: int, end: int, comments: Collection[tuple[int, int]]) -> Edit:
    """A block taken away with the comment lines directly above it, and with one of two blank lines around it.

    Raises:
        EditRefused: something else stands in its lines.
    """
    lines = own_lines(text, start, end, comments)
    if lines is None:
        raise EditRefused("something else stands in the same line")
    first, last = with_leading_comments(text, lines[0]), lines[1]
    above = line_start(text, first - 1) if first else 0
    if first and not text[above:first].strip():
        after = text[last : line_end(text, last)].strip()
        if after in ("", "}"):
            return Edit(above, last, "")
    elif not first or text[above:first].rstrip().endswith("{"):
        while last < len(text) and not text[last : line_end(text, last)].strip():
            last = line_end(text, last)
    return Edit(first, last, "")


@dataclass(frozen=True, slots=True)
class Row:
    """The elements of a list or an object between its brackets.

    Attributes:
        items: start and end of each.
        commas: the position of the comma behind each; -1 where there is none.
        needs_commas: nothing else parts two elements.
        last_comma: a comma may stand behind the last one.
    """

    opening_end: int
    closing_start: int
    items: tuple[tuple[int, int], ...]
    commas: tuple[int, ...]
    needs_commas: bool
    last_comma: bool

    @staticmethod
    def of(expression: Expression, *, json_style: bool) -> Row:
        """The row of a list or an object."""
        is_list = expression.kind == "list"
        items = expression.items if is_list else expression.entries
        return Row(
            expression.start + 1,
            expression.end - 1,
            tuple((item.start, item.end) for item in items),
            tuple(expression.commas),
            needs_commas=is_list or json_style,
            last_comma=not json_style,
        )


def without(text: str, row: Row, gone: set[int], comments: Collection[tuple[int, int]]) -> list[Edit]:
    """Take elements away: whole lines where they have lines of their own."""
    edits: list[Edit] = []
    kept = [index for index in range(len(row.items)) if index not in gone]
    for run in _runs(sorted(gone)):
        lines = [own_lines(text, *row.items[index], comments) for index in run]
        if all(lines):
            edits += [Edit(*line, "") for line in lines if line]
            if kept and run[-1] == len(row.items) - 1 and not row.last_comma and row.commas[kept[-1]] >= 0:
                edits.append(Edit(row.commas[kept[-1]], row.commas[kept[-1]] + 1, ""))
            continue
        start, end = _stretch(row, run[0], run[-1], alone=not kept)
        if any(start <= at < end for at, _ in comments):
            raise EditRefused("a comment stands between what would go and what would stay")
        edits.append(Edit(start, end, ""))
    return edits


def _stretch(row: Row, first: int, last: int, *, alone: bool) -> tuple[int, int]:
    """Start and end of neighbouring elements with what parts them from the next one, or else from the one before."""
    if alone:
        return row.opening_end, row.closing_start
    if last + 1 < len(row.items):
        return row.items[first][0], row.items[last + 1][0]
    return row.items[first - 1][1], row.items[last][1]


def _runs(indexes: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for index in indexes:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def appended(
    text: str, row: Row, added: Sequence[str], newline: str, comments: Collection[tuple[int, int]]
) -> list[Edit]:
    """Put elements behind the last one, in a line of their own each where that one has its own."""
    start, end = row.items[-1]
    comma = row.commas[-1]
    parted = row.needs_commas or any(at >= 0 for at in row.commas)
    closes_elsewhere = "\n" in text[end : row.closing_start]
    if closes_elsewhere and begins_line(text, start) and ends_line(text, end, comments):
        return _appended_lines(text, row, added, newline, parted=parted)
    if closes_elsewhere and not parted:
        raise EditRefused("its layout leaves no place for another element")
    if any(end <= at < row.closing_start for at, _ in comments):
        raise EditRefused("a comment stands where another element would")
    if comma >= 0:
        return [Edit(comma + 1, comma + 1, "".join(f" {each}," for each in added))]
    return [Edit(end, end, "".join(f", {each}" for each in added))]


def _appended_lines(text: str, row: Row, added: Sequence[str], newline: str, *, parted: bool) -> list[Edit]:
    """Elements in lines of their own behind the last one; the last of all has a comma where that one has."""
    start, end = row.items[-1]
    indent, at = indent_at(text, start), line_end(text, end)
    if not parted:
        return [Edit(at, at, "".join(f"{indent}{each}{newline}" for each in added))]
    if row.commas[-1] >= 0:
        return [Edit(at, at, "".join(f"{indent}{each},{newline}" for each in added))]
    lines = f",{newline}".join(f"{indent}{each}" for each in added)
    return [Edit(end, end, ","), Edit(at, at, f"{lines}{newline}")]


def put_before(
    text: str, row: Row, index: int, added: Sequence[str], newline: str, comments: Collection[tuple[int, int]]
) -> list[Edit]:
    """Put elements before one of a list, in lines of their own where that one has its own."""
    start, end = row.items[index]
    if begins_line(text, start) and ends_line(text, end, comments):
        at = with_leading_comments(text, line_start(text, start))
        return [Edit(at, at, "".join(f"{indent_at(text, start)}{each},{newline}" for each in added))]
    return [Edit(start, start, "".join(f"{each}, " for each in added))]
