"""What messages and events share: sinks, routes, and ids that follow from those of the notices. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import basename
from typing import Final

from driftguard.config import AlertFacts, AlertRoute, AlertSettings, Route, Slack
from driftguard.config.placeholders import channel_filled
from driftguard.config.routes import channel_of, is_slack, slack_sink
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
#: Events that the whole channel sees, beside the thread.
BROADCAST: Final = (*LOUD, AlertEvent.DAMPED, AlertEvent.STEADY)


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

    @property
    def routes(self) -> tuple[AlertRoute, ...]:
        """The routes in order: those of alerts, then those of Slack, each to its channel."""
        slack = self.slack.routes if self.slack is not None and self.slack.token_env else ()
        return (*self.alerts.routes, *map(_as_route, slack))

    def route(self, alert: Alert) -> AlertRoute | None:
        """The first route that takes an alert, its channels filled in; None without one."""
        facts = _facts(alert)
        for route in self.routes:
            if route.takes(facts) and (sinks := self._filled(route.sinks, alert.report)) is not None:
                return route if sinks == route.sinks else route.model_copy(update={"sinks": sinks})
        return None

    def _filled(self, sinks: Sequence[str], report: EnvironmentReport) -> tuple[str, ...] | None:
        """Sinks with their channels filled in; None where a placeholder has no value for the environment."""
        channels = {each: self.channel(channel_of(each), report) for each in sinks if is_slack(each)}
        if None in channels.values():
            return None
        return tuple(slack_sink(channels[each] or "") if each in channels else each for each in sinks)

    def targets(self, alert: Alert) -> tuple[str, ...]:
        """The sinks of an alert's route that are in use, in order: `slack:#channel`, or the name of another sink."""
        route, in_use = self.route(alert), self.sinks
        return tuple(each for each in route.sinks if sink_of(each) in in_use) if route is not None else ()

    def wants(self, sink: str, alert: Alert) -> bool:
        """Whether an alert goes to a sink: by its route, or because the sink has alerts of its own."""
        first = self.targets(alert)[:1]
        if sink in map(sink_of, first):
            return True
        named = self.alerts.sink(sink)
        routed = any(sink in map(sink_of, route.sinks) for route in self.routes)
        if sink == SLACK or (routed and (named is None or not named.chooses)):
            return False
        return named is None or named.takes(alert.environment, alert.severity)


def _as_route(route: Route) -> AlertRoute:
    """A route of Slack as one of alerts."""
    given = {name: getattr(route, name) for name in route.model_fields_set - {"channel"}}
    return AlertRoute(sinks=(slack_sink(route.channel),), **given)


def _facts(alert: Alert) -> AlertFacts:
    """What of an alert routes choose by."""
    report = alert.report
    modules = [module for resource in report.resources for module in _modules(resource.address)]
    tags = [resource.tags for resource in report.resources if isinstance(resource.tags, dict)]
    return AlertFacts(
        environment=alert.environment,
        severity=alert.severity,
        authors=[commit.author for commit in report.commits] if alert.kind is AlertKind.PENDING else (),
        owners=(report.owner or "").split(),
        types=[resource.type for resource in report.resources],
        modules=list(dict.fromkeys(modules)),
        tags=tags,
    )


def _modules(address: str) -> Iterator[str]:
    """The modules that a resource lies in, without indices: `module.app`, then `module.app.module.db`."""
    parts = re.sub(r'\[(?:"(?:[^"\\]|\\.)*"|[^\]]*)\]', "", address).split(".")
    for end in range(2, len(parts), 2):
        if parts[end - 2] != "module":
            return
        yield ".".join(parts[:end])


def sink_of(target: str) -> str:
    """The sink of a target: `slack` for each channel of Slack."""
    return SLACK if is_slack(target) else target


def target_of(sink: str, channel: str) -> str:
    """A sink, and its channel where it has several, as routes name it."""
    return slack_sink(channel) if sink == SLACK else sink


def channel_for(alert: Alert, routing: Routing) -> tuple[str, str] | None:
    """The channel of Slack that an alert goes to, and the mention there; None where it goes elsewhere."""
    first, route = routing.targets(alert)[:1], routing.route(alert)
    if not first or route is None or not is_slack(first[0]):
        return None
    return channel_of(first[0]), route.mention or ""


def mention_for(alert: Alert, routing: Routing) -> str:
    """The mention of an alert's route; of Slack's own routes for an incoming webhook, which has one channel."""
    route = routing.route(alert)
    if route is None and routing.slack is not None:
        own = routing.slack.route(_facts(alert))
        return (own.mention or "") if own is not None else ""
    return (route.mention or "") if route is not None else ""


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
