"""The hash-chained journal: appending inside a transaction, checking the chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from driftguard.adapters.sql.projecting import project
from driftguard.adapters.sql.rows import GENESIS, canonical, entry_hash, stamp
from driftguard.adapters.sql.schema import ENTRIES, HEADS
from driftguard.errors import OperatorError
from driftguard.model import ChainFault, Entry

# Entries can be large (a whole scan); this bounds what `check` holds at a time.
_BATCH_ROWS = 200


def append(connection: Connection, *entries: Entry) -> int:
    """Chain entries to the journal in the writing transaction of `connection`; gives the last sequence number.

    Raises:
        ValueError, TypeError: a moment without a time zone, or data that is not JSON.
        OperatorError: the journal's head is missing.
    """
    sequence, previous_hash = _head(connection)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        sequence += 1
        row: dict[str, Any] = {
            "sequence": sequence,
            "at": stamp(entry.at),
            "kind": str(entry.kind),
            "environment": entry.environment,
            "run_id": entry.run_id,
            "previous_hash": previous_hash,
            "data": canonical(dict(entry.data)),
        }
        previous_hash = row["hash"] = entry_hash(row)
        rows.append(row)
    if not rows:
        return sequence
    connection.execute(insert(ENTRIES), rows)
    connection.execute(update(HEADS).where(HEADS.c.id == 1).values(sequence=sequence, hash=previous_hash))
    named = [
        {"name": name} for name in sorted({entry.environment for entry in entries if entry.environment is not None})
    ]
    if named:
        # The same words in both databases, which SQLAlchemy's own constructs for this are not.
        connection.execute(text("INSERT INTO environments (name) VALUES (:name) ON CONFLICT DO NOTHING"), named)
    first = sequence - len(rows) + 1
    project(connection, [replace(entry, sequence=first + number) for number, entry in enumerate(entries)])
    return sequence


def _head(connection: Connection) -> tuple[int, str]:
    head = connection.execute(select(HEADS.c.sequence, HEADS.c.hash).where(HEADS.c.id == 1)).first()
    if head is None:
        raise OperatorError(
            "The ledger's record of its last entry is missing, so nothing more is recorded or applied. "
            "The database was changed outside DriftGuard: run `driftguard ledger verify`, and restore it from a backup."
        )
    return head.sequence, head.hash


def check(connection: Connection) -> Iterator[ChainFault]:
    """Every place where the chain does not hold, in one scan with flat memory; `connection` must see one moment."""
    last, previous_hash = 0, GENESIS
    for row in _rows(connection):
        sequence = row["sequence"]
        if sequence <= last:
            yield ChainFault(sequence, f"entry {sequence} was added before the first entry")
            continue
        if sequence > last + 1:
            yield _missing(last + 1, sequence - 1)
        elif row["previous_hash"] != previous_hash:
            yield ChainFault(
                sequence, f"entry {sequence} does not follow the entry before it: one of the two was changed"
            )
        if entry_hash(row) != row["hash"]:
            yield ChainFault(sequence, f"entry {sequence} was changed after it was written")
        last, previous_hash = sequence, row["hash"]
    head = connection.execute(select(HEADS.c.sequence, HEADS.c.hash).where(HEADS.c.id == 1)).first()
    if head is None:
        yield ChainFault(last, "the record of the last entry is missing")
    elif head.sequence > last:
        yield _missing(last + 1, head.sequence)
    elif (head.sequence, head.hash) != (last, previous_hash):
        yield ChainFault(last, f"the last entry is {last}, but the ledger recorded entry {head.sequence} as its last")


def _rows(connection: Connection) -> Iterator[dict[str, Any]]:
    query = select(ENTRIES).order_by(ENTRIES.c.sequence).limit(_BATCH_ROWS)
    batch = connection.execute(query).mappings().all()
    while batch:
        yield from (dict(row) for row in batch)
        batch = connection.execute(query.where(ENTRIES.c.sequence > batch[-1]["sequence"])).mappings().all()


def _missing(first: int, last: int) -> ChainFault:
    which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
    return ChainFault(first, f"{which} missing")
