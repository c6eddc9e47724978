"""What the ledger keeps beside its journal about the estate, brought up to date with each entry that is appended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, insert, select, update

from driftguard.adapters.sql.rows import StoredEntry, moment, stamp, to_entry
from driftguard.adapters.sql.schema import ENTRIES, OCCURRENCES, RUNS, SUMMARIES
from driftguard.model import Entry, EntryKind
from driftguard.model.estate import Ending, Occurrence, Summary, followed, forgotten, summary_of
from driftguard.model.report import read_environment
from driftguard.model.rows import RunFinishedRow, RunStartedRow
from driftguard.printable import whole_characters

_KINDS: Final = frozenset(
    {EntryKind.SCANNED, EntryKind.ENVIRONMENT_FORGOTTEN, EntryKind.RUN_STARTED, EntryKind.RUN_FINISHED}
)
_COLUMNS: Final = [ENTRIES.c[name] for name in StoredEntry._fields]
_BATCH_ROWS: Final = 200
# An index of PostgreSQL takes no longer ones.
_MAX_ADDRESS: Final = 500


def project(connection: Connection, entries: Sequence[Entry]) -> None:
    """Bring the tables up to date with entries that were just appended, in their order.

    What cannot be read, and what another program wrote, is left out: it never keeps an entry from being recorded.
    """
    for entry in entries:
        if entry.kind in _KINDS:
            try:
                _project(connection, entry)
            except ValueError:
                continue


def project_journal(connection: Connection) -> None:
    """Bring the empty tables up to date with the whole journal."""
    query = select(*_COLUMNS).where(ENTRIES.c.kind.in_([kind.value for kind in _KINDS])).order_by(ENTRIES.c.sequence)
    last = 0
    while rows := connection.execute(query.where(ENTRIES.c.sequence > last).limit(_BATCH_ROWS)).all():
        project(connection, [to_entry(StoredEntry(*row)) for row in rows])
        last = rows[-1].sequence


def _project(connection: Connection, entry: Entry) -> None:
    if entry.kind == EntryKind.RUN_STARTED:
        row = run_row(entry)
        if connection.scalar(select(RUNS.c.run).where(RUNS.c.run == clean(entry.run_id))) is None:
            connection.execute(insert(RUNS).values(row))
    elif entry.kind == EntryKind.RUN_FINISHED:
        of_run = RUNS.c.run == clean(entry.run_id)
        connection.execute(update(RUNS).where(of_run).values(finished_row(entry)))
    elif entry.environment is not None:
        _follow(connection, entry, clean(entry.environment))


def _follow(connection: Connection, entry: Entry, name: str) -> None:
    open_ = (OCCURRENCES.c.environment == name) & OCCURRENCES.c.closed_at.is_(None)
    standing = [to_occurrence(row) for row in connection.execute(select(OCCURRENCES).where(open_))]
    if entry.kind == EntryKind.ENVIRONMENT_FORGOTTEN:
        _close(connection, forgotten(standing, entry.at))
        return
    report = msgspec.structs.replace(read_environment(entry.data), name=name)
    newest = select(SUMMARIES.c.data).where(SUMMARIES.c.environment == name).order_by(SUMMARIES.c.sequence.desc())
    before = connection.scalar(newest.limit(1))
    known = None if before is None else msgspec.json.decode(before, type=Summary)
    connection.execute(insert(SUMMARIES).values(summary_row(summary_of(entry, report, known))))
    shortened = {_address(r.address): r.address for r in report.resources}
    standing = [replace(each, address=shortened.get(each.address, each.address)) for each in standing]
    moves = followed(standing, report, entry.at)
    _close(connection, moves.closed)
    if moves.opened:
        rows = {_identity(each): occurrence_row(each, entry.sequence or 0) for each in moves.opened}
        connection.execute(insert(OCCURRENCES), list(rows.values()))


def _identity(occurrence: Occurrence) -> tuple[str, str]:
    return _address(occurrence.address), clean(occurrence.label)


def _close(connection: Connection, closed: Sequence[Occurrence]) -> None:
    for each in closed:
        same = (
            (OCCURRENCES.c.environment == each.environment)
            & (OCCURRENCES.c.address == _address(each.address))
            & (OCCURRENCES.c.label == clean(each.label))
            & OCCURRENCES.c.closed_at.is_(None)
        )
        ended = {"closed_at": each.closed_at and stamp(each.closed_at), "ending": each.ending and each.ending.value}
        connection.execute(update(OCCURRENCES).where(same).values(ended))


def summary_row(summary: Summary) -> Mapping[str, Any]:
    """A summary as a row."""
    text = json.dumps(msgspec.to_builtins(summary), separators=(",", ":"), ensure_ascii=False)
    return {
        "sequence": summary.sequence,
        "environment": clean(summary.name),
        "at": stamp(summary.at),
        "data": whole_characters(text),
    }


def occurrence_row(occurrence: Occurrence, opened: int) -> Mapping[str, Any]:
    """An occurrence as a row.

    Args:
        opened: the number of the entry that opened it.
    """
    return {
        "environment": occurrence.environment,
        "address": _address(occurrence.address),
        "label": clean(occurrence.label)[:20],
        "opened": opened,
        "type": clean(occurrence.type),
        "owner": None if occurrence.owner is None else clean(occurrence.owner),
        "opened_at": stamp(occurrence.opened_at),
        "began_at": stamp(occurrence.began_at),
        "closed_at": occurrence.closed_at and stamp(occurrence.closed_at),
        "ending": occurrence.ending and occurrence.ending.value,
    }


def to_occurrence(row: Any) -> Occurrence:
    """The occurrence of a row of the whole table."""
    return Occurrence(
        environment=row.environment,
        address=row.address,
        label=row.label,
        type=row.type,
        owner=row.owner,
        opened_at=moment(row.opened_at),
        began_at=moment(row.began_at),
        closed_at=None if row.closed_at is None else moment(row.closed_at),
        ending=None if row.ending is None else Ending(row.ending),
    )


def run_row(entry: Entry) -> Mapping[str, Any]:
    """A run that starts, as a row."""
    started = msgspec.convert(entry.data, RunStartedRow)
    data = {"commit": started.commit, "environments": started.count or len(started.environments)}
    return {
        "run": clean(entry.run_id),
        "sequence": entry.sequence,
        "started_at": stamp(entry.at),
        "looks": 0,
        "unknown": 0,
        "data": json.dumps(data),
    }


def finished_row(entry: Entry) -> Mapping[str, Any]:
    """What the end of a run adds to its row."""
    end = msgspec.convert(entry.data, RunFinishedRow)
    return {
        "finished_at": stamp(entry.at),
        "looks": sum(end.summary.values()),
        "unknown": end.summary.get("unknown", 0),
        "probed": end.probed,
        "cpu_seconds": end.cpu_seconds,
    }


def clean(text: str) -> str:
    """Text that every database takes: whole characters, none of them NUL."""
    return whole_characters(text).replace("\0", "\ufffd")


def _address(address: str) -> str:
    """An address, shortened where an index would not take it; equal addresses stay equal."""
    address = clean(address)
    if len(address) <= _MAX_ADDRESS:
        return address
    return f"{address[: _MAX_ADDRESS - 20]}…{hashlib.sha256(address.encode()).hexdigest()[:16]}"
