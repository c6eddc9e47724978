"""Delivers what is due, each thing once: attempts before effects, and a look before a repetition.

A delivery is recorded as `sending` before the service is called. A run that finds one in that state, after a crash or a
lost answer, asks the service whether it arrived before sending it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from driftguard.errors import DeliveryFault
from driftguard.model import Alert, AlertState, Delivery, DeliveryKind, DeliveryState, Message
from driftguard.pipeline.alert.digest import digest_message
from driftguard.pipeline.alert.guides import Guidance
from driftguard.pipeline.alert.outages import OutageBook, is_due, passed_on
from driftguard.pipeline.alert.routes import SLACK, Routing, target_of
from driftguard.pipeline.alert.routing import rerouted
from driftguard.pipeline.alert.stamps import button_value
from driftguard.pipeline.alert.text import LATE, message_of
from driftguard.pipeline.record import delivered_entry
from driftguard.ports import Alerts, Clock, DefectLog, Outbox, Sink

_INITIAL_BACKOFF: Final = timedelta(seconds=30)
_MAX_BACKOFF: Final = timedelta(hours=1)
_MAX_WAIT: Final = timedelta(days=1)  # longer than any service asks for

_NEXT_DIGEST: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AlertContext:
    """The run that sends alerts.

    Attributes:
        repository: its location, for links.
        run_url: the page of the CI job; None elsewhere.
        guidance: what the configuration knows for readers.
    """

    run_id: str
    repository: str
    run_url: str | None
    routing: Routing
    guidance: Guidance = field(default_factory=Guidance)


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """What one round of deliveries did.

    Attributes:
        sent: how many of each kind.
        waiting: how many are not delivered yet; they are retried.
        problems: one sentence for each thing that went wrong.
    """

    sent: Mapping[str, int]
    waiting: int
    problems: tuple[str, ...] = ()


class Sender:
    """Delivers what is due. A sink that fails holds up no other one."""

    def __init__(
        self,
        context: AlertContext,
        *,
        alerts: Alerts,
        outbox: Outbox,
        clock: Clock,
        defects: DefectLog,
        sinks: Mapping[str, Sink | None],
        book: OutageBook,
    ) -> None:
        """`sinks` are those in use; None for one that lacks its secret now."""
        self.context, self.alerts, self.outbox, self.clock, self.book = context, alerts, outbox, clock, book
        self._defects, self._sinks = defects, sinks
        self._down: set[str] = set()
        self._held: dict[str, datetime] = {}
        self._waits: set[str] = set()
        self._behind: set[tuple[str, str]] = set()
        self._problems: dict[str, None] = {}

    def deliver(self, lease_held: Callable[[], bool]) -> DeliverySummary:
        """Deliver everything that is due, oldest first.

        Args:
            lease_held: whether no other run delivers; nothing more is sent once that is not certain.
        """
        sent: Counter[str] = Counter()
        waiting = 0
        for delivery in self.outbox.undelivered():
            attempt = self._attempt(delivery) if self._may_send(delivery) and lease_held() else None
            if attempt is None:
                waiting += 1
                self._behind |= _steps(delivery)  # a machine gets an alert's steps in their order
            elif not attempt.dropped:
                sent[delivery.kind] += 1
        return DeliverySummary(sent, waiting, tuple(self._problems))

    def _may_send(self, delivery: Delivery) -> bool:
        now, next_try = self.clock.now(), delivery.next_try_at
        # One that is further away than any wait was set under a wrong clock.
        due = next_try is None or next_try <= now or next_try > now + _MAX_WAIT
        usable = self._sinks.get(delivery.sink) is not None and delivery.sink not in self._down
        usable = usable and self._held.keys().isdisjoint({delivery.sink, target_of(delivery.sink, delivery.channel)})
        return due and usable and self._behind.isdisjoint(_steps(delivery))

    def _attempt(self, delivery: Delivery) -> _Attempt | None:
        """The boundary of one alert: whatever fails in here holds up no other one. None where it is not sent."""
        sink = self._sinks[delivery.sink]
        assert sink is not None  # as `_may_send` found
        attempt = _Attempt(self, sink, delivery)
        try:
            return attempt if attempt.made() else None
        except DeliveryFault as fault:
            self._put_off(attempt, fault)
        except Exception as error:  # noqa: BLE001 - a defect in one alert must not cost the others
            doing = f"delivery {delivery.id} to {delivery.sink}"
            self._put_off(attempt, DeliveryFault(f"An alert waits. {self._defects.write(error, doing)}"))
        return None

    def _put_off(self, attempt: _Attempt, fault: DeliveryFault) -> None:
        self._problems.setdefault(str(fault))
        attempt.put_off(fault)
        delivery = attempt.delivery
        if fault.retry_after_seconds is not None:  # for the channel alone, where it is not the whole sink's
            target = delivery.sink if fault.whole_sink else target_of(delivery.sink, delivery.channel)
            self._held[target] = self.clock.now() + timedelta(seconds=fault.retry_after_seconds)
            self._waits.add(str(fault))
        elif fault.whole_sink:
            self._down.add(delivery.sink)

    def wait_ends(self) -> datetime | None:
        """When the first of the services that asked for it may be called again; None without one."""
        return min(self._held.values(), default=None)

    def resume(self) -> None:
        """Count the waits that have ended as kept: they are no problem unless a service asks again."""
        now = self.clock.now()
        self._held = {target: end for target, end in self._held.items() if end > now}
        if not self._held:
            for sentence in self._waits:
                self._problems.pop(sentence, None)
            self._waits.clear()

    def pass_on(self) -> int:
        """Plan for the next target what was not delivered for too long; how much."""
        context, now, count = self.context, self.clock.now(), 0
        wait = context.routing.alerts.failover_after
        for delivery in self.outbox.undelivered():
            if not is_due(delivery, self.book, wait, now):
                continue
            alerts, shown = self.alerts.named(delivery.alerts), self.outbox.messages(delivery.alerts)
            notified = self.outbox.notified(delivery.alerts)
            moved = passed_on(delivery, alerts, shown, notified, context.routing, self.book)
            if moved is not None:
                count += self.outbox.pass_on(delivery, *moved)
        return count


def _note(delivery: Delivery) -> str:
    """The sentence of a message that did not go where its route begins, or that comes there late."""
    if delivery.instead_of:
        return f"Sent here, because {' and '.join(delivery.instead_of)} took no alerts."
    return f"{delivery.passed_on} took this alert meanwhile." if delivery.passed_on and not delivery.reference else ""


def _steps(delivery: Delivery) -> set[tuple[str, str]]:
    """What a later event of the same alerts has to wait for."""
    return {(delivery.sink, alert) for alert in delivery.alerts} if delivery.kind is DeliveryKind.EVENT else set()


class _Attempt:
    """One attempt to deliver.

    Attributes:
        delivery: as the ledger has it now.
        dropped: whether it was given up, because its alerts go nowhere now.
    """

    def __init__(self, sender: Sender, sink: Sink, delivery: Delivery) -> None:
        self._sender, self._sink, self.delivery = sender, sink, delivery
        self._outbox, self._clock = sender.outbox, sender.clock
        self._attempts = delivery.attempts
        self._called = self.dropped = False

    def made(self) -> bool:
        """Whether it is delivered now; False where its parent message is not, or another run took it."""
        alerts = self._sender.alerts.named(self.delivery.alerts)
        if not alerts:
            self._save(replace(self.delivery, state=DeliveryState.SENT))
            return True
        if self.delivery.kind is DeliveryKind.REPLY:
            return self._reply(alerts)
        if self.delivery.kind is DeliveryKind.NOTE:
            return self._noted(alerts)
        if self.delivery.reference is None:
            return self._post(alerts)
        try:
            self._sink.update(self.delivery, self._message(self.delivery, alerts))
        except DeliveryFault as fault:
            if not fault.gone:
                raise
            if any(alert.state is AlertState.OPEN for alert in alerts):  # else it would not be visible anywhere
                self.delivery = replace(self.delivery, reference=None, state=DeliveryState.WAITING)
                self._outbox.save(self.delivery)
                return self._post(alerts)
        self._save(replace(self.delivery, state=DeliveryState.SENT))
        return True

    def _post(self, alerts: tuple[Alert, ...]) -> bool:
        if self.delivery.state is DeliveryState.SENDING:
            found = self._sink.find(self.delivery, None)
            if found is not None:
                self.delivery = replace(self.delivery, reference=found)
                self._sink.update(self.delivery, self._message(self.delivery, alerts))
                self._save(replace(self.delivery, state=DeliveryState.SENT), arrived=True)
                return True
            self.delivery = replace(self.delivery, state=DeliveryState.WAITING)
            self._outbox.save(self.delivery)
        readdressed = rerouted(self.delivery, alerts, self._sender.context.routing)
        if readdressed is None:  # should that change, they are planned again
            self._outbox.drop([self.delivery])
            self.dropped = True
            return True
        if readdressed != self.delivery:
            self.delivery = readdressed
            self._outbox.save(readdressed)
        message = self._message(self.delivery, alerts)
        if not self._begin():
            return False
        reference = self._sink.post(self.delivery, message)
        self._save(replace(self.delivery, state=DeliveryState.SENT, reference=reference), arrived=True)
        return True

    def _noted(self, alerts: tuple[Alert, ...]) -> bool:
        """A digest: posted once with what is open by then, and never changed; not once the next one is due."""
        late = self._clock.now() - self.delivery.meant_for >= _NEXT_DIGEST
        message = None if late else digest_message(alerts, self._clock.now())
        sending = self.delivery.state is DeliveryState.SENDING
        reference = self._sink.find(self.delivery, None) if sending else None
        if reference is None and message is None:
            self._outbox.drop([self.delivery])
            self.dropped = True
            return True
        if reference is None and message is not None:
            if not self._begin():
                return False
            reference = self._sink.post(self.delivery, message)
        self._save(replace(self.delivery, state=DeliveryState.SENT, reference=reference), arrived=True)
        return True

    def _begin(self) -> bool:
        begun = self._outbox.begin(self.delivery)
        if begun is None:
            return False
        self.delivery, self._called = begun, True
        return True

    def _reply(self, alerts: tuple[Alert, ...]) -> bool:
        delivery = self.delivery
        parents = self._outbox.messages(delivery.alerts)
        parent = next((message for message in parents if message.id == delivery.parent), None)
        if parent is None or parent.reference is None:
            return False
        reference = self._sink.find(delivery, parent) if delivery.state is DeliveryState.SENDING else None
        if reference is None:
            file = self._message(delivery, alerts).details if delivery.body.get("file") else None
            if delivery.body.get("file") and file is None:  # what it was to list is gone by now
                self._outbox.drop([delivery])
                self.dropped = True
                return True
            if not self._begin():
                return False
            reference = self._sink.reply(self._dated(delivery), parent, file)
            if not reference and any(alert.state is AlertState.OPEN for alert in alerts):
                # The message is gone, and so is its thread: it is posted again, with its current text.
                self._outbox.save(replace(parent, reference=None, state=DeliveryState.WAITING))
        self._save(replace(delivery, state=DeliveryState.SENT, reference=reference), arrived=True)
        return True

    def _dated(self, delivery: Delivery) -> Delivery:
        """A line with the time that it was meant for, where that is long ago."""
        if self._clock.now() - delivery.meant_for <= LATE or delivery.body.get("file"):
            return delivery
        line = f"{delivery.body.get('line', '')} (This was at {delivery.meant_for:%Y-%m-%d %H:%M} UTC.)"
        return replace(delivery, body={**delivery.body, "line": line})

    def put_off(self, fault: DeliveryFault) -> None:
        """Try again later: as long as the service asks for, or twice as long with each failure."""
        wait = min(_INITIAL_BACKOFF * 2 ** min(self._attempts, 10), _MAX_BACKOFF)
        if fault.retry_after_seconds is not None:
            wait = timedelta(seconds=fault.retry_after_seconds)
        begun = self.delivery.reference is None and self.delivery.state is DeliveryState.SENDING
        doubtful = begun and (fault.perhaps_delivered or not self._called)
        delivery, now = self.delivery, self._clock.now()
        target = delivery.sink if fault.whole_sink else target_of(delivery.sink, delivery.channel)
        self._outbox.save(
            replace(
                delivery,
                state=DeliveryState.SENDING if doubtful else DeliveryState.WAITING,
                attempts=self._attempts + 1,
                next_try_at=now + wait,
                failing_since=delivery.failing_since or now,
            ),
            *self._sender.book.failed(target, str(fault)),
        )

    def _message(self, delivery: Delivery, alerts: tuple[Alert, ...]) -> Message:
        context = self._sender.context
        slack = context.routing.slack if delivery.sink == SLACK else None
        message = message_of(
            alerts,
            now=self._clock.now(),
            meant_for=delivery.meant_for if delivery.reference is None else None,
            repository=context.repository,
            run_url=context.run_url,
            mention=str(delivery.body.get("mention") or "") or None,
            guidance=context.guidance,
            note=_note(delivery),
        )
        return replace(message, button=button_value(alerts)) if slack is not None and slack.buttons else message

    def _save(self, delivery: Delivery, *, arrived: bool = False) -> None:
        settled = replace(delivery, attempts=0, next_try_at=None, failing_since=None)
        entries = [delivered_entry(self._sender.context.run_id, self._clock.now(), delivery)] if arrived else []
        self._outbox.save(settled, *entries, *self._sender.book.works(target_of(delivery.sink, delivery.channel)))
