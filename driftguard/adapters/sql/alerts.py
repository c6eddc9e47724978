"""The alerts and outbox ports on a SQL database: what people were told, and what is still to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from driftguard.adapters.sql import journal
from driftguard.adapters.sql.database import Database
from driftguard.adapters.sql.schema import ALERTS, DELIVERIES, OUTBOX, SHOWN, stamp
from driftguard.model import Alert, AlertState, Delivery, DeliveryKind, DeliveryState, Entry, EntryKind, Notice

# Enough to hold the newest of each kind.
_MOST_REMEMBERED: Final = 20
_Row = TypeVar("_Row", Alert, Notice, Delivery)


class SqlAlerts:
    """Implements `ports.Alerts` and `ports.Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- alerts ---------------------------------------------------------------------------------

    def standing(self) -> tuple[Alert, ...]:
        """Every alert that is not resolved, oldest first."""
        query = select(ALERTS.c.data).where(ALERTS.c.state != AlertState.RESOLVED.value).order_by(ALERTS.c.sequence)
        with self._database.reading() as connection:
            return tuple(_decode(text, Alert) for text in connection.scalars(query))

    def named(self, ids: Sequence[str]) -> tuple[Alert, ...]:
        """The alerts with these ids, sorted by environment."""
        query = select(ALERTS.c.data).where(ALERTS.c.id.in_(list(ids))).order_by(ALERTS.c.environment)
        with self._database.reading() as connection:
            return tuple(_decode(text, Alert) for text in connection.scalars(query))

    def record(
        self,
        environment: str,
        entries: Sequence[Entry],
        follow: Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[Notice]]],
    ) -> None:
        """Journal entries, and what follows from them for the environment's alerts, in one transaction.

        Args:
            follow: gets the environment's alerts, oldest first; gives the alerts to keep and the notices to tell.
                Two passes at the same time take turns here, so neither tells what the other told already.
        """
        remembered = select(ALERTS.c.data).where(ALERTS.c.environment == environment)
        remembered = remembered.order_by(ALERTS.c.sequence.desc()).limit(_MOST_REMEMBERED)
        with self._database.writing() as connection:
            journal.append(connection, *entries)
            before = [_decode(text, Alert) for text in connection.scalars(remembered)]
            alerts, notices = follow(before[::-1])
            for alert in alerts:
                _keep(connection, alert)
            _tell(connection, notices)

    def trace(self, alert_id: str, traces: Mapping[str, Any], notice: Notice | None) -> None:
        """Add who did it to an alert, and a notice where what is shown already has to change."""
        with self._database.writing() as connection:
            text = connection.scalar(select(ALERTS.c.data).where(ALERTS.c.id == alert_id))
            if text is None:
                return
            alert = _decode(text, Alert)
            _keep(connection, replace(alert, traces={**alert.traces, **traces}))
            if notice is not None:
                _tell(connection, [notice])

    # --- the outbox -----------------------------------------------------------------------------

    def unplanned(self) -> tuple[Notice, ...]:
        """Notices that no delivery was made for yet, oldest first."""
        with self._database.reading() as connection:
            rows = connection.scalars(select(OUTBOX.c.data).order_by(OUTBOX.c.sequence))
            return tuple(_decode(text, Notice) for text in rows)

    def messages(self, alert_ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The messages that show any of the alerts, oldest first."""
        showing = select(SHOWN.c.delivery).where(SHOWN.c.alert.in_(list(alert_ids)))
        query = select(DELIVERIES.c.data).where(DELIVERIES.c.id.in_(showing)).order_by(DELIVERIES.c.sequence)
        with self._database.reading() as connection:
            return tuple(_decode(text, Delivery) for text in connection.scalars(query))

    def plan(self, notices: Sequence[Notice], deliveries: Sequence[Delivery]) -> bool:
        """Put deliveries in the place of notices, in one transaction.

        False, with nothing changed, when one of the notices was planned by somebody else in the meantime.
        """
        ids = [notice.id for notice in notices]
        with self._database.writing() as connection:
            if connection.scalar(select(func.count()).where(OUTBOX.c.id.in_(ids))) != len(ids):
                return False
            connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(ids)))
            for delivery in deliveries:
                _save(connection, delivery)
        return True

    def undelivered(self) -> tuple[Delivery, ...]:
        """What is still to be shown, oldest first."""
        query = select(DELIVERIES.c.data).where(DELIVERIES.c.state != DeliveryState.SENT.value)
        with self._database.reading() as connection:
            return tuple(_decode(text, Delivery) for text in connection.scalars(query.order_by(DELIVERIES.c.sequence)))

    def save(self, delivery: Delivery, entry: Entry | None = None) -> None:
        """Replace a delivery, with a journal entry in the same transaction; one that is done and will never be
        shown differently is deleted."""
        with self._database.writing() as connection:
            if entry is not None:
                journal.append(connection, entry)
            if delivery.state is DeliveryState.SENT and delivery.kind is not DeliveryKind.MESSAGE:
                connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id == delivery.id))
            else:
                _save(connection, delivery)


def _keep(connection: Connection, alert: Alert) -> None:
    columns = {
        "environment": alert.environment,
        "kind": alert.kind.value,
        "state": alert.state.value,
        "changed_at": stamp(alert.changed_at),
        "data": _encode(alert),
    }
    _upsert(connection, ALERTS, alert.id, columns)


def _tell(connection: Connection, notices: Sequence[Notice]) -> None:
    for notice in notices:
        _upsert(connection, OUTBOX, notice.id, {"alert": notice.alert.id, "data": _encode(notice)})
    journal.append(connection, *(_entry(notice) for notice in notices))


def _save(connection: Connection, delivery: Delivery) -> None:
    columns = {
        "kind": delivery.kind.value,
        "state": delivery.state.value,
        "parent": delivery.parent,
        "data": _encode(delivery),
    }
    if _upsert(connection, DELIVERIES, delivery.id, columns) and delivery.kind is DeliveryKind.MESSAGE:
        connection.execute(insert(SHOWN), [{"alert": alert, "delivery": delivery.id} for alert in delivery.alerts])


def _upsert(connection: Connection, table: Table, id_: str, columns: Mapping[str, Any]) -> bool:
    """Update a row, or insert it behind all others; whether it is new. Writers take turns, so this cannot race."""
    if connection.execute(update(table).where(table.c.id == id_).values(columns)).rowcount:
        return False
    last = connection.scalar(select(func.max(table.c.sequence)))
    connection.execute(insert(table).values(id=id_, sequence=(last or 0) + 1, **columns))
    return True


def _entry(notice: Notice) -> Entry:
    alert = notice.alert
    data = {
        "alert": alert.id,
        "about": alert.kind.value,
        "event": notice.event.value,
        "severity": alert.severity.value,
        "fingerprint": alert.fingerprint,
        "line": notice.line,
    }
    return Entry(EntryKind.ALERT, notice.at, notice.run_id, alert.environment, data)


def _encode(value: Alert | Notice | Delivery) -> str:
    return msgspec.json.encode(value).decode()


def _decode(text: str, kind: type[_Row]) -> _Row:
    return msgspec.json.decode(text, type=kind)
