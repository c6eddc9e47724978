"""The estate as the ledger knows it: summaries and counts, which no reader has to make from reports of a year.

Every method takes `names`: the environments that count, or None for all of them; and moments that are aware.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from driftguard.model.estate import LabelDay, Occurrence, Recurring, RunDay, RunSummary, Summary
from driftguard.model.ledger import Entry
from driftguard.model.looks import WatchDay
from driftguard.model.report import EnvironmentReport
from driftguard.ports.record import JournalReader


class SummaryReader(Protocol):
    """Reads the reports of environments."""

    def summaries(self, *, until: datetime | None = None, names: Sequence[str] | None = None) -> tuple[Summary, ...]:
        """The newest report of each environment in short, sorted by name; `until` inclusive."""
        ...

    def proposals(self, states: Collection[str], *, until: datetime | None = None) -> Mapping[str, Entry]:
        """The newest `proposal` entry of each environment, as far as it has one of these states."""
        ...

    def reports(self, sequences: Sequence[int]) -> tuple[tuple[datetime, EnvironmentReport], ...]:
        """The reports of these `scanned` entries, each with its moment, in order."""
        ...

    def scans(self, sequences: Sequence[int]) -> tuple[Entry, ...]:
        """The entries with these numbers, in order; those that are not there are left out."""
        ...


class OccurrenceReader(Protocol):
    """Reads what was changed, when, and for how long."""

    def occurrences(self, *, at: datetime | None = None, names: Sequence[str] | None = None) -> tuple[Occurrence, ...]:
        """What was open at a moment, by environment, address and label; what is open now without one."""
        ...

    def label_days(
        self, since: datetime, until: datetime, *, names: Sequence[str] | None = None
    ) -> tuple[LabelDay, ...]:
        """Openings and endings by day and label, sorted; those before the day of `since` under the day ``""``."""
        ...

    def repairs(
        self, since: datetime, until: datetime, *, names: Sequence[str] | None = None
    ) -> Mapping[str | None, Sequence[float]]:
        """How long, in seconds, the changes outside Terraform stood that were repaired in a time, sorted, by owner."""
        ...

    def recurring(
        self, since: datetime, until: datetime, *, limit: int, names: Sequence[str] | None = None
    ) -> tuple[Recurring, ...]:
        """The resources that were changed outside Terraform more than once in a time, most often first."""
        ...


class RunReader(Protocol):
    """Reads what runs and the watch did."""

    def watch_days(self, since: str, until: str) -> tuple[WatchDay, ...]:
        """What the watch did from one day to another, both inclusive, as in `2026-11-28`."""
        ...

    def run_days(self, since: datetime, until: datetime) -> tuple[RunDay, ...]:
        """What runs that began in a time looked at and cost, by day."""
        ...

    def runs(self, *, until: datetime | None = None, limit: int = 100, before: int | None = None) -> list[RunSummary]:
        """The newest runs, newest first.

        Args:
            before: only those whose start has a smaller number in the journal.
        """
        ...


class EstateReader(JournalReader, SummaryReader, OccurrenceReader, RunReader, Protocol):
    """Reads the journal, and what the ledger keeps beside it about the whole estate."""
