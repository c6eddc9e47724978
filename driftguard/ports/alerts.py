"""Alerts, the outbox of deliveries, the sinks, and the sources of who changed what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from driftguard.model import (
    Alert,
    Delivery,
    DriftedObject,
    Entry,
    Message,
    Notice,
    ObjectTrace,
    RecordedNotice,
    TrailEvent,
    Written,
)


class AlertRecord(Protocol):
    """The alerts of each environment, and what is recorded of them."""

    def standing(self) -> tuple[Alert, ...]:
        """Every alert that is not resolved, oldest first."""
        ...

    def record(
        self,
        environment: str,
        entries: Sequence[Entry],
        follow: Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[RecordedNotice]]],
    ) -> None:
        """Journal entries, and what follows from them for the environment's alerts, in one transaction.

        Args:
            follow: gets the environment's alerts, oldest first; gives the alerts to keep and the notices to send.
        """
        ...


class Alerts(AlertRecord, Protocol):
    """Alerts by their ids, too."""

    def named(self, ids: Sequence[str]) -> tuple[Alert, ...]:
        """The alerts with these ids, sorted by environment."""
        ...

    def trace(self, alert_id: str, traces: Mapping[str, ObjectTrace], recorded: RecordedNotice | None) -> None:
        """Add traces to an alert, and a notice where messages that are delivered have to be updated."""
        ...


class NoticeQueue(Protocol):
    """Notices, and the deliveries that are planned of them."""

    def unplanned(self) -> tuple[Notice, ...]:
        """Notices that no delivery was made for yet, oldest first."""
        ...

    def messages(self, alert_ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The messages that are about any of the alerts, oldest first."""
        ...

    def plan(self, notices: Sequence[Notice], deliveries: Sequence[Delivery]) -> bool:
        """Put deliveries in the place of notices, in one transaction; False when another run planned one."""
        ...

    def note(self, key: str, notes: Sequence[Delivery]) -> bool:
        """Plan notes, in one transaction; False, with nothing changed, when some were planned under this key before."""
        ...

    def notified(self, alert_ids: Sequence[str]) -> frozenset[tuple[str, str]]:
        """Which alert was sent to which sink, or waits to be sent there."""
        ...


class DeliveryQueue(Protocol):
    """Deliveries on their way."""

    def undelivered(self) -> tuple[Delivery, ...]:
        """What is still to be delivered, oldest first."""
        ...

    def begin(self, delivery: Delivery) -> Delivery | None:
        """Record that a delivery is being sent; None, with nothing changed, when another run changed it meanwhile."""
        ...

    def drop(self, deliveries: Sequence[Delivery]) -> None:
        """Forget deliveries, their replies, and that their alerts were sent to their sinks."""
        ...

    def save(self, delivery: Delivery, *entries: Entry) -> None:
        """Replace a delivery, with journal entries in the same transaction."""
        ...

    def pass_on(self, delivery: Delivery, taken: Delivery, deliveries: Sequence[Delivery]) -> bool:
        """Replace a delivery by what it is now, and plan deliveries elsewhere of what it is about, in one transaction.

        False, with nothing changed, when another run changed it meanwhile.
        """
        ...


class Outbox(NoticeQueue, DeliveryQueue, Protocol):
    """What is still to be delivered."""


class Sink(Protocol):
    """A service that shows alerts. Every method raises `DeliveryFault` where success is not certain."""

    def post(self, delivery: Delivery, message: Message) -> str:
        """Post a message; the sink's own reference to it."""
        ...

    def update(self, delivery: Delivery, message: Message) -> None:
        """Update a message that is delivered."""
        ...

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Reply to a message with the delivery's line, and a text as a file; the sink's own reference."""
        ...

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """The reference of a delivery that was begun and whose end is not known; None when it never arrived."""
        ...


class Sinks(Protocol):
    """Opens the configured sinks."""

    def open(self, name: str) -> Sink:
        """One of them. Raises `OperatorError` where it lacks a secret or has an unusable one."""
        ...


class Trail(Protocol):
    """The events of the cloud that may have changed an environment's objects."""

    def events(
        self, environment: str, objects: Sequence[DriftedObject], since: datetime, until: datetime
    ) -> tuple[tuple[TrailEvent, ...], str | None]:
        """Writing calls between two moments, newest first, and a sentence on what is missing.

        Raises:
            DriftGuardError: the environment's credentials cannot be had.
        """
        ...


class BlockAuthors(Protocol):
    """The authors of an environment's configuration."""

    def written_by(self, environment: str, address: str) -> Written | None:
        """The newest change of the block that declares a resource; None where it is not known."""
        ...
