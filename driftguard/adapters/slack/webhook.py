"""Slack's incoming webhook as a sink: one channel, no threads, nothing changed later (slack-sdk)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from driftguard.adapters.slack.blocks import escape, mention_of, render
from driftguard.adapters.slack.calling import TROUBLE, silent_log, unreachable
from driftguard.adapters.webhook import seconds_to_wait, wrong_with_url
from driftguard.errors import DeliveryFault
from driftguard.model import Delivery, Message
from driftguard.ports import Sink

_TIMEOUT_SECONDS: Final = 15
_UNSAID_WAIT_SECONDS: Final = 30.0
_WHAT: Final = "post by the webhook"


class SlackWebhookSink(Sink):
    """Posts to an incoming webhook, whose URL is a secret."""

    def __init__(self, url: str) -> None:
        from slack_sdk.webhook import WebhookClient

        self._wrong = wrong_with_url(url)
        self._client = WebhookClient(url, timeout=_TIMEOUT_SECONDS, retry_handlers=[], logger=silent_log())

    def post(self, delivery: Delivery, message: Message) -> str:
        """Post a message to the webhook's channel; its id is the delivery's."""
        line = str(delivery.body.get("line", ""))
        if line:
            self._send(f"{escape(line, 2500)} {mention_of(delivery.body.get('mention'))}".strip(), None)
        else:
            self._send(*render(message))
        return delivery.id

    def update(self, delivery: Delivery, message: Message) -> None:
        """Nothing: a webhook cannot change what it posted."""

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Nothing: a webhook has no threads."""
        return delivery.id

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """Nothing can be found again: a message whose response was lost is posted again."""
        return None

    def test(self, channel: str, text: str) -> str:
        """Send a test message; one line about it. The webhook posts to its own channel, never to `channel`."""
        self._send(escape(text), None)
        return "posted by the webhook"

    def _send(self, text: str, blocks: list[dict[str, object]] | None) -> None:
        from slack_sdk.errors import SlackClientError

        if self._wrong is not None:
            raise DeliveryFault(
                f"The URL of Slack's webhook is not usable: {self._wrong}. Correct it.", whole_sink=True
            )
        try:
            answer = self._client.send(text=text, blocks=blocks)
        except (SlackClientError, *TROUBLE) as error:
            raise unreachable(_WHAT, error, "the webhook's URL") from None
        if answer.status_code == 200:
            return
        if answer.status_code == 400 and blocks:  # rather a message without its form than none
            self._send(text, None)
            return
        if answer.status_code == 429:
            headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
            wait = seconds_to_wait(headers.get("retry-after"), datetime.now(UTC)) or _UNSAID_WAIT_SECONDS
            raise DeliveryFault(f"Slack asked to wait {wait:g} s; a run after that retries.", retry_after_seconds=wait)
        raise DeliveryFault(
            f"Slack refused to {_WHAT} (HTTP {answer.status_code}). Check the webhook's URL.",
            perhaps_delivered=answer.status_code >= 500,
            whole_sink=answer.status_code not in (400, 413),  # which are of this message
        )
