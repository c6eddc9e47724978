"""Cron expressions of five fields, on a wall clock without a time zone."""

from __future__ import annotations

from datetime import datetime

from croniter import CroniterBadDateError, croniter


def previous(expression: str, before: datetime) -> datetime | None:
    """The last moment strictly before another that the expression names; None if there is none. Naive datetimes."""
    try:
        found: datetime = croniter(expression, before).get_prev(datetime)
    except CroniterBadDateError:
        return None
    return found


def is_valid(expression: str) -> bool:
    """Whether croniter understands the expression and it ever comes true."""
    try:
        croniter(expression, datetime(2026, 1, 1)).get_next(datetime)
    except (ValueError, KeyError, TypeError):
        return False
    return True
