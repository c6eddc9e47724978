"""Cron expressions of five fields, on a wall clock without a time zone or on that of a zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

# Wall clocks differ from elapsed time by at most this when a zone changes its offset.
_SLACK = timedelta(hours=3)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(r"(\w+)(?:-(\w+))?(?:/(\d+))?")


def previous(expression: str, before: datetime) -> datetime | None:
    """The last moment strictly before another that the expression names; None if there is none. Naive datetimes."""
    return next(_moments(expression, before, reverse=True), None)


def next_after(expression: str, zone: str, moment: datetime) -> datetime | None:
    """The first moment strictly after an aware one that the expression names on a zone's wall clock, in UTC.

    A wall-clock time that does not exist (the hour skipped in spring) stands for the moment the clocks jump over it.
    One that exists twice (in autumn) counts once if the expression names hours, as in `30 2 * * *`, and both times if
    it names a rhythm, as in `*/15 * * * *`. None if the expression never comes true again.
    """
    place = ZoneInfo(zone)
    both_times = expression.split()[1].startswith("*")
    # Look from a little earlier, because what the wall clock shows as past may come again.
    found: datetime | None = None
    for wall in _moments(expression, moment.astimezone(place).replace(tzinfo=None) - _SLACK):
        first = moment_of(wall, place)
        if found is not None and first - found > _SLACK:
            return found
        second = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
        for candidate in (first, second) if both_times and second > first else (first,):
            if candidate > moment and (found is None or candidate < found):
                found = candidate
        if found is not None and not both_times:
            return found
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
    """Whether the expression has five fields that cron understands and ever comes true."""
    return len(expression.split()) == 5 and next(_moments(expression, datetime(2026, 1, 1)), None) is not None


def _moments(expression: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """The naive moments that an expression names, strictly after another one (before it, newest first, in reverse).

    None for an expression that is not valid: cronsim refuses one that never comes true as it does a wrong one.
    """
    minute, hour, day, month, weekday = expression.lower().split()
    day, weekday = _either(day, "1-31"), _either(_numbered(weekday, _WEEKDAYS, 0), "0-6")
    with suppress(CronSimError):
        yield from CronSim(f"{minute} {hour} {day} {_numbered(month, _MONTHS, 1)} {weekday}", start, reverse=reverse)


def _either(field: str, every: str) -> str:
    """A field of days such that `*/2` is a choice of days like any other: where both fields choose, either counts.

    Debian's cron, which cronsim follows, takes the two together as soon as one begins with a star.
    """
    items = field.split(",")
    return "*" if "*" in items else ",".join(item.replace("*", every) for item in items)


def _numbered(field: str, names: Sequence[str], first: int) -> str:
    """A field with its names as numbers; a range of names may pass the end of the week or year, as `sat-mon` does."""
    return ",".join(_item(item, names, first) for item in field.split(","))


def _item(item: str, names: Sequence[str], first: int) -> str:
    match = _ITEM.fullmatch(item)
    if match is None:
        return item
    low, high, step = (str(names.index(part) + first) if part in names else part for part in match.groups(""))
    if step and not high and names is _WEEKDAYS:
        high = max(low, "6")  # the seventh is Sunday again, with which the week began
    if (low + high).isdigit() and high and int(low) > int(high):
        around = [*range(int(low), first + len(names)), *range(first, int(high) + 1)]
        return ",".join(str(number) for number in around[:: int(step or 1)])
    numbers = f"{low}-{high}" if high else low
    return f"{numbers}/{step}" if step else numbers
