"""The estate port on a SQL database: summaries, occurrences and runs, which stand beside the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import JSON, Column, ColumnElement, Select, and_, case, cast, func, select, true, type_coerce

from driftguard.adapters.sql.database import Database
from driftguard.adapters.sql.newest import newest_of_kind
from driftguard.adapters.sql.projecting import to_occurrence
from driftguard.adapters.sql.rows import StoredEntry, moment, stamp, to_entry, unreadable
from driftguard.adapters.sql.schema import ENTRIES, ENVIRONMENTS, HEADS, LABEL_DAYS, OCCURRENCES, RUNS, SUMMARIES
from driftguard.errors import OperatorError
from driftguard.model import Entry, EntryKind
from driftguard.model.estate import (
    LabelDay,
    Occurrence,
    Recurring,
    RunDay,
    RunSummary,
    Summary,
)
from driftguard.model.report import EnvironmentReport, read_environment
from driftguard.model.rows import RunFinishedRow
from driftguard.model.words import OUTSIDE

_SUMMARIES: Final = msgspec.json.Decoder(list[Summary])
_REPORT: Final = msgspec.json.Decoder(EnvironmentReport)
_COLUMNS: Final = [ENTRIES.c[name] for name in StoredEntry._fields]
_OUTSIDE: Final = OCCURRENCES.c.label.in_(sorted(OUTSIDE))
_MAX_IDS: Final = 500
_Answer = TypeVar("_Answer")


class SqlEstate:
    """Implements what `ports.estate.EstateReader` adds to the journal."""

    _database: Database
    _answers: dict[str, tuple[int | None, Any]]

    def summaries(self, *, until: datetime | None = None, names: Sequence[str] | None = None) -> tuple[Summary, ...]:
        """The newest report of each environment in short, sorted by name; `until` inclusive."""
        if until is None and names is None:
            return self._until_the_next_entry("summaries", lambda: self._summaries(None, None))
        return self._summaries(until, names)

    def _until_the_next_entry(self, question: str, ask: Callable[[], _Answer]) -> _Answer:
        """An answer that follows from the journal alone: asked again once the journal has another entry."""
        with self._database.reading() as connection:
            head = connection.scalar(select(HEADS.c.sequence))
        found = self._answers.get(question)
        if found is None or found[0] != head:
            found = self._answers[question] = (head, ask())
        answer: _Answer = found[1]
        return answer

    def _summaries(self, until: datetime | None, names: Sequence[str] | None) -> tuple[Summary, ...]:
        candidates = SUMMARIES.alias()
        newest = select(candidates.c.sequence).where(candidates.c.environment == ENVIRONMENTS.c.name)
        if until is not None:
            newest = newest.where(candidates.c.at <= stamp(until))
        found = newest.order_by(candidates.c.sequence.desc()).limit(1).correlate(ENVIRONMENTS).scalar_subquery()
        # As one text: ten thousand rows cost more than what they hold.
        query = select(func.aggregate_strings(SUMMARIES.c.data, ","))
        query = query.join_from(ENVIRONMENTS, SUMMARIES, SUMMARIES.c.sequence == found)
        with self._database.reading() as connection:
            rows = connection.scalar(query.where(_named(ENVIRONMENTS.c.name, names)))
        return tuple(sorted(_read_summaries(rows or ""), key=attrgetter("name")))

    def proposals(self, states: Collection[str], *, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest `proposal` entry of each environment, as far as it has one of these states."""
        if until is None:
            question = f"proposals {' '.join(sorted(states))}"
            return self._until_the_next_entry(question, lambda: self._proposals(states, None))
        return self._proposals(states, until)

    def _proposals(self, states: Collection[str], until: datetime | None) -> Mapping[str, Entry]:
        data = ENTRIES.c.data if self._database.sqlite else cast(ENTRIES.c.data, JSON)
        state = type_coerce(data, JSON)["state"].as_string()
        with self._database.reading() as connection:
            rows = connection.execute(newest_of_kind(EntryKind.PROPOSAL, until).where(state.in_(sorted(states)))).all()
        return {str(row.environment): to_entry(StoredEntry(*row)) for row in rows}

    def reports(self, sequences: Sequence[int]) -> tuple[tuple[datetime, EnvironmentReport], ...]:
        """The reports of these `scanned` entries, each with its moment, in order."""
        return tuple((moment(row.at), _read_report(row)) for row in self._stored(sequences))

    def scans(self, sequences: Sequence[int]) -> tuple[Entry, ...]:
        """The entries with these numbers, in order; those that are not there are left out."""
        return tuple(to_entry(StoredEntry(*row)) for row in self._stored(sequences))

    def _stored(self, sequences: Sequence[int]) -> list[Any]:
        ordered = sorted(set(sequences))
        found: list[Any] = []
        with self._database.reading() as connection:
            for start in range(0, len(ordered), _MAX_IDS):
                wanted = ENTRIES.c.sequence.in_(ordered[start : start + _MAX_IDS])
                found += connection.execute(select(*_COLUMNS).where(wanted).order_by(ENTRIES.c.sequence)).all()
        return found

    def occurrences(self, *, at: datetime | None = None, names: Sequence[str] | None = None) -> tuple[Occurrence, ...]:
        """What was open at a moment, by environment, address and label; what is open now without one."""
        query = select(OCCURRENCES).where(_named(OCCURRENCES.c.environment, names))
        rows = [*self._rows(query.where(OCCURRENCES.c.closed_at.is_(None)))]
        if at is not None:
            rows = [row for row in rows if row.opened_at <= stamp(at)]
            # As an expression: few end later, and many began before, so that the index of the ends is the one to use.
            began = func.coalesce(OCCURRENCES.c.opened_at, "") <= stamp(at)
            rows += self._rows(query.where(OCCURRENCES.c.closed_at > stamp(at), began))
        return tuple(sorted(map(to_occurrence, rows), key=attrgetter("environment", "address", "label")))

    def label_days(
        self, since: datetime, until: datetime, *, names: Sequence[str] | None = None
    ) -> tuple[LabelDay, ...]:
        """Openings and endings by day and label, sorted; those before the day of `since` under the day ``""``."""
        first, last = stamp(since)[:10], stamp(until)[:10]
        counts: dict[tuple[str, str], list[int]] = {}
        if names is None:
            days = select(LABEL_DAYS).where(LABEL_DAYS.c.day < last)
            for day, label, opened, closed in self._rows(days):
                _count(counts, day if day >= first else "", label, opened, closed)
        for place, column in enumerate((OCCURRENCES.c.opened_at, OCCURRENCES.c.closed_at)):
            day = func.substr(column, 1, 10)
            query = select(day, OCCURRENCES.c.label, func.count()).where(
                column.between(last if names is None else "", stamp(until)), _named(OCCURRENCES.c.environment, names)
            )
            for found, label, count in self._rows(query.group_by(day, OCCURRENCES.c.label)):
                _count(counts, found if found >= first else "", label, *((0, count) if place else (count, 0)))
        return tuple(LabelDay(day, label, *moved) for (day, label), moved in sorted(counts.items()))

    def repairs(
        self, since: datetime, until: datetime, *, names: Sequence[str] | None = None
    ) -> Mapping[str | None, Sequence[float]]:
        """How long, in seconds, the changes outside Terraform stood that were repaired in a time, sorted, by owner."""
        query = select(OCCURRENCES.c.owner, OCCURRENCES.c.repair_seconds).where(
            OCCURRENCES.c.closed_at.between(stamp(since), stamp(until)),
            OCCURRENCES.c.repair_seconds.is_not(None),
            _named(OCCURRENCES.c.environment, names),
        )
        found: dict[str | None, list[float]] = {}
        for owner, seconds in self._rows(query):
            found.setdefault(owner, []).append(seconds)
        return {owner: sorted(seconds) for owner, seconds in found.items()}

    def recurring(
        self, since: datetime, until: datetime, *, limit: int, names: Sequence[str] | None = None
    ) -> tuple[Recurring, ...]:
        """The resources that were changed outside Terraform more than once in a time, most often first."""
        resource = (OCCURRENCES.c.environment, OCCURRENCES.c.address)
        query = (
            select(*resource, func.max(OCCURRENCES.c.type), func.count(), func.max(OCCURRENCES.c.opened_at))
            .where(
                OCCURRENCES.c.opened_at.between(stamp(since), stamp(until)),
                OCCURRENCES.c.opened_at == OCCURRENCES.c.began_at,
                _OUTSIDE,
                _named(OCCURRENCES.c.environment, names),
            )
            .group_by(*resource)
            .having(func.count() > 1)
        )
        found = (
            Recurring(environment, address, type_, times, moment(last))
            for environment, address, type_, times, last in self._rows(query)
        )
        # Sorted here: databases order texts each in their own way.
        return tuple(nsmallest(limit, found, key=lambda each: (-each.times, each.environment, each.address)))

    def run_days(self, since: datetime, until: datetime) -> tuple[RunDay, ...]:
        """What runs that began in a time looked at and cost, by day."""
        day = func.substr(RUNS.c.started_at, 1, 10)
        query = (
            select(
                day,
                func.count(),
                func.sum(RUNS.c.looks),
                func.coalesce(func.sum(RUNS.c.probed), 0),
                func.sum(RUNS.c.unknown),
                func.coalesce(func.sum(RUNS.c.cpu_seconds), 0.0),
                func.sum(case((and_(RUNS.c.probed.is_(None), RUNS.c.finished_at.is_not(None)), 1), else_=0)),
            )
            .where(RUNS.c.started_at.between(stamp(since), stamp(until)))
            .group_by(day)
            .order_by(day)
        )
        return tuple(RunDay(*row) for row in self._rows(query))

    def runs(self, *, until: datetime | None = None, limit: int = 100, before: int | None = None) -> list[RunSummary]:
        """The newest runs, newest first; those that ended after `until` have no end there."""
        query = select(RUNS).order_by(RUNS.c.sequence.desc()).limit(limit)
        if until is not None:
            query = query.where(RUNS.c.started_at <= stamp(until))
        if before is not None:
            query = query.where(RUNS.c.sequence < before)
        rows = self._rows(query)
        ends = select(ENTRIES.c.run_id, ENTRIES.c.data).where(
            ENTRIES.c.kind == EntryKind.RUN_FINISHED.value, ENTRIES.c.run_id.in_([row.run for row in rows])
        )
        if rows:
            ends = ends.where(ENTRIES.c.sequence > min(row.sequence for row in rows))
        finished = {each.run_id: each.data for each in self._rows(ends)} if rows else {}
        limit_at = None if until is None else stamp(until)
        return [_run(row, finished.get(row.run), limit_at) for row in rows]

    def _rows(self, query: Select[Any]) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.execute(query).all()


def _count(counts: dict[tuple[str, str], list[int]], day: str, label: str, opened: int, closed: int) -> None:
    moved = counts.setdefault((day, label), [0, 0])
    moved[0] += opened
    moved[1] += closed


def _read_report(row: Any) -> EnvironmentReport:
    try:
        return _REPORT.decode(row.data)
    except ValueError:
        pass
    entry = to_entry(StoredEntry(*row))
    try:
        return read_environment(entry.data)  # takes texts that JSON does not
    except ValueError:
        raise unreadable(row.sequence) from None


def _read_summaries(texts: str) -> list[Summary]:
    try:
        return _SUMMARIES.decode(f"[{texts}]")
    except ValueError:
        raise OperatorError(
            "The ledger's summaries of reports cannot be read: they were damaged. Restore the ledger from a backup."
        ) from None


def _named(column: Column[Any], names: Sequence[str] | None) -> ColumnElement[bool]:
    return true() if names is None else column.in_(list(names))


def _run(row: Any, end: str | None, until: str | None) -> RunSummary:
    ended = row.finished_at is not None and (until is None or row.finished_at <= until)
    start = json.loads(row.data)
    facts = msgspec.json.decode(end, type=RunFinishedRow) if ended and end is not None else RunFinishedRow()
    return RunSummary(
        run=row.run,
        sequence=row.sequence,
        started_at=moment(row.started_at),
        commit=start.get("commit", ""),
        environments=start.get("environments", 0),
        finished_at=moment(row.finished_at) if ended else None,
        verdicts=facts.summary,
        planned=facts.planned,
        probed=facts.probed,
        cpu_seconds=facts.cpu_seconds,
        errors=facts.errors,
    )
