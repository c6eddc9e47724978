"""What one request may read: the ledger through the eyes of its reader, at its moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol, TypeVar

from driftguard.model import Entry, EntryKind
from driftguard.model.estate import Summary
from driftguard.model.looks import Look
from driftguard.pipeline.history import LastScan, last_scan
from driftguard.pipeline.overview import OverviewRow, ProposalReader, overview
from driftguard.ports import Alerts, JournalReader, Outbox
from driftguard.ports.estate import EstateReader
from driftguard.web.access import Viewer
from driftguard.web.query import PAGE_ROWS, PageQuery

_Item = TypeVar("_Item")


class WebAlerts(Alerts, Outbox, Protocol):
    """The alerts and the outbox, read only."""


class WebLedger(EstateReader, Protocol):
    """The ledger as the pages read it."""

    @property
    def alerts(self) -> WebAlerts:
        """The alerts and the outbox."""
        ...


class OfOne(ProposalReader):
    """The journal in which one environment alone has entries of its own."""

    def __init__(self, journal: JournalReader, environment: str) -> None:
        self._journal, self._name = journal, environment

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
        return self._journal.entries(environment=environment, kinds=kinds, since=since, until=until, limit=limit)

    def latest(self, kind: EntryKind, until: datetime | None = None) -> Mapping[str, Entry]:
        """The environment's newest entry of a kind."""
        return {str(e.environment): e for e in self.entries(environment=self._name, kinds=[kind], until=until, limit=1)}

    def looks(self, until: datetime | None = None) -> Mapping[str, Look]:
        """The journal's."""
        return self._journal.looks(until)

    def proposals(self, states: Collection[str], *, until: datetime | None = None) -> Mapping[str, Entry]:
        """The environment's newest proposal, if it has one of these states."""
        found = self.latest(EntryKind.PROPOSAL, until)
        return {name: entry for name, entry in found.items() if entry.data.get("state") in states}


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a list.

    Attributes:
        first: number of its first row, from 1; 0 in an empty list.
        pages: how many there are; at least 1.
    """

    page: int
    pages: int
    first: int
    last: int
    total: int


def sliced(items: Sequence[_Item], page: int) -> tuple[Sequence[_Item], Slice]:
    """The rows of one page of a list; the last page for a number beyond it."""
    pages = max(1, -(-len(items) // PAGE_ROWS))
    number = min(page, pages)
    start = (number - 1) * PAGE_ROWS
    rows = items[start : start + PAGE_ROWS]
    return rows, Slice(number, pages, start + 1 if rows else 0, start + len(rows), len(items))


@dataclass
class View:
    """The ledger for one reader at one moment.

    Attributes:
        now: what ages refer to: the query's moment, or the clock's.
        everything: lists are not cut into pages: the static site.
    """

    ledger: WebLedger
    viewer: Viewer
    query: PageQuery
    now: datetime
    everything: bool = False

    @property
    def until(self) -> datetime | None:
        """The moment of the past that is shown; None for now."""
        return self.query.at

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """The newest report of each visible environment in short, sorted by name."""
        found = self.ledger.summaries(until=self.until)
        return found if self.viewer.sees_all else tuple(each for each in found if self.viewer.sees(each.name))

    @property
    def names(self) -> list[str] | None:
        """The visible environments; None where all are."""
        return None if self.viewer.sees_all else [each.name for each in self.summaries]

    @cached_property
    def rows(self) -> list[OverviewRow]:
        """The overview's rows."""
        return overview(self.ledger, self.summaries, self.now, self.until)

    def row(self, name: str) -> OverviewRow | None:
        """The overview's row of one environment; None for one that is not visible."""
        found = self.ledger.summaries(until=self.until, names=[name]) if self.viewer.sees(name) else ()
        return next(iter(overview(OfOne(self.ledger, name), found, self.now, self.until)), None)

    def visible(self, entries: Iterable[Entry]) -> list[Entry]:
        """The entries of visible environments."""
        return [e for e in entries if e.environment is not None and self.viewer.sees(e.environment)]

    def entries(self, kinds: Sequence[EntryKind], limit: int) -> list[Entry]:
        """The newest entries of kinds that concern visible environments, oldest first."""
        return self.visible(self.ledger.entries(kinds=kinds, until=self.until, limit=limit))

    def scans(self, summaries: Sequence[Summary]) -> Mapping[str, LastScan]:
        """The whole reports behind summaries, by name."""
        found = {entry.environment or "": entry for entry in self.ledger.scans([each.sequence for each in summaries])}
        looks = self.ledger.looks(self.until)
        return {name: last_scan(entry, looks.get(name)) for name, entry in found.items()}

    def page(self, items: Sequence[_Item]) -> tuple[Sequence[_Item], Slice]:
        """The rows of the query's page."""
        if self.everything:
            return items, Slice(1, 1, min(1, len(items)), len(items), len(items))
        return sliced(items, self.query.page)
