"""The looks that confirm reports: one row for each environment, and one for each day of a watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import select, text

from driftguard.adapters.sql.database import Database
from driftguard.adapters.sql.rows import moment, stamp
from driftguard.adapters.sql.schema import LOOKS, WATCH_DAYS
from driftguard.model.looks import Look, WatchDay

# A look at an older report never replaces one at a newer report. Moments decide nothing: a clock may be wrong.
_KEEP: Final = text(
    "INSERT INTO looks (environment, sequence, at, times, cpu_seconds)"
    " VALUES (:environment, :sequence, :at, :times, :cpu_seconds)"
    " ON CONFLICT (environment) DO UPDATE SET"
    " times = CASE WHEN looks.sequence = excluded.sequence THEN looks.times ELSE 0 END + excluded.times,"
    " sequence = excluded.sequence, at = excluded.at, cpu_seconds = excluded.cpu_seconds"
    " WHERE excluded.sequence >= looks.sequence"
)
_COUNT: Final = text(
    "INSERT INTO watch_days (day, rounds, looked, answered, differed, cpu_seconds)"
    " VALUES (:day, :rounds, :looked, :answered, :differed, :cpu_seconds)"
    " ON CONFLICT (day) DO UPDATE SET rounds = watch_days.rounds + excluded.rounds,"
    " looked = watch_days.looked + excluded.looked, answered = watch_days.answered + excluded.answered,"
    " differed = watch_days.differed + excluded.differed, cpu_seconds = watch_days.cpu_seconds + excluded.cpu_seconds"
)
# A write to S3 stores the whole ledger again.
_REMOTE_INTERVAL: Final = timedelta(minutes=5)


class SqlLooks:
    """Implements `ports.LookKeeper`, and reads what it kept."""

    _database: Database

    def looks(self, until: datetime | None = None) -> Mapping[str, Look]:
        """The newest look at each environment that confirmed a report, `until` inclusive."""
        query = select(LOOKS) if until is None else select(LOOKS).where(LOOKS.c.at <= stamp(until))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return {row.environment: Look(row[0], row[1], moment(row[2]), row[3], row[4]) for row in rows}

    def keep_looks(self, looks: Sequence[Look], days: Sequence[WatchDay] = ()) -> None:
        """Keep looks in the place of earlier ones, and add to what the watch did, in one transaction."""
        rows = [{**msgspec.structs.asdict(look), "at": stamp(look.at)} for look in looks]
        counts = [msgspec.structs.asdict(day) for day in days]
        if rows or counts:
            with_rows = [(_KEEP, rows), (_COUNT, counts)]
            self._database.write(
                lambda connection: [connection.execute(statement, each) for statement, each in with_rows if each]
            )

    def watch_days(self, since: str, until: str) -> tuple[WatchDay, ...]:
        """What the watch did from one day to another, both inclusive, as in `2026-11-28`."""
        query = select(WATCH_DAYS).where(WATCH_DAYS.c.day.between(since, until)).order_by(WATCH_DAYS.c.day)
        with self._database.reading() as connection:
            return tuple(WatchDay(*row) for row in connection.execute(query).all())

    @property
    def looks_interval(self) -> timedelta:
        """How often looks are kept at most, because a write costs more than a row."""
        return _REMOTE_INTERVAL if self._database.remote else timedelta()
