"""Acknowledging and silencing on the command line: in the ledger, in Slack, in `status` and in the report."""

from __future__ import annotations

from tests.integration.test_alerts import AlertRuns, slack
from tests.support.harness import Sandbox
from tests.support.slack_double import SlackDouble
from tests.support.toy_estate import EstateOf

__all__ = ["slack"]


def test_an_acknowledgement_is_in_the_thread_in_status_and_in_the_report(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    nothing = sandbox.run("ack", "blue", "--reason", "early")
    assert (nothing.code, "blue: no environment that was ever scanned" in nothing.stderr) == (64, True)
    cloud.change("web", value="outside")
    assert runs.reconcile().code == 2
    done = sandbox.run("ack", "blue", "--until", "2d", "--reason", "known, ticket 7")
    assert done.stdout.startswith("blue: acknowledged.")
    again = runs.reconcile()
    assert again.report["environments"][0]["acked"]["reason"] == "known, ticket 7"
    (line,) = runs.lines()
    assert line.startswith("blue: acknowledged by ")
    assert "Acknowledged by " in slack.plain("drift")
    assert "known, ticket 7" in sandbox.run("status").stdout
    assert "known, ticket 7" in sandbox.run("history").stdout
    cloud.change("web", value="one")
    assert runs.reconcile().code == 0
    assert "known, ticket 7" not in sandbox.run("status").stdout


def test_a_silenced_environment_sends_nothing_and_status_names_why(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    endless = sandbox.run("silence", "blue", "--reason", "migration")
    assert (endless.code, "--until is missing" in endless.stderr) == (64, True)
    sandbox.run("silence", "blue", "--until", "4h", "--reason", "migration")
    cloud.change("web", value="outside")
    ran = runs.reconcile()
    assert ran.report["environments"][0]["acked"]["reason"] == "migration"
    assert slack.plain("drift") == ""
    assert "silenced by" in sandbox.run("status").stdout
