"""Sends the alerts of a run: CloudTrail lookup, routing, delivery."""

from __future__ import annotations

import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from driftguard.errors import OperatorError
from driftguard.model import Alert, AlertState, DeliveryState, EnvironmentResult, RecordedNotice
from driftguard.model.words import plural
from driftguard.pipeline.alert.digest import digests, due_at, key_of
from driftguard.pipeline.alert.lifecycle import forgotten
from driftguard.pipeline.alert.outages import CANNOT_OPEN, OutageBook
from driftguard.pipeline.alert.routes import BEGINNINGS
from driftguard.pipeline.alert.routing import plan, unsent_at
from driftguard.pipeline.alert.sending import AlertContext, DeliverySummary, Sender
from driftguard.pipeline.alert.tracing import Tracing
from driftguard.pipeline.apply.lease import hold
from driftguard.pipeline.history import outages
from driftguard.pipeline.record import recorded_notices
from driftguard.ports import Alerts, Clock, DefectLog, Leases, Outbox, RunLedger, Sink, Sinks, StopSignal

# No environment can be called this.
_LEASE: Final = "(alerts)"
_LEASE_SECONDS: Final = 30.0
_MAX_WAIT_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 1.0
# A run does not end later than this for services that ask to wait.
_MAX_PATIENCE: Final = timedelta(minutes=2)
_PLANNING_TRIES: Final = 3
# Targets of one route that are tried in one run.
_MAX_TARGETS: Final = 5
_DELIVERED_ELSEWHERE: Final = (
    "Another run is delivering alerts; those of this run are delivered by it or by the next run."
)


@dataclass(frozen=True, slots=True)
class NotifyingPorts:
    """What notifying works with: the ledger's parts, the machine, the sinks."""

    alerts: Alerts
    outbox: Outbox
    journal: RunLedger
    leases: Leases
    clock: Clock
    stop: StopSignal
    defects: DefectLog
    sinks: Sinks


class Notifier:
    """The notify stage of one run."""

    def __init__(
        self,
        context: AlertContext,
        ports: NotifyingPorts,
        tracing: Tracing,
        *,
        renamed: Mapping[str, str],
    ) -> None:
        """`renamed` are environments that have another name now, by the old one."""
        self._context, self._ports, self._tracing, self._renamed = context, ports, tracing, renamed
        self._alerts, self._outbox = ports.alerts, ports.outbox

    def notify(
        self, results: Sequence[EnvironmentResult], known: AbstractSet[str], *, patient: bool = False
    ) -> DeliverySummary:
        """Trace new drift, then plan and deliver everything that waits.

        Args:
            results: of this run.
            known: every environment that any run still covers.
            patient: wait for services that ask for it, for two minutes at most; otherwise a later run delivers.
        """
        self._end_unknown(known)
        notes = self._tracing.trace(results, [n.alert for n in self._outbox.unplanned() if n.event in BEGINNINGS])
        book = OutageBook(outages(self._ports.journal), self._context.run_id, self._ports.clock)
        self._plan_digest()
        if not self._outbox.unplanned() and not self._outbox.undelivered() and not self._unsent():
            return DeliverySummary({}, 0, (*notes, *book.sentences(self._context.routing)))
        with self._lease() as lease_held:
            if lease_held is None:
                return DeliverySummary({}, len(self._outbox.unplanned()), (*notes, _DELIVERED_ELSEWHERE))
            dropped = self._drop_unconfigured()
            self._plan()
            self._ports.journal.append(*book.unused(self._context.routing))
            sinks, missing = self._open_sinks(book)
            sender = Sender(
                self._context,
                alerts=self._alerts,
                outbox=self._outbox,
                clock=self._ports.clock,
                defects=self._ports.defects,
                sinks=sinks,
                book=book,
            )
            done = self._delivered(sender, lease_held)
            if patient:
                done = self._waited(sender, lease_held, done)
            standing = book.sentences(self._context.routing)
            return DeliverySummary(done.sent, done.waiting, (*notes, *dropped, *missing, *done.problems, *standing))

    def _delivered(self, sender: Sender, lease_held: Callable[[], bool]) -> DeliverySummary:
        """Deliver what is due, and what a target does not take by the next one of the route."""
        done = sender.deliver(lease_held)
        sent = Counter(done.sent)
        for _ in range(_MAX_TARGETS):
            if not lease_held() or not sender.pass_on():
                break
            done = sender.deliver(lease_held)
            sent.update(done.sent)
        return DeliverySummary(sent, done.waiting, done.problems)

    def _waited(self, sender: Sender, lease_held: Callable[[], bool], done: DeliverySummary) -> DeliverySummary:
        """Deliver what services asked to wait with, as far as that ends soon; nothing else waits for it."""
        clock, sent = self._ports.clock, Counter(done.sent)
        end = clock.now() + _MAX_PATIENCE
        while (next_try := sender.wait_ends()) is not None and next_try <= end:
            while (left := (next_try - clock.now()).total_seconds()) > 0:
                if self._ports.stop.requested or not lease_held():
                    return replace(done, sent=sent)
                self._ports.stop.wait(min(left, _RETRY_SECONDS))
            sender.resume()
            done = self._delivered(sender, lease_held)
            sent.update(done.sent)
        return replace(done, sent=sent)

    # --- alerts of environments that are gone -------------------------------------------------------

    def _end_unknown(self, known: AbstractSet[str]) -> None:
        """End alerts about environments that no run covers any more."""
        for alert in self._alerts.standing():
            if alert.environment not in known:
                self._alerts.record(alert.environment, [], partial(self._forgotten, alert))

    def _forgotten(self, alert: Alert, before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
        standing = [each for each in before if each.id == alert.id and each.state is not AlertState.RESOLVED]
        if not standing:
            return (), ()  # another run ended it meanwhile
        now, new_name = self._ports.clock.now(), self._renamed.get(alert.environment)
        ended = forgotten(standing[0], run_id=self._context.run_id, now=now, renamed_to=new_name)
        return ended.alerts, recorded_notices(ended.notices)

    # --- planning deliveries ------------------------------------------------------------------------

    def _unsent(self) -> bool:
        standing = self._alerts.standing()
        notified = self._outbox.notified([alert.id for alert in standing])
        routing = self._context.routing
        return any(unsent_at(sink, standing, notified, routing) for sink in routing.sinks)

    def _drop_unconfigured(self) -> tuple[str, ...]:
        """Drop deliveries to a sink that is not configured any more; the configured ones get what is still open."""
        waiting = [each for each in self._outbox.undelivered() if each.sink not in self._context.routing.sinks]
        for each in waiting:
            if each.reference is not None:  # it is delivered, and is updated should its sink come back
                self._outbox.save(replace(each, state=DeliveryState.SENT, attempts=0, next_try_at=None))
        old = [each for each in waiting if each.reference is None]
        if not old:
            return ()
        self._outbox.drop(old)
        names = ", ".join(sorted({each.sink for each in old}))
        return (
            f"Dropped {plural(len(old), 'delivery', 'deliveries')} to {names}, which is not configured any more; the "
            "configured sinks get the alerts that are still open.",
        )

    def _plan(self) -> None:
        for _ in range(_PLANNING_TRIES):
            notices, standing = self._outbox.unplanned(), self._alerts.standing()
            about = [notice.alert.id for notice in notices] + [alert.id for alert in standing]
            notified = self._outbox.notified(about)
            deliveries = plan(
                notices, self._outbox.messages(about), self._context.routing, standing=standing, notified=notified
            )
            if self._outbox.plan(notices, deliveries):
                return  # otherwise another run planned one of them meanwhile

    def _plan_digest(self) -> None:
        """Plan the digest that is due, unless a run did so already; whether anything is open or not."""
        settings = self._context.routing.alerts.digest
        if settings is not None:
            due = due_at(settings, self._ports.clock.now())
            self._outbox.note(key_of(due), list(digests(due, self._alerts.standing(), self._context.routing)))

    # --- delivering ---------------------------------------------------------------------------------

    def _open_sinks(self, book: OutageBook) -> tuple[dict[str, Sink | None], tuple[str, ...]]:
        """The sinks in use, and a sentence for each that lacks its secret."""
        sinks: dict[str, Sink | None] = {}
        missing = []
        for name in self._context.routing.sinks:
            try:
                sinks[name] = self._ports.sinks.open(name)
                self._ports.journal.append(*book.opened(name))
            except OperatorError as error:
                sinks[name] = None
                missing.append(f"Alerts wait in the ledger, because {error} Set it; the next run delivers them.")
                self._ports.journal.append(*book.failed(name, f"{CANNOT_OPEN} {error}"))
        return sinks, tuple(missing)

    @contextmanager
    def _lease(self) -> Iterator[Callable[[], bool] | None]:
        """Be the only run that delivers; yields whether that still holds, or None when another one takes too long."""
        holder = f"{socket.gethostname()}-{secrets.token_hex(8)}"
        deadline = time.monotonic() + _MAX_WAIT_SECONDS
        while True:
            with hold(self._ports.leases, _LEASE, holder, _LEASE_SECONDS, self._ports.clock) as held:
                if held is not None or time.monotonic() >= deadline:
                    yield held.still_held if held is not None else None
                    return
            if self._ports.stop.requested:
                yield None
                return
            time.sleep(_RETRY_SECONDS)
