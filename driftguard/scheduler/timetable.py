"""When each cadence falls due: the only place that knows the library `schedule`, which keeps the list of jobs.

The library has no catch-up and no guard against overlap, its loop ends on an exception, and it counts in naive local
time, which jumps when the clocks change. So the moments are computed here, in UTC, and a job is run by us when its
moment has passed: once, however long ago that was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

import schedule

from driftguard.scheduler.cadence import Cadence, DueSet, joined


class Timetable:
    """The jobs: one for each distinct cadence, and which environments belong to it."""

    def __init__(self, default: Cadence, dice: Random) -> None:
        self._default, self._dice = default, dice
        self._scheduler = schedule.Scheduler()
        self._own: dict[str, Cadence] = {}
        # The start of each job without jitter, and the time that its intervals are counted from.
        self._starts: dict[Cadence, datetime] = {}
        self._anchors: dict[Cadence, datetime] = {}

    def begin(self, now: datetime) -> None:
        """Count every interval from now on."""
        self._scheduler.clear()
        self._starts.clear()
        for cadence in dict.fromkeys((self._default, *self._own.values())):
            self._add(cadence, now)

    def assign(self, own: Mapping[str, Cadence], now: datetime) -> frozenset[str]:
        """Set the environments that have a cadence of their own; those whose cadence is new."""
        wanted = {name: cadence for name, cadence in own.items() if cadence != self._default}
        moved = frozenset(name for name, cadence in wanted.items() if self._own.get(name) != cadence)
        cadences = dict.fromkeys((self._default, *(wanted[name] for name in sorted(wanted))))
        for cadence in [cadence for cadence in cadences if cadence not in self._starts]:
            self._add(cadence, now)
        for cadence in self._starts.keys() - cadences.keys():
            self._scheduler.clear(cadence)
            del self._starts[cadence], self._anchors[cadence]
        self._own = wanted
        return moved

    def take_due(self, now: datetime) -> DueSet | None:
        """Every job that is due, as one run; each job's next start is after now."""
        if now < self.next_due:
            return None
        found: DueSet | None = None
        for cadence, start in tuple(self._starts.items()):
            # A job that only its jitter delays joins, so that jobs of the same time make one run.
            if start <= now:
                (job,) = self._scheduler.get_jobs(cadence)
                one: DueSet = job.run()  # type: ignore[no-untyped-call]
                found = joined(found, one)
                self._set_next(job, cadence, now)
        return found

    @property
    def next_due(self) -> datetime:
        """When the next job starts."""
        moment: datetime | None = self._scheduler.next_run
        assert moment is not None
        return moment

    @property
    def own(self) -> frozenset[str]:
        """The environments with a cadence of their own."""
        return frozenset(self._own)

    def longest_interval(self, now: datetime) -> timedelta:
        """The longest time between two starts of one job."""
        return max(cadence.longest_interval(now) for cadence in self._starts)

    def _due(self, cadence: Cadence) -> DueSet:
        if cadence == self._default:
            return DueSet(None, "cadence", self.own)
        return DueSet(frozenset(name for name, own in self._own.items() if own == cadence), "cadence")

    def _add(self, cadence: Cadence, now: datetime) -> None:
        # The unit is a formality of the library: each start is set by us.
        job = self._scheduler.every().hour.do(self._due, cadence).tag(cadence)
        self._anchors[cadence] = now
        self._set_next(job, cadence, now)

    def _set_next(self, job: schedule.Job, cadence: Cadence, now: datetime) -> None:
        start = cadence.next_after(now, self._anchors[cadence])
        self._starts[cadence] = start
        job.next_run = start + cadence.max_jitter(start) * self._dice.random()
