"""The digest on a real ledger: once a day in each channel, whichever runs send it and wherever they are killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from driftguard.adapters.plain import as_text
from driftguard.adapters.slack.blocks import render
from driftguard.config import AlertSettings, DigestSettings
from driftguard.model import Acknowledgement, Message
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.digest import digest_message, due_at
from driftguard.pipeline.alert.lifecycle import acknowledged
from tests.contract.test_failover import Runs, changed, runs
from tests.support.sample_alerts import DELETED, NOON, Passes, drifted, in_sync, outside, resource
from tests.support.slack_double.content import message_content

ROUTES = {
    "routes": [{"environments": "red", "sinks": ["slack:#second"]}, {"sinks": ["slack:#first"]}],
    "sinks": [{"name": "pager", "pagerduty_env": "KEY"}],
    "digest": {"at": "13:00"},
    "reminders": [],
}
RULES = AlertSettings.model_validate(ROUTES)


def digests(over_time: Runs) -> list[tuple[str, Message]]:
    """The digests that arrived, by target."""
    return [(target, message) for target, message in over_time.world.messages if "open alert" in message.title]


def test_each_channel_gets_one_digest_a_day_of_what_is_open_there() -> None:
    with runs(RULES) as over_time:
        over_time.see(changed("blue"), changed("green"), changed("red"))
        over_time.send()  # the digest of yesterday
        over_time.world.messages.clear()
        for _ in range(6):
            over_time.send(timedelta(minutes=20))  # 12:11 to 14:11
        assert [(target, message.title) for target, message in digests(over_time)] == [
            ("slack:#first", "2 open alerts in blue, green; the oldest is 71 minutes old"),
            ("slack:#second", "1 open alert in red; the oldest is 71 minutes old"),
        ]
        over_time.see(in_sync("blue"))
        over_time.send(timedelta(days=1))
        assert [message.title for _, message in digests(over_time)[2:]] == [
            "1 open alert in green; the oldest is 26 hours old",
            "1 open alert in red; the oldest is 26 hours old",
        ]


def test_nothing_that_is_open_gives_no_digest_and_none_of_the_day_later() -> None:
    with runs(RULES) as over_time:
        over_time.send(timedelta(hours=2))
        over_time.see(changed("blue"))
        over_time.send(timedelta(hours=1))
        assert digests(over_time) == []


def test_a_digest_that_could_not_be_sent_for_a_day_gives_way_to_the_next() -> None:
    with runs(RULES) as over_time:
        over_time.see(changed("blue"))
        over_time.send()
        over_time.world.messages.clear()
        over_time.world.broken["slack:#first"] = "down"
        over_time.send(timedelta(hours=2))
        over_time.world.broken.clear()
        over_time.send(timedelta(days=1))
        assert [message.title for _, message in digests(over_time)] == [
            "1 open alert in blue; the oldest is 26 hours old"
        ]


BREAKS = st.lists(st.sampled_from(["down", "lost", "killed before", "killed after", "works"]), max_size=6)


@pytest.mark.further
@settings(max_examples=25, deadline=None)
@given(breaks=BREAKS)
def test_a_digest_is_sent_once_wherever_a_run_is_killed(breaks: Sequence[str]) -> None:
    with runs(RULES) as over_time:
        over_time.see(changed("blue"))
        over_time.send()
        over_time.world.messages.clear()
        over_time.clock.time += timedelta(minutes=50)
        for how in breaks:
            over_time.world.broken["slack:#first"] = how
            over_time.send(timedelta(minutes=70))
        over_time.world.broken.clear()
        for _ in range(3):
            over_time.send(timedelta(hours=1))
        assert over_time.world.twice == []
        assert len(digests(over_time)) == 1
        assert over_time.last.waiting == 0


@pytest.mark.parametrize(
    ("zone", "now", "due"),
    [
        ("UTC", "2026-11-23T09:00", "2026-11-23T09:00"),
        ("UTC", "2026-11-23T08:59", "2026-11-22T09:00"),
        ("Europe/Berlin", "2026-07-01T07:00", "2026-07-01T07:00"),
        ("Europe/Berlin", "2026-12-01T07:59", "2026-11-30T08:00"),
        ("Pacific/Auckland", "2026-11-23T00:00", "2026-11-22T20:00"),
    ],
)
def test_a_digest_is_due_at_its_time_of_day_in_its_zone(zone: str, now: str, due: str) -> None:
    moments = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (now, due))
    found, expected = moments
    assert due_at(DigestSettings(zone=zone), found) == expected


def owned(report: EnvironmentReport, owner: str | None) -> EnvironmentReport:
    return structs.replace(report, owner=owner)


def test_a_digest_lists_by_owner_and_age_with_who_acknowledged() -> None:
    over_time = Passes()
    tags = resource("aws_s3_bucket.logs", outside("tags.owner", "core", "eve"))
    over_time.look(owned(drifted("prod-eu", resource("aws_db_instance.orders", DELETED)), "@acme/data"))
    over_time.look(owned(drifted("dev", tags), "@acme/web"), after=timedelta(days=1))
    over_time.look(owned(drifted("prod-us", tags), "@acme/data"), after=timedelta(days=1))
    word = Acknowledgement("ada", over_time.now, "ticket 7", NOON + timedelta(days=9))
    alerts = [
        *(acknowledged(a, word, "ack").alerts[0] if a.environment == "dev" else a for a in over_time.standing()),
    ]
    message = digest_message(alerts, over_time.now + timedelta(hours=3))
    assert message is not None
    assert as_text(message) == (
        "[critical] 3 open alerts in dev, prod-eu, prod-us; the oldest is 2 days old\n"
        "  @acme/data:\n"
        "  prod-eu: 2 days, critical, drift: aws_db_instance.orders was deleted outside Terraform; an apply "
        "re-creates it, empty\n"
        "  prod-us: 3 hours, warning, drift: aws_s3_bucket.logs was changed outside Terraform\n"
        "  @acme/web:\n"
        "  dev: 27 hours, warning, drift: aws_s3_bucket.logs was changed outside Terraform (acknowledged by ada "
        "until 2026-12-02 12:00 UTC: ticket 7)\n"
        "  All environments: driftguard status\n"
    )
    assert digest_message([replace(a, state=type(a.state).RESOLVED) for a in alerts], over_time.now) is None


def test_a_long_digest_counts_what_it_does_not_list_and_fits_into_slack() -> None:
    over_time = Passes()
    long = resource(f"module.{'x' * 200}.aws_s3_bucket.logs", outside("tags.owner", "core", "eve"))
    over_time.look(*(drifted(f"edge-{number:03}", long) for number in range(300)))
    message = digest_message(over_time.standing(), over_time.now)
    assert message is not None
    (more,) = message.decision
    assert more == f"{300 - len(message.worst)} more: `driftguard status` lists everything."
    text, blocks = render(message)
    assert message_content({"text": text, "blocks": blocks})
    assert str(blocks).count("was changed outside Terraform") == len(message.worst) > 10
