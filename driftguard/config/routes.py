"""The routes of alerts: which alerts go to which sinks, and the Slack workspace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model
from driftguard.config.placeholders import templated
from driftguard.errors import UsageError

_SLACK: Final = "slack:"
_MENTION: Final = re.compile(r"<(?:@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|!here|!channel|!everyone)>")
_SINK: Final = re.compile(r"slack:(?:#[^\s#,@<>&]{1,80}|[CGD][A-Z0-9]{5,20})|[a-z][a-z0-9-]{0,30}")


def _mention(value: Any) -> str:
    """Mentions in Slack's own syntax: any other text would ping nothing."""
    words = "<!here>, <!channel>, <@U…> (a member's id) or <!subteam^S…> (a group's id)"
    if not isinstance(value, str) or not value.strip():
        v.expected(words)
    if any(not _MENTION.fullmatch(part) for part in value.split()):
        v.refused(f"pings nothing in Slack, where a name in plain text is no mention: write {words}")
    return value


def _sink(value: Any) -> str:
    if not isinstance(value, str) or not _SINK.fullmatch(value):
        v.expected('"slack:#channel" (in quotes), or the name of a sink in `alerts.sinks`')
    return value


def _member_id(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[UW][A-Z0-9]{2,30}", value):
        v.expected("a member's id, such as U0123ABCD, as the profile in Slack shows it")
    return value


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in (*value, *value.values())):
        v.expected('names of tags with globs of their values, such as {team: "payments*"}')
    return value


Mention = Annotated[
    str, BeforeValidator(_mention), WithJsonSchema({"type": "string", "pattern": "^<", "title": "mention"})
]
_SinkName = Annotated[str, BeforeValidator(templated(_sink)), WithJsonSchema({"type": "string", "title": "sink"})]
_MemberId = Annotated[
    str,
    BeforeValidator(_member_id),
    WithJsonSchema({"type": "string", "pattern": "^[UW][A-Z0-9]+$", "title": "member id"}),
]
_Tags = Annotated[
    dict[str, str],
    BeforeValidator(_tags),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}, "title": "mapping"}),
]


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What routes choose by.

    Attributes:
        authors: of the commits that wait; empty for alerts about anything else.
        owners: of the environment.
        types, modules: of the resources that changed; a module's address is without indices.
        tags: of those resources, each a name and a value.
    """

    environment: str
    severity: str
    authors: Sequence[str] = ()
    owners: Sequence[str] = ()
    types: Sequence[str] = ()
    modules: Sequence[str] = ()
    tags: Sequence[Mapping[str, str]] = field(default=(), repr=False)


class _Choice(Model):
    """The alerts that a route takes: those that match every key that is given."""

    environments: v.Text = Field(default="*", description="Glob over the names of environments.")
    severity: tuple[Literal["info", "warning", "critical"], ...] = Field(
        default=(), description="Only alerts of these severities. Default: all."
    )
    authors: tuple[v.Text, ...] = Field(
        default=(), description="Only alerts about unapplied commits whose author matches one of these globs."
    )
    owners: tuple[v.Text, ...] = Field(
        default=(), description="Only alerts of environments with an owner that matches one of these globs."
    )
    types: tuple[v.Text, ...] = Field(
        default=(), description="Only alerts about a resource whose type matches one of these globs."
    )
    modules: tuple[v.Text, ...] = Field(
        default=(),
        description="Only alerts about a resource in a module whose address matches one of these globs, such as "
        "`module.app`; those below it are included.",
    )
    tags: _Tags = Field(
        default={},
        description="Only alerts about a resource with these tags or labels: names with globs of their values.",
    )
    mention: Mention | None = Field(
        default=None, description="Recipients to mention: `<@U…>`, `<!subteam^S…>`, `<!here>` or `<!channel>`."
    )

    def takes(self, alert: AlertFacts) -> bool:
        """Whether an alert matches."""
        return (
            v.pattern(self.environments).fullmatch(alert.environment) is not None
            and (not self.severity or alert.severity in self.severity)
            and _any(self.authors, alert.authors)
            and _any(self.owners, alert.owners)
            and _any(self.types, alert.types)
            and _any(self.modules, alert.modules)
            and (not self.tags or any(_tagged(self.tags, tags) for tags in alert.tags))
        )


def _any(globs: Sequence[str], values: Sequence[str]) -> bool:
    """Whether a value matches a glob; always without any glob."""
    return not globs or any(v.pattern(glob).fullmatch(value) for glob in globs for value in values)


def _tagged(globs: Mapping[str, str], tags: Mapping[str, str]) -> bool:
    return all(name in tags and v.pattern(glob).fullmatch(tags[name]) for name, glob in globs.items())


class Route(_Choice):
    """The channel of some environments' alerts. The first route that matches applies."""

    channel: v.Channel = Field(
        description="`#name` or the channel's id; `{name}`, `{path}`, `{dir}`, `{workspace}`, `{var_file}` and "
        "`{from.KEY}` are filled in. A route that lacks one of them for an environment does not apply."
    )


class AlertRoute(_Choice):
    """The sinks of some alerts. The first route that matches applies; `slack.routes` come after these."""

    sinks: tuple[_SinkName, ...] = Field(
        min_length=1,
        description='The sinks, in order: `"slack:#channel"`, `slack-webhook`, `webhook`, or a name of `alerts.sinks`. '
        "The first gets the alerts; where it does not take them for `failover_after`, the next one does.",
    )


class Slack(Model):
    """The Slack workspace and its channels."""

    token_env: v.VariableName | None = Field(
        default=None, description="The environment variable that holds the bot token."
    )
    webhook_env: v.VariableName | None = Field(
        default=None,
        description="The environment variable with the URL of an incoming webhook instead: one channel, no threads.",
    )
    api_url: v.WebUrl = Field(default="https://slack.com/api/", description="For Enterprise proxies and tests.")
    routes: tuple[Route, ...] = Field(default=(), description="Routes to channels; the first that matches applies.")

    app_token_env: v.VariableName | None = Field(
        default=None,
        description="The environment variable with an app-level token (`xapp-…`, `connections:write`): the agent then "
        "takes acknowledgements by button, by Socket Mode.",
    )
    may_ack: tuple[_MemberId, ...] = Field(
        default=(), description="Ids of the members who may acknowledge by button. Default: none."
    )

    @model_validator(mode="after")
    def _token_or_webhook(self) -> Slack:
        if (self.token_env is None) == (self.webhook_env is None):
            v.refused("needs exactly one of `token_env` and `webhook_env`")
        if self.app_token_env is not None and self.token_env is None:
            v.refused("takes `app_token_env` beside `token_env` only: a webhook has no buttons")
        if (self.app_token_env is None) != (not self.may_ack):
            v.refused("needs both of `app_token_env` and `may_ack` for acknowledgements by button, or none")
        return self

    @property
    def buttons(self) -> bool:
        """Whether messages have a button that acknowledges."""
        return self.app_token_env is not None

    def route(self, alert: AlertFacts) -> Route | None:
        """The first route that matches an alert; None without one."""
        return next((route for route in self.routes if route.takes(alert)), None)


def is_slack(sink: str) -> bool:
    """Whether a sink of a route is a channel of Slack."""
    return sink.startswith(_SLACK)


def channel_of(sink: str) -> str:
    """The channel of a sink of a route that is one of Slack."""
    return sink.removeprefix(_SLACK)


def slack_sink(channel: str) -> str:
    """A channel as a sink of a route."""
    return f"{_SLACK}{channel}"


def check_routes(routes: Sequence[AlertRoute], slack: Slack | None, source: str) -> None:
    """Routes to Slack need its token, and a token needs routes.

    Raises:
        UsageError: one of them is missing.
    """
    named = [sink for route in routes for sink in route.sinks if is_slack(sink)]
    if named and (slack is None or slack.token_env is None):
        raise UsageError(f"{source}: `alerts.routes` names {named[0]}, which needs `slack: {{token_env: …}}`: add it.")
    if slack is not None and slack.token_env is not None and not named and not slack.routes:
        raise UsageError(
            f"{source}: `slack` with a token needs `routes`: at least one `{{channel: ...}}`, or a route of "
            '`alerts.routes` with "slack:#channel".'
        )
