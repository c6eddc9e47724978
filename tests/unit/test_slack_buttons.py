"""Acknowledgements by button: who may, what a click stands for, replays, reconnections, and where the token goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.slack.client import SlackSink
from driftguard.adapters.slack.socket import ButtonListener
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.sql.writing import open_for_words
from driftguard.config import AlertSettings, Slack
from driftguard.errors import OperatorError
from driftguard.model import AckClick, Acknowledgement, Alert, EntryKind, RecordedNotice
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.alert.stamps import button_value, meant_by
from driftguard.pipeline.alert.text import message_of
from driftguard.pipeline.clicks import Buttons
from driftguard.pipeline.record import recorded_notices
from tests.support.sample_alerts import DELETED, HEAD, NOON, drifted, outside, resource
from tests.support.sinks import delivery
from tests.support.slack_double import SlackDouble
from tests.support.slack_double.socket_mode import wait_until

ADA, EVE = "U0ADA", "U0EVE"
WEB = resource("toy_thing.web", outside("value", "one", "two"))


def settings(double: SlackDouble, **more: Any) -> Slack:
    given = {"token_env": "BOT", "app_token_env": "APP", "may_ack": [ADA], "api_url": double.api_url}
    return Slack.model_validate({**given, "routes": [{"channel": "#drift"}], **more})


class Sight:
    """A ledger with alerts, and their message in a channel of Slack that people click on."""

    def __init__(self, url: str, double: SlackDouble) -> None:
        self.url, self.double, self.recorded = url, double, threading.Event()
        self.runs = 0

    def see(self, *environments: EnvironmentReport) -> None:
        self.runs += 1
        with closing(open_ledger(self.url)) as ledger:
            for found in environments:
                _record(ledger, found, f"run-{self.runs}")

    def alerts(self) -> tuple[Alert, ...]:
        with closing(open_ledger(self.url)) as ledger:
            return ledger.alerts.standing()

    def words(self) -> list[str]:
        """Who acknowledged, once for each record."""
        with closing(open_ledger(self.url)) as ledger:
            return [str(entry.data["by"]) for entry in ledger.entries(kinds=[EntryKind.ACKNOWLEDGED])]

    def post(self) -> Any:
        """The message about all alerts, as a reader sees it."""
        alerts = self.alerts()
        message = replace(message_of(alerts, now=NOON), button=button_value(alerts))
        SlackSink(self.double.token, self.double.api_url).post(delivery(), message)
        return self.double.messages("drift")[-1]

    def buttons(self) -> Buttons:
        environ = {"BOT": self.double.token, "APP": self.double.sockets.app_token}
        return Buttons(environ, partial(ButtonListener, ping_seconds=0.3), open_for_words, self.recorded.set)


def _record(ledger: SqlLedger, found: EnvironmentReport, run: str) -> None:
    def followed(before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
        after = follow(found, before, commit=HEAD, run_id=run, now=NOON, rules=AlertSettings())
        return after.alerts, recorded_notices(after.notices)

    ledger.alerts.record(found.name, [], followed)


@pytest.fixture
def sight(tmp_path: Path) -> Iterator[Sight]:
    with SlackDouble() as double:
        yield Sight(f"sqlite:///{tmp_path / 'ledger.db'}", double)


@pytest.fixture
def buttons(sight: Sight) -> Iterator[Buttons]:
    listening = sight.buttons()
    listening.follow(settings(sight.double), sight.url)
    yield listening
    listening.close()


def test_a_listed_member_acknowledges_what_the_message_is_about_and_only_that(sight: Sight, buttons: Buttons) -> None:
    sight.see(drifted("blue", WEB), drifted("green", WEB))
    message = sight.post()
    sight.see(drifted("red", WEB))
    sight.double.sockets.click("drift", message, ADA)
    acked = {alert.environment: alert.acked and alert.acked.by for alert in sight.alerts()}
    assert acked == {"blue": "ada (Slack U0ADA)", "green": "ada (Slack U0ADA)", "red": None}
    assert sight.recorded.is_set()
    wait_until(lambda: bool(sight.double.sockets.ephemeral), "an answer")
    (answer,) = sight.double.sockets.ephemeral
    assert answer[1:] == (ADA, "Acknowledged. Reminders stop until it becomes worse.")


def test_a_member_who_is_not_listed_gets_an_answer_that_only_they_see(sight: Sight, buttons: Buttons) -> None:
    sight.see(drifted("blue", WEB))
    sight.double.sockets.click("drift", sight.post(), EVE)
    wait_until(lambda: bool(sight.double.sockets.ephemeral), "an answer")
    (answer,) = sight.double.sockets.ephemeral
    assert answer[1] == EVE
    assert "`slack.may_ack` does not list you" in answer[2]
    assert "U0EVE" in answer[2]
    assert sight.words() == []
    assert not sight.recorded.is_set()


def test_an_envelope_that_comes_again_does_nothing_twice(sight: Sight, buttons: Buttons) -> None:
    sight.see(drifted("blue", WEB))
    message = sight.post()
    sight.double.sockets.click("drift", message, ADA, envelopes=3)
    assert sight.words() == ["ada (Slack U0ADA)"]
    sight.double.sockets.click("drift", message, ADA)  # another click
    wait_until(lambda: len(sight.double.sockets.ephemeral) == 2, "an answer")
    assert sight.double.sockets.ephemeral[1][2] == "It was acknowledged already, by ada (Slack U0ADA)."
    assert sight.words() == ["ada (Slack U0ADA)"]


def test_a_click_on_what_became_worse_since_acknowledges_nothing(sight: Sight, buttons: Buttons) -> None:
    sight.see(drifted("blue", WEB))
    message = sight.post()
    sight.see(drifted("blue", WEB, resource("aws_db_instance.orders", DELETED), fingerprint="worse"))
    sight.double.sockets.click("drift", message, ADA)
    wait_until(lambda: bool(sight.double.sockets.ephemeral), "an answer")
    assert "has changed or ended since" in sight.double.sockets.ephemeral[0][2]
    assert sight.words() == []


@pytest.mark.parametrize("how", ["cut", "ask_to_reconnect"])
def test_a_connection_that_ends_is_opened_again(sight: Sight, buttons: Buttons, how: str) -> None:
    sight.see(drifted("blue", WEB))
    sight.double.sockets.connected()
    getattr(sight.double.sockets, how)()
    wait_until(lambda: sight.double.sockets.opened == 2, "a new connection")
    sight.double.sockets.click("drift", sight.post(), ADA)
    assert sight.words() == ["ada (Slack U0ADA)"]


def test_slack_that_is_away_at_the_start_is_connected_to_later(sight: Sight) -> None:
    listening = sight.buttons()
    with sight.double.down():
        listening.follow(settings(sight.double), sight.url)
    sight.double.sockets.connected()
    listening.follow(settings(sight.double), sight.url)  # the same again goes on
    listening.follow(None, sight.url)
    wait_until(lambda: not sight.double.sockets.connections, "the end of the connection")
    listening.close()
    assert sight.double.sockets.opened == 1


def test_a_web_socket_at_another_host_is_not_connected_to(sight: Sight, caplog: pytest.LogCaptureFixture) -> None:
    sight.double.sockets.host = "localhost"
    listening = sight.buttons()
    listening.follow(settings(sight.double), sight.url)
    wait_until(lambda: "which is not Slack's" in caplog.text, "the refusal")
    listening.close()
    assert sight.double.sockets.opened == 0
    assert "ticket" not in caplog.text
    assert sight.double.sockets.app_token not in caplog.text


def test_an_app_token_goes_to_the_api_alone_and_no_token_listens_to_nothing(
    sight: Sight, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[str] = []

    class Listener:
        def close(self) -> None: ...

    def listen(app: str, bot: str, api: str, click: Callable[[AckClick], str]) -> Listener:
        opened.append(api)
        return Listener()

    for environ in ({}, {"APP": "xapp-1"}, {"BOT": "xoxb-1"}):
        Buttons(environ, listen, open_for_words, lambda: None).follow(settings(sight.double), sight.url)
    assert (opened, caplog.text.count("is not set")) == ([], 3)
    both = {"APP": "xapp-1", "BOT": "xoxb-1"}
    Buttons(both, listen, open_for_words, lambda: None).follow(settings(sight.double), sight.url)
    Buttons(both, listen, open_for_words, lambda: None).follow(
        Slack.model_validate({"token_env": "BOT", "routes": [{"channel": "#x"}]}), sight.url
    )
    assert opened == [sight.double.api_url]


def test_a_ledger_that_cannot_be_reached_is_answered_and_the_click_may_come_again(sight: Sight) -> None:
    sight.see(drifted("blue", WEB))
    message, left = sight.post(), [1]

    def opening(url: str) -> Any:
        if left.pop() if left else 0:
            raise OperatorError("The ledger cannot be reached.")
        return open_for_words(url)

    environ = {"BOT": sight.double.token, "APP": sight.double.sockets.app_token}
    listening = Buttons(environ, ButtonListener, opening, sight.recorded.set)
    listening.follow(settings(sight.double), sight.url)
    sight.double.sockets.click("drift", message, ADA, envelopes=2)
    listening.close()
    assert sight.words() == ["ada (Slack U0ADA)"]
    assert "could not be recorded" in sight.double.sockets.ephemeral[0][2]


def test_what_is_no_click_on_the_button_is_confirmed_and_left_alone(sight: Sight, buttons: Buttons) -> None:
    sight.see(drifted("blue", WEB))
    message = sight.post()
    good = sight.double.sockets.click("drift", message, EVE)
    payloads = [
        {"type": "view_submission"},
        {**good["payload"], "actions": [{"action_id": "other", "value": "x"}]},
        {**good["payload"], "actions": "none"},
        {**good["payload"], "user": {}},
        "text",
    ]
    for number, payload in enumerate(payloads):
        sight.double.sockets.confirm({"type": "interactive", "payload": payload, "envelope_id": f"e{number}"})
    sight.double.sockets.confirm({"type": "slash_commands", "payload": {"command": "/x"}, "envelope_id": "e9"})
    assert sight.words() == []


def test_a_button_stands_for_alerts_as_they_were_read(sight: Sight) -> None:
    sight.see(*(drifted(f"edge-{number}", WEB) for number in range(40)))
    alerts = sight.alerts()
    value = button_value(alerts)
    assert value is not None
    assert len(value) < 2000
    assert {alert.id for alert in meant_by(value, alerts)} == {alert.id for alert in alerts}
    assert meant_by(value, [replace(alert, fingerprint="other") for alert in alerts]) == []
    word = Acknowledgement("ada", NOON, "known")
    assert button_value([replace(alert, acked=word) for alert in alerts]) is None
    assert button_value(alerts * 10) is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"may_ack": []}, "needs both of"),
        ({"app_token_env": None}, "needs both of"),
        ({"may_ack": ["@ada"]}, "a member's id"),
        ({"token_env": None, "webhook_env": "HOOK"}, "a webhook has no buttons"),
    ],
)
def test_settings_that_no_button_could_work_with_are_refused(sight: Sight, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(sight.double, **more)
