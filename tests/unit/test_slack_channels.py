"""The ids of Slack's channels: found beyond 4,000, kept once found, and found again where they have changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from driftguard.adapters.slack.client import SlackSink
from driftguard.model import Delivery, DeliveryState, Entry, EntryKind
from driftguard.pipeline.history import channel_ids
from tests.support.sinks import delivery, message
from tests.support.slack_double import SlackDouble
from tests.support.slack_double.methods import DEFAULT_SCOPES


@pytest.fixture
def double() -> Iterator[SlackDouble]:
    with SlackDouble(channels=()) as running:
        yield running


def posted(double: SlackDouble, channel: str = "#team") -> Delivery:
    """A message that arrived, and whose answer was lost."""
    begun = delivery(channel, state=DeliveryState.SENDING)
    SlackSink(double.token, double.api_url).post(begun, message())
    return begun


def sink(double: SlackDouble, **kept: str) -> SlackSink:
    return SlackSink(double.token, double.api_url, kept=lambda: {f"#{name}": id_ for name, id_ in kept.items()})


def test_a_channel_is_found_among_ten_thousand(double: SlackDouble) -> None:
    for number in range(10_000):
        double.add_channel(f"other-{number}")
    id_ = double.add_channel("team")
    found = sink(double).find(posted(double), None)
    assert found == f"{id_}/{double.messages('team')[0].ts}"
    assert len(double.calls_of("conversations.list")) == 11


def test_a_kept_id_needs_no_list(double: SlackDouble) -> None:
    id_ = double.add_channel("team")
    assert sink(double, team=id_).find(posted(double), None) is not None
    assert double.calls_of("conversations.list") == []


@pytest.mark.parametrize("what", ["renamed", "archived", "gone"])
def test_a_kept_id_of_a_channel_that_changed_is_found_again(double: SlackDouble, what: str) -> None:
    old = double.add_channel("team")
    if what == "renamed":
        double.channel("team").name = "former-team"
    elif what == "archived":
        double.channel("team").archived = True
        double.channel("team").name = "team-archived"
    now = old if what == "gone" else double.add_channel("team")
    begun = posted(double)
    found = sink(double, team="C0GONE" if what == "gone" else old).find(begun, None)
    assert found == f"{now}/{double.messages(now)[0].ts}"


def test_a_kept_id_is_taken_as_it_is_where_the_bot_may_not_look_it_up() -> None:
    scopes = DEFAULT_SCOPES - {"channels:read", "groups:read"}
    with SlackDouble(channels=("team",), scopes=scopes) as double:
        begun = posted(double)
        assert sink(double, team=double.channel("team").id).find(begun, None) is not None
        assert sink(double).find(begun, None) is None


def test_ids_are_those_of_the_latest_deliveries_in_the_ledger() -> None:
    def arrived(channel: str, reference: str) -> Entry:
        data = {"channel": channel, "reference": reference}
        return Entry(EntryKind.ALERT_DELIVERED, datetime.now(UTC), "run", None, data)

    class Journal:
        def entries(self, **asked: Any) -> tuple[Entry, ...]:
            assert asked["kinds"] == [EntryKind.ALERT_DELIVERED]
            texts = (("#team", "C1/1.0"), ("#team", "C2/2.0"), ("C3", "C3/1.0"), ("", "d1"), ("#other", "C4/9.9"))
            return tuple(arrived(*each) for each in texts)

    assert channel_ids(Journal()) == {"#team": "C2", "#other": "C4"}  # type: ignore[arg-type]
