"""The lines of an alert's thread: what is new, what still stands, what comes and goes. Pure.

A route adds the environment's name before each line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from driftguard.model import Alert, AlertKind, Damping
from driftguard.model.words import error_text, plural
from driftguard.pipeline.alert.differences import difference, listed, new_commits, rises
from driftguard.pipeline.alert.titles import age, happened

#: What is there again, by kind.
BACK: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "the same drift is back.",
    AlertKind.PENDING: "the same change is pending again.",
    AlertKind.UNKNOWN: "the verdict is unknown again, for the same reason.",
    AlertKind.PROBE: "a probe is wrong again.",
}
_OPEN: Final[Mapping[AlertKind, str]] = {
    AlertKind.DRIFT: "still drifted",
    AlertKind.PENDING: "still not applied",
    AlertKind.UNKNOWN: "still unknown",
    AlertKind.PROBE: "still not probed",
}


def still(alert: Alert, now: datetime) -> str:
    """The line of a reminder: what still stands, for how long, and the worst of it."""
    state = "the failed apply is not resolved" if alert.failure is not None else _OPEN[alert.kind]
    since = age(now - (alert.opened_at or now))
    return f"{state} after {since}: {happened(alert)}."


def news(before: Alert, now: Alert) -> str:
    """What is new in an open alert, in sentences; empty without news."""
    line = difference(before, now) if before.fingerprint != now.fingerprint else ""
    if now.failure is not None and before.failure is None:
        line = f"an apply failed: {now.failure.strip().partition(chr(10))[0].rstrip('.')}. {line}".strip()
    more = new_commits(before, now)
    if now.kind is AlertKind.DRIFT and more:
        line = f"{line} Also pending: {more}." if line else f"also pending: {more}."
    if not line and rises(before.severity, now.severity):
        reasons = sorted({str(reason.name) for reason in now.report.decision.reasons})
        line = f"now {now.severity}: {', '.join(reasons) or now.kind}."
    return line


def news_after_nothing(before: Alert, now: Alert) -> str:
    """What is there again of an alert that is open though nothing of it was there."""
    return difference(before, now) or BACK[now.kind]


def acknowledgement_ended(line: str, by: str) -> str:
    """A line about a worse change, with the end of the acknowledgement."""
    return f"{line} The acknowledgement {by} has ended.".strip()


def comes_and_goes(alert: Alert, objects: Iterable[str], changes: int, since: timedelta, quiet: timedelta) -> str:
    """That something comes and goes, and until when it is reported no more."""
    return (
        f"{_named(alert, objects)} comes and goes: {plural(changes, 'change')} in {age(since)}. Until it stays the "
        f"same for {age(quiet)}, only a worse change of it is reported."
    )


def quiet(memory: Damping) -> str:
    """Until when something that comes and goes is reported no more."""
    until = max(memory.restless.values()).astimezone(UTC)
    moment = f"{until:%Y-%m-%d %H:%M} UTC"
    return f"It comes and goes: unless it becomes worse, it is reported again once it is the same until {moment}."


def gone(alert: Alert, objects: Iterable[str]) -> str:
    """That something is gone while what comes and goes keeps the alert open."""
    return f"gone: {_named(alert, objects)}."


def steady(alert: Alert, objects: Iterable[str], quiet: timedelta, line: str) -> str:
    """That something that came and went is the same for some time now.

    Args:
        line: what else is new, or how it ended; may be empty.
    """
    settled = f"{_named(alert, objects)} has stayed the same for {age(quiet)}"
    now = "." if line else f": {happened(alert)}."
    return f"{settled}{now} {line}".strip()


def _named(alert: Alert, objects: Iterable[str]) -> str:
    """What comes and goes, in words."""
    names = sorted(filter(None, objects))
    if alert.kind is AlertKind.UNKNOWN:
        return f"the verdict unknown ({', '.join(map(error_text, names))})" if names else "the verdict"
    if alert.kind is AlertKind.PENDING:
        return f"what is pending ({listed([name[:10] for name in names])})" if names else "what is pending"
    return listed(names) if names else "the drift"
