"""The input of adopting: an environment's files, a parser and a formatter; and the refusal of an edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from driftguard.hcledit.syntax import JsonDocument, NativeFile


class Parser(Protocol):
    """Finds the positions of everything in a text: they count characters, lines start at 1."""

    def hcl(self, text: str) -> NativeFile:
        """A text in native syntax.

        Raises:
            ValueError: it cannot be parsed; the message names the position, without any part of the text.
        """
        ...

    def json(self, text: str, *, templates: bool) -> JsonDocument:
        """A JSON text.

        Args:
            templates: `${` and `%{` in its strings begin an expression.

        Raises:
            ValueError: it cannot be parsed; the message names the position, without any part of the text.
        """
        ...


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
class EnvironmentSource:
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


class EditRefused(Exception):
    """Reality cannot be written here; `why` holds no value, `line` is counted from 1."""

    def __init__(self, why: str, line: int | None = None, path: str | None = None) -> None:
        super().__init__(why)
        self.why, self.line, self.path = why, line, path
