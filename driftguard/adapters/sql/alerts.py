"""The alerts and outbox ports on a SQL database: alerts, and what of them is still to be delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from driftguard.adapters.sql import alertrows, journal
from driftguard.adapters.sql.alertrows import decode, encode, enqueue, keep, upsert
from driftguard.adapters.sql.database import Database, statements
from driftguard.adapters.sql.schema import ALERTS, DELIVERIES, NOTIFIED, OUTBOX, SHOWN
from driftguard.model import (
    Alert,
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
# The sink under which the keys of notes are kept that were planned already.
_NOTES: Final = "(notes)"
# What is sent of an alert for the first time; all else follows it.
_BEGINNINGS: Final = (DeliveryKind.MESSAGE, DeliveryKind.EVENT)


class SqlAlerts(Alerts, Outbox):
    """Implements `ports.Alerts` and `ports.Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- alerts ---------------------------------------------------------------------------------

    def standing(self) -> tuple[Alert, ...]:
        """Every alert that is not resolved, oldest first."""
        with self._database.reading() as connection:
            return alertrows.standing(statements(connection))

    def named(self, ids: Sequence[str]) -> tuple[Alert, ...]:
        """The alerts with these ids, sorted by environment."""
        query = select(ALERTS.c.data)
        with self._database.reading() as connection:
            texts = [t for some in _batches(ids) for t in connection.scalars(query.where(ALERTS.c.id.in_(some)))]
        return tuple(sorted((decode(text, Alert) for text in texts), key=lambda alert: (alert.environment, alert.id)))

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
        self._database.write(lambda connection: alertrows.record(statements(connection), environment, entries, follow))

    def trace(self, alert_id: str, traces: Mapping[str, Any], recorded: RecordedNotice | None) -> None:
        """Add traces to an alert, also to a resolved one, and a notice where delivered messages have to be updated.

        An alert that is not there is left out, with its notice.
        """

        def work(connection: Connection) -> None:
            text = connection.scalar(select(ALERTS.c.data).where(ALERTS.c.id == alert_id))
            if text is None:
                return
            alert = decode(text, Alert)
            alert = replace(alert, traces={**alert.traces, **traces})
            keep(statements(connection), alert)
            if recorded is not None:
                enqueue(statements(connection), [replace(recorded, notice=replace(recorded.notice, alert=alert))])

        self._database.write(work)

    # --- the outbox -----------------------------------------------------------------------------

    def unplanned(self) -> tuple[Notice, ...]:
        """Notices that no delivery was made for yet, oldest first."""
        with self._database.reading() as connection:
            rows = connection.scalars(select(OUTBOX.c.data).order_by(OUTBOX.c.sequence))
            return tuple(decode(text, Notice) for text in rows)

    def messages(self, alert_ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The messages that are about any of the alerts, oldest first."""
        found: dict[int, str] = {}
        with self._database.reading() as connection:
            for some in _batches(alert_ids):
                showing = select(SHOWN.c.delivery).where(SHOWN.c.alert.in_(some))
                query = select(DELIVERIES.c.sequence, DELIVERIES.c.data).where(DELIVERIES.c.id.in_(showing))
                found |= {row.sequence: row.data for row in connection.execute(query)}
        return tuple(decode(found[sequence], Delivery) for sequence in sorted(found))

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

    def note(self, key: str, notes: Sequence[Delivery]) -> bool:
        """Plan notes, in one transaction; False, with nothing changed, when some were planned under this key before."""

        def work(connection: Connection) -> bool:
            planned = NOTIFIED.c.sink == _NOTES
            if connection.scalar(select(NOTIFIED.c.alert).where(planned & (NOTIFIED.c.alert == key))) is not None:
                return False
            connection.execute(insert(NOTIFIED), [{"alert": key, "sink": _NOTES}])
            for each in notes:
                _save(connection, each)
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
            return tuple(decode(text, Delivery) for text in connection.scalars(query.order_by(DELIVERIES.c.sequence)))

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
                if delivery.kind not in _BEGINNINGS:
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
            journal.append(statements(connection), *entries)
            if delivery.state is DeliveryState.SENT and delivery.kind is not DeliveryKind.MESSAGE:
                connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id == delivery.id))
            else:
                _save(connection, delivery)

        self._database.write(work)


def _is_unchanged(connection: Connection, delivery: Delivery) -> bool:
    text = connection.scalar(select(DELIVERIES.c.data).where(DELIVERIES.c.id == delivery.id))
    # Compared as values: another version may have written them in another form.
    return text is not None and decode(text, Delivery) == delivery


def _save(connection: Connection, delivery: Delivery) -> None:
    columns = {
        "kind": delivery.kind.value,
        "state": delivery.state.value,
        "parent": delivery.parent,
        "data": encode(delivery),
    }
    new = upsert(statements(connection), "deliveries", delivery.id, columns)
    if delivery.kind is not DeliveryKind.MESSAGE:
        return
    shows = select(SHOWN.c.alert).where(SHOWN.c.delivery == delivery.id)
    there = set() if new else set(connection.scalars(shows))  # a message that others joined shows more
    shown = [{"alert": a, "delivery": delivery.id} for a in dict.fromkeys(delivery.alerts) if a not in there]
    if shown:
        connection.execute(insert(SHOWN), shown)


def _note_notified(connection: Connection, delivery: Delivery) -> None:
    if delivery.kind not in _BEGINNINGS:
        return
    for some in _batches(delivery.alerts):
        query = select(NOTIFIED.c.alert).where(NOTIFIED.c.alert.in_(some) & (NOTIFIED.c.sink == delivery.sink))
        new = set(some) - set(connection.scalars(query))
        if new:
            connection.execute(insert(NOTIFIED), [{"alert": alert, "sink": delivery.sink} for alert in sorted(new)])


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids without repetitions, as many at a time as one statement takes."""
    distinct = list(dict.fromkeys(ids))
    return (distinct[start : start + _MAX_IDS] for start in range(0, len(distinct), _MAX_IDS))
