"""What adopting reads: an environment's files, and where everything stands in them.

The protocols say what a parser gives; the adapter for python-hcl2 has classes that fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Token(Protocol):
    """One word of a text; `rules` are those of the grammar that it stands in, from the outermost."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def rules(self) -> tuple[str, ...]: ...


class Expression(Protocol):
    """One value as it is written.

    `kind` is `string`, `heredoc`, `number`, `bool`, `null`, `list`, `object`, `call`, `reference`, or in words what any
    other expression is. `name` is a function's name, or a reference's dotted name. `commas` has the position of the
    comma behind each item or entry, -1 where there is none.
    """

    @property
    def kind(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def value(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def items(self) -> Sequence[Expression]: ...
    @property
    def entries(self) -> Sequence[Entry]: ...
    @property
    def commas(self) -> Sequence[int]: ...


class Entry(Protocol):
    """One entry of an object; `key` is None where it is an expression."""

    @property
    def key(self) -> str | None: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def expression(self) -> Expression: ...


class Attribute(Protocol):
    """One `name = value` of a block."""

    @property
    def name(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def expression(self) -> Expression: ...


class Body(Protocol):
    """What stands between a block's braces, or in a whole file."""

    @property
    def attributes(self) -> Sequence[Attribute]: ...
    @property
    def blocks(self) -> Sequence[Block]: ...


class Block(Body, Protocol):
    """One block; `inner_start` and `inner_end` are the positions between its braces."""

    @property
    def kind(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def inner_start(self) -> int: ...
    @property
    def inner_end(self) -> int: ...


class File(Body, Protocol):
    """A text in native syntax, with start and end of each comment, and every word in order."""

    @property
    def comments(self) -> Sequence[tuple[int, int]]: ...
    @property
    def tokens(self) -> Sequence[Token]: ...


class Document(Protocol):
    """A JSON text."""

    @property
    def root(self) -> Expression: ...
    @property
    def tokens(self) -> Sequence[Token]: ...


class Parser(Protocol):
    """Says where everything stands in a text: positions count characters, lines start at 1.

    Both raise ValueError for a text that cannot be parsed, with a message that says where and holds nothing of it.
    """

    def hcl(self, text: str) -> File: ...

    def json(self, text: str, *, templates: bool) -> Document: ...


class SourceTree(Protocol):
    """The files of an environment's repository."""

    def files(self, directory: str) -> Mapping[str, bytes]:
        """Every file directly in a directory, by its path from the repository's root."""
        ...

    def shared_with(self, path: str) -> tuple[str, ...]:
        """Names of the other environments that a file belongs to."""
        ...


class Formatter(Protocol):
    """The tool's own formatter."""

    def formatted(self, text: bytes) -> bytes:
        """A text in native syntax as the formatter has it; unchanged where it cannot be formatted."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """One environment's source at one commit.

    Attributes:
        root: the environment's directory, from the repository's root.
        var_files: given on the command line, relative to `root`, in order: later ones win.
        variables: names of variables that are given from outside the repository, such as by `TF_VAR_x`: refused.
        parser: reads both notations.
    """

    root: str
    var_files: tuple[str, ...]
    variables: frozenset[str]
    tree: SourceTree
    formatter: Formatter
    parser: Parser


class Refused(Exception):
    """Something that reality says cannot be written here; `why` holds no value, `line` is counted from 1."""

    def __init__(self, why: str, line: int | None = None, path: str | None = None) -> None:
        super().__init__(why)
        self.why, self.line, self.path = why, line, path
