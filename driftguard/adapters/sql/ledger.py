"""The ledger port on a SQL database: the journal, baselines and the digest key."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from driftguard.adapters.sql import journal
from driftguard.adapters.sql.alerts import SqlAlerts
from driftguard.adapters.sql.attempts import SqlAttemptHistory, SqlAttempts
from driftguard.adapters.sql.clock import LedgerClock
from driftguard.adapters.sql.database import Database, statements
from driftguard.adapters.sql.estate import SqlEstate
from driftguard.adapters.sql.leases import SqlLeases
from driftguard.adapters.sql.looks import SqlLooks
from driftguard.adapters.sql.newest import newest_of_kind
from driftguard.adapters.sql.rows import StoredEntry, stamp, to_entry
from driftguard.adapters.sql.schema import DIGESTS, ENTRIES, SECRETS
from driftguard.model import Baseline, ChainFault, Entry, EntryKind
from driftguard.model.digests import Digests
from driftguard.ports import DigestKey, LedgerCheck, RunLedger

_KEY_BYTES = 32
# So many entries of a kind are read sooner than each environment's newest is sought.
_RARE = 2000
_KEY = select(SECRETS.c.value).where(SECRETS.c.name == "digest_key")
_COLUMNS = [ENTRIES.c[name] for name in StoredEntry._fields]


class SqlRecord(SqlLooks, RunLedger, DigestKey):
    """The ledger as a scan holds it: its journal, baselines and digest key; no leases, attempts or alerts.

    Every method raises OperatorError, in one sentence, when the database fails, and ValueError for a moment
    without a time zone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key: bytes | None = None
        self.past_attempts = SqlAttemptHistory(database)

    def key(self) -> bytes:
        """The secret for keyed digests (32 random bytes), the same for everyone who shares the ledger."""
        if self._key is None:
            with self._database.reading() as connection:
                found = connection.execute(_KEY).scalar()
            self._key = self._database.write(_ensure_key) if found is None else bytes(found)
        return self._key

    def append(self, *entries: Entry) -> None:
        """Append entries in one transaction, chained to what is there. Durable on return."""
        self._database.write(lambda connection: journal.append(statements(connection), *entries))

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
        query = select(*_COLUMNS).order_by(ENTRIES.c.sequence.desc())
        if environment is not None:
            query = query.where(ENTRIES.c.environment == environment)
        if kinds:
            query = query.where(ENTRIES.c.kind.in_([kind.value for kind in kinds]))
        if since is not None:
            query = query.where(ENTRIES.c.at >= stamp(since))
        if until is not None:
            query = query.where(ENTRIES.c.at <= stamp(until))
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(to_entry(StoredEntry(*row)) for row in reversed(rows))

    def latest(self, kind: EntryKind, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest entry of a kind for each environment, `until` inclusive."""
        some = select(ENTRIES.c.sequence).where(ENTRIES.c.kind == kind.value).limit(_RARE + 1).subquery()
        with self._database.reading() as connection:
            rare = (connection.scalar(select(func.count()).select_from(some)) or 0) <= _RARE
            rows = connection.execute(newest_of_kind(kind, until, rare=rare)).all()
        entries = [to_entry(StoredEntry(*row)) for row in rows]
        return {str(entry.environment): entry for entry in entries}

    def baseline(self, environment: str) -> Baseline | None:
        """The environment's baseline, or None before the first: the newest move in the journal."""
        moves = self.entries(environment=environment, kinds=[EntryKind.BASELINE_MOVED], limit=1)
        return msgspec.convert(moves[0].data, Baseline) if moves else None

    def replace_baseline(self, before: Baseline | None, moved: Entry) -> bool:
        """Journal the move of a baseline unless it is not `before` any more; whether it was journalled."""

        def work(connection: Connection) -> bool:
            if _baseline_at(connection, str(moved.environment)) != (None if before is None else before.at):
                return False
            journal.append(statements(connection), moved)
            return True

        return self._database.write(work)

    def digests(self, environment: str) -> Digests | None:
        """The digests of the baseline in force; None where there are none of that one."""
        baseline = self.baseline(environment)
        if baseline is None:
            return None
        query = select(DIGESTS.c.data).where(
            DIGESTS.c.environment == environment, DIGESTS.c.baseline_at == stamp(baseline.at)
        )
        with self._database.reading() as connection:
            data = connection.execute(query).scalar()
        return None if data is None else Digests.decoded(bytes(data))

    def keep_digests(self, environment: str, baseline: Baseline, digests: Digests) -> None:
        """Replace the environment's digests by those of a baseline."""
        row = {"environment": environment, "baseline_at": stamp(baseline.at), "data": digests.encoded()}

        def work(connection: Connection) -> None:
            if _baseline_at(connection, environment) != baseline.at:
                return
            connection.execute(delete(DIGESTS).where(DIGESTS.c.environment == environment))
            connection.execute(insert(DIGESTS).values(**row))

        self._database.write(work)


class SqlLedger(SqlEstate, SqlRecord, LedgerCheck):
    """Implements `ports.Ledger`; `leases`, `attempts`, `alerts`, `clock` implement their ports on the same database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._answers = {}
        self.leases = SqlLeases(database)
        self.attempts = SqlAttempts(database)
        self.alerts = SqlAlerts(database)
        self.clock = LedgerClock(database.behind())

    @property
    def record(self) -> SqlRecord:
        """The same ledger without what only acting needs."""
        return SqlRecord(self._database)

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What makes the ledger less durable than it should be, one sentence each."""
        return self._database.shortcomings

    def close(self) -> None:
        """Close every connection to the database."""
        self._database.close()

    def verify(self) -> tuple[ChainFault, ...]:
        """Every place where the chain does not hold; empty for a sound ledger. Reads all of it, in batches."""
        with self._database.reading() as connection:
            return tuple(journal.check(statements(connection)))


def _ensure_key(connection: Connection) -> bytes:
    found = connection.execute(_KEY).scalar()
    if found is None:
        found = secrets.token_bytes(_KEY_BYTES)
        connection.execute(insert(SECRETS).values(name="digest_key", value=found))
    return bytes(found)


def _baseline_at(connection: Connection, environment: str) -> datetime | None:
    """When the baseline in force was set, which identifies it."""
    moves = select(ENTRIES.c.data).where(
        ENTRIES.c.environment == environment, ENTRIES.c.kind == EntryKind.BASELINE_MOVED.value
    )
    newest = connection.scalar(moves.order_by(ENTRIES.c.sequence.desc()).limit(1))
    return None if newest is None else msgspec.convert(json.loads(newest), Baseline).at
