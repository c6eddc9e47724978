"""Rows of the ledger as text: moments, canonical JSON, an entry's hash. Needs no database library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind

# Every schema revision this code can find in a database, oldest first. Migrations must stay readable by
# their names alone, so that a current ledger opens without importing Alembic.
REVISIONS: Final = ("0001", "0002", "0003", "0004")
VERSION_TABLE: Final = "driftguard_schema"
GENESIS: Final = "0" * 64
#: The columns of the table `entries`.
ENTRY_COLUMNS: Final = ("sequence", "at", "kind", "environment", "run_id", "previous_hash", "hash", "data")
#: Entries that further rows follow from, in `projecting`.
PROJECTED_KINDS: Final = frozenset(
    {EntryKind.SCANNED, EntryKind.ENVIRONMENT_FORGOTTEN, EntryKind.RUN_STARTED, EntryKind.RUN_FINISHED}
)
_KINDS: Final[Mapping[str, EntryKind]] = {kind.value: kind for kind in EntryKind}


class StoredEntry(NamedTuple):
    """The columns of the table `entries` that make an entry, as they are stored."""

    sequence: int
    at: str
    kind: str
    environment: str | None
    run_id: str
    hash: str
    data: str


def stamp(at: datetime) -> str:
    """A moment as fixed-width RFC 3339 text in UTC, which sorts as time does.

    Raises:
        ValueError: the moment has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"the ledger takes moments with a time zone only, not {at.isoformat()}")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text_: str) -> datetime:
    """The aware UTC moment of a `stamp`."""
    found = datetime.fromisoformat(text_)
    return found if found.tzinfo is UTC else found.astimezone(UTC)


def canonical(value: Any) -> str:
    """JSON text in ASCII with sorted keys and no white space: equal values, equal texts.

    Raises:
        TypeError, ValueError: the value is not JSON (a sealed value and NaN are not).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def entry_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the canonical JSON of an entry's columns but `hash`; `data` counts as its stored text."""
    covered = {name: row[name] for name in ("sequence", "at", "kind", "environment", "run_id", "previous_hash", "data")}
    # A damaged SQLite row may hold bytes where text belongs; it must give another hash, not an error.
    text_ = json.dumps(covered, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text_.encode()).hexdigest()


def to_entry(row: StoredEntry) -> Entry:
    """The entry of a row.

    Raises:
        OperatorError: the row is damaged.
    """
    try:
        return Entry(
            kind=_KINDS.get(row.kind, row.kind),
            at=moment(row.at),
            run_id=row.run_id,
            environment=row.environment,
            data=json.loads(row.data),
            sequence=row.sequence,
            hash=row.hash,
        )
    except (ValueError, TypeError):
        raise unreadable(row.sequence) from None


def unreadable(sequence: int) -> OperatorError:
    """What to raise about an entry that was damaged, or whose words only a newer version knows."""
    return OperatorError(
        f"Entry {sequence} of the ledger cannot be read: it was damaged, or written by a newer DriftGuard. "
        "Run `driftguard ledger verify`; if the chain holds, upgrade driftguard on this machine."
    )
