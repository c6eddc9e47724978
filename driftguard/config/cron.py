"""Cron expressions of five fields, on a wall clock without a time zone or on that of a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

# Wall clocks differ from elapsed time by at most this when a zone changes its offset.
_SLACK = timedelta(hours=3)


def previous(expression: str, before: datetime) -> datetime | None:
    """The last moment strictly before another that the expression names; None if there is none. Naive datetimes."""
    try:
        found: datetime = croniter(expression, before).get_prev(datetime)
    except CroniterBadDateError:
        return None
    return found


def next_after(expression: str, zone: str, moment: datetime) -> datetime | None:
    """The first moment strictly after an aware one that the expression names on a zone's wall clock, in UTC.

    A wall-clock time that does not exist (the hour skipped in spring) stands for the moment the clocks jump over it.
    One that exists twice (in autumn) counts once if the expression names hours, as in `30 2 * * *`, and both times if
    it names a rhythm, as in `*/15 * * * *`. None if the expression never comes true again.
    """
    place = ZoneInfo(zone)
    both_times = expression.split()[1].startswith("*")
    # Look from a little earlier, because what the wall clock shows as past may come again.
    walls = croniter(expression, moment.astimezone(place).replace(tzinfo=None) - _SLACK)
    found: datetime | None = None
    try:
        while True:
            wall: datetime = walls.get_next(datetime)
            first = moment_of(wall, place)
            if found is not None and first - found > _SLACK:
                return found
            second = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
            for candidate in (first, second) if both_times and second > first else (first,):
                if candidate > moment and (found is None or candidate < found):
                    found = candidate
            if found is not None and not both_times:
                return found
    except CroniterBadDateError:
        return found


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment, in UTC, at which a zone's wall clock shows a naive time or jumps over it."""
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # The time does not exist: read with the offset before and with the one after the jump, it lies on both sides of it.
    early, late = sorted((moment, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)))
    offset = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


def is_valid(expression: str) -> bool:
    """Whether croniter understands the expression and it ever comes true."""
    try:
        croniter(expression, datetime(2026, 1, 1)).get_next(datetime)
    except (ValueError, KeyError, TypeError):
        return False
    return True
