"""Writes a word of an operator into a ledger: the standard library alone, where it is a local SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from driftguard.adapters.sql import alertrows, journal
from driftguard.adapters.sql.clock import LedgerClock
from driftguard.adapters.sql.reading import SqliteJournal, open_local, translated
from driftguard.adapters.sql.statements import SqliteStatements, Statements
from driftguard.model import Alert, Entry
from driftguard.ports import AlertRecord, Journal

if TYPE_CHECKING:
    from driftguard.adapters.sql.ledger import SqlLedger


class SqliteAlerts(AlertRecord):
    """The alerts in a SQLite file whose schema is current; for one thread. Errors as in `SqliteJournal`."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        """`name` is what messages call the ledger."""
        self._connection, self._name = connection, name

    def standing(self) -> tuple[Alert, ...]:
        """Every alert that is not resolved, oldest first."""
        with translated(self._name):
            return alertrows.standing(SqliteStatements(self._connection))

    def record(self, environment: str, entries: Sequence[Entry], follow: alertrows.Follow) -> None:
        """Journal entries, and what follows from them for the environment's alerts, in one transaction.

        Args:
            follow: as in `SqlAlerts.record`.
        """
        with _writing(self._connection, self._name) as statements:
            alertrows.record(statements, environment, entries, follow)


class SqliteLedger(SqliteJournal, Journal):
    """The journal in a SQLite file whose schema is current, with its alerts and its clock; for one thread."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        """`name` is what messages call the ledger."""
        super().__init__(connection, name)
        self.alerts = SqliteAlerts(connection, name)
        self.clock = LedgerClock(timedelta(0))

    def append(self, *entries: Entry) -> None:
        """Append entries in one transaction, chained to what is there. Durable on return."""
        with _writing(self._connection, self._name) as statements:
            journal.append(statements, *entries)


@contextmanager
def _writing(connection: sqlite3.Connection, name: str) -> Iterator[Statements]:
    """A transaction of the only writer; undone on error."""
    with translated(name), ExitStack() as undo:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        undo.callback(connection.rollback)
        yield SqliteStatements(connection)
        connection.commit()
        undo.pop_all()


def open_for_words(url: str) -> SqliteLedger | SqlLedger:
    """Open a ledger to write a word of an operator: a local SQLite file with the current schema as it is.

    Args:
        url: as in `open_ledger`, which opens any other.

    Raises:
        UsageError, OperatorError: as in `open_ledger`.
    """
    local = open_local(url)
    if local is not None:
        return SqliteLedger(*local)
    from driftguard.adapters.sql.opening import open_ledger  # with the library for every other database

    return open_ledger(url)
