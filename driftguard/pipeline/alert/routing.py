"""From notices to deliveries: which channel gets what, which environments share a message, what goes into a thread.

Takes notices of the outbox and the settings; gives deliveries. Pure: ids follow from the notices'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import groupby
from typing import Final

from driftguard.config import Reminder
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
from driftguard.pipeline.alert.events import events
from driftguard.pipeline.alert.routes import (
    BEGINNINGS,
    BROADCAST,
    LOUD,
    SLACK,
    Routing,
    channel_for,
    id_of,
    names_of,
    reminders_mention,
)
from driftguard.pipeline.alert.text import needs_file

_NO_FILE: Final = "More changed than fits into a message, and the file with all of it could not be uploaded."


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
        late = list(_catching_up(notices, unsent_at(sink, standing, notified, routing)))
        if sink == SLACK:
            made = _threads([*late, *notices], shown, routing, standing)
        else:  # an alert that only begins there now begins as it is, whatever its steps were
            begun = {notice.alert.id for notice in late}
            there = [n for n in notices if n.alert.id not in begun and _goes_on(n.alert, sink, notified, routing)]
            made = events([*late, *there], sink, routing)
        for delivery in made:
            deliveries[delivery.id] = delivery
    return tuple(deliveries.values())


def unsent_at(
    sink: str, standing: Sequence[Alert], notified: AbstractSet[tuple[str, str]], routing: Routing
) -> list[Alert]:
    """The open alerts that go to a sink that never got them, and that no delivery for it is waiting with."""
    missing = (a for a in standing if a.state is AlertState.OPEN and (a.id, sink) not in notified)
    return [alert for alert in missing if routing.wants(sink, alert)]


def _goes_on(alert: Alert, sink: str, notified: AbstractSet[tuple[str, str]], routing: Routing) -> bool:
    """Whether the steps of an alert go to a sink: it goes there, or began there while another sink took none."""
    return (alert.id, sink) in notified or routing.wants(sink, alert)


def _catching_up(notices: Sequence[Notice], unsent: Sequence[Alert]) -> Iterator[Notice]:
    """The beginnings of alerts that a sink never got: it was not configured then, or its message is gone."""
    beginning = {notice.alert.id for notice in notices if notice.event in BEGINNINGS}
    for alert in unsent:
        if alert.id not in beginning:
            at = alert.opened_at or alert.first_seen_at
            yield Notice(id_of(alert.id, at.isoformat()), AlertEvent.OPENED, at, "", "", alert)


def rerouted(delivery: Delivery, alerts: Sequence[Alert], routing: Routing) -> Delivery | None:
    """A message that is not sent yet, for the channel that its alerts go to now; None where they go nowhere.

    The configuration may have changed since the message was planned.
    """
    if delivery.sink != SLACK or delivery.instead_of:  # which has one channel only, or is not the route's first
        return delivery
    step = delivery.body.get("reminder")
    recipient = channel_for(alerts[0], routing) if step is None else _escalated(routing.alerts.reminder(step))
    if recipient is None:
        return None
    mention = "" if delivery.passed_on else recipient[1]
    return replace(delivery, channel=recipient[0], body={**delivery.body, "mention": mention})


# --- messages with threads -------------------------------------------------------------------------


def _threads(
    notices: Sequence[Notice], shown: Sequence[Delivery], routing: Routing, standing: Sequence[Alert]
) -> Iterator[Delivery]:
    of_alert = _by_alert(shown)
    opened = {n.alert.id: n for n in notices if n.event in BEGINNINGS and n.alert.id not in of_alert}
    joined = list(_joining(list(opened.values()), standing, of_alert, routing))
    yield from joined
    there = {alert for delivery in joined for alert in delivery.alerts}
    grown = {delivery.id: delivery for delivery in joined if delivery.kind is DeliveryKind.MESSAGE}
    shown = [grown.get(message.id, message) for message in shown]
    alone = [notice for notice in opened.values() if notice.alert.id not in there]
    begun = list(_new_messages(alone, _usual_recipient(routing), routing))
    yield from begun
    of_alert = _by_alert([*shown, *begun])
    later = [notice for notice in notices if notice.alert.id in of_alert and notice.alert.id not in opened]
    yield from _stale(later, of_alert)
    yield from _replies(later, of_alert, routing)
    yield from _new_messages(_worse(later, of_alert, routing), _usual_recipient(routing), routing)
    yield from _escalations(notices, routing)


def _joining(
    opened: Sequence[Notice],
    standing: Sequence[Alert],
    of_alert: Mapping[str, Sequence[Delivery]],
    routing: Routing,
) -> Iterator[Delivery]:
    """New alerts of a cause that others have had for a short time: they join the oldest message of it.

    Each joins with a line in its thread, once the environments of the cause are `alerts.group`.
    """
    causes: dict[tuple[str, str], list[Notice]] = {}
    for notice in opened:
        causes.setdefault((notice.alert.kind, notice.alert.cause), []).append(notice)
    for cause, new in causes.items():
        window = new[0].at - routing.alerts.group_window
        others = [a for a in standing if (a.kind, a.cause) == cause and (a.opened_at or window) > window]
        messages = [m for a in others for m in of_alert.get(a.id, ()) if "reminder" not in m.body]
        shown = {alert for message in messages for alert in message.alerts}
        if messages and len(shown) + len(new) >= routing.alerts.group:
            yield from _joined(min(messages, key=lambda m: m.meant_for), new, routing)


def _joined(message: Delivery, new: Sequence[Notice], routing: Routing) -> Iterator[Delivery]:
    """A message that shows more alerts, and the line in its thread; nothing where they go elsewhere."""
    recipient_of = _usual_recipient(routing)
    mine = [n for n in new if recipient_of(n.alert) == (message.channel, message.body.get("mention", ""))]
    if not mine:
        return
    alerts = tuple(dict.fromkeys((*message.alerts, *(n.alert.id for n in mine))))
    yield replace(message, alerts=alerts, state=DeliveryState.WAITING, next_try_at=None, attempts=0)
    if message.reference is None:
        return
    yield Delivery(
        id=id_of(message.id, *(n.id for n in mine)),
        kind=DeliveryKind.REPLY,
        sink=SLACK,
        channel=message.channel,
        alerts=alerts,
        meant_for=mine[0].at,
        parent=message.id,
        body={
            "line": f"{names_of([n.alert.environment for n in mine])}: the same, so it joins this message.",
            "broadcast": False,
            "mention": "",
        },
    )


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
    for step in sorted({notice.alert.reminders for notice in reminded}):
        reached = [notice for notice in reminded if notice.alert.reminders == step]
        yield from _new_messages(reached, _escalated_recipient(routing, step), routing, reminder=step)


def _worse(notices: Sequence[Notice], of_alert: Mapping[str, Sequence[Delivery]], routing: Routing) -> list[Notice]:
    """The newest notice of each alert that reached its highest severity, and has no message where such alerts go."""
    found: dict[str, Notice] = {}
    for notice in notices:
        worst = Severity.WARNING if notice.alert.kind is AlertKind.PENDING else Severity.CRITICAL
        if (
            notice.event in (AlertEvent.CHANGED, AlertEvent.WORSE, AlertEvent.REOPENED)
            and notice.alert.severity is worst
        ):
            recipient = _usual_recipient(routing)(notice.alert)
            if recipient is not None and recipient[0] not in {message.channel for message in of_alert[notice.alert.id]}:
                found[notice.alert.id] = notice
    return list(found.values())


_Recipient = tuple[str, str]  # a channel, and the mention there


def _usual_recipient(routing: Routing) -> Callable[[Alert], _Recipient | None]:
    return lambda alert: channel_for(alert, routing)


def _escalated_recipient(routing: Routing, step: int) -> Callable[[Alert], _Recipient | None]:
    return lambda _: _escalated(routing.alerts.reminder(step))


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


def message_in(channel: str, mention: str, notices: Sequence[Notice]) -> Iterator[Delivery]:
    """One message about alerts in a channel, whatever their routes are, with a file where it cannot list all."""
    message = _message(notices, channel, mention, None)
    yield message
    if needs_file(notices[0].alert.report):
        yield _file(message)


def _message(group: Sequence[Notice], channel: str, mention: str, reminder: int | None) -> Delivery:
    return Delivery(
        id=id_of(SLACK, channel, *(notice.id for notice in group)),
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
        id=id_of(message.id, "file"),
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
        mention = _mention(alike[-1].alert, event, message, routing)
        broadcast = event in BROADCAST
        names = names_of([notice.alert.environment for notice in alike])
        yield Delivery(
            id=id_of(parent, *(notice.id for notice in alike)),
            kind=DeliveryKind.REPLY,
            sink=SLACK,
            channel=message.channel,
            alerts=message.alerts,
            meant_for=alike[0].at,
            parent=parent,
            body={
                "line": f"{names}: {line}",
                "broadcast": broadcast,
                "mention": mention,
                "event": event.value,
            },
        )
        if event in (AlertEvent.CHANGED, AlertEvent.WORSE) and needs_file(alike[-1].alert.report):
            yield replace(
                _file(message), id=id_of(parent, "file", *(notice.id for notice in alike)), meant_for=alike[0].at
            )


def _escalated(reminder: Reminder | None) -> _Recipient | None:
    """The recipient of a message of its own, where a reminder names another channel."""
    return None if reminder is None or reminder.channel is None else (reminder.channel, reminder.mention or "")


def _elsewhere(alert: Alert, routing: Routing) -> bool:
    """Whether the reminder that was just reached names another channel than the alert's own."""
    return _escalated(routing.alerts.reminder(alert.reminders)) is not None


def _mention(alert: Alert, event: AlertEvent, message: Delivery, routing: Routing) -> str:
    if event is AlertEvent.REMINDED:
        return reminders_mention(alert, routing) or str(message.body.get("mention", ""))
    if event not in LOUD:
        return ""
    now = channel_for(alert, routing) if event is AlertEvent.WORSE else None
    mine = now[1] if now is not None and now[0] == message.channel else None
    return str(mine or message.body.get("mention", ""))
