"""Acknowledged, silenced, worse, found and reverted at once, joined over time: what is sent and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from driftguard.config import AlertSettings, Slack
from driftguard.model import (
    Acknowledgement,
    Action,
    Alert,
    AlertEvent,
    AlertState,
    Delivery,
    DeliveryKind,
    Label,
    Severity,
    Verdict,
)
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.events import events
from driftguard.pipeline.alert.lifecycle import acknowledged, follow
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.routing import plan
from driftguard.pipeline.alert.text import message_of
from tests.support.sample_alerts import (
    DELETED,
    HEAD,
    NOON,
    Passes,
    change,
    drifted,
    in_sync,
    outside,
    report,
    resource,
)

DAILY = AlertSettings.model_validate({"reminders": [{"after": "1d"}]})
DAY = timedelta(days=1)
BUCKET = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "eve"))
SLACK = Slack.model_validate({"token_env": "T", "routes": [{"channel": "#drift", "mention": "<!here>"}]})


def ack(over_time: Passes, **more: Any) -> None:
    word = Acknowledgement("ada", over_time.now, "known, ticket 7", **more)
    for alert in over_time.standing():
        over_time.alerts |= {a.id: a for a in acknowledged(alert, word, "ack").alerts}


def events_of(over_time: Passes, found: EnvironmentReport, after: timedelta) -> list[str]:
    return [notice.event.value for notice in over_time.look(found, after=after)]


def test_an_acknowledged_alert_sends_no_reminder_and_its_message_names_who_and_why() -> None:
    over_time = Passes(rules=DAILY)
    over_time.look(drifted("blue", BUCKET))
    ack(over_time)
    assert events_of(over_time, drifted("blue", BUCKET), 3 * DAY) == []
    (alert,) = over_time.standing()
    message = message_of([alert], now=over_time.now)
    assert message.decision[0].startswith("Acknowledged by ada: known, ticket 7.")


def test_reminders_go_on_when_an_acknowledgement_ends_and_none_is_made_up_for() -> None:
    over_time = Passes(rules=DAILY)
    over_time.look(drifted("blue", BUCKET))
    ack(over_time, until=over_time.now + 2 * DAY)
    assert events_of(over_time, drifted("blue", BUCKET), DAY + timedelta(hours=1)) == []
    assert events_of(over_time, drifted("blue", BUCKET), DAY) == ["refreshed", "reminded"]
    assert over_time.standing()[0].acked is None


def test_a_worse_change_ends_an_acknowledgement_and_is_heard_again() -> None:
    over_time = Passes(rules=DAILY)
    over_time.look(drifted("blue", BUCKET))
    ack(over_time)
    gone = drifted("blue", BUCKET, resource("aws_db_instance.orders", DELETED), fingerprint="f2")
    (notice,) = over_time.look(gone)
    assert (notice.event, notice.alert.acked) == (AlertEvent.WORSE, None)
    assert "The acknowledgement by ada has ended." in notice.line


def test_the_same_severity_with_something_more_that_is_lost_is_worse() -> None:
    over_time = Passes(rules=DAILY)
    first, second = (resource(f"aws_db_instance.{name}", DELETED) for name in ("a", "b"))
    over_time.look(drifted("blue", first))
    ack(over_time)
    (notice,) = over_time.look(drifted("blue", first, second, fingerprint="f2"))
    assert notice.event is AlertEvent.WORSE


@pytest.mark.parametrize("sink", ["slack", "slack-webhook"])
def test_a_higher_severity_mentions_again_on_every_route(sink: str) -> None:
    over_time = Passes(rules=DAILY)
    slack = (
        SLACK
        if sink == "slack"
        else Slack.model_validate({"webhook_env": "T", "routes": [{"channel": "#drift", "mention": "<!here>"}]})
    )
    routing = Routing(DAILY, slack)
    sent = sent_of(plan(over_time.look(drifted("blue", BUCKET)), [], routing))
    gone = drifted("blue", BUCKET, resource("aws_db_instance.orders", DELETED), fingerprint="f2")
    bodies = [d.body for d in plan(over_time.look(gone), sent, routing) if d.kind is not DeliveryKind.MESSAGE]
    assert [body["mention"] for body in bodies] == ["<!here>"]
    assert bodies[0].get("broadcast", True)


def sent_of(deliveries: Any) -> list[Delivery]:
    return [replace(d, reference="C1/1", state=type(d.state).SENT) for d in deliveries]


def silenced(found: EnvironmentReport, alerts: list[Alert], severity: Severity, hours: int) -> list[str]:
    word = Acknowledgement("ada", NOON, "migration", NOON + timedelta(hours=2), severity)
    now = NOON + timedelta(hours=hours)
    followed = follow(found, alerts, commit=HEAD, run_id=f"run-{hours}", now=now, rules=DAILY, silence=word)
    return [notice.event.value for notice in followed.notices]


def test_a_silence_holds_back_what_begins_but_not_what_is_critical_nor_what_outlives_it() -> None:
    assert silenced(drifted("blue", BUCKET), [], Severity.WARNING, 1) == []
    gone = drifted("blue", resource("aws_db_instance.orders", DELETED))
    assert silenced(gone, [], Severity.WARNING, 1) == ["opened"]
    assert silenced(gone, [], Severity.CRITICAL, 1) == []
    assert silenced(drifted("blue", BUCKET), [], Severity.WARNING, 3) == ["opened"]


def test_a_silence_updates_open_messages_without_a_word() -> None:
    over_time = Passes(rules=DAILY)
    over_time.look(drifted("blue", BUCKET))
    more = drifted("blue", BUCKET, resource("toy_thing.web", outside("v", 1, 2)), fingerprint="f2")
    assert silenced(more, over_time.standing(), Severity.WARNING, 1) == ["refreshed"]


def test_what_is_found_and_reverted_in_one_run_is_one_message_resolved_at_once() -> None:
    over_time = Passes()
    found = report("blue", Verdict.DRIFTED, BUCKET, action=Action.APPLY, reasons=["policy_revert"])
    done = report("blue", Verdict.IN_SYNC, action=Action.APPLY, reasons=["policy_revert", "applied"])
    notices = over_time.look(found, done)
    deliveries = plan(notices, [], Routing(AlertSettings(), SLACK))
    assert [d.kind for d in deliveries] == [DeliveryKind.MESSAGE]
    (alert,) = over_time.alerts.values()
    message = message_of([alert], now=over_time.now)
    assert (alert.state, message.resolution) == (AlertState.RESOLVED, f"Reverted by DriftGuard's apply at {HEAD[:10]}.")
    texts = list(events(notices, "stdout", Routing(AlertSettings(), None)))
    assert [each.body["event"] for each in texts] == ["opened"]


def test_one_cause_that_is_judged_one_after_the_other_joins_one_message() -> None:
    routing, over_time = Routing(AlertSettings(), SLACK), Passes()
    shown: dict[str, Delivery] = {}
    for number in range(5):
        notices = over_time.look(drifted(f"edge-{number}", BUCKET), after=timedelta(minutes=5))
        made = plan(notices, list(shown.values()), routing, standing=over_time.standing(), notified=told(shown))
        shown |= {d.id: d for d in sent_of(made)}
    messages = [d for d in shown.values() if d.kind is DeliveryKind.MESSAGE]
    assert [len(message.alerts) for message in messages] == [4, 1]
    lines = [d.body["line"] for d in shown.values() if d.kind is DeliveryKind.REPLY]
    assert lines == [f"edge-{n}: the same, so it joins this message." for n in (2, 3, 4)]
    later = over_time.look(drifted("edge-9", BUCKET), after=timedelta(hours=3))
    made = plan(later, list(shown.values()), routing, standing=over_time.standing(), notified=told(shown))
    assert [d.alerts for d in made] == [(later[0].alert.id,)]


def told(shown: dict[str, Delivery]) -> frozenset[tuple[str, str]]:
    return frozenset((alert, "slack") for delivery in shown.values() for alert in delivery.alerts)


def test_the_last_reminder_repeats_and_an_empty_list_sends_none() -> None:
    settings = AlertSettings()
    ages = [settings.due_reminders(timedelta(days=days)) for days in (0, 1, 3, 7, 13, 14, 21)]
    assert ages == [0, 1, 2, 3, 3, 4, 5]
    assert settings.reminder(9) == settings.reminders[-1]
    none = AlertSettings.model_validate({"reminders": []})
    assert (none.due_reminders(timedelta(days=99)), none.reminder(1)) == (0, None)


@pytest.mark.parametrize("mention", ["@here", "@oncall", "here", "<@oncall>", "<!here> @ada", ""])
def test_a_mention_that_pings_nothing_is_refused_at_load(mention: str) -> None:
    for key in ("reminders", "routes"):
        written: dict[str, Any] = {"after": "1h"} if key == "reminders" else {"channel": "#x"}
        model, top = (AlertSettings, {}) if key == "reminders" else (Slack, {"token_env": "T"})
        with pytest.raises(ValueError, match="<!here>"):
            model.model_validate({**top, key: [{**written, "mention": mention}]})


def test_a_label_that_only_follows_is_no_loss() -> None:
    over_time = Passes(rules=DAILY)
    over_time.look(drifted("blue", BUCKET))
    more = drifted("blue", BUCKET, resource("toy_thing.x", change("id", Label.DERIVED, "a", "a", None)))
    assert AlertEvent.WORSE.value not in events_of(over_time, more, DAY / 4)
    over_time.look(in_sync("blue"))
