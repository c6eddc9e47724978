"""Alerts and the outbox as rows: what is read and kept of them in the transaction of a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Final, Literal, TypeVar

import msgspec

from driftguard.adapters.sql import journal
from driftguard.adapters.sql.rows import stamp
from driftguard.adapters.sql.statements import Statements
from driftguard.errors import OperatorError
from driftguard.model import Alert, AlertKind, AlertState, Delivery, Entry, Notice, RecordedNotice

Follow = Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[RecordedNotice]]]
_Row = TypeVar("_Row", Alert, Notice, Delivery)
_STANDING: Final = f"SELECT data FROM alerts WHERE state <> '{AlertState.RESOLVED}' ORDER BY sequence"
_OWN: Final = "SELECT sequence, data FROM alerts WHERE environment = :environment"
# With the kinds named, SQLite takes the index of standing alerts instead of all of the environment's.
_OWN_STANDING: Final = (
    f"{_OWN} AND state <> '{AlertState.RESOLVED}' AND kind IN ({', '.join(repr(kind.value) for kind in AlertKind)})"
)
_OWN_RESOLVED: Final = f"{_OWN} AND state = '{AlertState.RESOLVED}' AND kind = :kind ORDER BY sequence DESC LIMIT 1"


def standing(statements: Statements) -> tuple[Alert, ...]:
    """Every alert that is not resolved, oldest first."""
    return tuple(decode(text, Alert) for (text,) in statements.rows(_STANDING))


def record(statements: Statements, environment: str, entries: Sequence[Entry], follow: Follow) -> None:
    """See `ports.AlertRecord.record`; in a writing transaction."""
    journal.append(statements, *entries)
    alerts, notices = follow(_remembered(statements, environment))
    for alert in alerts:
        keep(statements, alert)
    enqueue(statements, notices)


def _remembered(statements: Statements, environment: str) -> list[Alert]:
    """An environment's alerts that are not resolved and the newest resolved one of each kind, oldest first.

    Sought one by one: a standing alert may be older than hundreds that came and went beside it.
    """
    found = list(statements.rows(_OWN_STANDING, environment=environment))
    for kind in AlertKind:
        found += statements.rows(_OWN_RESOLVED, environment=environment, kind=kind.value)
    return [decode(text, Alert) for _, text in sorted(found)]


def keep(statements: Statements, alert: Alert) -> None:
    """Put an alert in the place of what it was."""
    columns = {
        "environment": alert.environment,
        "kind": alert.kind.value,
        "state": alert.state.value,
        "changed_at": stamp(alert.changed_at),
        "data": encode(alert),
    }
    upsert(statements, "alerts", alert.id, columns)


def enqueue(statements: Statements, notices: Sequence[RecordedNotice]) -> None:
    """Put notices into the outbox and the journal; one that waits there already, with the same text, is kept."""
    entries = []
    for recorded in notices:
        notice = recorded.notice
        columns = {"alert": notice.alert.id, "data": encode(notice)}
        if statements.rows("SELECT data FROM outbox WHERE id = :id", id=notice.id) != [(columns["data"],)]:
            upsert(statements, "outbox", notice.id, columns)
            entries.append(recorded.entry)
    journal.append(statements, *entries)


def upsert(
    statements: Statements,
    table: Literal["alerts", "outbox", "deliveries"],
    id_: str,
    columns: Mapping[str, str | None],
) -> bool:
    """Update a row, or insert it behind all others; whether it is new. Writers take turns, so this cannot race."""
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    if statements.change(f"UPDATE {table} SET {changes} WHERE id = :id", {**columns, "id": id_}):
        return False
    ((last,),) = statements.rows(f"SELECT max(sequence) FROM {table}")
    row = {"id": id_, "sequence": (last or 0) + 1, **columns}
    statements.change(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})", row)
    return True


def encode(value: Alert | Notice | Delivery) -> str:
    """JSON text in ASCII, so that all that the journal takes can be kept: half a surrogate pair, for one.

    Raises:
        ValueError, TypeError: a moment without a time zone, or a value that is not JSON (a sealed one and NaN are not).
    """
    for part in (value, value.alert) if isinstance(value, Notice) else (value,):
        for found in (getattr(part, item.name) for item in fields(part)):
            if isinstance(found, datetime):
                stamp(found)
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), allow_nan=False)


def decode(text: str, kind: type[_Row]) -> _Row:
    """What `encode` was given. OperatorError where it is damaged, or of a newer version."""
    try:
        return msgspec.convert(json.loads(text), kind)
    except ValueError:
        raise OperatorError(
            f"What the ledger keeps of {kind.__name__.lower()}s cannot be read: it was damaged, or written by a newer "
            "DriftGuard. Nothing more is sent. Upgrade driftguard on this machine, or restore the ledger from a backup."
        ) from None
