"""The keys that say when the job runs by itself, and who is told what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model


class Reminder(Model):
    """Saying again that an alert is still open."""

    after: v.Duration = Field(description="How long after it was first told.")
    channel: v.Channel | None = Field(default=None, description="Another channel to tell; without it, the same.")
    mention: v.Text | None = Field(default=None, description="Whom to mention then, such as `<!here>`.")


class Webhook(Model):
    """A JSON webhook that gets every alert as an event, signed with HMAC-SHA-256."""

    url_env: v.VariableName = Field(description="The environment variable that holds the URL.")
    secret_env: v.VariableName = Field(description="The environment variable that holds the key of the signature.")


class AlertSettings(Model):
    """When divergence is told."""

    unknown_after: v.AtLeastOne = Field(
        default=2, description="Passes in a row that could not tell before `unknown` is an alert."
    )
    pending_after: v.Duration = Field(
        default=timedelta(days=1),
        description="How long a merged change may wait before that is an alert; one that a person has to decide on "
        "is told at once.",
    )
    group: v.AtLeastOne = Field(
        default=3, description="Environments with the same cause in one pass that share a message from this number on."
    )
    reminders: tuple[Reminder, ...] = Field(default=(), description="When an open alert is told again.")
    trail: bool = Field(default=True, description="Ask CloudTrail who changed a drifted AWS resource.")
    webhook: Webhook | None = Field(default=None, description="A JSON webhook that gets every alert.")

    @field_validator("reminders")
    @classmethod
    def _in_order(cls, reminders: tuple[Reminder, ...]) -> tuple[Reminder, ...]:
        return tuple(sorted(reminders, key=lambda reminder: reminder.after))


class Route(Model):
    """Where alerts of some environments go; the first route that matches counts."""

    environments: v.Text = Field(default="*", description="Glob over the names of environments.")
    severity: tuple[Literal["info", "warning", "critical"], ...] = Field(
        default=(), description="Only alerts of these severities; none: all."
    )
    authors: tuple[v.Text, ...] = Field(
        default=(), description="Only alerts about waiting commits of authors that match one of these globs."
    )
    channel: v.Channel = Field(description="`#name` or the channel's id.")
    mention: v.Text | None = Field(
        default=None, description="Whom to mention: `<@U…>`, `<!subteam^S…>`, `<!here>` or `<!channel>`."
    )


class Slack(Model):
    """How Slack is reached, and who is told there."""

    token_env: v.VariableName | None = Field(
        default=None, description="The environment variable that holds the bot token."
    )
    webhook_env: v.VariableName | None = Field(
        default=None,
        description="The environment variable that holds an incoming webhook's URL instead: one channel, no threads.",
    )
    api_url: v.WebUrl = Field(default="https://slack.com/api/", description="For Enterprise proxies and tests.")
    routes: tuple[Route, ...] = Field(default=(), description="Where alerts go; the first that matches counts.")

    @model_validator(mode="after")
    def _token_or_webhook(self) -> Slack:
        if (self.token_env is None) == (self.webhook_env is None):
            v.refused("needs exactly one of `token_env` and `webhook_env`")
        if self.token_env is not None and not self.routes:
            v.refused("needs `routes` with a token: at least one `{channel: ...}`")
        return self

    def route(self, environment: str, severity: str, authors: Sequence[str] = ()) -> Route | None:
        """The first route for an alert; None where no route is for it.

        Args:
            authors: of the commits that wait; empty for alerts about anything else.
        """
        for route in self.routes:
            named = v.pattern(route.environments).fullmatch(environment)
            written = not route.authors or any(v.pattern(g).fullmatch(a) for g in route.authors for a in authors)
            if named and written and (not route.severity or severity in route.severity):
                return route
        return None


class Agent(Model):
    """When `driftguard agent` looks; the command line's `--every` wins over it."""

    every: v.Duration | None = Field(default=None, description="A pass every so often. Default: 15m.")
    cron: v.Cron | None = Field(default=None, description="Passes at these times instead: a cron expression.")
    at: tuple[v.TimeOfDay, ...] = Field(default=(), description="Passes at these times of day instead: `02:00`.")
    zone: v.Zone = Field(default="UTC", description="IANA time zone of `cron` and `at`.")

    @model_validator(mode="after")
    def _one_cadence(self) -> Agent:
        if sum((self.every is not None, self.cron is not None, bool(self.at))) > 1:
            v.refused("has more than one of `every`, `cron` and `at`; keep one")
        return self
