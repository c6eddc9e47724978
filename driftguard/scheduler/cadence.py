"""The cadence of an environment's runs, and the environments of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from driftguard.config import AgentSettings
from driftguard.config.cron import is_valid, next_after

Reason = Literal["start", "reload", "commit", "cadence", "watch"]

# A run with more than one reason is named by the first of these.
_REASONS: Final[tuple[Reason, ...]] = ("start", "reload", "commit", "cadence", "watch")
# 02:00 means about 02:00, so a share of a whole day would be too much.
_MAX_JITTER_ON_THE_CLOCK: Final = timedelta(minutes=5)
# Enough to see the longest gap of a weekly rhythm.
_OCCURRENCES: Final = 10


@dataclass(frozen=True, slots=True)
class Cadence:
    """The schedule of an environment's runs: exactly one of `every`, `cron` and `at`.

    Attributes:
        every: the time from one start to the next.
        cron: an expression of five fields.
        at: times of the day, such as `02:00`.
        zone: the IANA time zone of `cron` and `at`.
        jitter: the share of the interval (0 to below 1) that delays each start at most; with `cron` and `at`
            never by more than five minutes.

    Raises:
        ValueError: none or more than one of them is given.
    """

    every: timedelta | None = None
    cron: str | None = None
    at: tuple[str, ...] = ()
    zone: str = "UTC"
    jitter: float = 0.1

    @classmethod
    def of(cls, settings: AgentSettings) -> Cadence | None:
        """The cadence that settings ask for; None where they ask for none."""
        if settings.every is None and settings.cron is None and not settings.at:
            return None
        return cls(every=settings.every, cron=settings.cron, at=settings.at, zone=settings.zone)

    def __post_init__(self) -> None:
        if sum((self.every is not None, self.cron is not None, bool(self.at))) != 1:
            raise ValueError("a cadence needs exactly one of `every`, `cron` and `at`")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise ValueError("`every` must be at least one second")
        if not 0 <= self.jitter < 1:
            raise ValueError("`jitter` must be at least 0 and below 1")
        if not all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", time) for time in self.at):
            raise ValueError("`at` takes times of the day such as 02:00")
        if self.cron is not None and (len(self.cron.split()) != 5 or not is_valid(self.cron)):
            raise ValueError("`cron` takes an expression of five fields that comes true")
        try:
            ZoneInfo(self.zone)
        except (KeyError, OSError) as error:
            raise ValueError(f"there is no time zone {self.zone!r}") from error

    def next_after(self, moment: datetime, anchor: datetime) -> datetime:
        """The first start after a moment, without jitter, in UTC; `every` counts from the anchor.

        Raises:
            ValueError: the cron expression never comes true again.
        """
        if self.every is not None:
            return anchor + self.every * ((moment - anchor) // self.every + 1)
        expressions = [self.cron] if self.cron else [f"{time[3:]} {time[:2]} * * *" for time in self.at]
        found = [next_after(expression, self.zone, moment) for expression in expressions]
        starts = [start for start in found if start is not None]
        if not starts:
            raise ValueError(f"`{self.cron}` never comes true")
        return min(starts)

    def longest_interval(self, moment: datetime) -> timedelta:
        """The longest time between the next few starts."""
        if self.every is not None:
            return self.every
        longest, start = timedelta(), self.next_after(moment, moment)
        for _ in range(_OCCURRENCES):
            following = self.next_after(start, start)
            longest, start = max(longest, following - start), following
        return longest

    def max_jitter(self, start: datetime) -> timedelta:
        """The maximum delay of a start."""
        if self.every is not None:
            return self.every * self.jitter
        return min((self.next_after(start, start) - start) * self.jitter, _MAX_JITTER_ON_THE_CLOCK)


@dataclass(frozen=True, slots=True)
class DueSet:
    """The environments of a run, and its reason.

    Attributes:
        environments: their names; None means all. Names of environments that no longer exist are skipped.
        excluding: where `environments` is None: those that have a cadence of their own and are not due yet.
    """

    environments: frozenset[str] | None
    reason: Reason
    excluding: frozenset[str] = frozenset()

    def covers(self, name: str) -> bool:
        """Whether an environment belongs to the run."""
        return name not in self.excluding if self.environments is None else name in self.environments

    @property
    def is_everything(self) -> bool:
        """Whether every environment belongs to the run."""
        return self.environments is None and not self.excluding

    def __or__(self, other: DueSet) -> DueSet:
        reason = min(self.reason, other.reason, key=_REASONS.index)
        if self.environments is not None and other.environments is not None:
            return DueSet(self.environments | other.environments, reason)
        excluding = self.excluding | other.excluding
        return DueSet(None, reason, frozenset(n for n in excluding if not self.covers(n) and not other.covers(n)))


def joined(one: DueSet | None, other: DueSet | None) -> DueSet | None:
    """Both as one run; None stands for no environment."""
    if one is None or other is None:
        return one or other
    return one | other
