"""Whether applies may start now: allow and deny windows of a cron expression, a duration and a time zone.

Takes windows and the present moment; gives a `WindowState`. Pure. A window opens at each moment that its cron
expression names on the wall clock of its zone, and lasts for an elapsed time: 8 hours are 8 hours, also across a
change of daylight-saving time. A wall-clock time that does not exist (the hour skipped in spring) opens at the
moment the clocks jump over it; one that exists twice (in autumn) opens at the first of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from driftguard.config import Window
from driftguard.config.cron import moment_of, next_after, previous

# Wall clocks differ from elapsed time by at most this when a zone changes its offset.
_SLACK = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class WindowState:
    """Whether applies may start, and the window that decides it."""

    open: bool
    because: str


def window_state(windows: Sequence[Window], now: datetime) -> WindowState:
    """The state at an aware moment. Deny wins; without any allow window everything not denied is allowed."""
    for window in windows:
        if window.deny is not None and _inside(window.deny, window, now):
            return WindowState(False, f"denied by {window.deny} for {window.for_} in {window.zone}")
    allowing = [window for window in windows if window.allow is not None]
    for window in allowing:
        if window.allow is not None and _inside(window.allow, window, now):
            return WindowState(True, f"allowed by {window.allow} in {window.zone}")
    if allowing:
        openings = [next_after(str(window.allow), window.zone, now) for window in allowing]
        opens = min((opening for opening in openings if opening is not None), default=None)
        when = f"; the next opens {opens.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if opens is not None else ""
        return WindowState(False, f"outside of every allow window{when}")
    return WindowState(True, "no window forbids it")


def _inside(expression: str, window: Window, now: datetime) -> bool:
    zone = ZoneInfo(window.zone)
    wall = now.astimezone(zone).replace(tzinfo=None)
    # Look from a little later than now, because an opening that the wall clock shows as later may already be over.
    start = previous(expression, wall + _SLACK)
    while start is not None and wall - start <= window.for_ + 2 * _SLACK:
        opened = moment_of(start, zone)
        if opened <= now < opened + window.for_:
            return True
        start = previous(expression, start)
    return False
