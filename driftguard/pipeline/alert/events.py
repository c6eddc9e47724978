"""Events: the steps of alerts for sinks without threads, one by one or several of one cause as one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from driftguard.model import AlertEvent, Delivery, DeliveryKind, Notice
from driftguard.pipeline.alert.routes import (
    LOUD,
    SLACK_WEBHOOK,
    WEBHOOK,
    Routing,
    id_of,
    mention_for,
    names_of,
    reminders_mention,
)
from driftguard.pipeline.alert.text import event_json


def events(notices: Sequence[Notice], sink: str, routing: Routing) -> Iterator[Delivery]:
    """One event for each notice; in a text sink, one for all that have the same cause."""
    sent = list(_sent_as_events(notices))
    if sink == WEBHOOK:
        for notice in sent:
            yield _event([notice], sink, event_json(notice.alert, notice.event, notice.line, notice.at))
        return
    named = routing.alerts.sink(sink)
    if named is not None and named.pagerduty_env is not None:
        for notice in sent:  # an incident each, so that each is resolved by itself
            yield _event([notice], sink, _event_body(notice, routing, sink))
        return
    sent = _at_once(sent)
    sent.sort(key=lambda notice: (notice.at, *_alike(notice), notice.alert.environment))
    for _, group in groupby(sent, key=_alike):
        together = list(group)
        groups = [together] if len(together) >= routing.alerts.group else [[notice] for notice in together]
        for some in groups:
            yield _event(some, sink, _event_body(some[0], routing, sink, [n.alert.environment for n in some]))


def _event_body(notice: Notice, routing: Routing, sink: str, environments: Sequence[str] = ()) -> dict[str, Any]:
    names = names_of(environments or [notice.alert.environment])
    line = f"{names}: {notice.line}" if notice.line else ""
    mention = _events_mention(notice, routing) if sink == SLACK_WEBHOOK else ""
    return {"event": notice.event.value, "line": line, "mention": mention}


def _at_once(notices: Sequence[Notice]) -> list[Notice]:
    """Without the ends of alerts that began in the same run: their first message shows the end already."""
    begun = {(n.alert.id, n.run_id) for n in notices if n.event is AlertEvent.OPENED}
    return [n for n in notices if n.event is not AlertEvent.RESOLVED or (n.alert.id, n.run_id) not in begun]


def _sent_as_events(notices: Sequence[Notice]) -> Iterator[Notice]:
    """All but what only updates a message; of several reminders that were due at once the last, as they are alike."""
    last_reminders = {(n.alert.id, n.run_id): n.id for n in notices if n.event is AlertEvent.REMINDED}
    for notice in notices:
        if notice.event is AlertEvent.REMINDED and notice.id not in last_reminders.values():
            continue
        if notice.event is not AlertEvent.REFRESHED:
            yield notice


def _alike(notice: Notice) -> tuple[str, ...]:
    """What is equal for notices that share an event."""
    return (notice.run_id, notice.event, notice.alert.kind, notice.alert.cause, notice.line)


def _events_mention(notice: Notice, routing: Routing) -> str:
    if notice.event not in LOUD:
        return ""
    reminder = reminders_mention(notice.alert, routing) if notice.event is AlertEvent.REMINDED else ""
    return reminder or mention_for(notice.alert, routing)


def _event(notices: Sequence[Notice], sink: str, body: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=id_of(sink, *(notice.id for notice in notices)),
        kind=DeliveryKind.EVENT,
        sink=sink,
        channel="",
        alerts=tuple(notice.alert.id for notice in notices),
        meant_for=notices[0].at,
        body=body,
    )
