"""Page 6, alerts: what is open, what waits to be delivered and why, and the steps that were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from driftguard.model import Alert, AlertState, Delivery, DeliveryState, EntryKind
from driftguard.pipeline.history import entry_row
from driftguard.report import timestamp
from driftguard.web.rendering import WebPage
from driftguard.web.view import View

_STEPS: Final = 1000


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """One message, reply or event that is not delivered.

    Attributes:
        environments: what it is about.
        why: in one sentence.
    """

    kind: str
    where: str
    environments: tuple[str, ...]
    meant_for: datetime
    attempts: int
    next_try_at: datetime | None
    why: str


def page(view: View) -> WebPage:
    """The alerts. What waits is known for now only."""
    steps, part = view.page(view.entries([EntryKind.ALERT], _STEPS)[::-1])
    content = {
        "standing": _standing(view),
        "waiting": _waiting(view),
        "unplanned": _unplanned(view),
        "steps": [(entry.at, entry.environment, entry_row(entry).summary) for entry in steps],
        "slice": part,
    }
    return WebPage("alerts.html", "alerts", "Alerts", content)


def document(view: View) -> Any:
    """The alerts as JSON."""
    steps, part = view.page(view.entries([EntryKind.ALERT], _STEPS)[::-1])
    return {
        "open": [_alert_json(alert) for alert in _standing(view)],
        "waiting": [_waiting_json(each) for each in _waiting(view)],
        "steps": [msgspec.to_builtins(entry_row(entry)) for entry in steps],
        "page": part.page,
        "pages": part.pages,
        "total": part.total,
    }


def _standing(view: View) -> list[Alert]:
    if view.until is not None:
        return []
    return [a for a in view.ledger.alerts.standing() if view.viewer.sees(a.environment)]


def _waiting(view: View) -> list[WaitingDelivery]:
    if view.until is not None:
        return []
    deliveries = view.ledger.alerts.undelivered()
    ids = list(dict.fromkeys(alert for delivery in deliveries for alert in delivery.alerts))
    named = {alert.id: alert.environment for alert in view.ledger.alerts.named(ids)}
    found = (_delivery(each, named) for each in deliveries)
    return [each for each in found if each.environments and all(map(view.viewer.sees, each.environments))]


def _delivery(delivery: Delivery, named: Mapping[str, str]) -> WaitingDelivery:
    where = " ".join(part for part in (delivery.sink, delivery.channel) if part)
    environments = tuple(sorted({named[alert] for alert in delivery.alerts if alert in named}))
    tries, next_try = delivery.attempts, delivery.next_try_at
    return WaitingDelivery(
        delivery.kind.value, where, environments, delivery.meant_for, tries, next_try, _why(delivery)
    )


def _why(delivery: Delivery) -> str:
    if delivery.state is DeliveryState.SENDING:
        return "Its response was lost: it may have arrived. The next run searches the channel before it sends again."
    if delivery.attempts:
        return "The sink refused it or did not answer. The next run retries."
    return "Its group waits, or no run has sent it yet."


def _unplanned(view: View) -> Sequence[tuple[datetime, str, str]]:
    """Steps of alerts that no delivery was made for yet."""
    if view.until is not None:
        return []
    notices = view.ledger.alerts.unplanned()
    return [(n.at, n.alert.environment, n.line) for n in notices if view.viewer.sees(n.alert.environment)]


def _alert_json(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "environment": alert.environment,
        "about": alert.kind.value,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "first_seen_at": timestamp(alert.first_seen_at),
        "opened_at": timestamp(alert.opened_at) if alert.opened_at else None,
        "watched": alert.state is AlertState.WATCHED,
        "reminders": alert.reminders,
        "comes_and_goes": alert.comes_and_goes,
        "acked": alert.acked.text if alert.acked else None,
    }


def _waiting_json(waiting: WaitingDelivery) -> dict[str, Any]:
    return {
        "kind": waiting.kind,
        "where": waiting.where,
        "environments": list(waiting.environments),
        "meant_for": timestamp(waiting.meant_for),
        "attempts": waiting.attempts,
        "next_try_at": timestamp(waiting.next_try_at) if waiting.next_try_at else None,
        "why": waiting.why,
    }
