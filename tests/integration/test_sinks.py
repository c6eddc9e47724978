"""What the sinks do where the place for alerts does not behave: real sinks against real services on loopback."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from driftguard.adapters.slack.webhook import SlackWebhookSink
from driftguard.adapters.webhook import WebhookSink
from driftguard.model import Delivery
from driftguard.ports import Sink
from tests.support.harness import Sandbox
from tests.support.sinks import NOON, delivery, fault_of, message, reply_to, service, slack_sink
from tests.support.slack_double import DEFAULT_SCOPES, ApiError, LostAnswer, RateLimited, SlackDouble
from tests.support.toy_estate import EstateOf

pytest_plugins = ["tests.support.slack_double.fixtures"]


def posted(sink: Sink, channel: str = "#drift") -> Delivery:
    """A delivery that is there."""
    told = delivery(channel)
    return replace(told, reference=sink.post(told, message()))


def ts_of(told: Delivery) -> str:
    return str(told.reference).partition("/")[2]


# --- a message that is not there any more --------------------------------------------------------


def deleted_by_a_person(double: SlackDouble, told: Delivery) -> None:
    double.someone_deletes("drift", ts_of(told))


def deleted_with_replies(double: SlackDouble, told: Delivery) -> None:
    double.someone_posts("drift", "I look at it", thread_ts=ts_of(told))
    double.someone_deletes("drift", ts_of(told))


def archived(double: SlackDouble, told: Delivery) -> None:
    double.channel("drift").archived = True


def closed_to_the_bot(double: SlackDouble, told: Delivery) -> None:
    double.channel("drift").private, double.channel("drift").member = True, False


def locked(double: SlackDouble, told: Delivery) -> None:
    double.lock_thread("drift", ts_of(told))


@pytest.mark.parametrize("happens", [deleted_by_a_person, deleted_with_replies, archived, closed_to_the_bot])
def test_an_update_of_what_is_gone_reports_it_and_a_reply_to_it_is_done(
    double: SlackDouble, happens: Callable[[SlackDouble, Delivery], None]
) -> None:
    sink = slack_sink(double)
    told = posted(sink)
    happens(double, told)
    fault = fault_of(sink.update, told, message("blue has drifted more"))
    assert (fault.gone, fault.whole_sink, fault.perhaps_delivered) == (True, False, False)
    assert sink.reply(reply_to(told), told, None) == ""
    assert sink.reply(reply_to(told), told, "everything that changed") == ""


def test_a_locked_thread_takes_no_reply_and_its_message_is_still_updated(double: SlackDouble) -> None:
    sink = slack_sink(double)
    told = posted(sink)
    locked(double, told)
    assert sink.reply(reply_to(told), told, None) == ""
    sink.update(told, message("blue is fine", resolution="Reverted manually."))
    assert double.message("drift", ts_of(told)).edits == 1
    assert double.replies("drift", ts_of(told)) == []


@pytest.mark.parametrize("word", ["edit_window_closed", "cant_update_message"])
def test_a_message_that_rules_keep_from_being_changed_stays_as_it_is(double: SlackDouble, word: str) -> None:
    sink = slack_sink(double)
    told = posted(sink)
    double.fail("chat.update", ApiError(word))
    sink.update(told, message())
    assert double.message("drift", ts_of(told)).edits == 0


def test_a_deleted_message_is_not_found_again_and_posted_anew(double: SlackDouble) -> None:
    sink = slack_sink(double)
    told = posted(sink)
    assert slack_sink(double).find(told, None) == told.reference
    double.someone_deletes("drift", ts_of(told))
    assert slack_sink(double).find(told, None) is None


def test_what_is_refused_for_another_reason_is_no_end_of_the_message(double: SlackDouble) -> None:
    sink = slack_sink(double)
    told = posted(sink)
    double.fail("chat.update", ApiError("account_inactive"), ApiError("not_in_channel"))
    assert [fault_of(sink.update, told, message()).gone for _ in range(2)] == [False, False]
    double.fail("chat.postMessage", ApiError("not_in_channel"))
    assert not fault_of(sink.reply, reply_to(told), told, None).gone


@pytest.mark.parametrize(("word", "perhaps"), [("internal_error", True), ("fatal_error", True), ("no_text", False)])
def test_slack_that_broke_may_have_posted_all_the_same(double: SlackDouble, word: str, perhaps: bool) -> None:
    double.fail("chat.postMessage", ApiError(word))
    assert fault_of(slack_sink(double).post, delivery(), message()).perhaps_delivered is perhaps


# --- finding a channel ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lacking", "private", "types"),
    [
        (set(), False, ["public_channel,private_channel"]),
        (set(), True, ["public_channel,private_channel"]),
        ({"groups:read"}, False, ["public_channel,private_channel", "public_channel"]),
        ({"channels:read"}, True, ["public_channel,private_channel", "public_channel", "private_channel"]),
    ],
)
def test_a_message_whose_answer_was_lost_is_found_by_the_name_of_its_channel(
    lacking: set[str], private: bool, types: list[str]
) -> None:
    with SlackDouble(scopes=DEFAULT_SCOPES - lacking) as double:
        channel = double.add_channel("team", private=private)
        told = delivery("#team")
        double.fail("chat.postMessage", LostAnswer())
        assert fault_of(slack_sink(double).post, told, message()).perhaps_delivered
        (there,) = double.messages("team")
        sink = slack_sink(double)
        assert sink.find(told, None) == f"{channel}/{there.ts}"
        assert sink.find(replace(told, id="another"), None) is None
        assert [call.arguments["types"] for call in double.calls_of("conversations.list")] == types


def test_a_bot_that_may_not_list_channels_asks_once_and_finds_nothing() -> None:
    with SlackDouble(scopes=DEFAULT_SCOPES - {"groups:read", "channels:read"}) as double:
        sink = slack_sink(double)
        assert [sink.find(delivery(), None) for _ in range(2)] == [None, None]
        assert len(double.calls_of("conversations.list")) == 3
    with SlackDouble() as double:
        double.fail("conversations.list", ApiError("internal_error"))
        assert fault_of(slack_sink(double).find, delivery(), None).perhaps_delivered  # nothing is known


@pytest.mark.parametrize(
    ("lacking", "private", "said"),
    [
        (set(), False, "driftguard of Drift posted to #team"),
        (set(), True, "driftguard of Drift posted to #team"),
        ({"groups:read"}, False, "driftguard of Drift posted to #team"),
        (
            {"groups:read"},
            True,
            "posted twice, as the channel's id is not found by its name: give the bot channels:read",
        ),
        ({"channels:read", "groups:read"}, False, "or groups:read for a private channel, or name the id"),
        ({"groups:history"}, True, "posted twice, as the bot cannot read the channel (missing_scope: groups:history)"),
        ({"channels:history"}, False, "as the bot cannot read the channel (missing_scope: channels:history)"),
    ],
)
def test_the_test_message_is_looked_for_as_after_a_lost_answer(lacking: set[str], private: bool, said: str) -> None:
    with SlackDouble(scopes=DEFAULT_SCOPES - lacking) as double:
        double.add_channel("team", private=private)
        line = slack_sink(double).test("#team", "A test.")
    assert said in line
    assert ("posted twice" in line) is (said != "driftguard of Drift posted to #team")


def test_a_scope_that_is_missing_is_named() -> None:
    with SlackDouble(scopes=DEFAULT_SCOPES - {"chat:write"}) as double:
        fault = fault_of(slack_sink(double).post, delivery(), message())
    assert "(missing_scope: chat:write). Give the bot the scope chat:write" in str(fault)
    assert fault.whole_sink


def test_doctor_names_environments_without_a_route_and_states_where_an_alert_may_come_twice(
    sandbox: Sandbox, estate_of: EstateOf
) -> None:
    estate_of("blue", "green", "prod-eu")
    with SlackDouble(channels=("drift",), scopes=DEFAULT_SCOPES - {"groups:read"}) as slack:
        slack.add_channel("team", private=True)

        def doctor(routes: str, more: str = "") -> str:
            settings = f"slack: {{token_env: TOKEN, api_url: '{slack.api_url}', routes: [{routes}]}}\n{more}"
            sandbox.commit("routes", {"driftguard.yaml": settings})
            ran = sandbox.run("doctor", "--slack", TOKEN=slack.token)
            assert ran.code == 0
            return " ".join(ran.stdout.split())

        some = doctor(
            "{environments: 'prod*', channel: '#team'}, {environments: blue, severity: [critical], channel: '#drift'}"
        )
        assert "warning alerts of blue have no route in slack.routes: they are not sent" in some
        assert " alerts of green have no route in slack.routes: they are not sent" in some
        assert "of prod-eu" not in some
        assert (
            "posted to #team; an alert whose response is lost may be posted twice, as the channel's id is not" in some
        )
        assert "posted to #drift;" not in some

        authors = doctor("{authors: ['Ada*'], channel: '#drift'}", "alerts: {webhook: {url_env: A, secret_env: B}}\n")
        assert " alerts of blue, green, prod-eu have no route in slack.routes: they go to the JSON" in authors
        assert "have no route" not in doctor("{channel: '#drift'}")


# --- being told to wait --------------------------------------------------------------------------

TOO_LONG = "Fri, 31 Dec 9999 23:59:59 GMT"
LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("40", 40),
        ("90.5", 90.5),
        ("99999999", 3600),
        ("1e999", 3600),
        (TOO_LONG, 3600),
        ("soon", None),
        ("nan", None),
        ("", None),
        ("²", None),
        ("-5", 1),
        ("0", 1),
        (LONG_AGO, 1),
        (None, None),
    ],
)
def test_a_service_is_left_alone_for_as_long_as_it_asks_but_an_hour_at_most(
    double: SlackDouble, header: str | None, seconds: float | None
) -> None:
    latin = header if header is None else header.encode().decode("latin-1")
    with service(503, headers={"Retry-After": latin}) as busy:
        fault = fault_of(WebhookSink(busy.url, "key", lambda: datetime.now(UTC)).post, delivery(), message())
    assert fault.retry_after_seconds == seconds

    double.fail("webhook", RateLimited(latin))
    by_webhook = fault_of(SlackWebhookSink(double.webhook_url("drift")).post, delivery(), message())
    assert by_webhook.retry_after_seconds == (30 if seconds is None else seconds)

    slept: list[float] = []
    double.fail("chat.postMessage", *[RateLimited(latin)] * 3)
    fault = fault_of(slack_sink(double, slept).post, delivery(), message())
    wait = seconds or 1
    assert (fault.retry_after_seconds, slept) == (wait, [] if wait > 2 else [wait, wait])


def test_a_moment_to_wait_until_is_counted_from_now() -> None:
    with service(429, headers={"Retry-After": email.utils.format_datetime(NOON + timedelta(minutes=5))}) as busy:
        fault = fault_of(WebhookSink(busy.url, "key", lambda: NOON).post, delivery(), message())
    assert fault.retry_after_seconds == 300


@pytest.mark.parametrize(("status", "alone"), [(400, True), (413, True), (422, True), (403, False), (503, False)])
def test_an_event_that_is_not_taken_keeps_nothing_else_from_being_sent(status: int, alone: bool) -> None:
    with service(status) as picky:
        fault = fault_of(WebhookSink(picky.url, "key", lambda: NOON).post, delivery(), message())
    assert fault.whole_sink is not alone


# --- a form that is not taken --------------------------------------------------------------------


def test_a_webhook_that_does_not_take_a_form_gets_the_text_alone(double: SlackDouble) -> None:
    double.fail("webhook", ApiError("invalid_blocks"))
    SlackWebhookSink(double.webhook_url("drift")).post(delivery(), message())
    (there,) = double.messages("drift")
    assert (there.text, there.blocks) == ("🟠 blue has drifted", [])
