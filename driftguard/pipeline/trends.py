"""The estate over time: open changes by label, ages, times to repair, what recurs, what the runs cost.

Takes the ledger as an `EstateReader`; gives `Trends`. Everything but `trends` itself is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from driftguard.model import Alert, Trace
from driftguard.model.estate import LabelDay, Occurrence, RunDay
from driftguard.model.looks import WatchDay
from driftguard.model.words import OUTSIDE
from driftguard.ports.estate import EstateReader

#: The upper ends of the age bands, in words; the last has none.
BANDS: Final[tuple[tuple[str, timedelta], ...]] = (
    ("under 1 hour", timedelta(hours=1)),
    ("under 1 day", timedelta(days=1)),
    ("under 3 days", timedelta(days=3)),
    ("under 1 week", timedelta(days=7)),
    ("under 30 days", timedelta(days=30)),
)
OLDEST_BAND: Final = "30 days or more"
#: Repairs and recurrences are counted over the end of a longer time.
COUNTED: Final = timedelta(days=90)
_MAX_RECURRING: Final = 20


@dataclass(frozen=True, slots=True)
class OpenOnDay:
    """How many resources had which label at the end of a day (UTC)."""

    day: date
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AgeBand:
    """How many resources that were changed outside Terraform are open for how long."""

    band: str
    count: int


@dataclass(frozen=True, slots=True)
class RepairTimes:
    """How long changes outside Terraform stood until they were repaired.

    Attributes:
        owner: None for environments without one.
        p50, p90: seconds that half of them, and nine of ten, took at most (nearest rank).
    """

    owner: str | None
    count: int
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A resource that was changed outside Terraform several times, and who did it as far as that is known."""

    environment: str
    address: str
    type: str
    times: int
    last_at: datetime
    actors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trends:
    """The estate from `since` to `until`.

    Attributes:
        open: one value for each day, oldest first.
        ages: of what is open at `until`.
        repairs: by owner, those with most repairs first; these and recurrences are those of the last `COUNTED`.
        runs: by day; days without runs have none.
        watch: by day, what the agent's watch did between the runs.
    """

    since: datetime
    until: datetime
    open: tuple[OpenOnDay, ...]
    ages: tuple[AgeBand, ...]
    repairs: tuple[RepairTimes, ...]
    recurrences: tuple[Recurrence, ...]
    runs: tuple[RunDay, ...]
    watch: tuple[WatchDay, ...] = ()

    @property
    def unknown_rate(self) -> float | None:
        """The share of verdicts that are `unknown`, 0 to 1; None without any."""
        looks = sum(day.looks for day in self.runs)
        return sum(day.unknown for day in self.runs) / looks if looks else None

    @property
    def probed_share(self) -> float | None:
        """The share of looks that a probe answered, 0 to 1; None without any, and where runs did not record it."""
        looks = sum(day.looks for day in self.runs if not day.unrecorded)
        return sum(day.probed for day in self.runs if not day.unrecorded) / looks if looks else None

    @property
    def cpu_seconds(self) -> float:
        """What the programs of all runs cost that recorded it."""
        return sum(day.cpu_seconds for day in self.runs)


def trends(
    ledger: EstateReader,
    since: datetime,
    until: datetime,
    *,
    names: Sequence[str] | None = None,
) -> Trends:
    """The estate over time.

    Args:
        names: the environments that count; None for all. What the runs cost is always that of all.
    """
    lately = max(since, until - COUNTED)
    return Trends(
        since=since,
        until=until,
        open=tuple(open_by_day(ledger.label_days(since, until, names=names), since.date(), until.date())),
        ages=age_bands(ledger.occurrences(at=until, names=names), until),
        repairs=repair_times(ledger.repairs(lately, until, names=names)),
        recurrences=tuple(
            Recurrence(each.environment, each.address, each.type, each.times, each.last_at)
            for each in ledger.recurring(lately, until, limit=_MAX_RECURRING, names=names)
        ),
        runs=ledger.run_days(since, until),
        watch=ledger.watch_days(since.date().isoformat(), until.date().isoformat()),
    )


def open_by_day(days: Iterable[LabelDay], first: date, last: date) -> Iterator[OpenOnDay]:
    """How many are open at the end of each day from the first to the last.

    Args:
        days: sorted by day; what came before the first counts from its beginning.
    """
    counts: dict[str, int] = {}
    by_day: dict[str, list[LabelDay]] = {}
    for each in days:
        by_day.setdefault(max(each.day, first.isoformat()), []).append(each)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        for each in by_day.get(day.isoformat(), ()):
            counts[each.label] = counts.get(each.label, 0) + each.opened - each.closed
        yield OpenOnDay(day, {label: count for label, count in sorted(counts.items()) if count > 0})


def age_bands(occurrences: Iterable[Occurrence], now: datetime) -> tuple[AgeBand, ...]:
    """How many resources that were changed outside Terraform are open for how long, youngest first, all bands."""
    began: dict[tuple[str, str], datetime] = {}
    for each in occurrences:
        if each.label in OUTSIDE:
            key = (each.environment, each.address)
            began[key] = min(each.began_at, began.get(key, each.began_at))
    counts = dict.fromkeys([*(band for band, _ in BANDS), OLDEST_BAND], 0)
    for moment in began.values():
        counts[next((band for band, end in BANDS if now - moment < end), OLDEST_BAND)] += 1
    return tuple(AgeBand(band, count) for band, count in counts.items())


def repair_times(repairs: Mapping[str | None, Sequence[float]]) -> tuple[RepairTimes, ...]:
    """How long repairs took by owner, those with most repairs first.

    Args:
        repairs: seconds, sorted, by owner.
    """
    found = [
        RepairTimes(owner, len(seconds), percentile(seconds, 50), percentile(seconds, 90))
        for owner, seconds in repairs.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.count, each.owner or "")))


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of sorted values do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def with_actors(recurrences: Iterable[Recurrence], alerts: Iterable[Alert]) -> tuple[Recurrence, ...]:
    """Recurrences with the principals that changed each resource, the first one first, as far as alerts name them."""
    known: dict[tuple[str, str], list[Trace]] = {}
    for alert in alerts:
        for address, trace in alert.traces.items():
            if trace.changed_by is not None and trace.changed_by.names:
                known.setdefault((alert.environment, address), []).append(trace.changed_by)
    found = []
    for each in recurrences:
        traces = sorted(known.get((each.environment, each.address), ()), key=lambda trace: trace.at)
        found.append(replace(each, actors=tuple(dict.fromkeys(trace.principal for trace in traces))))
    return tuple(found)
