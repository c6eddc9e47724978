"""Statements of a transaction, as text: the same ones on SQLAlchemy's connections and on the standard library's SQLite.

What a short command writes stands in such statements, so that it needs no database library for a local file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from driftguard.adapters.sql.rows import PROJECTED_KINDS
from driftguard.model import Entry


class Statements(Protocol):
    """Runs statements in one transaction; values stand in them as `:name`."""

    def rows(self, statement: str, **values: Any) -> Sequence[tuple[Any, ...]]:
        """The rows of a query."""
        ...

    def change(self, statement: str, *values: Mapping[str, Any]) -> int:
        """Run a statement once for each of the values; how many rows it changed."""
        ...

    def appended(self, entries: Sequence[Entry]) -> None:
        """Write the rows that follow from entries which were just appended, in their order."""
        ...


class SqliteStatements(Statements):
    """On a connection of the standard library."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **values: Any) -> Sequence[tuple[Any, ...]]:
        """The rows of a query."""
        return self._connection.execute(statement, values).fetchall()

    def change(self, statement: str, *values: Mapping[str, Any]) -> int:
        """Run a statement once for each of the values; how many rows it changed."""
        return sum(self._connection.execute(statement, each).rowcount for each in values)

    def appended(self, entries: Sequence[Entry]) -> None:
        """Nothing follows from an operator's word. ValueError for entries of a run: those take the database library."""
        if any(entry.kind in PROJECTED_KINDS for entry in entries):
            raise ValueError("entries of a run are appended by `SqlLedger`")
