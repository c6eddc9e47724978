"""What each sink does where the place for alerts does not behave: every real sink against a real service on loopback."""

from __future__ import annotations

import email.utils
import json
import ssl
import threading
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from driftguard.adapters.plain import TextSink, as_text
from driftguard.adapters.slack import SlackSink, SlackWebhookSink
from driftguard.adapters.slack.calling import unreachable
from driftguard.adapters.webhook import WebhookSink, check_url, signature
from driftguard.errors import DeliveryFault, OperatorError
from driftguard.model import (
    ChangeText,
    CommitText,
    Delivery,
    DeliveryKind,
    EnvironmentText,
    Message,
    Severity,
)
from driftguard.ports import Sink
from tests.world.slack_double import DEFAULT_SCOPES, ApiError, LostAnswer, RateLimited, SlackDouble

pytest_plugins = ["tests.world.slack_double.fixtures"]

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "s3cr3t-value"


def message(title: str = "blue has drifted", **more: Any) -> Message:
    return Message(
        title=title,
        severity=Severity.WARNING,
        environments=(EnvironmentText("blue", "drifted", (ChangeText("toy.web", "drift", ("value: a → b",), ()),), 0),),
        decision=("It waits.",),
        advice=("Put it back.",),
        commits=(),
        since=NOON,
        seen_at=NOON,
        **more,
    )


def delivery(channel: str = "#drift", kind: DeliveryKind = DeliveryKind.MESSAGE, **more: Any) -> Delivery:
    return Delivery("d1", kind, "slack", channel, ("a1",), datetime.now(UTC), **more)


def reply_to(parent: Delivery) -> Delivery:
    return replace(delivery(kind=DeliveryKind.REPLY, body={"line": "more drift"}), id="d2", parent=parent.id)


def slack_sink(double: SlackDouble, *slept: list[float]) -> SlackSink:
    return SlackSink(double.token, double.api_url, slept[0].append if slept else lambda seconds: None)


def posted(sink: Sink, channel: str = "#drift") -> Delivery:
    """A delivery that is there."""
    told = delivery(channel)
    return replace(told, reference=sink.post(told, message()))


def ts_of(told: Delivery) -> str:
    return str(told.reference).partition("/")[2]


def fault_of(call: Callable[..., object], *arguments: Any) -> DeliveryFault:
    with pytest.raises(DeliveryFault) as caught:
        call(*arguments)
    return caught.value


@dataclass
class Service:
    """A service that gives every request the same answer, and keeps what came."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def service(status: int = 200, body: bytes = b"", **headers: str) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            running.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            running.headers.append(dict(self.headers.items()))
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Service(f"http://127.0.0.1:{server.server_port}/hook")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


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
def test_an_update_of_what_is_gone_says_so_and_a_reply_to_it_is_done(
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
    sink.update(told, message("blue is fine", resolution="Put back by hand."))
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


# --- addresses and secrets that are none ---------------------------------------------------------

MALFORMED = [
    "",
    " ",
    SECRET,
    f"ftp://example.com/{SECRET}",
    f"file:///etc/{SECRET}",
    f"//example.com/{SECRET}",
    f"https:///{SECRET}",
    f"https://[{SECRET}",
    f"https://{SECRET}:port/",
    f"https://{SECRET}:99999/",
    f"https://a..{SECRET}/",
    f"https://{SECRET * 9}/",
    f"https://user:{SECRET}@example.com/",
    f"https://example.com/{SECRET} x",
    f"https://example.com/{SECRET}\r\nHost: x",
    f"https://example.com/{SECRET}é",
    f"https://example.com/{SECRET}\udcff",
    f"https://example.com/{SECRET}\x00",
    f"http://example.com/{SECRET}",
    f"http://127.0.0.1.example.com/{SECRET}",
    f"http://10.0.0.1/{SECRET}",
    f"httpx://example.com/{SECRET}",
]


@pytest.mark.parametrize("value", MALFORMED)
def test_what_is_no_webhook_url_is_refused_in_words_that_do_not_hold_it(
    value: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OperatorError) as caught:
        check_url("HOOK", value)
    assert str(caught.value).startswith("the environment variable HOOK does not hold a usable webhook URL: it")
    assert caught.value.__cause__ is None
    sinks: list[Sink] = [SlackWebhookSink(value), WebhookSink(value, "key", lambda: NOON)]
    for sink in sinks:
        fault = fault_of(sink.post, delivery(), message())
        assert fault.whole_sink
        assert not fault.perhaps_delivered
        assert SECRET not in f"{fault}{caught.value}"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "value",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "https://example.com:8443/a?b=c%20d#e",
        "HTTPS://EXAMPLE.COM",
        "http://127.0.0.1:80/",
        "http://[::1]:8080/a",
        "http://localhost/a",
    ],
)
def test_a_webhook_url_is_taken_without_the_white_space_around_it(value: str) -> None:
    assert check_url("HOOK", f" {value}\r\n") == value


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_an_event_is_not_signed_with_a_key_that_is_none(key: str) -> None:
    with service() as receiver:
        fault = fault_of(WebhookSink(receiver.url, key, lambda: NOON).post, delivery(), message())
    assert "key of the alert webhook's signature" in str(fault)
    assert receiver.bodies == []


def test_a_key_of_any_bytes_signs_as_those_bytes() -> None:
    key = b"\xff\x00key\xe9"
    with service() as receiver:
        WebhookSink(receiver.url, key.decode(errors="surrogateescape"), lambda: NOON).post(delivery(), message())
    (headers,), (body,) = receiver.headers, receiver.bodies
    moment = headers["X-DriftGuard-Timestamp"]
    assert headers["X-DriftGuard-Signature"] == f"sha256={signature(key, moment, body)}"


@pytest.mark.parametrize("token", [f"xoxb\n{SECRET}", f"xoxb-{SECRET}€", f"xoxb-{SECRET}\udcff"])
def test_a_token_that_is_none_is_not_printed(
    double: SlackDouble, token: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fault = fault_of(SlackSink(token, double.api_url).post, delivery(), message())
    assert "malformed" in str(fault)
    assert (fault.whole_sink, fault.perhaps_delivered) == (True, False)
    assert SECRET not in str(fault)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["http://127.0.0.1:port/", "http://[/", "httpx://127.0.0.1/", "slack/"])
def test_an_address_of_slack_that_is_none_is_a_fault(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    fault = fault_of(SlackSink("xoxb-1", address).post, delivery(), message())
    assert not fault.perhaps_delivered
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xfe", "application/json; charset=utf-8"),
        (b"{}", "application/json; charset=nonsense"),
        (b'["no", "object"]', "application/json"),
        (b"null", "application/json"),
        (b"", "application/json"),
    ],
)
def test_an_answer_that_is_none_of_slacks_leaves_open_whether_it_was_posted(body: bytes, kind: str) -> None:
    with service(200, body, Content_Type=kind) as strange:
        fault = fault_of(SlackSink("xoxb-1", strange.url + "/").post, delivery(), message())
    assert (fault.perhaps_delivered, fault.whole_sink, len(strange.bodies)) == (True, True, 1)


def test_a_certificate_that_is_not_trusted_is_no_malformed_address() -> None:
    error = urllib.error.URLError(ssl.SSLCertVerificationError("unknown"))  # which is a ValueError, too
    fault = unreachable("post", error, "the token")
    assert "could not be reached to post (SSLCertVerificationError)" in str(fault)
    assert not fault.perhaps_delivered


# --- being told to wait --------------------------------------------------------------------------

TOO_LONG = email.utils.format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True)
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
    with service(503, **({} if latin is None else {"Retry_After": latin})) as busy:
        fault = fault_of(WebhookSink(busy.url, "key", lambda: datetime.now(UTC)).post, delivery(), message())
    assert fault.retry_after_seconds == seconds

    double.fail("webhook", RateLimited(latin))
    by_webhook = fault_of(SlackWebhookSink(double.webhook_url("drift")).post, delivery(), message())
    assert by_webhook.retry_after_seconds == (30 if seconds is None else seconds)

    slept: list[float] = []
    double.fail("chat.postMessage", *[RateLimited(latin)] * 3)
    fault = fault_of(slack_sink(double, slept).post, delivery(), message())
    wait = seconds or 1
    assert (fault.retry_after_seconds, slept) == (wait, [] if wait > 30 else [wait, wait])


def test_a_moment_to_wait_until_is_counted_from_now() -> None:
    with service(429, Retry_After=email.utils.format_datetime(NOON + timedelta(minutes=5))) as busy:
        fault = fault_of(WebhookSink(busy.url, "key", lambda: NOON).post, delivery(), message())
    assert fault.retry_after_seconds == 300


# --- text that is none ---------------------------------------------------------------------------

HALF = "\ud83d"
ODD = f"half {HALF} and \x1b[31m\x08\r\u202e end"


def odd_message() -> Message:
    return replace(
        message(f"title {ODD}", links=((f"link {ODD}", f"https://example.com/{HALF}"),), details=f"all {ODD}"),
        environments=(
            EnvironmentText("blue", "drifted", (ChangeText(f"toy[{ODD}]", ODD, (ODD,), (ODD,)),), 0),
            EnvironmentText(f"green {HALF}", ODD),
        ),
        decision=(ODD,),
        advice=(ODD, ODD),
        commits=(CommitText("0" * 40, ODD, f"subject {ODD}", None),),
    )


def test_half_characters_and_control_characters_do_not_reach_the_terminal() -> None:
    said: list[str] = []
    sink = TextSink(said.append)
    sink.post(delivery(), odd_message())
    sink.post(delivery(body={"event": "changed", "line": f"line {ODD}"}), odd_message())
    for text in said:
        assert "half \ufffd and  [31m    end" in text
        assert all(c.isprintable() or c == "\n" for c in text)
        text.encode()
    assert said[1] == "[changed] line half \ufffd and  [31m    end\n"


def test_the_lines_of_a_text_stay_lines() -> None:
    shown = replace(message(), environments=(EnvironmentText("blue", "Error: no\n\n  on main.tf line 1\n"),))
    assert "  blue: Error: no\n\n  on main.tf line 1\n" in as_text(shown)


def test_two_halves_of_a_character_are_one() -> None:
    assert "drift \N{PILE OF POO}!" in as_text(message("drift \ud83d\udca9!"))


def test_a_terminal_that_cannot_show_every_character_shows_the_others() -> None:
    shown = bytearray()

    def say(text: str) -> None:
        shown.extend(text.encode("ascii"))

    TextSink(say).post(delivery(), message())
    assert "value: a ? b" in shown.decode()


def test_an_output_that_is_closed_is_a_fault() -> None:
    def say(text: str) -> None:
        raise ValueError("I/O operation on closed file.")

    assert fault_of(TextSink(say).post, delivery(), message()).whole_sink


def test_slack_gets_whole_characters(double: SlackDouble) -> None:
    sink = slack_sink(double)
    told = delivery()
    told = replace(told, reference=sink.post(told, odd_message()))
    sink.update(told, odd_message())
    line = replace(reply_to(told), body={"line": f"line {ODD}"})
    sink.reply(line, told, None)
    sink.reply(line, told, f"all {HALF}")
    SlackWebhookSink(double.webhook_url("drift")).post(delivery(body={"line": f"line {ODD}"}), odd_message())
    SlackWebhookSink(double.webhook_url("drift")).post(delivery(), odd_message())
    double.everything.encode()
    assert "half \ufffd and" in double.plain("drift")
    assert [(file.content or b"").decode() for file in double.files] == ["all \ufffd"]


def test_an_event_holds_whole_characters() -> None:
    body = {"line": ODD, HALF: [{"value": HALF}], "number": 1, "nothing": None, "pair": "\ud83d\udca9"}
    with service() as receiver:
        WebhookSink(receiver.url, "key", lambda: NOON).post(delivery(body=body), message())
    (sent,) = map(json.loads, receiver.bodies)
    assert sent["line"] == ODD.replace(HALF, "\ufffd")
    assert (sent["\ufffd"], sent["pair"]) == ([{"value": "\ufffd"}], "\N{PILE OF POO}")
    assert (sent["number"], sent["nothing"], sent["id"]) == (1, None, "d1")


# --- a form that is not taken --------------------------------------------------------------------


def test_a_webhook_that_does_not_take_a_form_gets_the_text_alone(double: SlackDouble) -> None:
    double.fail("webhook", ApiError("invalid_blocks"))
    SlackWebhookSink(double.webhook_url("drift")).post(delivery(), message())
    (there,) = double.messages("drift")
    assert (there.text, there.blocks) == ("🟠 blue has drifted", [])
