"""Terraform source as it is written: where blocks, attributes and values stand in a text.

Positions count characters from 0; `end` is the position behind the last one. Lines are counted from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a text with the rules that it stands in; white space is none, a comment is.

    Attributes:
        rules: names of the grammar's rules from the outermost, without positions.
    """

    start: int
    end: int
    text: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """One value as it is written.

    Attributes:
        kind: `string`, `heredoc`, `number`, `bool`, `null`, `list`, `object` for what is written out;
            `call` for a function, `reference` for a dotted name, and in words what any other expression is.
        value: of what is written out and is neither a list nor an object.
        name: the function's name, or the dotted name.
        items: a list's elements, or a function's arguments.
        entries: an object's entries.
        commas: position of the comma behind each item or entry; -1 where there is none.
    """

    kind: str
    start: int
    end: int
    line: int
    value: Any = None
    name: str = ""
    items: tuple[Expression, ...] = ()
    entries: tuple[ObjectEntry, ...] = ()
    commas: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One entry of an object; `key` is None where it is an expression."""

    key: str | None
    start: int
    end: int
    line: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class Attribute:
    """One `name = value`."""

    name: str
    start: int
    end: int
    line: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        labels: those behind its kind, without quotes.
        line, last_line: its first and last line, counted from 1.
        inner_start, inner_end: the positions between its braces.
    """

    kind: str
    labels: tuple[str, ...]
    start: int
    end: int
    line: int
    last_line: int
    inner_start: int
    inner_end: int
    attributes: tuple[Attribute, ...]
    blocks: tuple[Block, ...]

    def value(self, name: str) -> Expression | None:
        """The value of one of its attributes; None where that is not written."""
        return next((each.expression for each in self.attributes if each.name == name), None)


@dataclass(frozen=True, slots=True)
class NativeFile:
    """A text in native syntax.

    Attributes:
        comments: start and end of each comment.
        tokens: every word, comments included, in order.
    """

    attributes: tuple[Attribute, ...]
    blocks: tuple[Block, ...]
    comments: tuple[tuple[int, int], ...]
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A JSON text: its value, and every word in order."""

    root: Expression
    tokens: tuple[Token, ...]
