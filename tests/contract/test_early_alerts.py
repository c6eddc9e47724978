"""Alerts while a run goes on: each waits for others of its cause for a while, and for no slower environment."""

from __future__ import annotations

from datetime import timedelta

from driftguard.config import AlertSettings
from driftguard.model import Action, Decision, EnvironmentResult, Verdict
from driftguard.pipeline.acknowledging import OperatorWords
from driftguard.pipeline.alert.early import EarlyAlerts
from tests.contract.test_failover import Runs, changed, runs

RULES = AlertSettings.model_validate({"routes": [{"sinks": ["slack:#first"]}], "group": 3})
WAIT = RULES.group_wait
NAMES = {"blue", "green", "red", "grey"}


def judged(over_time: Runs, early: EarlyAlerts, name: str) -> EnvironmentResult:
    """An environment that a run has judged and recorded."""
    over_time.see(changed(name))
    result = EnvironmentResult(
        name=name,
        path=f"environments/{name}",
        workspace="default",
        verdict=Verdict.DRIFTED,
        closure_hash="c1",
        baseline=None,
        decision=Decision(Action.ALERT, ()),
    )
    early.judged(result)
    return result


def messages(over_time: Runs) -> list[int]:
    """How many alerts each message shows that arrived."""
    return [len(each.alerts) for each in over_time.world.posts["slack:#first"].values() if "line" not in each.body]


def test_an_alert_is_sent_once_it_has_waited_for_others_and_before_the_run_ends() -> None:
    with runs(RULES) as over_time:
        early = EarlyAlerts(over_time.notifier(), over_time.clock, WAIT, NAMES)
        early.send_due()
        assert early.seconds_left is None
        first = judged(over_time, early, "blue")
        assert early.seconds_left == WAIT.total_seconds()
        over_time.clock.time += WAIT - timedelta(seconds=1)
        early.send_due()
        assert messages(over_time) == []
        over_time.clock.time += timedelta(seconds=1)
        early.send_due()
        assert messages(over_time) == [1]  # while slower environments are still planned
        second = judged(over_time, early, "green")
        done = early.end([first, second])
        assert (messages(over_time), dict(done.sent), done.waiting) == ([1, 1], {"message": 2}, 0)


def test_environments_of_one_cause_that_are_judged_within_the_wait_share_a_message() -> None:
    with runs(RULES) as over_time:
        early = EarlyAlerts(over_time.notifier(), over_time.clock, WAIT, NAMES)
        for name in ("blue", "green", "red"):
            judged(over_time, early, name)
            over_time.clock.time += WAIT / 3
            early.send_due()
        assert messages(over_time) == [3]
        judged(over_time, early, "grey")  # within `group_window`: it joins
        over_time.clock.time += WAIT
        early.send_due()
        (shown,) = over_time.ledger.alerts.messages([alert.id for alert in over_time.ledger.alerts.standing()])
        assert len(shown.alerts) == 4


def test_an_escalation_ends_once_an_operator_acknowledges() -> None:
    reminders = {"reminders": [{"after": "1h"}, {"after": "2h", "channel": "#second"}]}
    rules = AlertSettings.model_validate({**reminders, "routes": [{"sinks": ["slack:#first"]}]})
    for acknowledges in (False, True):
        with runs(rules) as over_time:
            over_time.see(changed("blue"))
            over_time.send()
            if acknowledges:
                words = OperatorWords(over_time.ledger, over_time.ledger.alerts, over_time.clock, "ada")
                assert words.acknowledge(["blue"], None, "known") == ["blue"]
            over_time.clock.time += timedelta(hours=3)
            over_time.see(changed("blue"))
            over_time.send()
            assert len(over_time.world.posts["slack:#second"]) == (0 if acknowledges else 1)
