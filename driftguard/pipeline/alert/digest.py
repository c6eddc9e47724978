"""The digest: what is open, by owner and age, once a day in each channel that gets alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from driftguard.config import DigestSettings
from driftguard.model import (
    DIGEST,
    Alert,
    AlertState,
    Delivery,
    DeliveryKind,
    Message,
    Severity,
    StepText,
)
from driftguard.model.words import plural
from driftguard.pipeline.alert.routes import SLACK, WEBHOOK, Routing, channel_for, id_of, names_of
from driftguard.pipeline.alert.titles import about, age, happened

# One section of a message in Slack, with its markup.
_MAX_CHARACTERS: Final = 2200
_MAX_ADDRESS: Final = 40


def due_at(settings: DigestSettings, now: datetime) -> datetime:
    """When the newest digest was due, in UTC."""
    local = now.astimezone(ZoneInfo(settings.zone))
    day = local.date()
    due = datetime.combine(day, time.fromisoformat(settings.at), local.tzinfo)
    if due > local:
        due = datetime.combine(day - timedelta(days=1), time.fromisoformat(settings.at), local.tzinfo)
    return due.astimezone(UTC)


def key_of(due: datetime) -> str:
    """What a digest is known by, whichever run sends it."""
    return f"{DIGEST}/{due:%Y-%m-%d}"


def digests(due: datetime, standing: Sequence[Alert], routing: Routing) -> Iterator[Delivery]:
    """One note for each channel and sink that gets alerts for people, about those that are open there."""
    channels: dict[tuple[str, str], list[Alert]] = {}
    for alert in standing:
        if alert.state is AlertState.OPEN:
            for target in _targets(alert, routing):
                channels.setdefault(target, []).append(alert)
    for (sink, channel), alerts in channels.items():
        yield Delivery(
            id=id_of(key_of(due), sink, channel),
            kind=DeliveryKind.NOTE,
            sink=sink,
            channel=channel,
            alerts=tuple(alert.id for alert in alerts),
            meant_for=due,
            body={"event": DIGEST},
        )


def _targets(alert: Alert, routing: Routing) -> Iterator[tuple[str, str]]:
    """Where people read an alert: no machine gets a digest."""
    for sink in routing.sinks:
        named = routing.alerts.sink(sink)
        if sink == WEBHOOK or (named is not None and named.pagerduty_env is not None):
            continue
        recipient = channel_for(alert, routing) if sink == SLACK else None
        if recipient is not None:
            yield SLACK, recipient[0]
        elif sink != SLACK and routing.wants(sink, alert):
            yield sink, ""


def digest_message(alerts: Sequence[Alert], now: datetime) -> Message | None:
    """The digest in words: by owner, the oldest first; None where none of the alerts is open any more."""
    standing = sorted((a for a in alerts if a.state is AlertState.OPEN), key=_opened)
    if not standing:
        return None
    names = names_of([alert.environment for alert in standing])
    oldest = age(now - _opened(standing[0]))
    shown = _fitting(standing, now)
    more = len(standing) - len(shown)
    return Message(
        title=f"{plural(len(standing), 'open alert')} in {names}; the oldest is {oldest} old",
        severity=max((alert.severity for alert in standing), key=list(Severity).index),
        environments=(),
        decision=(f"{more} more: `driftguard status` lists everything.",) if more > 0 else (),
        commits=(),
        since=_opened(standing[0]),
        seen_at=now,
        worst=tuple(_lines(shown, now)),
        steps=(StepText("All environments", "driftguard status"),),
    )


def _fitting(standing: Sequence[Alert], now: datetime) -> Sequence[Alert]:
    """The oldest alerts whose lines there is room for."""
    for count in range(len(standing), 1, -1):
        lines = _lines(standing[:count], now)
        if sum(len(name) + len(text) + 4 for name, text in lines) <= _MAX_CHARACTERS:
            return standing[:count]
    return standing[:1]


def _lines(standing: Sequence[Alert], now: datetime) -> Iterator[tuple[str, str]]:
    """The owner of the oldest alert first; below each owner the alerts, the oldest first."""
    owners = dict.fromkeys(alert.report.owner for alert in standing)
    for owner in owners:
        if any(owners):
            yield "", f"{owner or 'Without an owner'}:"
        for alert in standing:
            if alert.report.owner == owner:
                yield alert.environment, _line(alert, now)


def _line(alert: Alert, now: datetime) -> str:
    restless = ", comes and goes" if alert.comes_and_goes else ""
    acked = f" (acknowledged {alert.acked.text})" if alert.acked is not None else ""
    kind = about(alert).lower()
    return f"{age(now - _opened(alert))}, {alert.severity}, {kind}{restless}: {happened(alert, _MAX_ADDRESS)}{acked}"


def _opened(alert: Alert) -> datetime:
    return alert.opened_at or alert.first_seen_at
