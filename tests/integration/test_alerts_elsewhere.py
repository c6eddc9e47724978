"""Alerts whose place or environment changes while they wait: routes mended, sinks exchanged, environments renamed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.test_alert_delivery import let_pass
from tests.integration.test_alerts import AlertRuns, settings, slack
from tests.support.harness import Sandbox
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import EstateOf

__all__ = ["slack"]

WEBHOOK = "slack: {webhook_env: HOOK}\n"


def test_a_mistyped_channel_that_is_corrected_gets_what_waited_for_it(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    runs = AlertRuns(sandbox, slack)
    sandbox.commit("a typo", {"driftguard.yaml": settings(slack).replace('"#drift"', '"#dritf"')})
    ran = runs.reconcile()
    assert ran.report["alerts"] == {"sent": {}, "waiting": 1}
    assert "#dritf" in ran.report["warnings"][0]
    sandbox.commit("mended", {"driftguard.yaml": settings(slack)})
    let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert "Drift in blue" in slack.plain("drift")
    assert runs.reconcile().report["alerts"] == {"sent": {}, "waiting": 0}
    assert len(slack.messages("drift")) == 1


def test_what_waited_for_a_place_that_is_given_up_is_reported_at_the_new_one(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    sandbox.commit("a webhook", {"driftguard.yaml": WEBHOOK})
    assert sandbox.run("reconcile", "--format", "json").report["alerts"] == {"sent": {}, "waiting": 1}
    ran = AlertRuns(sandbox, slack).reconcile()
    assert ran.report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert "Dropped 1 delivery to slack-webhook" in ran.report["warnings"][0]
    assert "Drift in blue" in slack.plain("drift")


def test_what_stands_is_reported_once_at_a_place_that_is_configured_later(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    cloud.change("web", value="outside")
    assert sandbox.run("reconcile", "--format", "json").report["alerts"]["sent"] == {"event": 1}
    runs = AlertRuns(sandbox, slack)
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert runs.reconcile().report["alerts"] == {"sent": {}, "waiting": 0}
    cloud.change("web", value="one")
    assert runs.reconcile().code == 0
    assert "the configuration again" in slack.plain("drift")
    sandbox.commit("no Slack", {"driftguard.yaml": "version: 1\n"})
    ran = sandbox.run("reconcile")
    assert (ran.code, "Drift in blue" in ran.stdout) == (0, False)  # it is over


def test_a_message_that_a_person_deleted_mutes_nothing(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    cloud.change("web", value="outside")
    runs = AlertRuns(sandbox, slack)
    assert runs.reconcile().code == 2
    slack.someone_deletes("drift", runs.message().ts)
    cloud.change("web", value="outside again")
    for _ in range(2):
        assert runs.reconcile().code == 2
    assert "outside again" in slack.plain("drift")
    assert len([message for message in slack.messages("drift") if not message.thread_ts]) == 1
    cloud.change("web", value="one")
    assert runs.reconcile().code == 0
    assert "is resolved" in slack.plain("drift")


def test_an_environment_under_another_name_is_not_reported_as_removed(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue", "green").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    assert runs.reconcile().code == 0
    cloud.change("web", value="outside")
    assert runs.reconcile().code == 2
    named = "environments:\n  - {path: environments/*}\n  - {path: environments/blue, name: indigo}\n" + settings(slack)
    sandbox.commit("another name", {"driftguard.yaml": named})
    ran = runs.reconcile()
    assert [environment["name"] for environment in ran.report["environments"]] == ["green", "indigo"]
    blue, indigo = slack.messages("drift")
    assert "The environment is called indigo now" in str(blue.blocks)
    assert "Drift in indigo" in str(indigo.blocks)
    assert "removed" not in str(slack.messages("drift"))


def test_a_directory_that_is_gone_is_reported_with_what_can_be_done(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue", "green")
    runs = AlertRuns(sandbox, slack)
    assert runs.reconcile().code == 0
    sandbox.git("rm", "-r", "--quiet", "environments/blue")
    sandbox.commit("gone")
    assert runs.reconcile().code == 1
    text = slack.plain("drift")
    assert "blue was removed from git" in text
    assert "DriftGuard destroys nothing." in text
    assert "driftguard forget blue" in text
    assert "Fix the error above" not in text


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "HOOK is not set"),
        ("not a url s3cret", "HOOK"),
        pytest.param("   ", "HOOK is not set", marks=pytest.mark.further),
        pytest.param("https://[s3cret", "HOOK", marks=pytest.mark.further),
    ],
)
def test_a_webhook_that_cannot_be_one_keeps_alerts_waiting_and_is_not_shown(
    sandbox: Sandbox, estate_of: EstateOf, value: str, sentence: str
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    sandbox.commit("a webhook", {"driftguard.yaml": WEBHOOK})
    ran = sandbox.run("reconcile", "--format", "json", HOOK=value)
    assert (ran.code, ran.report["alerts"]) == (2, {"sent": {}, "waiting": 1})
    assert sentence in ran.report["warnings"][0]
    assert "s3cret" not in ran.stdout + ran.stderr


def test_a_credential_in_a_commit_is_shown_nowhere(sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble) -> None:
    estate = estate_of("blue")
    runs = AlertRuns(sandbox, slack, "policy: {pending: apply, limits: {changes: 0}}\n")
    assert runs.reconcile().code == 0
    token = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    estate.rewrite("blue", '"one"', '"two"', f"deploy with {token}")
    ran = runs.reconcile()
    assert ran.code == 2
    assert "deploy with (sensitive)" in ran.stdout
    assert "deploy with" in slack.plain("drift")
    assert token not in ran.stdout + ran.stderr + str(slack.calls)
