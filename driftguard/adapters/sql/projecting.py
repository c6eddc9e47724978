"""What the ledger keeps about the estate beside its journal: rows that follow from the entries, and from nothing else.

They are written in the transaction of their entry. The tables hold the same after `rebuild` as after a year of
`project`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from driftguard.adapters.sql.rows import PROJECTED_KINDS, StoredEntry, moment, stamp, to_entry
from driftguard.adapters.sql.schema import ENTRIES, LABEL_DAYS, OCCURRENCES, RUNS, SUMMARIES
from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind
from driftguard.model.estate import Ending, Occurrence, Summary, followed, forgotten, summary_of
from driftguard.model.report import read_environment
from driftguard.model.rows import RunFinishedRow, RunStartedRow
from driftguard.printable import REPLACEMENT, whole_characters

_COLUMNS: Final = [ENTRIES.c[name] for name in StoredEntry._fields]
_BATCH_ROWS: Final = 500
# In ASCII JSON: half a character, or NUL, which PostgreSQL has no text for. May be found where there is none.
_UNSTORABLE: Final = re.compile(r"\\u(?:d[89a-f]|0000)")


@dataclass(slots=True)
class KnownEnvironment:
    """What the tables hold of one environment.

    Attributes:
        summary: the newest.
        standing: what is open, by address and label, with its key in the table.
    """

    summary: Summary | None = None
    standing: dict[tuple[str, str], tuple[Occurrence, int, int]] = field(default_factory=dict)


class Projection:
    """The rows that follow from entries, gathered in the order of the entries.

    Args:
        known: gives what the tables hold of an environment before the first of the entries.
    """

    def __init__(self, known: Callable[[str], KnownEnvironment]) -> None:
        self._read = known
        self._known: dict[str, KnownEnvironment] = {}
        self._new: dict[Table, list[Mapping[str, Any]]] = {RUNS: [], SUMMARIES: [], OCCURRENCES: []}
        self._closed: list[Mapping[str, Any]] = []
        self._finished: list[Mapping[str, Any]] = []
        self._moved: dict[tuple[str, str], list[int]] = {}

    def add(self, entry: Entry) -> None:
        """Follow an entry; one that cannot be read, as a newer version may write it, is left out."""
        if entry.kind in PROJECTED_KINDS:
            with suppress(ValueError):
                self._follow(replace(entry, at=moment(stamp(entry.at)), data=_storable(entry.data)))

    def write(self, connection: Connection) -> None:
        """Write the rows gathered since the last time."""
        upsert = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgresql
        moved = upsert(LABEL_DAYS)
        moved = moved.on_conflict_do_update(
            index_elements=list(LABEL_DAYS.primary_key),
            set_={name: LABEL_DAYS.c[name] + moved.excluded[name] for name in ("opened", "closed")},
        )
        if self._moved:
            days = [
                {"day": day, "label": label, "opened": opened, "closed": closed}
                for (day, label), (opened, closed) in sorted(self._moved.items())
            ]
            connection.execute(moved, days)
        inserts = {RUNS: upsert(RUNS).on_conflict_do_nothing()}
        for table, rows in self._new.items():
            if rows:
                connection.execute(inserts.get(table, insert(table)), rows)
                rows.clear()
        if self._closed:
            key = (OCCURRENCES.c.opened == bindparam("of"), OCCURRENCES.c.number == bindparam("of_number"))
            connection.execute(update(OCCURRENCES).where(*key), self._closed)
        if self._finished:
            connection.execute(update(RUNS).where(RUNS.c.run == bindparam("of")), self._finished)
        self._closed, self._finished, self._moved = [], [], {}

    def _follow(self, entry: Entry) -> None:
        if entry.kind == EntryKind.RUN_STARTED:
            self._new[RUNS].append(_run_row(entry))
        elif entry.kind == EntryKind.RUN_FINISHED:
            self._finished.append(_finished_row(entry))
        elif entry.environment is not None:
            known = self._known.get(entry.environment)
            if known is None:
                known = self._known[entry.environment] = self._read(entry.environment)
            standing = [each for each, _, _ in known.standing.values()]
            if entry.kind == EntryKind.ENVIRONMENT_FORGOTTEN:
                self._close(known, forgotten(standing, entry.at))
            else:
                self._scan(known, standing, entry, entry.environment)

    def _scan(self, known: KnownEnvironment, standing: Sequence[Occurrence], entry: Entry, name: str) -> None:
        report = msgspec.structs.replace(read_environment(entry.data), name=name)
        summary, moves = summary_of(entry, report, known.summary), followed(standing, report, entry.at)
        known.summary = summary
        self._new[SUMMARIES].append(_summary_row(summary))
        self._close(known, moves.closed)
        for number, each in enumerate(moves.opened):
            known.standing[each.address, each.label] = (each, summary.sequence, number)
            self._moved.setdefault((_day(each.opened_at), each.label), [0, 0])[0] += 1
            self._new[OCCURRENCES].append(_occurrence_row(each, summary.sequence, number))

    def _close(self, known: KnownEnvironment, closed: Sequence[Occurrence]) -> None:
        for each in closed:
            _, opened, number = known.standing.pop((each.address, each.label))
            assert each.closed_at is not None
            assert each.ending is not None
            row = {"of": opened, "of_number": number, "closed_at": stamp(each.closed_at), "ending": each.ending.value}
            self._closed.append({**row, "repair_seconds": each.repair_seconds})
            self._moved.setdefault((_day(each.closed_at), each.label), [0, 0])[1] += 1


def project(connection: Connection, entries: Sequence[Entry]) -> None:
    """Bring the tables up to date with entries that were just appended, in their order."""

    def known(name: str) -> KnownEnvironment:
        newest = select(SUMMARIES.c.data).where(SUMMARIES.c.environment == name)
        summary = connection.scalar(newest.order_by(SUMMARIES.c.sequence.desc()).limit(1))
        open_ = (OCCURRENCES.c.environment == name) & OCCURRENCES.c.closed_at.is_(None)
        rows = connection.execute(select(OCCURRENCES).where(open_))
        return KnownEnvironment(
            None if summary is None else msgspec.json.decode(summary, type=Summary),
            {(row.address, row.label): (to_occurrence(row), row.opened, row.number) for row in rows},
        )

    projection = Projection(known)
    for entry in entries:
        projection.add(entry)
    projection.write(connection)


def rebuild(connection: Connection) -> None:
    """Make the tables anew from the journal; entries that were damaged are left out."""
    for table in (OCCURRENCES, LABEL_DAYS, SUMMARIES, RUNS):
        connection.execute(delete(table))
    projection = Projection(lambda name: KnownEnvironment())
    query = select(*_COLUMNS).where(ENTRIES.c.kind.in_(sorted(PROJECTED_KINDS))).order_by(ENTRIES.c.sequence)
    last = 0
    while rows := connection.execute(query.where(ENTRIES.c.sequence > last).limit(_BATCH_ROWS)).all():
        for row in rows:
            with suppress(OperatorError):
                projection.add(to_entry(StoredEntry(*row)))
        projection.write(connection)
        last = rows[-1].sequence


def _summary_row(summary: Summary) -> Mapping[str, Any]:
    text = msgspec.json.encode(summary).decode()
    return {"sequence": summary.sequence, "environment": summary.name, "at": stamp(summary.at), "data": text}


def _occurrence_row(occurrence: Occurrence, opened: int, number: int) -> Mapping[str, Any]:
    return {
        "opened": opened,
        "number": number,
        "environment": occurrence.environment,
        "address": occurrence.address,
        "label": occurrence.label,
        "type": occurrence.type,
        "owner": occurrence.owner,
        "opened_at": stamp(occurrence.opened_at),
        "began_at": stamp(occurrence.began_at),
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


def _run_row(entry: Entry) -> Mapping[str, Any]:
    started = msgspec.convert(entry.data, RunStartedRow)
    data = {"commit": started.commit, "environments": started.count or len(started.environments)}
    return {
        "run": entry.run_id,
        "sequence": entry.sequence,
        "started_at": stamp(entry.at),
        "looks": 0,
        "unknown": 0,
        "data": json.dumps(data),
    }


def _finished_row(entry: Entry) -> Mapping[str, Any]:
    end = msgspec.convert(entry.data, RunFinishedRow)
    return {
        "of": entry.run_id,
        "finished_at": stamp(entry.at),
        "looks": sum(end.summary.values()),
        "unknown": end.summary.get("unknown", 0),
        "probed": end.probed,
        "cpu_seconds": end.cpu_seconds,
    }


def _day(moment_: datetime) -> str:
    return moment_.date().isoformat()


def _storable(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Data whose texts every database takes."""
    cleaned: Mapping[str, Any] = _cleaned(data) if _UNSTORABLE.search(json.dumps(data)) else data
    return cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value).replace("\0", REPLACEMENT)
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list | tuple) else value
