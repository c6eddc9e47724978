"""From notices to deliveries: which place shows what, which environments share a message, what goes into a thread.

Takes notices of the outbox and the settings; gives deliveries. Pure: ids follow from the notices'.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from driftguard.config import AlertSettings, Slack
from driftguard.model import Alert, AlertEvent, AlertKind, Delivery, DeliveryKind, DeliveryState, Notice
from driftguard.pipeline.notify.wording import event_json, folds

SLACK: Final = "slack"
SLACK_WEBHOOK: Final = "slack-webhook"
WEBHOOK: Final = "webhook"
STDOUT: Final = "stdout"
_IDS: Final = uuid.UUID("0a8a0f0c-5c0e-4d2c-9f0e-2f6f5d1f4c55")
# A step of an alert that no message shows yet begins one; all but the first of them only after a change of sinks.
_BEGINNINGS: Final = (AlertEvent.OPENED, AlertEvent.CHANGED, AlertEvent.REOPENED, AlertEvent.REMINDED)
_MOST_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Places:
    """Where alerts go: what the configuration says of it."""

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


def plan(notices: Sequence[Notice], shown: Sequence[Delivery], places: Places) -> tuple[Delivery, ...]:
    """The deliveries that tell notices.

    Args:
        notices: oldest first.
        shown: the messages that show any of their alerts already.
    """
    deliveries: dict[str, Delivery] = {}
    for sink in places.sinks:
        made = _threads(notices, shown, places) if sink == SLACK else _events(notices, sink, places)
        for delivery in made:
            deliveries[delivery.id] = delivery
    return tuple(deliveries.values())


# --- messages with threads -------------------------------------------------------------------------


def _threads(notices: Sequence[Notice], shown: Sequence[Delivery], places: Places) -> Iterator[Delivery]:
    of_alert: dict[str, list[Delivery]] = {}
    for message in shown:
        for alert in message.alerts:
            of_alert.setdefault(alert, []).append(message)
    opened = {n.alert.id: n for n in notices if n.event in _BEGINNINGS and n.alert.id not in of_alert}
    for message in _new_messages(list(opened.values()), places):
        yield message
        for alert in message.alerts:
            of_alert.setdefault(alert, []).append(message)
    later = [notice for notice in notices if notice.alert.id in of_alert and notice.alert.id not in opened]
    yield from _stale(later, of_alert)
    yield from _replies(later, of_alert, places)
    for notice in notices:
        if notice.event is AlertEvent.REMINDED:
            yield from _escalation(notice, places)


def _new_messages(notices: Sequence[Notice], places: Places) -> Iterator[Delivery]:
    """One message for each alert, or for all that have one cause and one place when they are many."""

    def place(notice: Notice) -> tuple[str, ...] | None:
        route = _route(notice.alert, places)
        return (route.channel, route.mention or "", notice.alert.kind, notice.alert.cause) if route else None

    placed = [(found, notice) for notice in notices if (found := place(notice))]
    placed.sort(key=lambda pair: (pair[0], pair[1].alert.environment))
    for (channel, mention, *_), pairs in groupby(placed, key=lambda pair: pair[0]):
        alike = [notice for _, notice in pairs]
        groups = [alike] if len(alike) >= places.alerts.group else [[notice] for notice in alike]
        for group in groups:
            message = _message(group, channel, mention)
            yield message
            if folds(group[0].alert.report):
                yield _file(message)


def _message(group: Sequence[Notice], channel: str, mention: str) -> Delivery:
    return Delivery(
        id=_id(SLACK, channel, *(notice.id for notice in group)),
        kind=DeliveryKind.MESSAGE,
        sink=SLACK,
        channel=channel,
        alerts=tuple(notice.alert.id for notice in group),
        meant_for=min(notice.at for notice in group),
        body={"mention": mention},
    )


def _file(message: Delivery) -> Delivery:
    """The whole of what a message can only count, as a file in its thread."""
    return replace(
        message,
        id=_id(message.id, "file"),
        kind=DeliveryKind.REPLY,
        parent=message.id,
        body={"line": "Everything that changed is in this file.", "file": True},
    )


def _stale(notices: Sequence[Notice], of_alert: Mapping[str, Sequence[Delivery]]) -> Iterator[Delivery]:
    """Messages that are there and have to be shown differently."""
    for notice in notices:
        for message in of_alert[notice.alert.id]:
            if message.state is DeliveryState.SENT:
                yield replace(message, state=DeliveryState.WAITING, next_try_at=None, attempts=0)


def _replies(
    notices: Sequence[Notice], of_alert: Mapping[str, Sequence[Delivery]], places: Places
) -> Iterator[Delivery]:
    """One line in a message's thread for each thing that happened, whatever the number of its environments."""
    told: dict[tuple[str, AlertEvent, str], list[Notice]] = {}
    parents: dict[str, Delivery] = {}
    for notice in notices:
        for message in of_alert[notice.alert.id]:
            if message.reference is None or not notice.line:
                continue  # a message that is not there yet will show it by itself
            if notice.event is AlertEvent.REMINDED and _elsewhere(notice.alert, places):
                continue
            parents[message.id] = message
            told.setdefault((message.id, notice.event, notice.line), []).append(notice)
    for (parent, event, line), alike in told.items():
        message = parents[parent]
        loud = event in (AlertEvent.REOPENED, AlertEvent.REMINDED)
        mention = _mention(alike[0].alert, event, message, places)
        names = _names([notice.alert.environment for notice in alike]) if len(message.alerts) > 1 else ""
        yield Delivery(
            id=_id(parent, *(notice.id for notice in alike)),
            kind=DeliveryKind.REPLY,
            sink=SLACK,
            channel=message.channel,
            alerts=message.alerts,
            meant_for=alike[0].at,
            parent=parent,
            body={"line": f"{names}: {line}" if names else line, "broadcast": loud, "mention": mention},
        )


def _escalation(notice: Notice, places: Places) -> Iterator[Delivery]:
    """A message of its own where a reminder names another channel."""
    reminder = _elsewhere(notice.alert, places)
    if reminder is not None:
        yield _message([notice], reminder.channel or "", reminder.mention or "")


def _elsewhere(alert: Alert, places: Places) -> Any:
    """The reminder that was just reached, where it names another channel than the alert's own."""
    reached = places.alerts.reminders[: alert.reminders][-1:]
    return next((reminder for reminder in reached if reminder.channel is not None), None)


def _mention(alert: Alert, event: AlertEvent, message: Delivery, places: Places) -> str:
    if event is AlertEvent.REMINDED:
        reached = places.alerts.reminders[: alert.reminders][-1:]
        return next((r.mention for r in reached if r.mention), "") or str(message.body.get("mention", ""))
    return str(message.body.get("mention", "")) if event is AlertEvent.REOPENED else ""


def _route(alert: Alert, places: Places) -> Any:
    authors = [commit["author"] for commit in alert.report["commits"]] if alert.kind is AlertKind.PENDING else []
    return places.slack.route(alert.environment, alert.severity, authors) if places.slack else None


# --- events ----------------------------------------------------------------------------------------


def _events(notices: Sequence[Notice], sink: str, places: Places) -> Iterator[Delivery]:
    """One event for each notice; for people, one for all that have the same cause."""
    told = [notice for notice in notices if notice.event is not AlertEvent.REFRESHED]
    if sink == WEBHOOK:
        for notice in told:
            yield _event([notice], sink, event_json(notice.alert, notice.event, notice.line, notice.at))
        return

    def alike(notice: Notice) -> tuple[str, ...]:
        return (notice.run_id, notice.event, notice.alert.kind, notice.alert.cause, notice.line)

    for _, group in groupby(sorted(told, key=lambda n: (n.at, *alike(n), n.alert.environment)), key=alike):
        together = list(group)
        groups = [together] if len(together) >= places.alerts.group else [[notice] for notice in together]
        for some in groups:
            names = _names([notice.alert.environment for notice in some])
            line = f"{names}: {some[0].line}" if some[0].line else ""
            mention = ""
            if sink == SLACK_WEBHOOK and some[0].event is AlertEvent.OPENED:
                route = _route(some[0].alert, places)
                mention = route.mention or "" if route else ""
            yield _event(some, sink, {"event": some[0].event.value, "line": line, "mention": mention})


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
    more = len(environments) - _MOST_NAMED
    return ", ".join(sorted(environments)[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_IDS, "/".join(parts)))
