"""What messages and events share: sinks, routes, and ids that follow from those of the notices. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import basename
from typing import Any, Final

from driftguard.config import AlertSettings, Slack
from driftguard.config.placeholders import channel_filled
from driftguard.model import Alert, AlertEvent, AlertKind
from driftguard.model.report import EnvironmentReport

SLACK: Final = "slack"
SLACK_WEBHOOK: Final = "slack-webhook"
WEBHOOK: Final = "webhook"
STDOUT: Final = "stdout"
_IDS: Final = uuid.UUID("0a8a0f0c-5c0e-4d2c-9f0e-2f6f5d1f4c55")
_MAX_NAMED: Final = 8
#: Events with which an alert begins.
BEGINNINGS: Final = (AlertEvent.OPENED, AlertEvent.REOPENED)
#: Events that mention the recipients of a route.
LOUD: Final = (*BEGINNINGS, AlertEvent.REMINDED, AlertEvent.WORSE)


@dataclass(frozen=True, slots=True)
class Routing:
    """The configured sinks and routes of alerts.

    Attributes:
        placeholders: what placeholders in channels stand for, by environment at head.
    """

    alerts: AlertSettings
    slack: Slack | None
    placeholders: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def channel(self, channel: str, report: EnvironmentReport) -> str | None:
        """A route's channel for an environment; None where a placeholder in it has no value there."""
        path, known = report.path, self.placeholders.get(report.name, {})
        own = {"name": report.name, "path": path, "dir": basename(path) or "root", "workspace": report.workspace}
        return channel_filled(channel, {**own, **known})

    @property
    def sinks(self) -> tuple[str, ...]:
        """The names of the sinks in use; standard output where nothing else is configured."""
        found = []
        if self.slack is not None:
            found.append(SLACK if self.slack.token_env else SLACK_WEBHOOK)
        if self.alerts.webhook is not None:
            found.append(WEBHOOK)
        found += [sink.name for sink in self.alerts.sinks]
        return tuple(found) or (STDOUT,)


def route_of(alert: Alert, routing: Routing) -> Any:
    """The first route of Slack that matches an alert; None without one."""
    authors = [commit.author for commit in alert.report.commits] if alert.kind is AlertKind.PENDING else []
    for route in routing.slack.matching(alert.environment, alert.severity, authors) if routing.slack else ():
        if (channel := routing.channel(route.channel, alert.report)) is not None:
            return route if channel == route.channel else route.model_copy(update={"channel": channel})
    return None


def reminders_mention(alert: Alert, routing: Routing) -> str:
    """The mention of the reminder that was just reached."""
    reminder = routing.alerts.reminder(alert.reminders)
    return (reminder.mention or "") if reminder is not None else ""


def names_of(environments: Sequence[str]) -> str:
    """Names of environments, sorted, not more than a few."""
    environments = sorted(set(environments))
    more = len(environments) - _MAX_NAMED
    return ", ".join(environments[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def id_of(*parts: str) -> str:
    """An id that follows from others."""
    return str(uuid.uuid5(_IDS, "/".join(parts)))
