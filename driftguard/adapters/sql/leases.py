"""The leases port on a SQL database: at most one holder for an environment, judged by the caller's clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from driftguard.adapters.sql.database import Database
from driftguard.adapters.sql.rows import moment, stamp
from driftguard.adapters.sql.schema import LEASES
from driftguard.model import Lease
from driftguard.model.ledger import MAX_LEASE
from driftguard.ports import Leases


class SqlLeases(Leases):
    """Implements `ports.Leases`.

    A lease is over from the moment `now >= expires_at`. Extending never shortens it, so a clock that goes
    backwards cannot hand an environment to a second holder. The ledger's writer lock makes each call atomic.
    A lease that runs longer than any may was taken under a wrong clock: it is void, and the next who asks gets it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, environment: str, holder: str, now: datetime, ttl_seconds: float) -> Lease | None:
        """Take or keep the lease; None while another holder's has not expired."""
        asked = _expiry(now, ttl_seconds)

        def work(connection: Connection) -> Lease | None:
            current = _current(connection, environment)
            if current is None:
                connection.execute(insert(LEASES).values(environment=environment, holder=holder, expires_at=asked))
                return Lease(environment, holder, moment(asked))
            void = current.expires_at > now + MAX_LEASE
            if current.holder == holder and not void:
                return _extend(connection, current, asked)
            if current.expires_at > now and not void:
                return None
            taken = update(LEASES).where(LEASES.c.environment == environment, LEASES.c.holder == current.holder)
            connection.execute(taken.values(holder=holder, expires_at=asked))
            return Lease(environment, holder, moment(asked))

        return self._database.write(work)

    def renew(self, lease: Lease, now: datetime, ttl_seconds: float) -> Lease | None:
        """Extend a lease still held; None when another holder has taken it or it was released.

        A lease that expired and was not taken is still held: no other reconciler acted in between.
        """
        asked = _expiry(now, ttl_seconds)

        def work(connection: Connection) -> Lease | None:
            current = _current(connection, lease.environment)
            if current is None or current.holder != lease.holder:
                return None
            return _extend(connection, current, asked)

        return self._database.write(work)

    def release(self, lease: Lease) -> None:
        """Give the lease back if it is still held; otherwise nothing."""

        def work(connection: Connection) -> None:
            connection.execute(
                delete(LEASES).where(LEASES.c.environment == lease.environment, LEASES.c.holder == lease.holder)
            )

        self._database.write(work)


def _expiry(now: datetime, ttl_seconds: float) -> str:
    if ttl_seconds <= 0:
        raise ValueError(f"a lease must last longer than {ttl_seconds} seconds")
    return stamp(now + timedelta(seconds=ttl_seconds))


def _current(connection: Connection, environment: str) -> Lease | None:
    row = connection.execute(select(LEASES).where(LEASES.c.environment == environment)).first()
    return None if row is None else Lease(row.environment, row.holder, moment(row.expires_at))


def _extend(connection: Connection, current: Lease, asked: str) -> Lease:
    expires_at = max(asked, stamp(current.expires_at))
    connection.execute(update(LEASES).where(LEASES.c.environment == current.environment).values(expires_at=expires_at))
    return Lease(current.environment, current.holder, moment(expires_at))
