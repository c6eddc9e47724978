"""The hash-chained journal: appending inside a transaction, checking the chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from driftguard.adapters.sql.rows import ENTRY_COLUMNS, GENESIS, canonical, entry_hash, stamp
from driftguard.adapters.sql.statements import Statements
from driftguard.errors import OperatorError
from driftguard.model import ChainFault, Entry

_INSERT = f"INSERT INTO entries ({', '.join(ENTRY_COLUMNS)}) VALUES ({', '.join(f':{c}' for c in ENTRY_COLUMNS)})"
_READ = f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entries WHERE sequence > :last ORDER BY sequence LIMIT :rows"
_HEAD = "SELECT sequence, hash FROM heads WHERE id = 1"
# Entries can be large (a whole scan); this bounds what `check` holds at a time.
_BATCH_ROWS = 200


def append(statements: Statements, *entries: Entry) -> int:
    """Chain entries to the journal in a writing transaction; gives the last sequence number.

    Raises:
        ValueError, TypeError: a moment without a time zone, or data that is not JSON.
        OperatorError: the journal's head is missing.
    """
    sequence, previous_hash = _head(statements)
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
    statements.change(_INSERT, *rows)
    statements.change("UPDATE heads SET sequence = :sequence, hash = :hash WHERE id = 1", rows[-1])
    named = sorted({entry.environment for entry in entries if entry.environment is not None})
    if named:
        insert = "INSERT INTO environments (name) VALUES (:name) ON CONFLICT DO NOTHING"
        statements.change(insert, *({"name": name} for name in named))
    first = sequence - len(rows) + 1
    statements.appended([replace(entry, sequence=first + number) for number, entry in enumerate(entries)])
    return sequence


def _head(statements: Statements) -> tuple[int, str]:
    for sequence, found in statements.rows(_HEAD):
        return sequence, found
    raise OperatorError(
        "The ledger's record of its last entry is missing, so nothing more is recorded or applied. "
        "The database was changed outside DriftGuard: run `driftguard ledger verify`, and restore it from a backup."
    )


def check(statements: Statements) -> Iterator[ChainFault]:
    """Every place where the chain does not hold, in one scan with flat memory; `statements` must see one moment."""
    last, previous_hash = 0, GENESIS
    for row in _rows(statements):
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
    head = next(iter(statements.rows(_HEAD)), None)
    if head is None:
        yield ChainFault(last, "the record of the last entry is missing")
    elif head[0] > last:
        yield _missing(last + 1, head[0])
    elif head != (last, previous_hash):
        yield ChainFault(last, f"the last entry is {last}, but the ledger recorded entry {head[0]} as its last")


def _rows(statements: Statements) -> Iterator[dict[str, Any]]:
    last = -(2**63)
    while batch := statements.rows(_READ, last=last, rows=_BATCH_ROWS):
        yield from (dict(zip(ENTRY_COLUMNS, row, strict=True)) for row in batch)
        last = batch[-1][0]


def _missing(first: int, last: int) -> ChainFault:
    which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
    return ChainFault(first, f"{which} missing")
