"""Microsoft Teams, e-mail, Discord, Opsgenie and whatever else Apprise reaches, as a sink that only sends (apprise)."""

from __future__ import annotations

import logging
from typing import Final

from driftguard.adapters.plain import as_text, harmless
from driftguard.errors import DeliveryFault, OperatorError
from driftguard.model import DIGEST, AlertEvent, Delivery, Message, Severity
from driftguard.ports import Sink

#: Steps that are sent; all others only update messages, which these services do not do.
_SENT: Final = frozenset(
    {
        AlertEvent.OPENED.value,
        AlertEvent.REOPENED.value,
        AlertEvent.WORSE.value,
        AlertEvent.REMINDED.value,
        AlertEvent.ACKNOWLEDGED.value,
        AlertEvent.RESOLVED.value,
        AlertEvent.DAMPED.value,
        AlertEvent.STEADY.value,
        DIGEST,
    }
)
_KINDS: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class AppriseSink(Sink):
    """Sends notifications to one URL of Apprise, which is a secret."""

    def __init__(self, name: str, url: str) -> None:
        """Raises OperatorError where Apprise is not installed, or does not know such a URL."""
        try:
            import apprise
        except ImportError:
            raise OperatorError(f"the sink {name} needs Apprise: pip install 'driftguard-gitops[sinks]'.") from None
        logging.getLogger("apprise").disabled = True  # its messages hold the URL
        self._name, self._service = name, apprise.Apprise()
        if not self._service.add(url):
            raise OperatorError(f"the variable of the sink {name} does not hold a URL that Apprise knows.")

    def post(self, delivery: Delivery, message: Message) -> str:
        """Send a notification; its id is the delivery's."""
        event, line = str(delivery.body.get("event")), str(delivery.body.get("line", ""))
        if event not in _SENT:
            return delivery.id
        kind = "success" if message.resolution else _KINDS[message.severity]
        title = harmless(line if line and event != AlertEvent.OPENED else message.title)
        try:
            sent = self._service.notify(body=as_text(message), title=title, notify_type=kind, body_format="text")
        except (OSError, ValueError, TypeError) as error:
            raise DeliveryFault(
                f"The sink {self._name} could not be reached ({type(error).__name__}); a later run retries.",
                whole_sink=True,
            ) from None
        if not sent:
            raise DeliveryFault(f"The sink {self._name} did not take an alert; a later run retries.", whole_sink=True)
        return delivery.id

    def update(self, delivery: Delivery, message: Message) -> None:
        """Nothing: what is sent stays as it is."""

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Nothing: there are no threads."""
        return delivery.id

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """Nothing can be found again: what a killed run may have sent is sent again."""
        return None
