"""What the button of a message stands for: its alerts as the reader saw them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

from driftguard.model import Alert, AlertState

_SEPARATOR: Final = ","
_DIGITS: Final = 10
# As many stamps as Slack takes in the value of a button: 2,000 characters.
_MAX_ALERTS: Final = 180


def button_value(alerts: Collection[Alert]) -> str | None:
    """What a button gives back when it is clicked; None where there is nothing to acknowledge, or too much for one."""
    stamps = [_stamp(alert) for alert in alerts if alert.state is AlertState.OPEN and alert.acked is None]
    return _SEPARATOR.join(stamps) if 0 < len(stamps) <= _MAX_ALERTS else None


def meant_by(value: str, standing: Iterable[Alert]) -> list[Alert]:
    """The open alerts that a button stands for, without those that changed since the reader saw them."""
    stamps = set(value.split(_SEPARATOR))
    return [alert for alert in standing if alert.state is AlertState.OPEN and _stamp(alert) in stamps]


def _stamp(alert: Alert) -> str:
    """Equal as long as an alert is about the same."""
    opened = alert.opened_at.isoformat() if alert.opened_at is not None else ""
    about = "/".join((alert.id, alert.fingerprint, alert.severity, opened, alert.failure or ""))
    return hashlib.sha256(about.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
