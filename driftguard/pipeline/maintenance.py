"""Weekly maintenance windows of AWS's services, in which AWS itself upgrades and applies what is pending."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(r"([a-z]{3}):(\d\d):(\d\d)-([a-z]{3}):(\d\d):(\d\d)", re.IGNORECASE)
_WEEK: Final = timedelta(days=7)


def was_open(window: str, since: datetime, until: datetime) -> bool:
    """Whether a window such as `sun:05:00-sun:06:00` (UTC) was open at some time between two moments, both aware.

    False for a text that is no such window.
    """
    found = _WINDOW.fullmatch(window.strip())
    if found is None or found[1].lower() not in _DAYS or found[4].lower() not in _DAYS:
        return False
    begins, ends = (_of_week(found[day], found[day + 1], found[day + 2]) for day in (1, 4))
    length = (ends - begins) % _WEEK
    until = until.astimezone(UTC)
    monday = datetime(until.year, until.month, until.day, tzinfo=UTC) - timedelta(days=until.weekday())
    opened = monday + begins
    if opened > until:
        opened -= _WEEK
    return opened + length >= since


def _of_week(day: str, hour: str, minute: str) -> timedelta:
    return timedelta(days=_DAYS.index(day.lower()), hours=int(hour), minutes=int(minute))
