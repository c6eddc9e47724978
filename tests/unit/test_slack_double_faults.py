"""The Slack double fails as told, seen through the real clients."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from tests.support.slack_double import (
    ApiError,
    Fault,
    Hang,
    HtmlPage,
    LostAnswer,
    RateLimited,
    Reset,
    ServerError,
    SlackDouble,
)
from tests.support.slack_double.calls import (
    client_of,
    error,
    post,
)

pytest_plugins = ["tests.support.slack_double.fixtures"]


# --- faults ----------------------------------------------------------------------------------------


def test_a_rate_limit_states_how_long_to_wait_and_the_retry_handler_obeys(double: SlackDouble) -> None:
    double.fail("chat.postMessage", RateLimited(1), RateLimited(30))
    patient = client_of(double, retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=1)])
    began = time.monotonic()
    with pytest.raises(SlackApiError) as caught:
        post(patient)
    assert 1 <= time.monotonic() - began < 10
    assert (caught.value.response.status_code, caught.value.response["error"]) == (429, "ratelimited")
    assert caught.value.response.headers["Retry-After"] == "30"
    assert double.messages("drift") == []
    post(patient)
    assert [call.outcome for call in double.calls] == ["RateLimited", "RateLimited", "ok"]


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (ServerError(500), 500, "non-JSON"),
        (ServerError(503), 503, "non-JSON"),
        (HtmlPage(), 200, "<!doctype html>"),
        (ApiError("fatal_error"), 200, "fatal_error"),
    ],
)
def test_an_answer_that_is_a_failure_means_that_nothing_was_done(
    double: SlackDouble, client: WebClient, fault: Fault, status: int, words: str
) -> None:
    double.fail("chat.postMessage", fault)
    with pytest.raises(SlackApiError, match=words) as caught:
        post(client)
    assert caught.value.response.status_code == status
    assert double.messages("drift") == []
    post(client)
    assert [(call.outcome == "ok", call.fault, call.arguments["text"]) for call in double.calls] == [
        (False, fault, "drift"),
        (True, None, "drift"),
    ]


def test_a_reset_does_nothing_and_a_lost_answer_everything(double: SlackDouble, client: WebClient) -> None:
    double.fail("chat.postMessage", Reset(), LostAnswer())
    with pytest.raises(ConnectionResetError) as reset:
        post(client, text="reset")
    assert double.messages("drift") == []
    with pytest.raises(ConnectionResetError) as lost:
        post(client, text="lost")
    assert [message.text for message in double.messages("drift")] == ["lost"]
    assert [call.outcome for call in double.calls] == ["Reset", "ok"]
    # Not `RemoteDisconnected`, which is what the client sees of an orderly end.
    assert [type(caught.value) for caught in (reset, lost)] == [ConnectionResetError, ConnectionResetError]


def test_the_clients_own_retry_after_a_lost_answer_doubles_a_message(double: SlackDouble) -> None:
    double.fail("chat.postMessage", LostAnswer())
    answered = post(WebClient(token=double.token, base_url=double.api_url))[1]
    kept = double.messages("drift")
    assert len(kept) == 2
    assert kept[1].ts == answered


@pytest.mark.parametrize("done", [False, True])
def test_a_call_that_hangs_times_out_before_or_after_it_was_carried_out(double: SlackDouble, done: bool) -> None:
    double.fail("chat.postMessage", Hang(30, done=done))
    with pytest.raises(TimeoutError):
        post(client_of(double, timeout=1))
    assert len(double.messages("drift")) == int(done)


def test_while_down_connections_are_refused_and_afterwards_everything_is_there(
    double: SlackDouble, client: WebClient
) -> None:
    ts = post(client)[1]
    for _ in range(3):
        with double.down(), pytest.raises(urllib.error.URLError, match="refused"):
            post(client, text="while down")
        post(client, text="more", thread_ts=ts)
    assert [message.text for message in double.messages("drift")] == ["drift"]
    assert len(double.replies("drift", ts)) == 3


def test_faults_are_met_in_order_and_a_methods_own_before_any(double: SlackDouble, client: WebClient) -> None:
    double.fail("*", ApiError("third"))
    double.fail("auth.test", ApiError("first"), ApiError("second"))
    assert [error(client.auth_test) for _ in range(3)] == ["first", "second", "third"]
    client.auth_test()
    with double.failing("*", ApiError("always")):
        assert [error(client.auth_test), error(post, client)] == ["always", "always"]
    client.auth_test()


def test_an_upload_can_fail_between_its_steps(double: SlackDouble, client: WebClient) -> None:
    double.fail("upload", ServerError(500))
    with pytest.raises(urllib.error.HTTPError) as caught:
        client.files_upload_v2(channel=double.channel("drift").id, filename="a", content="b")
    caught.value.close()
    double.fail("files.completeUploadExternal", LostAnswer())
    with pytest.raises(ConnectionResetError):
        client.files_upload_v2(channel=double.channel("drift").id, filename="a", content="b")
    assert [file.shared for file in double.files] == [False, True]


POSTS = """
import sys
from slack_sdk import WebClient
WebClient(token=sys.argv[1], base_url=sys.argv[2]).chat_postMessage(channel="drift", text="from a process")
print("answered")
"""


@pytest.mark.parametrize("after", [True, False])
def test_a_process_can_be_killed_right_after_or_before_its_message_was_kept(double: SlackDouble, after: bool) -> None:
    held = double.block_after("chat.postMessage") if after else double.block_before("chat.postMessage")
    command = [sys.executable, "-c", POSTS, double.token, double.api_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert held.wait(30)
        assert len(double.messages("drift")) == int(after)
        process.kill()
        assert process.communicate()[0] == ""
    held.release()


def test_a_held_call_is_answered_once_released(double: SlackDouble, client: WebClient) -> None:
    held = double.block_after("chat.postMessage")
    answered: list[tuple[str, str]] = []
    caller = threading.Thread(target=lambda: answered.append(post(client)))
    caller.start()
    assert held.wait(10)
    assert answered == []
    held.release()
    caller.join(10)
    assert [ts for _, ts in answered] == [message.ts for message in double.messages("drift")]


def test_many_clients_at_once_lose_nothing(double: SlackDouble) -> None:
    def work(number: int) -> None:
        client = client_of(double)
        for turn in range(10):
            post(client, text=f"{number}-{turn}")

    callers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    kept = double.messages("drift")
    assert {message.text for message in kept} == {f"{number}-{turn}" for number in range(8) for turn in range(10)}
    stamps = [message.ts for message in kept]
    assert stamps == sorted(set(stamps))
