"""What comes and goes: one message reports it, then nothing until it is steady; nothing else is missed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import AlertSettings, Slack
from driftguard.model import (
    Acknowledgement,
    Alert,
    AlertEvent,
    AlertKind,
    AlertState,
    Delivery,
    DeliveryKind,
    DeliveryState,
    ErrorKind,
    RecordedNotice,
    Severity,
)
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.events import events
from driftguard.pipeline.alert.lifecycle import acknowledged, follow
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.routing import plan
from driftguard.pipeline.alert.text import message_of
from driftguard.pipeline.record import recorded_notices
from tests.support.sample_alerts import DELETED, HEAD, NOON, Passes, drifted, in_sync, outside, resource, unknown

QUARTER = timedelta(minutes=15)
HOURS = timedelta(hours=1)
CLEAN = in_sync("blue")
BUCKET = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "eve"))
QUEUE = resource("aws_sqs_queue.jobs", outside("delay_seconds", 0, 5))
RULES = AlertSettings.model_validate({"reminders": [{"after": "1h"}]})
UP_AND_DOWN = (drifted("blue", BUCKET), CLEAN)


def capacity(value: int) -> EnvironmentReport:
    """Drift of one attribute to a value."""
    scaled = resource("aws_ecs_service.web", outside("desired_count", 2, value))
    return drifted("blue", scaled, fingerprint=f"count-{value}")


def told(over_time: Passes, *found: EnvironmentReport, after: timedelta = QUARTER) -> list[str]:
    """What is sent beside updates of messages."""
    sent = [notice for report in found for notice in over_time.look(report, after=after)]
    return [notice.event.value for notice in sent if notice.event is not AlertEvent.REFRESHED]


def restless() -> Passes:
    """Drift that came and went four times in 45 minutes."""
    over_time = Passes(RULES)
    assert told(over_time, *UP_AND_DOWN * 2) == ["opened", "resolved", "reopened", "damped"]
    return over_time


def test_drift_that_comes_and_goes_is_reported_once_and_its_end_when_it_is_steady() -> None:
    over_time = restless()
    line = over_time.notices[-1].line
    assert line == (
        "aws_s3_bucket.logs comes and goes: 4 changes in 45 minutes. Until it stays the same for 6 hours, only a "
        "worse change of it is reported."
    )
    assert told(over_time, *UP_AND_DOWN * 5) == []
    assert told(over_time, CLEAN, after=5 * HOURS) == []
    assert told(over_time, CLEAN, after=HOURS) == ["resolved"]
    assert over_time.notices[-1].line == (
        "aws_s3_bucket.logs has stayed the same for 6 hours. The value equals the configuration again."
    )
    assert [alert.state for alert in over_time.alerts.values()] == [AlertState.RESOLVED]


def test_drift_that_stays_after_it_came_and_went_is_reported_as_open() -> None:
    over_time = restless()
    assert told(over_time, drifted("blue", BUCKET)) == []
    assert told(over_time, drifted("blue", BUCKET), after=6 * HOURS) == ["steady"]
    assert over_time.notices[-1].line == (
        "aws_s3_bucket.logs has stayed the same for 6 hours: aws_s3_bucket.logs was changed outside Terraform."
    )
    assert told(over_time, CLEAN) == ["resolved"]


def test_a_value_that_never_stays_is_reported_once() -> None:
    over_time = Passes(RULES)
    assert told(over_time, *map(capacity, (3, 5, 4, 7, 3, 6))) == ["opened", "changed", "changed", "damped"]


def test_drift_that_only_grows_is_reported_each_time() -> None:
    over_time, things = Passes(), [resource(f"toy_thing.n{n}", outside("value", "one", "x")) for n in range(8)]
    reports = [drifted("blue", *things[: n + 1], fingerprint=f"{n}") for n in range(8)]
    assert told(over_time, *reports) == ["opened", *["changed"] * 7]


def test_attributes_that_are_changed_and_reverted_one_after_the_other_do_not_come_and_go() -> None:
    value, tag = outside("value", "one", "x"), outside("tags.team", "core", "eve")
    found = [
        drifted("blue", resource("toy_thing.web", *each), fingerprint=str(len(each)) + each[0].path)
        for each in ([value], [value, tag], [tag])
    ]
    assert told(Passes(), *found, CLEAN) == ["opened", "changed", "changed", "resolved"]


def test_other_drift_beside_what_comes_and_goes_is_reported() -> None:
    over_time = restless()
    both = drifted("blue", BUCKET, QUEUE, fingerprint="both")
    alone = drifted("blue", QUEUE, fingerprint="queue")
    assert told(over_time, both) == ["changed"]
    assert over_time.notices[-1].line.startswith("new: ")
    assert "aws_sqs_queue.jobs delay_seconds" in over_time.notices[-1].line
    assert told(over_time, alone, both, alone, both) == ["reminded"]  # the queue's drift is an hour old and stays
    assert told(over_time, CLEAN) == ["changed"]
    assert over_time.notices[-1].line == "gone: aws_sqs_queue.jobs."


def test_what_only_comes_and_goes_sends_no_reminder() -> None:
    over_time = restless()
    for _ in range(8):
        assert told(over_time, *UP_AND_DOWN, after=HOURS) == []


def test_a_worse_change_is_heard_once_while_it_comes_and_goes() -> None:
    over_time = restless()
    gone = drifted("blue", resource("aws_s3_bucket.logs", DELETED), fingerprint="gone")
    assert told(over_time, gone) == ["worse"]
    assert told(over_time, *(CLEAN, gone) * 3, drifted("blue", BUCKET), gone) == []


def test_an_acknowledgement_stands_while_it_comes_and_goes() -> None:
    over_time = restless()
    gone = drifted("blue", resource("aws_s3_bucket.logs", DELETED), fingerprint="gone")
    told(over_time, gone, drifted("blue", BUCKET))
    (alert,) = over_time.standing()
    word = Acknowledgement("ada", over_time.now, "the nightly cleanup")
    over_time.alerts |= {each.id: each for each in acknowledged(alert, word, "ack").alerts}
    told(over_time, gone, CLEAN, gone)
    (alert,) = over_time.standing()
    assert alert.acked is not None
    assert alert.acked.by == "ada"
    told(over_time, drifted("blue", resource("aws_s3_bucket.logs", DELETED), resource("aws_db_instance.x", DELETED)))
    (alert,) = over_time.standing()
    assert alert.acked is None


def test_a_verdict_that_is_unknown_now_and_then_is_reported_once() -> None:
    over_time, denied = Passes(), unknown("blue", ErrorKind.DENIED, "no")
    row = (denied, denied, CLEAN)
    assert told(over_time, *row * 4) == ["opened", "resolved", "opened", "damped"]
    assert "comes and goes" in message_of(over_time.standing(), now=over_time.now).title


def test_the_message_reports_that_it_comes_and_goes_and_what_is_so_now() -> None:
    over_time = restless()
    (alert,) = over_time.standing()
    message = message_of([alert], now=over_time.now)
    assert message.title == (
        "Drift in blue comes and goes: aws_s3_bucket.logs was changed outside Terraform; not at the moment"
    )
    assert message.resolution is None
    assert message.decision == (
        "It comes and goes: unless it becomes worse, it is reported again once it is the same until "
        "2026-11-23 18:45 UTC.",
    )
    assert not [step for step in message.steps if "terraform apply" in (step.command or "")]
    told(over_time, drifted("blue", BUCKET))
    (alert,) = over_time.standing()
    assert "not at the moment" not in message_of([alert], now=over_time.now).title


def test_a_channel_gets_one_message_and_machines_one_incident_that_ends_when_it_is_steady() -> None:
    slack = Slack.model_validate({"token_env": "T", "routes": [{"channel": "#drift", "mention": "<!here>"}]})
    over_time, routing = Passes(RULES), Routing(RULES, slack)
    shown: dict[str, Delivery] = {}
    lines: list[Delivery] = []
    for found, after in [*((each, QUARTER) for each in UP_AND_DOWN * 6), (CLEAN, 7 * HOURS)]:
        made = plan(over_time.look(found, after=after), list(shown.values()), routing, standing=over_time.standing())
        shown |= {
            d.id: replace(d, state=DeliveryState.SENT, reference=f"C1/{d.id}")
            for d in made
            if d.kind is DeliveryKind.MESSAGE
        }
        lines += [d for d in made if d.kind is DeliveryKind.REPLY]
    assert len(shown) == 1
    bodies = [(d.body["event"], d.body["broadcast"], d.body["mention"]) for d in lines]
    assert bodies == [
        ("resolved", False, ""),
        ("reopened", True, "<!here>"),
        ("damped", True, ""),
        ("resolved", False, ""),
    ]
    sent = [d.body["event"] for d in events(over_time.notices, "pager", Routing(RULES, None))]
    assert sent == ["opened", "resolved", "reopened", "damped", "resolved"]


def test_damping_that_is_switched_off_reports_each_change() -> None:
    rules = AlertSettings.model_validate({"damping": False})
    assert rules == AlertSettings.model_validate({"damping": "off"})
    assert told(Passes(rules), *UP_AND_DOWN * 4) == ["opened", *["resolved", "reopened"] * 3, "resolved"]


def test_changes_that_are_far_apart_are_each_reported() -> None:
    assert "damped" not in told(Passes(), *UP_AND_DOWN * 6, after=3 * HOURS)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=900)])
def test_a_clock_that_was_ahead_silences_nothing(ahead: timedelta) -> None:
    over_time = Passes(now=NOON + ahead)
    told(over_time, *UP_AND_DOWN * 2, drifted("blue", BUCKET))
    over_time.now = NOON
    assert told(over_time, drifted("blue", BUCKET)) == ["steady"]
    assert told(over_time, CLEAN) == ["resolved"]


def test_a_silence_holds_back_that_something_comes_and_goes() -> None:
    over_time, events_ = Passes(), []
    word = Acknowledgement("ada", NOON, "migration", NOON + 9 * HOURS, Severity.WARNING)
    told(over_time, *UP_AND_DOWN, drifted("blue", BUCKET))
    for run, found in enumerate(UP_AND_DOWN[::-1] * 2):
        over_time.now += QUARTER
        followed = follow(
            found,
            list(over_time.alerts.values()),
            commit=HEAD,
            run_id=f"silent-{run}",
            now=over_time.now,
            rules=RULES,
            silence=word,
        )
        over_time.alerts |= {alert.id: alert for alert in followed.alerts}
        events_ += [notice.event.value for notice in followed.notices]
    assert set(events_) == {"refreshed"}


# --- nothing is lost -----------------------------------------------------------------------------

FOUND = st.sampled_from(
    [
        CLEAN,
        drifted("blue", BUCKET),
        drifted("blue", QUEUE, fingerprint="queue"),
        drifted("blue", BUCKET, QUEUE, fingerprint="both"),
        capacity(3),
        capacity(4),
        unknown("blue", ErrorKind.PLAN, "no"),
    ]
)
HISTORY = st.lists(st.tuples(FOUND, st.sampled_from([QUARTER, HOURS, 7 * HOURS])), max_size=30)


@given(history=HISTORY, last=FOUND)
def test_what_stays_is_known_to_the_channel_in_the_end(
    history: Sequence[tuple[EnvironmentReport, timedelta]], last: EnvironmentReport
) -> None:
    over_time = Passes()
    for found, after in history:
        over_time.look(found, after=after)
    for _ in range(4):  # the same for longer than the time that damping waits
        over_time.look(last, after=3 * HOURS)
    kind = {"drifted": AlertKind.DRIFT, "unknown": AlertKind.UNKNOWN}.get(last.verdict)
    for alert in over_time.alerts.values():
        assert not alert.gone or last.verdict == "unknown"
        heard = [n for n in over_time.notices if n.alert.id == alert.id and n.event is not AlertEvent.REFRESHED]
        if alert.state is AlertState.RESOLVED and alert.opened_at is not None:
            assert heard[-1].event is AlertEvent.RESOLVED
        if alert.kind is kind and alert.state is AlertState.OPEN:
            assert heard[-1].event is not AlertEvent.RESOLVED
            assert not alert.comes_and_goes
    if kind is not None:
        assert kind in {alert.kind for alert in over_time.standing()}


@given(history=HISTORY)
def test_the_same_run_again_gives_the_same_notices_under_the_same_ids(
    history: Sequence[tuple[EnvironmentReport, timedelta]],
) -> None:
    once, again = Passes(), Passes()
    for found, after in history:
        assert once.look(found, after=after) == again.look(found, after=after)
    assert len({notice.id for notice in once.notices}) == len(once.notices)


def test_what_comes_and_goes_is_kept_in_the_ledger_from_run_to_run(tmp_path: Path) -> None:
    """Each run opens the ledger anew, as after a crash between the record of a verdict and its message."""
    sent: list[str] = []
    for run, found in enumerate(UP_AND_DOWN * 6):
        ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")

        def followed(
            before: Sequence[Alert], run: int = run, found: EnvironmentReport = found
        ) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
            after = follow(
                found, before, commit=HEAD, run_id=f"run-{run}", now=NOON + run * QUARTER, rules=AlertSettings()
            )
            return after.alerts, recorded_notices(after.notices)

        ledger.alerts.record("blue", [], followed)
        sent = [notice.event.value for notice in ledger.alerts.unplanned()]
        ledger.close()
    assert [event for event in sent if event != "refreshed"] == ["opened", "resolved", "reopened", "damped"]
