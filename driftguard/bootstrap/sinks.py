"""The configured sinks of alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from driftguard.adapters.apprise import AppriseSink
from driftguard.adapters.pagerduty import PagerDutySink
from driftguard.adapters.plain import TextSink
from driftguard.adapters.slack.client import SlackSink
from driftguard.adapters.slack.webhook import SlackWebhookSink
from driftguard.adapters.webhook import WebhookSink, check_url
from driftguard.config import Slack
from driftguard.errors import OperatorError
from driftguard.pipeline.alert.routes import SLACK, SLACK_WEBHOOK, WEBHOOK, Routing
from driftguard.ports import Clock, Sink, Sinks


class ConfiguredSinks(Sinks):
    """Opens the sinks that the configuration names, with the secrets of the environment variables."""

    def __init__(
        self,
        routing: Routing,
        environ: Mapping[str, str],
        clock: Clock,
        write: Callable[[str], None],
        kept: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`write` prints alerts where no other sink is configured; `kept` gives the ids of Slack's channels by name."""
        self._routing, self._environ, self._clock, self._write, self._kept = routing, environ, clock, write, kept

    def open(self, name: str) -> Sink:
        """Raises OperatorError where the sink lacks a secret or has an unusable one."""
        slack, webhook = self._routing.slack, self._routing.alerts.webhook
        if name in (SLACK, SLACK_WEBHOOK) and slack is not None:
            return slack_sink(slack, self._environ, self._kept)
        if name == WEBHOOK and webhook is not None:
            url = check_url(webhook.url_env, _secret(webhook.url_env, self._environ))
            return WebhookSink(url, _secret(webhook.secret_env, self._environ), self._clock.now)
        named = self._routing.alerts.sink(name)
        if named is not None and named.pagerduty_env is not None:
            return PagerDutySink(_secret(named.pagerduty_env, self._environ), named.api_url, self._clock.now)
        if named is not None:
            return AppriseSink(name, _secret(named.apprise_env or "", self._environ))
        return TextSink(self._write)


def slack_sink(
    slack: Slack, environ: Mapping[str, str], kept: Callable[[], Mapping[str, str]] = dict
) -> SlackSink | SlackWebhookSink:
    """Raises OperatorError where the secret is missing or cannot be one."""
    if slack.webhook_env is not None:
        return SlackWebhookSink(check_url(slack.webhook_env, _secret(slack.webhook_env, environ)))
    return SlackSink(_secret(slack.token_env or "", environ), slack.api_url, kept=kept)


def _secret(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise OperatorError(f"the environment variable {name} is not set.")
    return value
