"""Outages: targets that take no alerts, and the next target of the route that takes them meanwhile.

An alert that its target does not take for `alerts.failover_after` is planned for the next target of its route, in the
same transaction that marks it as passed on. Its own target gets it as well once that works again, without a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from driftguard.config.placeholders import PLACEHOLDER
from driftguard.config.routes import channel_of, is_slack
from driftguard.model import Alert, AlertEvent, AlertState, Delivery, DeliveryKind, Entry, Notice, Outage
from driftguard.model.moments import is_ahead
from driftguard.pipeline.alert.events import events
from driftguard.pipeline.alert.routes import LOUD, Routing, id_of, mention_for, sink_of, target_of
from driftguard.pipeline.alert.routing import message_in
from driftguard.pipeline.alert.titles import age
from driftguard.pipeline.record import sink_failed_entry, sink_works_entry
from driftguard.ports import Clock

#: What the problem of a sink begins with that lacks its secret.
CANNOT_OPEN: Final = "It cannot be opened:"
_LOUD: Final = frozenset(event.value for event in LOUD)


class OutageBook:
    """The outages that stand, as a run finds and changes them."""

    def __init__(self, standing: Sequence[Outage], run_id: str, clock: Clock) -> None:
        self._before = standing
        self._standing = {outage.target: outage for outage in standing}
        self._run_id, self._clock = run_id, clock

    def failed(self, target: str, problem: str) -> tuple[Entry, ...]:
        """What to journal when a target did not take an alert: the beginning of an outage, once."""
        if target in self._standing:
            return ()
        outage = self._standing[target] = Outage(target, self._clock.now(), problem)
        return (sink_failed_entry(self._run_id, outage),)

    def works(self, target: str) -> tuple[Entry, ...]:
        """What to journal when a target took an alert: the end of its outage, and of that of its whole sink."""
        ended = [each for each in dict.fromkeys((target, sink_of(target))) if self._standing.pop(each, None)]
        return tuple(sink_works_entry(self._run_id, self._clock.now(), each) for each in ended)

    def opened(self, sink: str) -> tuple[Entry, ...]:
        """What to journal when a sink could be opened: the end of an outage for lack of its secret."""
        outage = self._standing.get(sink)
        return self.works(sink) if outage is not None and outage.problem.startswith(CANNOT_OPEN) else ()

    def unused(self, routing: Routing) -> tuple[Entry, ...]:
        """What to journal of outages of targets that the configuration does not name any more: their ends."""
        gone = [target for target in self._standing if not _in_use(target, routing)]
        return tuple(entry for target in gone for entry in self.works(target))

    def since(self, target: str) -> datetime | None:
        """Since when a target takes nothing; None where it does."""
        found = [self._standing[each].since for each in (target, sink_of(target)) if each in self._standing]
        return min(found, default=None)

    def sentences(self, routing: Routing) -> tuple[str, ...]:
        """One sentence for each outage of a target in use that stood before this run, and still does."""
        still = [outage for outage in self._before if outage.target in self._standing]
        return outage_sentences(still, routing)


def outage_sentences(outages: Iterable[Outage], routing: Routing) -> tuple[str, ...]:
    """What runs and `doctor` report of each target in use that takes no alerts."""
    return tuple(_sentence(outage, routing) for outage in outages if _in_use(outage.target, routing))


def _in_use(target: str, routing: Routing) -> bool:
    if not is_slack(target):
        return target in routing.sinks
    channels = {each for route in routing.routes for each in route.sinks}
    channels |= {f"slack:{reminder.channel}" for reminder in routing.alerts.reminders if reminder.channel}
    patterns = (".+".join(map(re.escape, PLACEHOLDER.split(each)[::2])) for each in channels)
    return any(re.fullmatch(pattern, target) for pattern in patterns)


def _sentence(outage: Outage, routing: Routing) -> str:
    after = next((each for route in routing.routes if (each := _next(outage.target, route.sinks))), None)
    waits = f"after {age(routing.alerts.failover_after)} {after} takes its alerts" if after else "its alerts wait"
    return f"{outage_text(outage)} Until that is fixed, {waits}."


def outage_text(outage: Outage) -> str:
    """One sentence: which target takes no alerts, since when; and the problem."""
    return f"{outage.target} has taken no alerts since {outage.since:%Y-%m-%d %H:%M} UTC. {outage.problem}"


def _next(target: str, sinks: Sequence[str]) -> str | None:
    hit = [number for number, each in enumerate(sinks) if target in (each, sink_of(each))]
    return next((each for each in sinks[hit[0] + 1 :] if sink_of(each) != target), None) if hit else None


def passed_on(
    delivery: Delivery,
    alerts: Sequence[Alert],
    shown: Sequence[Delivery],
    notified: Set[tuple[str, str]],
    routing: Routing,
    book: OutageBook,
) -> tuple[Delivery, tuple[Delivery, ...]] | None:
    """A delivery as one that the next target took, and the deliveries there; None where none can take it.

    Args:
        alerts: those that it is about.
        shown: the messages that are about any of them.
        notified: which of them was sent to which sink.
    """
    if delivery.passed_on is not None or not _is_urgent(delivery):
        return None
    open_ = [alert for alert in alerts if alert.state is AlertState.OPEN]
    target = _taker(delivery, open_, routing, book) if open_ else None
    if target is None:
        return None
    tried = (*delivery.instead_of, target_of(delivery.sink, delivery.channel))
    taken = replace(delivery, passed_on=target, body={**delivery.body, "mention": ""})
    if delivery.sink == "webhook":  # whose body is the event itself
        taken = replace(delivery, passed_on=target)
    there = _begun(target, shown, notified)
    lacking = [alert for alert in open_ if alert.id not in there]
    made = (replace(each, instead_of=tried) for each in _elsewhere(delivery, lacking, target, routing))
    return taken, tuple(made)


def _begun(target: str, shown: Sequence[Delivery], notified: Set[tuple[str, str]]) -> set[str]:
    """The alerts that began at a target, whose steps go there by themselves."""
    there = {a for message in shown if target_of(message.sink, message.channel) == target for a in message.alerts}
    return there | {alert for alert, sink in notified if sink == target}


def is_due(delivery: Delivery, book: OutageBook, wait: timedelta, now: datetime) -> bool:
    """Whether a delivery's target has taken it, or anything, for so long not that the next one takes it.

    A time without deliveries that began after now, under a clock that was ahead, is long enough.
    """
    moments = (delivery.failing_since, book.since(target_of(delivery.sink, delivery.channel)))
    return any(each is not None and (each + wait <= now or is_ahead(each, now)) for each in moments)


def _is_urgent(delivery: Delivery) -> bool:
    """Whether a reader would miss an alert: it begins, or is sent with a mention. All else waits for its own target."""
    if delivery.kind is DeliveryKind.MESSAGE:
        return delivery.reference is None
    return delivery.body.get("event") in _LOUD


def _taker(delivery: Delivery, alerts: Sequence[Alert], routing: Routing, book: OutageBook) -> str | None:
    """The first target of the route that was not tried yet, one that works before one that does not."""
    tried = {*delivery.instead_of, target_of(delivery.sink, delivery.channel)}
    left = [target for target in routing.targets(alerts[0]) if target not in tried]
    return next((target for target in left if book.since(target) is None), next(iter(left), None))


def _elsewhere(delivery: Delivery, alerts: Sequence[Alert], target: str, routing: Routing) -> Iterable[Delivery]:
    """What a delivery is about, for another target."""
    event = AlertEvent(str(delivery.body.get("event") or AlertEvent.OPENED.value))
    notices = [Notice(id_of(delivery.id, target, a.id), event, delivery.meant_for, delivery.id, "", a) for a in alerts]
    if not notices:
        return ()
    if is_slack(target):
        return message_in(channel_of(target), mention_for(alerts[0], routing), notices)
    return events(notices, target, routing)
