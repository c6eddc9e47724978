"""What people are told: the alerts, the outbox and the places where they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from driftguard.model import Alert, Delivery, Entry, Message, Notice, ObjectTrace


class Alerts(Protocol):
    """What people were told of each environment."""

    def standing(self) -> tuple[Alert, ...]:
        """Every alert that is not resolved, oldest first."""
        ...

    def named(self, ids: Sequence[str]) -> tuple[Alert, ...]:
        """The alerts with these ids, sorted by environment."""
        ...

    def record(
        self,
        environment: str,
        entries: Sequence[Entry],
        follow: Callable[[Sequence[Alert]], tuple[Sequence[Alert], Sequence[Notice]]],
    ) -> None:
        """Journal entries, and what follows from them for the environment's alerts, in one transaction.

        Args:
            follow: gets the environment's alerts, oldest first; gives the alerts to keep and the notices to tell.
        """
        ...

    def trace(self, alert_id: str, traces: Mapping[str, ObjectTrace], notice: Notice | None) -> None:
        """Add who did it to an alert, and a notice where what is shown already has to change."""
        ...


class Outbox(Protocol):
    """What is still to be told."""

    def unplanned(self) -> tuple[Notice, ...]:
        """Notices that no delivery was made for yet, oldest first."""
        ...

    def messages(self, alert_ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The messages that show any of the alerts, oldest first."""
        ...

    def plan(self, notices: Sequence[Notice], deliveries: Sequence[Delivery]) -> bool:
        """Put deliveries in the place of notices, in one transaction; False when one was planned by somebody else."""
        ...

    def told(self, alert_ids: Sequence[str]) -> frozenset[tuple[str, str]]:
        """Which alert was told at which sink, or waits to be told there."""
        ...

    def undelivered(self) -> tuple[Delivery, ...]:
        """What is still to be shown, oldest first."""
        ...

    def begin(self, delivery: Delivery) -> Delivery | None:
        """Record that a delivery is being sent; None, with nothing changed, when somebody else changed it meanwhile."""
        ...

    def drop(self, deliveries: Sequence[Delivery]) -> None:
        """Forget deliveries, what belongs below them, and that their alerts were told at their sinks."""
        ...

    def save(self, delivery: Delivery, entry: Entry | None = None) -> None:
        """Replace a delivery, with a journal entry in the same transaction."""
        ...


class Sink(Protocol):
    """A place where alerts are shown. Every method raises `DeliveryFault` when it cannot tell that it worked."""

    def post(self, delivery: Delivery, message: Message) -> str:
        """Show a message; the sink's own reference to it."""
        ...

    def update(self, delivery: Delivery, message: Message) -> None:
        """Show a message that is there differently."""
        ...

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Answer below a message with the delivery's line, and a text as a file; the sink's own reference."""
        ...

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """The reference of a delivery that was begun and whose end is not known; None when it never arrived."""
        ...
