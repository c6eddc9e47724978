"""Reads a ledger without what writing it takes: the standard library alone, where it is a local SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from driftguard.adapters.sql.rows import REVISIONS, VERSION_TABLE, StoredEntry, moment, stamp, to_entry
from driftguard.model import Entry, EntryKind
from driftguard.model.looks import Look
from driftguard.ports import JournalReader

if TYPE_CHECKING:
    from driftguard.adapters.sql.ledger import SqlLedger

#: How long a call waits for another writer.
WAIT_SECONDS: Final = 30.0
_COLUMNS: Final = ", ".join(StoredEntry._fields)


class SqliteJournal(JournalReader):
    """The journal in a SQLite file whose schema is current; for one thread.

    Every method raises OperatorError, in one sentence, when the file cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        """`name` is what messages call the ledger."""
        self._connection, self._name = connection, name

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def entries(
        self,
        *,
        environment: str | None = None,
        kinds: Sequence[EntryKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Entries that match all that is given, in the order they were written; `limit` keeps the newest ones.

        `since` and `until` are both inclusive.
        """
        conditions: list[tuple[str, Sequence[str]]] = []
        if environment is not None:
            conditions.append(("environment = ?", [environment]))
        if kinds:
            conditions.append((f"kind IN ({', '.join('?' * len(kinds))})", [kind.value for kind in kinds]))
        if since is not None:
            conditions.append(("at >= ?", [stamp(since)]))
        if until is not None:
            conditions.append(("at <= ?", [stamp(until)]))
        where = " AND ".join(condition for condition, _ in conditions) or "1"
        query = f"SELECT {_COLUMNS} FROM entries WHERE {where} ORDER BY sequence DESC LIMIT ?"
        given = [value for _, values in conditions for value in values]
        return tuple(reversed(self._found(query, [*given, -1 if limit is None else limit])))

    def latest(self, kind: EntryKind, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest entry of a kind for each environment, `until` inclusive."""
        bound = "" if until is None else "AND at <= ?"
        newest = f"SELECT max(sequence) FROM entries WHERE kind = ? AND environment = environments.name {bound}"
        columns = ", ".join(f"entries.{column}" for column in _COLUMNS.split(", "))
        query = f"SELECT {columns} FROM environments JOIN entries ON entries.sequence = ({newest})"
        found = self._found(query, [kind.value, *([] if until is None else [stamp(until)])])
        return {str(entry.environment): entry for entry in found}

    def looks(self, until: datetime | None = None) -> Mapping[str, Look]:
        """The newest look at each environment that confirmed a report, `until` inclusive."""
        query = "SELECT environment, sequence, at, times, cpu_seconds FROM looks"
        rows = self._rows(query, []) if until is None else self._rows(f"{query} WHERE at <= ?", [stamp(until)])
        return {row[0]: Look(row[0], row[1], moment(row[2]), row[3], row[4]) for row in rows}

    def _found(self, query: str, values: Sequence[str | int]) -> list[Entry]:
        return [to_entry(StoredEntry(*row)) for row in self._rows(query, values)]

    def _rows(self, query: str, values: Sequence[str | int]) -> list[tuple[Any, ...]]:
        with translated(self._name):
            return self._connection.execute(query, values).fetchall()


def open_journal(url: str) -> SqliteJournal | SqlLedger:
    """Open a ledger to read it: a local SQLite file with the current schema as it is, any other as `open_ledger` does.

    Args:
        url: as in `open_ledger`.

    Raises:
        UsageError, OperatorError: as in `open_ledger`.
    """
    local = open_local(url)
    if local is not None:
        return SqliteJournal(*local)
    from driftguard.adapters.sql.opening import open_ledger  # with the library for every other database

    return open_ledger(url)


def open_local(url: str) -> tuple[sqlite3.Connection, str] | None:
    """The local SQLite file of a URL, and its path, where its schema is current.

    None for one that has to be created or migrated, and for any other database.
    """
    name = url.removeprefix("sqlite:///")
    if name == url or not name or "?" in name or name.startswith((":", "file:")):
        return None
    path = Path(name).expanduser().absolute()
    try:
        address = f"file:{quote(str(path))}?mode=rw"
        connection = sqlite3.connect(address, timeout=WAIT_SECONDS, isolation_level=None, uri=True)
    except sqlite3.Error:  # not there yet; any other error is reported by the opening for writing
        return None
    try:
        with closing(connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")) as found:
            current = found.fetchone() == (REVISIONS[-1],)
    except sqlite3.Error:
        current = False
    if current:
        return connection, str(path)
    connection.close()
    return None


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise OperatorError, in one sentence, for an error of the file that messages call `name`."""
    try:
        yield
    except sqlite3.Error as error:
        # Only a failure pays for loading the library that the sentences are written for.
        from sqlalchemy import URL
        from sqlalchemy.exc import DBAPIError

        from driftguard.adapters.sql.faults import operator_error

        address = URL.create("sqlite", database=name)
        raise operator_error(DBAPIError(None, None, error), address, name, WAIT_SECONDS) from None
