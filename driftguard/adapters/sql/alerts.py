"""The alerts and outbox ports on a SQL database: alerts, and what of them is still to be delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from driftguard.adapters.sql import journal
from driftguard.adapters.sql.database import Database
from driftguard.adapters.sql.rows import stamp
from driftguard.adapters.sql.schema import ALERTS, DELIVERIES, NOTIFIED, OUTBOX, SHOWN
from driftguard.errors import OperatorError
from driftguard.model import (
    Alert,
    AlertKind,
    AlertState,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Entry,
    Notice,
    RecordedNotice,
)
from driftguard.ports import Alerts, Outbox

# How many ids one statement takes: SQLite before 3.32 knows 999 variables. https://www.sqlite.org/limits.html
_MAX_IDS: Final = 900
_Row = TypeVar("_Row", Alert, Notice, Delivery)


class SqlAlerts(Alerts, Outbox):
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
        query = select(ALERTS.c.data)
        with self._database.reading() as connection:
            texts = [t for some in _batches(ids) for t in connection.scalars(query.where(ALERTS.c.id.in_(some)))]
        return tuple(sorted((_decode(text, Alert) for text in texts), key=lambda alert: (alert.environment, alert.id)))

    def record(
        self,
        environment: str,
        entries: Sequence[Entry],
        follow: Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[RecordedNotice]]],
    ) -> None:
        """Journal entries, and what follows from them for the environment's alerts, in one transaction.

        Args:
            follow: gets the environment's alerts that are not resolved and the newest resolved one of each kind,
                oldest first; gives the alerts to keep and the notices to send. Two runs at the same time are
                serialized here, so neither sends what the other sent already. It must not use the ledger itself.

        Raises:
            OperatorError: another alert of the same kind stands already. Nothing is kept then.
        """

        def work(connection: Connection) -> None:
            journal.append(connection, *entries)
            alerts, notices = follow(_remembered(connection, environment))
            for alert in alerts:
                _keep(connection, alert)
            _enqueue(connection, notices)

        self._database.write(work)

    def trace(self, alert_id: str, traces: Mapping[str, Any], recorded: RecordedNotice | None) -> None:
        """Add traces to an alert, also to a resolved one, and a notice where delivered messages have to be updated.

        An alert that is not there is left out, with its notice.
        """

        def work(connection: Connection) -> None:
            text = connection.scalar(select(ALERTS.c.data).where(ALERTS.c.id == alert_id))
            if text is None:
                return
            alert = _decode(text, Alert)
            alert = replace(alert, traces={**alert.traces, **traces})
            _keep(connection, alert)
            if recorded is not None:
                _enqueue(connection, [replace(recorded, notice=replace(recorded.notice, alert=alert))])

        self._database.write(work)

    # --- the outbox -----------------------------------------------------------------------------

    def unplanned(self) -> tuple[Notice, ...]:
        """Notices that no delivery was made for yet, oldest first."""
        with self._database.reading() as connection:
            rows = connection.scalars(select(OUTBOX.c.data).order_by(OUTBOX.c.sequence))
            return tuple(_decode(text, Notice) for text in rows)

    def messages(self, alert_ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The messages that are about any of the alerts, oldest first."""
        found: dict[int, str] = {}
        with self._database.reading() as connection:
            for some in _batches(alert_ids):
                showing = select(SHOWN.c.delivery).where(SHOWN.c.alert.in_(some))
                query = select(DELIVERIES.c.sequence, DELIVERIES.c.data).where(DELIVERIES.c.id.in_(showing))
                found |= {row.sequence: row.data for row in connection.execute(query)}
        return tuple(_decode(found[sequence], Delivery) for sequence in sorted(found))

    def plan(self, notices: Sequence[Notice], deliveries: Sequence[Delivery]) -> bool:
        """Put deliveries in the place of notices, in one transaction.

        False, with nothing changed, when one of the notices was planned by another run in the meantime.
        """
        ids = list(dict.fromkeys(notice.id for notice in notices))
        count = select(func.count()).select_from(OUTBOX)

        def work(connection: Connection) -> bool:
            if sum(connection.scalar(count.where(OUTBOX.c.id.in_(some))) or 0 for some in _batches(ids)) < len(ids):
                return False
            for some in _batches(ids):
                connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(some)))
            for delivery in deliveries:
                _save(connection, delivery)
                _note_notified(connection, delivery)
            return True

        return self._database.write(work)

    def notified(self, alert_ids: Sequence[str]) -> frozenset[tuple[str, str]]:
        """Which alert was sent to which sink, or waits to be sent there."""
        query = select(NOTIFIED.c.alert, NOTIFIED.c.sink)
        with self._database.reading() as connection:
            found = [connection.execute(query.where(NOTIFIED.c.alert.in_(some))).all() for some in _batches(alert_ids)]
        return frozenset((row.alert, row.sink) for rows in found for row in rows)

    def undelivered(self) -> tuple[Delivery, ...]:
        """What is still to be delivered, oldest first."""
        query = select(DELIVERIES.c.data).where(DELIVERIES.c.state != DeliveryState.SENT.value)
        with self._database.reading() as connection:
            return tuple(_decode(text, Delivery) for text in connection.scalars(query.order_by(DELIVERIES.c.sequence)))

    def begin(self, delivery: Delivery) -> Delivery | None:
        """Record that a delivery is being sent; None, with nothing changed, when another run changed it meanwhile."""
        begun = replace(delivery, state=DeliveryState.SENDING, attempts=0, next_try_at=None)

        def work(connection: Connection) -> Delivery | None:
            if not _is_unchanged(connection, delivery):
                return None
            _save(connection, begun)
            return begun

        return self._database.write(work)

    def drop(self, deliveries: Sequence[Delivery]) -> None:
        """Forget deliveries, their replies, and that their alerts were sent to their sinks."""

        def work(connection: Connection) -> None:
            for delivery in deliveries:
                own = (DELIVERIES.c.id == delivery.id) | (DELIVERIES.c.parent == delivery.id)
                connection.execute(delete(DELIVERIES).where(own))
                connection.execute(delete(SHOWN).where(SHOWN.c.delivery == delivery.id))
                if delivery.kind is DeliveryKind.REPLY:
                    continue
                for some in _batches(delivery.alerts):
                    there = NOTIFIED.c.alert.in_(some) & (NOTIFIED.c.sink == delivery.sink)
                    connection.execute(delete(NOTIFIED).where(there))

        self._database.write(work)

    def pass_on(self, delivery: Delivery, taken: Delivery, deliveries: Sequence[Delivery]) -> bool:
        """Replace a delivery by what it is now, and plan deliveries elsewhere of what it is about, in one transaction.

        False, with nothing changed, when another run changed it meanwhile.
        """

        def work(connection: Connection) -> bool:
            if not _is_unchanged(connection, delivery):
                return False
            for each in (taken, *deliveries):
                _save(connection, each)
                _note_notified(connection, each)
            return True

        return self._database.write(work)

    def save(self, delivery: Delivery, *entries: Entry) -> None:
        """Replace a delivery, with journal entries in the same transaction; one that is done and will never be
        shown differently is deleted."""

        def work(connection: Connection) -> None:
            journal.append(connection, *entries)
            if delivery.state is DeliveryState.SENT and delivery.kind is not DeliveryKind.MESSAGE:
                connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id == delivery.id))
            else:
                _save(connection, delivery)

        self._database.write(work)


def _remembered(connection: Connection, environment: str) -> list[Alert]:
    """An environment's alerts that are not resolved and the newest resolved one of each kind, oldest first.

    Sought one by one: a standing alert may be older than hundreds that came and went beside it.
    """
    query = select(ALERTS.c.sequence, ALERTS.c.data).where(ALERTS.c.environment == environment)
    # With the kinds named, SQLite takes the index of standing alerts instead of all of the environment's.
    standing = query.where(ALERTS.c.state != AlertState.RESOLVED.value)
    rows = list(connection.execute(standing.where(ALERTS.c.kind.in_([kind.value for kind in AlertKind]))))
    resolved = query.where(ALERTS.c.state == AlertState.RESOLVED.value).order_by(ALERTS.c.sequence.desc()).limit(1)
    for kind in AlertKind:
        rows += connection.execute(resolved.where(ALERTS.c.kind == kind.value))
    return [_decode(row.data, Alert) for row in sorted(rows, key=lambda row: row.sequence)]


def _keep(connection: Connection, alert: Alert) -> None:
    columns = {
        "environment": alert.environment,
        "kind": alert.kind.value,
        "state": alert.state.value,
        "changed_at": stamp(alert.changed_at),
        "data": _encode(alert),
    }
    _upsert(connection, ALERTS, alert.id, columns)


def _enqueue(connection: Connection, notices: Sequence[RecordedNotice]) -> None:
    """Put notices into the outbox and the journal; one that waits there already, with the same text, is kept."""
    entries = []
    for recorded in notices:
        notice = recorded.notice
        columns = {"alert": notice.alert.id, "data": _encode(notice)}
        if connection.scalar(select(OUTBOX.c.data).where(OUTBOX.c.id == notice.id)) != columns["data"]:
            _upsert(connection, OUTBOX, notice.id, columns)
            entries.append(recorded.entry)
    journal.append(connection, *entries)


def _is_unchanged(connection: Connection, delivery: Delivery) -> bool:
    text = connection.scalar(select(DELIVERIES.c.data).where(DELIVERIES.c.id == delivery.id))
    # Compared as values: another version may have written them in another form.
    return text is not None and _decode(text, Delivery) == delivery


def _save(connection: Connection, delivery: Delivery) -> None:
    columns = {
        "kind": delivery.kind.value,
        "state": delivery.state.value,
        "parent": delivery.parent,
        "data": _encode(delivery),
    }
    new = _upsert(connection, DELIVERIES, delivery.id, columns)
    if delivery.kind is not DeliveryKind.MESSAGE:
        return
    shows = select(SHOWN.c.alert).where(SHOWN.c.delivery == delivery.id)
    there = set() if new else set(connection.scalars(shows))  # a message that others joined shows more
    shown = [{"alert": a, "delivery": delivery.id} for a in dict.fromkeys(delivery.alerts) if a not in there]
    if shown:
        connection.execute(insert(SHOWN), shown)


def _note_notified(connection: Connection, delivery: Delivery) -> None:
    if delivery.kind is DeliveryKind.REPLY:
        return
    for some in _batches(delivery.alerts):
        query = select(NOTIFIED.c.alert).where(NOTIFIED.c.alert.in_(some) & (NOTIFIED.c.sink == delivery.sink))
        new = set(some) - set(connection.scalars(query))
        if new:
            connection.execute(insert(NOTIFIED), [{"alert": alert, "sink": delivery.sink} for alert in sorted(new)])


def _upsert(connection: Connection, table: Table, id_: str, columns: Mapping[str, Any]) -> bool:
    """Update a row, or insert it behind all others; whether it is new. Writers take turns, so this cannot race."""
    if connection.execute(update(table).where(table.c.id == id_).values(columns)).rowcount:
        return False
    last = connection.scalar(select(func.max(table.c.sequence)))
    connection.execute(insert(table).values(id=id_, sequence=(last or 0) + 1, **columns))
    return True


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids without repetitions, as many at a time as one statement takes."""
    distinct = list(dict.fromkeys(ids))
    return (distinct[start : start + _MAX_IDS] for start in range(0, len(distinct), _MAX_IDS))


def _encode(value: Alert | Notice | Delivery) -> str:
    """JSON text in ASCII, so that all that the journal takes can be kept: half a surrogate pair, for one.

    Raises:
        ValueError, TypeError: a moment without a time zone, or a value that is not JSON (a sealed one and NaN are not).
    """
    for part in (value, value.alert) if isinstance(value, Notice) else (value,):
        for found in (getattr(part, item.name) for item in fields(part)):
            if isinstance(found, datetime):
                stamp(found)
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), allow_nan=False)


def _decode(text: str, kind: type[_Row]) -> _Row:
    try:
        return msgspec.convert(json.loads(text), kind)
    except ValueError:
        raise OperatorError(
            f"What the ledger keeps of {kind.__name__.lower()}s cannot be read: it was damaged, or written by a newer "
            "DriftGuard. Nothing more is sent. Upgrade driftguard on this machine, or restore the ledger from a backup."
        ) from None
