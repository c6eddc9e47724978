"""The estate made from the journal alone: what the tables of a ledger are held against."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from driftguard.model import Entry, EntryKind
from driftguard.model.estate import (
    Ending,
    LabelDay,
    Occurrence,
    Recurring,
    RunDay,
    RunSummary,
    Summary,
    followed,
    forgotten,
    summary_of,
)
from driftguard.model.looks import Look, WatchDay
from driftguard.model.report import EnvironmentReport
from driftguard.model.rows import RunFinishedRow, RunStartedRow
from driftguard.model.words import OUTSIDE
from driftguard.pipeline.history import read_scan
from driftguard.ports import JournalReader
from driftguard.web.view import WebAlerts, WebLedger

_READ: Final = (EntryKind.SCANNED, EntryKind.ENVIRONMENT_FORGOTTEN)


class AlertedJournal(JournalReader, Protocol):
    """A ledger that gives its journal and its alerts."""

    @property
    def alerts(self) -> WebAlerts:
        """The alerts and the outbox."""
        ...

    def watch_days(self, since: str, until: str) -> tuple[WatchDay, ...]:
        """What the watch did."""
        ...


@dataclass
class _Known:
    """What was read so far, up to an entry of the journal."""

    until: datetime | None = None
    seen: set[int] = field(default_factory=set)
    history: dict[str, list[Summary]] = field(default_factory=dict)
    open: dict[str, list[Occurrence]] = field(default_factory=dict)
    ended: list[Occurrence] = field(default_factory=list)


class JournalEstate(WebLedger):
    """The ledger as the pages read it. What it knows is kept, and only new entries are read for the next request."""

    def __init__(self, ledger: AlertedJournal) -> None:
        self._ledger = ledger
        self._known = _Known()
        self._lock = threading.Lock()

    @property
    def alerts(self) -> WebAlerts:
        """The alerts and the outbox."""
        return self._ledger.alerts

    def entries(
        self,
        *,
        environment: str | None = None,
        kinds: Sequence[EntryKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """The journal's."""
        return self._ledger.entries(environment=environment, kinds=kinds, since=since, until=until, limit=limit)

    def latest(self, kind: EntryKind, until: datetime | None = None) -> Mapping[str, Entry]:
        """The journal's."""
        return self._ledger.latest(kind, until)

    def looks(self, until: datetime | None = None) -> Mapping[str, Look]:
        """The ledger's."""
        return self._ledger.looks(until)

    def watch_days(self, since: str, until: str) -> tuple[WatchDay, ...]:
        """The ledger's: the journal has nothing of the watch."""
        return self._ledger.watch_days(since, until)

    def summaries(self, *, until: datetime | None = None, names: Sequence[str] | None = None) -> tuple[Summary, ...]:
        """The newest report of each environment in short, sorted by name; `until` inclusive."""
        known = self._refreshed()
        found = []
        for name, history in sorted(known.history.items()):
            if names is None or name in names:
                past = history if until is None else [each for each in history if each.at <= until]
                found += past[-1:]
        return tuple(found)

    def proposals(self, states: Collection[str], *, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest `proposal` entry of each environment, as far as it has one of these states."""
        found = self.latest(EntryKind.PROPOSAL, until)
        return {name: entry for name, entry in found.items() if entry.data.get("state") in states}

    def reports(self, sequences: Sequence[int]) -> tuple[tuple[datetime, EnvironmentReport], ...]:
        """The reports of these `scanned` entries, each with its moment, in order."""
        return tuple((entry.at, read_scan(entry)) for entry in self.scans(sequences))

    def scans(self, sequences: Sequence[int]) -> tuple[Entry, ...]:
        """The entries with these numbers, in order; those that are not there are left out."""
        wanted = set(sequences)
        found = []
        for name, history in self._refreshed().history.items():
            for each in history:
                if each.sequence in wanted:
                    entries = self.entries(environment=name, kinds=[EntryKind.SCANNED], since=each.at, until=each.at)
                    found += [entry for entry in entries if entry.sequence == each.sequence]
        return tuple(sorted(found, key=lambda entry: entry.sequence or 0))

    def occurrences(self, *, at: datetime | None = None, names: Sequence[str] | None = None) -> tuple[Occurrence, ...]:
        """What was open at a moment, by environment, address and label; what is open now without one."""
        known = self._refreshed()
        every = [each for standing in known.open.values() for each in standing]
        if at is not None:
            every = [
                e for e in (*every, *known.ended) if e.opened_at <= at and (e.closed_at is None or e.closed_at > at)
            ]
        found = (each for each in every if names is None or each.environment in names)
        return tuple(sorted(found, key=lambda each: (each.environment, each.address, each.label)))

    def label_days(
        self, since: datetime, until: datetime, *, names: Sequence[str] | None = None
    ) -> tuple[LabelDay, ...]:
        """Openings and endings by day and label, sorted; those before the day of `since` under the day ``""``."""
        known, opened, closed = self._refreshed(), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for each in (*(o for standing in known.open.values() for o in standing), *known.ended):
            if names is None or each.environment in names:
                if each.opened_at <= until:
                    opened[_day(each.opened_at, since), each.label] += 1
                if each.closed_at is not None and each.closed_at <= until:
                    closed[_day(each.closed_at, since), each.label] += 1
        keys = sorted(opened.keys() | closed.keys())
        return tuple(LabelDay(day, label, opened[day, label], closed[day, label]) for day, label in keys)

    def repairs(
        self, since: datetime, until: datetime, *, names: Sequence[str] | None = None
    ) -> Mapping[str | None, Sequence[float]]:
        """How long, in seconds, the changes outside Terraform stood that were repaired in a time, sorted, by owner."""
        found: dict[str | None, list[float]] = {}
        for each in self._refreshed().ended:
            if each.label in OUTSIDE and each.ending is Ending.REPAIRED:
                assert each.closed_at is not None
                if since <= each.closed_at <= until and (names is None or each.environment in names):
                    seconds = (each.closed_at - each.began_at).total_seconds()
                    found[each.owner] = sorted([*found.get(each.owner, []), seconds])
        return found

    def recurring(
        self, since: datetime, until: datetime, *, limit: int, names: Sequence[str] | None = None
    ) -> tuple[Recurring, ...]:
        """The resources that were changed outside Terraform more than once in a time, most often first."""
        known = self._refreshed()
        times: dict[tuple[str, str], list[Occurrence]] = {}
        for each in (*(o for standing in known.open.values() for o in standing), *known.ended):
            wanted = each.label in OUTSIDE and each.recurs and since <= each.opened_at <= until
            if wanted and (names is None or each.environment in names):
                times.setdefault((each.environment, each.address), []).append(each)
        found = [
            Recurring(environment, address, each[0].type, len(each), max(o.opened_at for o in each))
            for (environment, address), each in times.items()
            if len(each) > 1
        ]
        return tuple(sorted(found, key=lambda each: (-each.times, each.environment, each.address))[:limit])

    def run_days(self, since: datetime, until: datetime) -> tuple[RunDay, ...]:
        """What runs that began in a time looked at and cost, by day."""
        days: dict[str, list[RunSummary]] = {}
        for run in reversed(self.runs(limit=1_000_000)):
            if since <= run.started_at <= until:
                days.setdefault(run.started_at.date().isoformat(), []).append(run)
        return tuple(
            RunDay(
                day=day,
                runs=len(runs),
                looks=sum(sum(run.verdicts.values()) for run in runs),
                probed=sum(run.probed or 0 for run in runs),
                unknown=sum(run.verdicts.get("unknown", 0) for run in runs),
                cpu_seconds=sum(run.cpu_seconds or 0.0 for run in runs),
                unrecorded=sum(run.probed is None and run.finished_at is not None for run in runs),
            )
            for day, runs in sorted(days.items())
        )

    def runs(self, *, until: datetime | None = None, limit: int = 100, before: int | None = None) -> list[RunSummary]:
        """The newest runs, newest first."""
        entries = self.entries(kinds=[EntryKind.RUN_STARTED, EntryKind.RUN_FINISHED], until=until)
        ends = {entry.run_id: entry for entry in entries if entry.kind is EntryKind.RUN_FINISHED}
        found = [_run(e, ends.get(e.run_id)) for e in entries if e.kind is EntryKind.RUN_STARTED]
        return [run for run in reversed(found) if before is None or run.sequence < before][:limit]

    def _refreshed(self) -> _Known:
        with self._lock:
            known = self._known
            for entry in self._ledger.entries(kinds=_READ, since=known.until):
                if entry.environment is not None and entry.sequence not in known.seen:
                    known.seen.add(entry.sequence or 0)
                    known.until = entry.at if known.until is None else max(known.until, entry.at)
                    _follow(known, entry, entry.environment)
            return known


def _follow(known: _Known, entry: Entry, name: str) -> None:
    standing = known.open.get(name, [])
    if entry.kind is EntryKind.ENVIRONMENT_FORGOTTEN:
        known.ended += forgotten(standing, entry.at)
        known.open[name] = []
        return
    report, history = read_scan(entry), known.history.setdefault(name, [])
    history.append(summary_of(entry, report, history[-1] if history else None))
    moves = followed(standing, report, entry.at)
    gone = {(each.address, each.label) for each in moves.closed}
    known.ended += moves.closed
    known.open[name] = [*(o for o in standing if (o.address, o.label) not in gone), *moves.opened]


def _day(moment: datetime, since: datetime) -> str:
    return moment.date().isoformat() if moment.date() >= since.date() else ""


def _run(started: Entry, finished: Entry | None) -> RunSummary:
    begin = _read(started.data, RunStartedRow(), RunStartedRow)
    end = None if finished is None else _read(finished.data, RunFinishedRow(), RunFinishedRow)
    return RunSummary(
        run=started.run_id,
        sequence=started.sequence or 0,
        started_at=started.at,
        commit=begin.commit,
        environments=begin.count or len(begin.environments),
        finished_at=None if finished is None else finished.at,
        **({} if end is None else _of_end(end)),
    )


def _of_end(end: RunFinishedRow) -> dict[str, Any]:
    return {
        "verdicts": end.summary,
        "planned": end.planned,
        "probed": end.probed,
        "cpu_seconds": end.cpu_seconds,
        "errors": end.errors,
    }


def _read(data: Mapping[str, Any], empty: Any, type_: Any) -> Any:
    try:
        return msgspec.convert(data, type_)
    except msgspec.ValidationError:
        return empty
