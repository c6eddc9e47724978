"""From notices to deliveries: which channel gets what, which environments share a message, what goes into a thread.

Takes notices of the outbox and the settings; gives deliveries. Pure: ids follow from the notices'.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from driftguard.config import AlertSettings, Reminder, Slack
from driftguard.model import (
    Alert,
    AlertEvent,
    AlertKind,
    AlertState,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Notice,
    Severity,
)
from driftguard.pipeline.alert.text import event_json, needs_file

SLACK: Final = "slack"
SLACK_WEBHOOK: Final = "slack-webhook"
WEBHOOK: Final = "webhook"
STDOUT: Final = "stdout"
_IDS: Final = uuid.UUID("0a8a0f0c-5c0e-4d2c-9f0e-2f6f5d1f4c55")
_MAX_NAMED: Final = 8
_BEGINNINGS: Final = (AlertEvent.OPENED, AlertEvent.REOPENED)
_LOUD: Final = (*_BEGINNINGS, AlertEvent.REMINDED)
_NO_FILE: Final = "More changed than fits into a message, and the file with all of it could not be uploaded."


@dataclass(frozen=True, slots=True)
class Routing:
    """The configured sinks and routes of alerts."""

    alerts: AlertSettings
    slack: Slack | None

    @property
    def sinks(self) -> tuple[str, ...]:
        """The names of the sinks in use; standard output where nothing else is configured."""
        found = []
        if self.slack is not None:
            found.append(SLACK if self.slack.token_env else SLACK_WEBHOOK)
        if self.alerts.webhook is not None:
            found.append(WEBHOOK)
        return tuple(found) or (STDOUT,)


def plan(
    notices: Sequence[Notice],
    shown: Sequence[Delivery],
    routing: Routing,
    *,
    standing: Sequence[Alert] = (),
    notified: AbstractSet[tuple[str, str]] = frozenset(),
) -> tuple[Delivery, ...]:
    """The deliveries of notices, and of open alerts that a configured sink never got.

    Args:
        notices: oldest first.
        shown: the messages that are about any of the alerts already.
        standing: every alert that is not resolved.
        notified: which alert was sent to which sink.
    """
    deliveries: dict[str, Delivery] = {}
    for sink in routing.sinks:
        unsent = unsent_at(sink, standing, notified)
        mine = [*_catching_up(notices, unsent), *notices]
        made = _threads(mine, shown, routing) if sink == SLACK else _events(mine, sink, routing)
        for delivery in made:
            deliveries[delivery.id] = delivery
    return tuple(deliveries.values())


def unsent_at(sink: str, standing: Sequence[Alert], notified: AbstractSet[tuple[str, str]]) -> list[Alert]:
    """The open alerts that a sink never got, and that no delivery for it is waiting with."""
    return [alert for alert in standing if alert.state is AlertState.OPEN and (alert.id, sink) not in notified]


def _catching_up(notices: Sequence[Notice], unsent: Sequence[Alert]) -> Iterator[Notice]:
    """The beginnings of alerts that a sink never got: it was not configured then, or its message is gone."""
    beginning = {notice.alert.id for notice in notices if notice.event in _BEGINNINGS}
    for alert in unsent:
        if alert.id not in beginning:
            at = alert.opened_at or alert.first_seen_at
            yield Notice(_id(alert.id, at.isoformat()), AlertEvent.OPENED, at, "", "", alert)


def rerouted(delivery: Delivery, alerts: Sequence[Alert], routing: Routing) -> Delivery | None:
    """A message that is not sent yet, for the channel that its alerts go to now; None where they go nowhere.

    The configuration may have changed since the message was planned.
    """
    if delivery.sink != SLACK:  # which has one channel only
        return delivery
    step = delivery.body.get("reminder")
    if step is None:
        route = _route(alerts[0], routing)
        recipient = (route.channel, route.mention or "") if route else None
    else:
        recipient = _escalated(routing.alerts.reminders[step - 1 : step])
    if recipient is None:
        return None
    return replace(delivery, channel=recipient[0], body={**delivery.body, "mention": recipient[1]})


# --- messages with threads -------------------------------------------------------------------------


def _threads(notices: Sequence[Notice], shown: Sequence[Delivery], routing: Routing) -> Iterator[Delivery]:
    of_alert = _by_alert(shown)
    opened = {n.alert.id: n for n in notices if n.event in _BEGINNINGS and n.alert.id not in of_alert}
    begun = list(_new_messages(list(opened.values()), _usual_recipient(routing), routing))
    yield from begun
    of_alert = _by_alert([*shown, *begun])
    later = [notice for notice in notices if notice.alert.id in of_alert and notice.alert.id not in opened]
    yield from _stale(later, of_alert)
    yield from _replies(later, of_alert, routing)
    yield from _new_messages(_worse(later, of_alert, routing), _usual_recipient(routing), routing)
    yield from _escalations(notices, routing)


def _by_alert(messages: Iterable[Delivery]) -> dict[str, list[Delivery]]:
    """The messages that are about each alert, by its id."""
    found: dict[str, list[Delivery]] = {}
    for message in messages:
        for alert in message.alerts:
            found.setdefault(alert, []).append(message)
    return found


def _escalations(notices: Sequence[Notice], routing: Routing) -> Iterator[Delivery]:
    """A message of its own for each reminder that names another channel."""
    reminded = [notice for notice in notices if notice.event is AlertEvent.REMINDED]
    for step in range(1, len(routing.alerts.reminders) + 1):
        reached = [notice for notice in reminded if notice.alert.reminders == step]
        yield from _new_messages(reached, _escalated_recipient(routing, step), routing, reminder=step)


def _worse(notices: Sequence[Notice], of_alert: Mapping[str, Sequence[Delivery]], routing: Routing) -> list[Notice]:
    """The newest notice of each alert that reached its highest severity, and has no message where such alerts go."""
    found: dict[str, Notice] = {}
    for notice in notices:
        worst = Severity.WARNING if notice.alert.kind is AlertKind.PENDING else Severity.CRITICAL
        if notice.event in (AlertEvent.CHANGED, AlertEvent.REOPENED) and notice.alert.severity is worst:
            recipient = _usual_recipient(routing)(notice.alert)
            if recipient is not None and recipient[0] not in {message.channel for message in of_alert[notice.alert.id]}:
                found[notice.alert.id] = notice
    return list(found.values())


_Recipient = tuple[str, str]  # a channel, and the mention there


def _usual_recipient(routing: Routing) -> Callable[[Alert], _Recipient | None]:
    def recipient(alert: Alert) -> _Recipient | None:
        route = _route(alert, routing)
        return (route.channel, route.mention or "") if route else None

    return recipient


def _escalated_recipient(routing: Routing, step: int) -> Callable[[Alert], _Recipient | None]:
    return lambda _: _escalated(routing.alerts.reminders[step - 1 : step])


def _new_messages(
    notices: Sequence[Notice],
    recipient_of: Callable[[Alert], _Recipient | None],
    routing: Routing,
    *,
    reminder: int | None = None,
) -> Iterator[Delivery]:
    """One message for each alert, or for all that have one cause and one recipient when they are many."""
    addressed = [
        ((*recipient, notice.alert.kind, notice.alert.cause), notice)
        for notice in notices
        if (recipient := recipient_of(notice.alert)) is not None
    ]
    addressed.sort(key=lambda pair: (pair[0], pair[1].alert.environment))
    for (channel, mention, *_), pairs in groupby(addressed, key=lambda pair: pair[0]):
        alike = [notice for _, notice in pairs]
        groups = [alike] if len(alike) >= routing.alerts.group else [[notice] for notice in alike]
        for group in groups:
            message = _message(group, channel, mention, reminder)
            yield message
            if needs_file(group[0].alert.report):
                yield _file(message)


def _message(group: Sequence[Notice], channel: str, mention: str, reminder: int | None) -> Delivery:
    return Delivery(
        id=_id(SLACK, channel, *(notice.id for notice in group)),
        kind=DeliveryKind.MESSAGE,
        sink=SLACK,
        channel=channel,
        alerts=tuple(notice.alert.id for notice in group),
        meant_for=min(notice.at for notice in group),
        body={"mention": mention} if reminder is None else {"mention": mention, "reminder": reminder},
    )


def _file(message: Delivery) -> Delivery:
    """The whole of what a message can only count, as a file in its thread."""
    return replace(
        message,
        id=_id(message.id, "file"),
        kind=DeliveryKind.REPLY,
        state=DeliveryState.WAITING,
        reference=None,
        attempts=0,
        next_try_at=None,
        parent=message.id,
        body={"line": "Everything that changed is in this file.", "without_file": _NO_FILE, "file": True},
    )


def _stale(notices: Sequence[Notice], of_alert: Mapping[str, Sequence[Delivery]]) -> Iterator[Delivery]:
    """Messages that are delivered and have to be updated."""
    for notice in notices:
        for message in of_alert[notice.alert.id]:
            if message.state is DeliveryState.SENT:
                yield replace(message, state=DeliveryState.WAITING, next_try_at=None, attempts=0)


def _replies(
    notices: Sequence[Notice], of_alert: Mapping[str, Sequence[Delivery]], routing: Routing
) -> Iterator[Delivery]:
    """One line in a message's thread for each thing that happened, whatever the number of its environments."""
    sent: dict[tuple[str, AlertEvent, str], list[Notice]] = {}
    parents: dict[str, Delivery] = {}
    for notice in notices:
        for message in of_alert[notice.alert.id]:
            if message.reference is None or not notice.line:
                continue  # a message that is not sent yet will show it by itself
            if notice.event is AlertEvent.REMINDED and _elsewhere(notice.alert, routing):
                continue
            parents[message.id] = message
            sent.setdefault((message.id, notice.event, notice.line), []).append(notice)
    for (parent, event, line), alike in sent.items():
        message = parents[parent]
        loud = event in (AlertEvent.REOPENED, AlertEvent.REMINDED)
        mention = _mention(alike[-1].alert, event, message, routing)
        names = _names([notice.alert.environment for notice in alike])
        yield Delivery(
            id=_id(parent, *(notice.id for notice in alike)),
            kind=DeliveryKind.REPLY,
            sink=SLACK,
            channel=message.channel,
            alerts=message.alerts,
            meant_for=alike[0].at,
            parent=parent,
            body={"line": f"{names}: {line}", "broadcast": loud, "mention": mention},
        )
        if event is AlertEvent.CHANGED and needs_file(alike[-1].alert.report):
            yield replace(
                _file(message), id=_id(parent, "file", *(notice.id for notice in alike)), meant_for=alike[0].at
            )


def _escalated(reminder: Sequence[Reminder]) -> _Recipient | None:
    """The recipient of a message of its own, where a reminder names another channel."""
    return next(((r.channel, r.mention or "") for r in reminder if r.channel is not None), None)


def _elsewhere(alert: Alert, routing: Routing) -> bool:
    """Whether the reminder that was just reached names another channel than the alert's own."""
    return _escalated(routing.alerts.reminders[: alert.reminders][-1:]) is not None


def _mention(alert: Alert, event: AlertEvent, message: Delivery, routing: Routing) -> str:
    if event is AlertEvent.REMINDED:
        return _reminders_mention(alert, routing) or str(message.body.get("mention", ""))
    return str(message.body.get("mention", "")) if event is AlertEvent.REOPENED else ""


def _reminders_mention(alert: Alert, routing: Routing) -> str:
    """The mention of the reminder that was just reached."""
    return next((r.mention for r in routing.alerts.reminders[: alert.reminders][-1:] if r.mention), "")


def _route(alert: Alert, routing: Routing) -> Any:
    authors = [commit.author for commit in alert.report.commits] if alert.kind is AlertKind.PENDING else []
    return routing.slack.route(alert.environment, alert.severity, authors) if routing.slack else None


# --- events ----------------------------------------------------------------------------------------


def _events(notices: Sequence[Notice], sink: str, routing: Routing) -> Iterator[Delivery]:
    """One event for each notice; in a text sink, one for all that have the same cause."""
    sent = list(_sent_as_events(notices))
    if sink == WEBHOOK:
        for notice in sent:
            yield _event([notice], sink, event_json(notice.alert, notice.event, notice.line, notice.at))
        return

    sent.sort(key=lambda notice: (notice.at, *_alike(notice), notice.alert.environment))
    for _, group in groupby(sent, key=_alike):
        together = list(group)
        groups = [together] if len(together) >= routing.alerts.group else [[notice] for notice in together]
        for some in groups:
            first, names = some[0], _names([notice.alert.environment for notice in some])
            line = f"{names}: {first.line}" if first.line else ""
            mention = _events_mention(first, routing) if sink == SLACK_WEBHOOK else ""
            yield _event(some, sink, {"event": first.event.value, "line": line, "mention": mention})


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
    if notice.event not in _LOUD:
        return ""
    reminder = _reminders_mention(notice.alert, routing) if notice.event is AlertEvent.REMINDED else ""
    route = _route(notice.alert, routing)
    return reminder or (route.mention or "" if route else "")


def _event(notices: Sequence[Notice], sink: str, body: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=_id(sink, *(notice.id for notice in notices)),
        kind=DeliveryKind.EVENT,
        sink=sink,
        channel="",
        alerts=tuple(notice.alert.id for notice in notices),
        meant_for=notices[0].at,
        body=body,
    )


def _names(environments: Sequence[str]) -> str:
    environments = sorted(set(environments))
    more = len(environments) - _MAX_NAMED
    return ", ".join(environments[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_IDS, "/".join(parts)))
