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
from driftguard.model import Alert, AlertState, Delivery, DeliveryKind, DeliveryState, Entry, EntryKind, Message
from driftguard.pipeline.alert.text import LATE
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
        place: a message that is not there yet, for the place that the configuration names now; None where it
            names none any more.
        word: alerts and the delivery that shows them, in words.
        still_ours: whether nobody else delivers meanwhile; nothing more is sent once that is not certain.
    """

    alerts: Alerts
    outbox: Outbox
    sinks: Mapping[str, Sink | None]
    place: Callable[[Delivery, tuple[Alert, ...]], Delivery | None]
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
    behind: set[tuple[str, str]] = set()
    for delivery in means.outbox.undelivered():
        steps = {(delivery.sink, alert) for alert in delivery.alerts} if delivery.kind is DeliveryKind.EVENT else set()
        sink = means.sinks.get(delivery.sink)
        due = _due(delivery, means.clock.now()) and behind.isdisjoint(steps)
        done = False
        if sink is not None and delivery.sink not in down and due and means.still_ours():
            showing = _Showing(means, sink, delivery)
            try:
                done = showing.show()
            except DeliveryFault as fault:
                problems.setdefault(str(fault))
                showing.put_off(fault)
                if fault.whole_sink or fault.retry_after_seconds is not None:
                    down.add(delivery.sink)
            except ValueError as error:  # what cannot be put into words must not keep everything else from being told
                defect = DeliveryFault(f"An alert could not be put into words ({type(error).__name__}); it waits.")
                problems.setdefault(str(defect))
                showing.put_off(defect)
        if done:
            if not showing.dropped:
                sent[delivery.kind] += 1
        else:
            waiting += 1
            behind |= steps  # a machine is told an alert's steps in their order
    return Delivered(sent, waiting, tuple(problems))


class _Showing:
    """One delivery, shown.

    Attributes:
        delivery: as the ledger has it now.
        dropped: whether it was forgotten, because its alerts go nowhere now.
    """

    def __init__(self, means: Means, sink: Sink, delivery: Delivery) -> None:
        self._means, self._sink, self.delivery = means, sink, delivery
        self._attempts = delivery.attempts
        self._called = self.dropped = False

    def show(self) -> bool:
        """Whether it is there now; False where the message that it belongs to is not, or somebody else took it."""
        alerts = self._means.alerts.named(self.delivery.alerts)
        if not alerts:
            self._save(replace(self.delivery, state=DeliveryState.SENT))
            return True
        if self.delivery.kind is DeliveryKind.REPLY:
            return self._reply(alerts)
        if self.delivery.reference is None:
            return self._post(alerts)
        try:
            self._sink.update(self.delivery, self._means.word(self.delivery, alerts))
        except DeliveryFault as fault:
            if not fault.gone:
                raise
            if any(alert.state is AlertState.OPEN for alert in alerts):  # nobody would see it otherwise
                self.delivery = replace(self.delivery, reference=None, state=DeliveryState.WAITING)
                self._means.outbox.save(self.delivery)
                return self._post(alerts)
        self._save(replace(self.delivery, state=DeliveryState.SENT))
        return True

    def _post(self, alerts: tuple[Alert, ...]) -> bool:
        if self.delivery.state is DeliveryState.SENDING:
            found = self._sink.find(self.delivery, None)
            if found is not None:
                self.delivery = replace(self.delivery, reference=found)
                self._sink.update(self.delivery, self._means.word(self.delivery, alerts))
                self._save(replace(self.delivery, state=DeliveryState.SENT), told=True)
                return True
            self.delivery = replace(self.delivery, state=DeliveryState.WAITING)
            self._means.outbox.save(self.delivery)
        placed = self._means.place(self.delivery, alerts)
        if placed is None:  # should that change, they are planned anew
            self._means.outbox.drop([self.delivery])
            self.dropped = True
            return True
        if placed != self.delivery:
            self.delivery = placed
            self._means.outbox.save(placed)
        message = self._means.word(self.delivery, alerts)
        if not self._begin():
            return False
        reference = self._sink.post(self.delivery, message)
        self._save(replace(self.delivery, state=DeliveryState.SENT, reference=reference), told=True)
        return True

    def _begin(self) -> bool:
        begun = self._means.outbox.begin(self.delivery)
        if begun is None:
            return False
        self.delivery, self._called = begun, True
        return True

    def _reply(self, alerts: tuple[Alert, ...]) -> bool:
        delivery = self.delivery
        parents = self._means.outbox.messages(delivery.alerts)
        parent = next((message for message in parents if message.id == delivery.parent), None)
        if parent is None or parent.reference is None:
            return False
        reference = self._sink.find(delivery, parent) if delivery.state is DeliveryState.SENDING else None
        if reference is None:
            file = self._means.word(delivery, alerts).details if delivery.body.get("file") else None
            if delivery.body.get("file") and file is None:  # what it was to list is gone meanwhile
                self._means.outbox.drop([delivery])
                self.dropped = True
                return True
            if not self._begin():
                return False
            reference = self._sink.reply(self._dated(delivery), parent, file)
            if not reference and any(alert.state is AlertState.OPEN for alert in alerts):
                # The message is gone, and nobody sees what is below it: it is posted anew, as it is now.
                self._means.outbox.save(replace(parent, reference=None, state=DeliveryState.WAITING))
        self._save(replace(delivery, state=DeliveryState.SENT, reference=reference), told=True)
        return True

    def _dated(self, delivery: Delivery) -> Delivery:
        """A line with the time that it was meant for, where that is long ago."""
        if self._means.clock.now() - delivery.meant_for <= LATE or delivery.body.get("file"):
            return delivery
        line = f"{delivery.body['line']} (This was at {delivery.meant_for:%Y-%m-%d %H:%M} UTC.)"
        return replace(delivery, body={**delivery.body, "line": line})

    def put_off(self, fault: DeliveryFault) -> None:
        """Try again later: as long as the service asks for, or twice as long with each failure."""
        wait = min(_FIRST_WAIT * 2 ** min(self._attempts, 10), _LONGEST_WAIT)
        if fault.retry_after_seconds is not None:
            wait = timedelta(seconds=fault.retry_after_seconds)
        begun = self.delivery.reference is None and self.delivery.state is DeliveryState.SENDING
        doubtful = begun and (fault.perhaps_delivered or not self._called)
        self._means.outbox.save(
            replace(
                self.delivery,
                state=DeliveryState.SENDING if doubtful else DeliveryState.WAITING,
                attempts=self._attempts + 1,
                next_try_at=self._means.clock.now() + wait,
            )
        )

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
