"""Alerts from first sight to their end: real Terraform, real git, and a Slack that is as strict as Slack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.harness import Ran, Sandbox
from tests.support.slack_double import Message, SlackDouble
from tests.support.toy_estate import EstateOf


@pytest.fixture
def slack() -> Iterator[SlackDouble]:
    with SlackDouble(channels=("drift", "prod-drift", "leads")) as double:
        yield double


def settings(slack: SlackDouble, more: str = "") -> str:
    return (
        "slack:\n"
        "  token_env: SLACK_BOT_TOKEN\n"
        f"  api_url: {slack.api_url}\n"
        "  routes:\n"
        '    - {environments: "prod*", channel: "#prod-drift", mention: "<!subteam^S123>"}\n'
        '    - {channel: "#drift"}\n'
        f"{more}"
    )


class AlertRuns:
    """Reconciles, with Slack as the place where alerts go."""

    def __init__(self, sandbox: Sandbox, slack: SlackDouble, more: str = "") -> None:
        self.sandbox, self.slack = sandbox, slack
        sandbox.commit("alerts", {"driftguard.yaml": settings(slack, more)})

    def reconcile(self, *arguments: str) -> Ran:
        return self.sandbox.run("reconcile", *arguments, "--format", "json", SLACK_BOT_TOKEN=self.slack.token)

    def message(self, channel: str = "drift") -> Message:
        """The only message of a channel."""
        (message,) = [m for m in self.slack.messages(channel) if not m.thread_ts]
        return message

    def lines(self, channel: str = "drift") -> list[str]:
        """The replies below the only message of a channel."""
        return [reply.text for reply in self.slack.replies(channel, self.message(channel).ts)]


def test_the_life_of_one_alert(sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble) -> None:
    estate = estate_of("blue", "prod-eu")
    runs = AlertRuns(sandbox, slack)
    assert runs.reconcile().code == 0
    assert slack.calls == []  # a quiet pass says nothing

    cloud = estate.clouds["blue"]
    cloud.change("web", value="outside")
    ran = runs.reconcile()
    assert (ran.code, ran.report["alerts"]) == (2, {"sent": {"message": 1}, "waiting": 0})
    text = slack.plain("drift")
    assert "Drift in blue: toy_thing.web was changed outside Terraform" in text
    assert "value is outside, configured one" in text
    assert slack.messages("prod-drift") == []

    assert runs.reconcile().code == 2
    assert runs.lines() == []
    assert runs.message().edits == 0  # the same again says nothing

    cloud.change("web", tags={"team": "eve"})
    assert runs.reconcile().code == 2
    assert runs.lines() == ["blue: new: toy_thing.web tags.team."]
    assert "tags.team is eve, configured core" in slack.plain("drift")

    cloud.change("web", value="one")
    assert runs.reconcile().code == 2
    assert runs.lines()[1:] == ["blue: gone: toy_thing.web value."]
    assert "value: one" not in slack.plain("drift")

    cloud.change("web", tags={"team": "core"})
    assert runs.reconcile().code == 0
    assert runs.lines()[2:] == ["blue: The value equals the configuration again."]
    assert "Drift in blue is resolved" in slack.plain("drift")

    cloud.change("web", tags={"team": "eve"})
    assert runs.reconcile().code == 2
    assert runs.lines()[3:] == ["blue: the same drift is back."]
    assert "Drift in blue" in slack.plain("drift")
    assert len(slack.calls_of("chat.postMessage")) == 5  # one message, four lines in its thread
