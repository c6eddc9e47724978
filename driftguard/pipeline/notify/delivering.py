"""Shows what is to be shown, each thing once: attempts before effects, and looking before repeating.

A delivery is recorded as `sending` before the service is called. Whoever finds one in that state, after a crash or a
lost answer, asks the service whether it is there before sending it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from driftguard.errors import DeliveryFault
from driftguard.model import Alert, Delivery, DeliveryKind, DeliveryState, Entry, EntryKind, Message
from driftguard.ports import Alerts, Clock, Outbox, Sink

_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one round of delivering did.

    Attributes:
        sent: how many of each kind.
        waiting: what could not be shown yet; it is tried again.
        problems: one sentence for each thing that went wrong.
    """

    sent: Mapping[str, int]
    waiting: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Means:
    """What delivering needs.

    Attributes:
        sinks: those in use; None for one that lacks its secret now.
        word: alerts and the delivery that shows them, in words.
        still_ours: whether nobody else delivers meanwhile; nothing more is sent once that is not certain.
    """

    alerts: Alerts
    outbox: Outbox
    sinks: Mapping[str, Sink | None]
    word: Callable[[Delivery, tuple[Alert, ...]], Message]
    clock: Clock
    run_id: str
    still_ours: Callable[[], bool]


def deliver(means: Means) -> Delivered:
    """Show everything that is due, oldest first. A sink that fails keeps nothing from the others."""
    sent: Counter[str] = Counter()
    waiting = 0
    problems: dict[str, None] = {}
    down: set[str] = set()
    for delivery in means.outbox.undelivered():
        if delivery.sink not in means.sinks:
            continue  # no longer configured
        sink = means.sinks[delivery.sink]
        if sink is None or delivery.sink in down or not _due(delivery, means.clock.now()) or not means.still_ours():
            waiting += 1
            continue
        try:
            done = _Showing(means, sink).show(delivery)
        except DeliveryFault as fault:
            waiting += 1
            problems.setdefault(str(fault))
            _put_off(means, delivery, fault)
            if fault.whole_sink or fault.retry_after_seconds is not None:
                down.add(delivery.sink)
            continue
        if done:
            sent[delivery.kind] += 1
        else:
            waiting += 1
    return Delivered(sent, waiting, tuple(problems))


class _Showing:
    """One delivery, shown."""

    def __init__(self, means: Means, sink: Sink) -> None:
        self._means, self._sink = means, sink

    def show(self, delivery: Delivery) -> bool:
        """Whether it is there now; False where the message that it belongs to is not."""
        alerts = self._means.alerts.named(delivery.alerts)
        if not alerts:
            self._save(replace(delivery, state=DeliveryState.SENT))
            return True
        if delivery.kind is DeliveryKind.REPLY:
            return self._reply(delivery, alerts)
        begun = delivery.reference is None and delivery.state is DeliveryState.SENDING
        if begun:
            delivery = replace(delivery, reference=self._sink.find(delivery, None))
        message = self._means.word(delivery, alerts)
        if delivery.reference is not None:
            self._sink.update(delivery, message)
            self._save(replace(delivery, state=DeliveryState.SENT), told=begun)
            return True
        self._save(replace(delivery, state=DeliveryState.SENDING))
        reference = self._sink.post(delivery, message)
        self._save(replace(delivery, state=DeliveryState.SENT, reference=reference), told=True)
        return True

    def _reply(self, delivery: Delivery, alerts: tuple[Alert, ...]) -> bool:
        parents = self._means.outbox.messages(delivery.alerts)
        parent = next((message for message in parents if message.id == delivery.parent), None)
        if parent is None or parent.reference is None:
            return False
        reference = self._sink.find(delivery, parent) if delivery.state is DeliveryState.SENDING else None
        if reference is None:
            self._save(replace(delivery, state=DeliveryState.SENDING))
            file = self._means.word(delivery, alerts).details if delivery.body.get("file") else None
            reference = self._sink.reply(delivery, parent, file)
        self._save(replace(delivery, state=DeliveryState.SENT, reference=reference), told=True)
        return True

    def _save(self, delivery: Delivery, *, told: bool = False) -> None:
        settled = replace(delivery, attempts=0, next_try_at=None)
        entry = None
        if told:
            data = {
                "delivery": delivery.id,
                "kind": delivery.kind.value,
                "sink": delivery.sink,
                "channel": delivery.channel,
                "alerts": list(delivery.alerts),
                "reference": delivery.reference,
            }
            entry = Entry(EntryKind.ALERT_DELIVERED, self._means.clock.now(), self._means.run_id, None, data)
        self._means.outbox.save(settled, entry)


def _due(delivery: Delivery, now: datetime) -> bool:
    return delivery.next_try_at is None or delivery.next_try_at <= now


def _put_off(means: Means, delivery: Delivery, fault: DeliveryFault) -> None:
    """Try again later: as long as the service asks for, or twice as long with each failure."""
    wait = min(_FIRST_WAIT * 2 ** min(delivery.attempts, 10), _LONGEST_WAIT)
    if fault.retry_after_seconds is not None:
        wait = timedelta(seconds=fault.retry_after_seconds)
    began = delivery.state is DeliveryState.SENDING or fault.perhaps_delivered
    means.outbox.save(
        replace(
            delivery,
            state=DeliveryState.SENDING if began and delivery.reference is None else DeliveryState.WAITING,
            attempts=delivery.attempts + 1,
            next_try_at=means.clock.now() + wait,
        )
    )
