"""What the sinks make of what is no address, no secret, no answer or no text: never a crash, and never a leak."""

from __future__ import annotations

import json
import ssl
import urllib.error
from dataclasses import replace

import pytest

from driftguard.adapters.plain import TextSink, as_text
from driftguard.adapters.slack.calling import unreachable
from driftguard.adapters.slack.client import SlackSink
from driftguard.adapters.slack.webhook import SlackWebhookSink
from driftguard.adapters.webhook import WebhookSink, check_url, signature
from driftguard.errors import OperatorError
from driftguard.model import ChangeText, CommitText, EnvironmentText, Message, StepText
from driftguard.ports import Sink
from tests.support.sinks import NOON, delivery, fault_of, message, reply_to, service, slack_sink
from tests.support.slack_double import SlackDouble

pytest_plugins = ["tests.support.slack_double.fixtures"]

SECRET = "s3cr3t-value"


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
    moment = headers["x-driftguard-timestamp"]
    assert headers["x-driftguard-signature"] == f"sha256={signature(key, moment, body)}"


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
        (b"{}", "application/json"),
        (b"<html>Sign in</html>", "text/html"),
    ],
)
def test_an_answer_that_is_none_of_slacks_leaves_open_whether_it_was_posted(body: bytes, kind: str) -> None:
    with service(200, body, {"Content-Type": kind}) as strange:
        fault = fault_of(SlackSink("xoxb-1", strange.url + "/").post, delivery(), message())
    assert (fault.perhaps_delivered, fault.whole_sink, len(strange.bodies)) == (True, True, 1)
    assert "Sign in" not in str(fault)


def test_a_certificate_that_is_not_trusted_is_no_malformed_address() -> None:
    error = urllib.error.URLError(ssl.SSLCertVerificationError("unknown"))  # which is a ValueError, too
    fault = unreachable("post", error, "the token")
    assert "could not be reached to post (SSLCertVerificationError)" in str(fault)
    assert not fault.perhaps_delivered


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
        worst=((ODD, ODD), ("", ODD)),
        who=ODD,
        steps=(StepText(ODD, ODD), StepText(ODD, url=f"https://example.com/{HALF}")),
        commits=(CommitText("0" * 40, ODD, f"subject {ODD}", None),),
    )


def test_half_characters_and_control_characters_do_not_reach_the_terminal() -> None:
    said: list[str] = []
    sink = TextSink(said.append)
    sink.post(delivery(), odd_message())
    sink.post(delivery(body={"event": "changed", "line": f"line {ODD}"}), odd_message())
    for text in said:
        assert "half \ufffd and \ufffd[31m\ufffd \ufffd end" in text
        assert all(c.isprintable() or c == "\n" for c in text)
        text.encode()
    assert said[1] == "[changed] line half \ufffd and \ufffd[31m\ufffd \ufffd end\n"


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
