"""Alerts that are neither lost nor doubled: Slack away, answers lost, runs killed, runs at the same time."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from tests.integration.test_alerts import AlertRuns, slack
from tests.support.harness import Sandbox, kill
from tests.support.seeds import one_quick
from tests.support.slack_double import (
    ApiError,
    Fault,
    HtmlPage,
    LostAnswer,
    RateLimited,
    Reset,
    ServerError,
    SlackDouble,
)
from tests.support.toy_estate import EstateOf

__all__ = ["slack"]


def let_pass(sandbox: Sandbox, time_passed: timedelta) -> None:
    """Make what waits to be delivered older, and a dead run's turn, as if so much time had passed since."""
    file = sandbox.ledger_file()
    with closing(sqlite3.connect(file)) as connection, connection:
        for id_, text in connection.execute("SELECT id, data FROM deliveries").fetchall():
            data = json.loads(text)
            for name in ("meant_for", "next_try_at"):
                if data[name]:
                    data[name] = (datetime.fromisoformat(data[name]) - time_passed).isoformat()
            connection.execute("DELETE FROM leases WHERE environment = '(alerts)'")
            connection.execute("UPDATE deliveries SET data = ? WHERE id = ?", (json.dumps(data), id_))


def test_slack_that_is_away_for_five_runs_gets_one_message_with_what_is_true_then(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    with slack.down():
        for number in range(5):
            cloud.change("web", value=f"outside-{number}")
            ran = runs.reconcile()
            assert (ran.code, ran.report["alerts"]["waiting"]) == (2, 1)
            let_pass(sandbox, timedelta(hours=2))
    assert "Slack could not be reached" in ran.report["warnings"][0]
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    text = slack.plain("drift")
    assert "value is outside-4, configured one" in text
    assert "Delayed: meant for" in text
    assert runs.lines() == []
    assert len(slack.calls_of("chat.postMessage")) == 1


def test_an_alert_that_opened_and_ended_while_slack_was_away_is_sent_once_as_resolved(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    with slack.down():
        cloud.change("web", value="outside")
        assert runs.reconcile().code == 2
        cloud.change("web", value="one")
        assert runs.reconcile().code == 0
    let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert "the configuration again" in slack.plain("drift")


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        pytest.param(LostAnswer(), True, id="lost answer"),
        pytest.param(ServerError(500), False, id="500"),
        pytest.param(Reset(), False, id="reset", marks=pytest.mark.further),
        pytest.param(HtmlPage(), False, id="page of a proxy", marks=pytest.mark.further),
        pytest.param(RateLimited(3600), False, id="too many requests", marks=pytest.mark.further),
    ],
)
def test_a_response_without_a_result_neither_loses_nor_doubles_an_alert(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble, fault: Fault, arrived: bool
) -> None:
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    cloud.change("web", value="outside")
    slack.fail("chat.postMessage", fault)
    ran = runs.reconcile()
    assert (ran.code, ran.report["alerts"]) == (2, {"sent": {}, "waiting": 1})
    assert len(slack.messages("drift")) == arrived
    assert runs.reconcile().report["alerts"]["waiting"] == 1  # not sooner than it was put off to
    let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert len(slack.messages("drift")) == 1


def test_a_delivery_that_was_put_off_under_a_wrong_clock_is_sent(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    runs = refused_once(sandbox, estate_of, slack, ServerError(500))
    let_pass(sandbox, -timedelta(days=2000))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}


def test_a_message_that_was_meant_for_after_now_is_found_again(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    runs = refused_once(sandbox, estate_of, slack, LostAnswer())
    let_pass(sandbox, -timedelta(days=2000))
    assert runs.reconcile().report["alerts"]["waiting"] == 0
    assert len(slack.messages("drift")) == 1


def refused_once(sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble, fault: Fault) -> AlertRuns:
    """An alert whose first delivery met a fault and waits."""
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    cloud.change("web", value="outside")
    slack.fail("chat.postMessage", fault)
    assert runs.reconcile().report["alerts"]["waiting"] == 1
    return runs


def test_a_short_wait_that_slack_asks_for_is_waited_for(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    runs = AlertRuns(sandbox, slack)
    slack.fail("chat.postMessage", RateLimited(1))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}


def test_a_channel_that_is_not_there_keeps_nothing_from_the_others(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate = estate_of("blue", "prod-eu")
    runs = AlertRuns(sandbox, slack)
    for name in ("blue", "prod-eu"):
        estate.clouds[name].change("web", value=f"outside {name}")
    slack.fail("chat.postMessage", ApiError("channel_not_found"))
    ran = runs.reconcile()
    assert ran.report["alerts"] == {"sent": {"message": 1}, "waiting": 1}
    assert "channel_not_found). Check the channel's name in slack.routes" in ran.report["warnings"][0]
    let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}
    assert (len(slack.messages("drift")), len(slack.messages("prod-drift"))) == (1, 1)


def test_without_its_token_nothing_is_lost(sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    runs = AlertRuns(sandbox, slack)
    ran = sandbox.run("reconcile", "--format", "json")
    assert (ran.code, ran.report["alerts"]) == (2, {"sent": {}, "waiting": 1})
    assert "SLACK_BOT_TOKEN is not set" in ran.report["warnings"][0]
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}


def test_two_runs_at_the_same_time_send_one_alert_once(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    alerted = AlertRuns(sandbox, slack)
    processes = [
        sandbox.start("reconcile", "--quiet", SLACK_BOT_TOKEN=slack.token, XDG_CACHE_HOME=str(sandbox.home / name))
        for name in ("one", "two")
    ]
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 2, out + errors
    assert alerted.reconcile().report["alerts"]["waiting"] == 0
    assert len(slack.messages("drift")) == 1


_STEPS = {
    "before the post": ("block_before", "chat.postMessage"),
    "after the post": ("block_after", "chat.postMessage"),
    "before the update": ("block_before", "chat.update"),
    "after the update": ("block_after", "chat.update"),
}


@pytest.mark.parametrize(
    "seed", [*one_quick((1, 0, 2, 3)), *(pytest.param(n, marks=pytest.mark.soak) for n in range(4, 20))]
)
def test_a_run_that_is_killed_between_sending_and_recording_sends_nothing_twice(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble, seed: int
) -> None:
    dice = random.Random(seed)
    step, method = list(_STEPS.values())[seed % 4]
    cloud = estate_of("blue").clouds["blue"]
    runs = AlertRuns(sandbox, slack)
    if method == "chat.update":
        cloud.change("web", tags={"team": "eve"})
        assert runs.reconcile().code == 2
    cloud.change("web", value="outside")
    for _ in range(dice.choice((1, 1, 2))):
        _kill_at(sandbox, slack, step, method, dice.random())
        let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().code == 2
    let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().report["alerts"]["waiting"] == 0
    text = slack.plain("drift")
    assert text.count("value is outside, configured one") == 1, text
    # Two hours ago, unless the killed run still sent it in time.
    line = r"blue: new: toy_thing\.web value\.( \(This was at 20\d\d-\d\d-\d\d \d\d:\d\d UTC\.\))?"
    assert [bool(re.fullmatch(line, said)) for said in runs.lines()] == ([True] if method == "chat.update" else [])

    cloud.change("web", value="one", tags={"team": "core"})
    assert runs.reconcile().code == 0
    assert "the configuration again" in slack.plain("drift")
    assert len([m for m in slack.messages("drift") if not m.thread_ts]) == 1


def _kill_at(sandbox: Sandbox, slack: SlackDouble, step: str, method: str, delay_seconds: float) -> None:
    """Start a run and kill it while Slack works on a call, or a moment after it answered."""
    held = getattr(slack, step)(method)
    run = sandbox.start("reconcile", "--quiet", SLACK_BOT_TOKEN=slack.token)
    try:
        if held.wait(30) and delay_seconds < 0.8:
            kill(run)
            held.release()
        else:
            held.release()
            time.sleep(delay_seconds / 10)
            kill(run)
    finally:
        held.release()
        with closing(run.stdout), closing(run.stderr):  # type: ignore[type-var]
            run.wait(timeout=60)


def test_a_run_that_is_killed_before_it_sends_leaves_the_sending_to_the_next(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    runs = AlertRuns(sandbox, slack)
    run: subprocess.Popen[str]
    with slack.down():
        run = sandbox.start("reconcile", "--format", "json", SLACK_BOT_TOKEN=slack.token)
        run.communicate(timeout=60)
    file = sandbox.ledger_file()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (1,)
    let_pass(sandbox, timedelta(hours=2))
    assert runs.reconcile().report["alerts"] == {"sent": {"message": 1}, "waiting": 0}


ROUTES = """\
alerts:
  failover_after: 1s
  routes: [{sinks: ["slack:#renamed", "slack:#leads"]}]
"""


def test_a_renamed_channel_is_reported_until_it_is_fixed_and_the_next_sink_takes_its_alerts(
    sandbox: Sandbox, estate_of: EstateOf, slack: SlackDouble
) -> None:
    estate_of("blue").clouds["blue"].change("web", value="outside")
    runs = AlertRuns(sandbox, slack, ROUTES)
    assert runs.reconcile().report["alerts"] == {"sent": {}, "waiting": 1}
    time.sleep(1)
    ran = runs.reconcile()
    assert ran.report["alerts"] == {"sent": {"message": 1}, "waiting": 1}
    assert "because slack:#renamed took no alerts" in slack.plain("leads")
    for said in (ran.stdout, sandbox.scan().stdout, sandbox.run("doctor").stdout, sandbox.run("status").stderr):
        assert "slack:#renamed has taken no alerts since" in said
    sandbox.replace("driftguard.yaml", "slack:#renamed", "slack:#drift")
    sandbox.commit("the channel's new name")
    let_pass(sandbox, timedelta(hours=2))
    runs.reconcile()
    assert "has taken no alerts" not in sandbox.run("status").stderr
