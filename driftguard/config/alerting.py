"""The keys of the schedule and of alerts: when runs start, which alerts are sent, to which recipients."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model, or_off, switched_off
from driftguard.config.routes import AlertRoute, Mention, is_slack


def _runbook(value: Any) -> str:
    words = "a URL that begins with https://, with {environment}, {kind}, {type} or {address} where they vary"
    if not isinstance(value, str) or not re.fullmatch(r"https://[!-~]+", value) or set(value) & set("<>|"):
        v.expected(words)
    if not set(re.findall(r"\{(.*?)\}", value)) <= {"environment", "kind", "type", "address"}:
        v.expected(words)
    return value


_TAKEN: Final = frozenset({"slack", "slack-webhook", "webhook", "stdout"})


_RunbookUrl = Annotated[
    str, BeforeValidator(_runbook), WithJsonSchema({"type": "string", "pattern": "^https://", "title": "URL"})
]


class Reminder(Model):
    """A reminder of an alert that is still open."""

    after: v.Duration = Field(description="Age of the alert, from its first message.")
    channel: v.Channel | None = Field(default=None, description="Another channel. Default: the alert's own.")
    mention: Mention | None = Field(default=None, description="Recipients to mention, such as `<!here>`.")


class Webhook(Model):
    """A JSON webhook that receives every alert as an event, signed with HMAC-SHA-256.

    Beside headers of its own, each event has those of Standard Webhooks.
    """

    url_env: v.VariableName = Field(description="The environment variable that holds the URL.")
    secret_env: v.VariableName = Field(description="The environment variable that holds the key of the signature.")


class NamedSink(Model):
    """A further service that gets alerts: opened, worse, acknowledged, resolved."""

    name: v.Text = Field(description="The name, for messages and the ledger.", pattern=r"^[a-z][a-z0-9-]{0,30}$")
    apprise_env: v.VariableName | None = Field(
        default=None,
        description="The environment variable with a URL of Apprise: Microsoft Teams, e-mail, Discord, Opsgenie and "
        "what else it reaches. Needs the extra `sinks`.",
    )
    pagerduty_env: v.VariableName | None = Field(
        default=None, description="The environment variable with the integration key of PagerDuty (Events API v2)."
    )
    api_url: v.WebUrl = Field(
        default="https://events.pagerduty.com/", description="PagerDuty's, for its EU region, proxies and tests."
    )
    environments: v.Text = Field(default="*", description="Glob over the names of environments.")
    severity: tuple[Literal["info", "warning", "critical"], ...] = Field(
        default=(), description="Only alerts of these severities. Default: all."
    )

    @model_validator(mode="after")
    def _one_service(self) -> NamedSink:
        if (self.apprise_env is None) == (self.pagerduty_env is None):
            v.refused("needs exactly one of `apprise_env` and `pagerduty_env`")
        if self.name in _TAKEN:
            v.refused(f"cannot be called {self.name}, which is a sink of its own: choose another name")
        return self

    def takes(self, environment: str, severity: str) -> bool:
        """Whether alerts of an environment and a severity go there."""
        named = v.pattern(self.environments).fullmatch(environment) is not None
        return named and (not self.severity or severity in self.severity)

    @property
    def chooses(self) -> bool:
        """Whether it has alerts of its own, beside those that routes send there."""
        return not self.model_fields_set.isdisjoint({"environments", "severity"})


class DampingSettings(Model):
    """Changes that come and go: one message reports that, and no other until they are steady; `off` reports each."""

    enabled: bool = Field(default=True, description="Whether changes that come and go are reported once.")
    changes: int = Field(default=4, ge=2, description="Changes of one resource, commit or error ...")
    within: v.Duration = Field(
        default=timedelta(hours=6),
        description="... within this time that are too many. It is steady after the same time without a change.",
    )

    @model_validator(mode="before")
    @classmethod
    def _switched_off(cls, written: Any) -> Any:
        return switched_off(written)


class DigestSettings(Model):
    """A digest of what is open, by owner and age, in each channel that gets alerts: once a day."""

    at: v.TimeOfDay = Field(default="09:00", description="Time of day; the first run from then on sends it.")
    zone: v.Zone = Field(default="UTC", description="IANA time zone of `at`.")


class AlertSettings(Model):
    """When alerts are sent, and how they are grouped."""

    unknown_after: v.AtLeastOne = Field(
        default=2, description="Consecutive runs with the verdict `unknown` before an alert."
    )
    pending_after: v.Duration = Field(
        default=timedelta(days=1),
        description="Time that a merged change may wait before an alert. A change that needs a manual decision is "
        "alerted at once.",
    )
    group: v.AtLeastOne = Field(
        default=3, description="Number of environments with the same cause in one run from which they share a message."
    )
    reminders: tuple[Reminder, ...] = Field(
        default=tuple(Reminder(after=timedelta(days=days)) for days in (1, 3, 7)),
        description="Reminders of open alerts, by age; the last repeats. An empty list sends none.",
        json_schema_extra={"default": [{"after": "1d"}, {"after": "3d"}, {"after": "7d"}]},
    )
    group_wait: v.Duration = Field(
        default=timedelta(seconds=60),
        description="Time that an alert waits for others of the same cause while the run goes on.",
    )
    group_window: v.Duration = Field(
        default=timedelta(hours=1),
        description="Time in which an alert joins the message of others of the same cause, once they are `group`.",
    )
    damping: DampingSettings = Field(
        default=DampingSettings(),
        description="When changes that come and go are reported once instead of each time; `off` reports each.",
        json_schema_extra=or_off,
    )
    digest: DigestSettings | None = Field(default=None, description="A daily digest of what is open. Off by default.")
    failover_after: v.Duration = Field(
        default=timedelta(minutes=10),
        description="Time for which a sink takes no alerts before the next one of the route does.",
    )
    routes: tuple[AlertRoute, ...] = Field(
        default=(), description="Routes of alerts to sinks; the first that matches applies."
    )
    trail: bool = Field(default=True, description="Ask CloudTrail who changed a drifted AWS resource.")
    webhook: Webhook | None = Field(default=None, description="A JSON webhook that receives every alert.")
    sinks: tuple[NamedSink, ...] = Field(default=(), description="Further services that get alerts.")
    runbook: _RunbookUrl | None = Field(
        default=None,
        description="URL of runbooks, linked in each alert; `{environment}`, `{kind}`, `{type}` and `{address}` are "
        "filled in.",
    )

    @field_validator("reminders")
    @classmethod
    def _in_order(cls, reminders: tuple[Reminder, ...]) -> tuple[Reminder, ...]:
        return tuple(sorted(reminders, key=lambda reminder: reminder.after))

    @field_validator("sinks")
    @classmethod
    def _named_apart(cls, sinks: tuple[NamedSink, ...]) -> tuple[NamedSink, ...]:
        if len({sink.name for sink in sinks}) < len(sinks):
            v.refused("has two sinks of one name; rename one")
        return sinks

    @model_validator(mode="after")
    def _routed_to_sinks(self) -> AlertSettings:
        known = {sink.name for sink in self.sinks} | {"slack-webhook"} | ({"webhook"} if self.webhook else set())
        for name in (name for route in self.routes for name in route.sinks):
            if name not in known and not is_slack(name):
                v.refused(f"routes alerts to {name}, which is no sink: add it to `alerts.sinks`, or correct the name")
        return self

    def sink(self, name: str) -> NamedSink | None:
        """The further sink of a name; None for one of another kind."""
        return next((sink for sink in self.sinks if sink.name == name), None)

    def due_reminders(self, age: timedelta) -> int:
        """How many reminders are due at an age; the last one of the list repeats at its own interval."""
        due = sum(age >= reminder.after for reminder in self.reminders)
        if due == len(self.reminders) and due:
            due += int(age / self.reminders[-1].after) - 1
        return due

    def reminder(self, step: int) -> Reminder | None:
        """The reminder of a step, counted from 1; None before the first."""
        return self.reminders[min(step, len(self.reminders)) - 1] if step and self.reminders else None


class AgentSettings(Model):
    """The schedule of `driftguard agent`; `--every` overrides it."""

    every: v.Duration | None = Field(default=None, description="Interval between runs. Default: 15m.")
    cron: v.Cron | None = Field(default=None, description="A cron expression instead of an interval.")
    at: tuple[v.TimeOfDay, ...] = Field(default=(), description="Times of day instead of an interval: `02:00`.")
    zone: v.Zone = Field(default="UTC", description="IANA time zone of `cron` and `at`.")
    watch: v.Duration | None = Field(
        default=None,
        description="At the top level: interval between probes of all environments; one that changed is planned at "
        "once. Off by default: each probe asks the cloud what a plan would ask.",
    )

    @model_validator(mode="after")
    def _one_cadence(self) -> AgentSettings:
        if sum((self.every is not None, self.cron is not None, bool(self.at))) > 1:
            v.refused("has more than one of `every`, `cron` and `at`; keep one")
        return self
