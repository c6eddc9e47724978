"""The Slack double keeps channels, threads and files as Slack does, seen through the real clients."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from tests.support.slack_double import (
    DEFAULT_SCOPES,
    ApiError,
    RateLimited,
    Reset,
    ServerError,
    SlackDouble,
    render_text,
)
from tests.support.slack_double.blocks import Json
from tests.support.slack_double.calls import (
    TINY,
    buttons,
    client_of,
    context,
    error,
    fields,
    header,
    mrkdwn,
    plain,
    post,
    refused,
    section,
)

pytest_plugins = ["tests.support.slack_double.fixtures"]
pytestmark = pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")


# --- who may do what, where ------------------------------------------------------------------------


def test_the_token_stands_in_the_header_and_is_the_right_one(double: SlackDouble, client: WebClient) -> None:
    answer = client.auth_test()
    assert (answer["ok"], answer["user_id"]) == (True, "U0DRIFTBOT")
    assert "chat:write" in answer.headers["X-OAuth-Scopes"]
    assert error(client_of(double, token="xoxb-wrong").auth_test) == "invalid_auth"
    assert error(WebClient(base_url=double.api_url, retry_handlers=[]).auth_test) == "not_authed"
    in_body = WebClient(base_url=double.api_url, retry_handlers=[])
    assert error(in_body.api_call, "auth.test", data={"token": double.token}) == "not_authed"


@pytest.mark.parametrize(
    ("scope", "call"),
    [
        ("chat:write", lambda client: client.chat_postMessage(channel="drift", text="a")),
        ("chat:write", lambda client: client.chat_update(channel="C000000001", ts="1", text="a")),
        ("chat:write", lambda client: client.chat_delete(channel="C000000001", ts="1")),
        ("channels:history", lambda client: client.conversations_history(channel="C000000001")),
        ("channels:history", lambda client: client.conversations_replies(channel="C000000001", ts="1")),
        ("channels:read", lambda client: client.conversations_info(channel="C000000001")),
        ("channels:read", lambda client: client.conversations_list()),
        ("channels:read", lambda client: client.conversations_list(types="private_channel,public_channel")),
        ("groups:read", lambda client: client.conversations_list(types="public_channel,private_channel")),
        ("groups:read", lambda client: client.conversations_list(types="private_channel")),
        ("files:write", lambda client: client.files_getUploadURLExternal(filename="a", length=1)),
        ("files:write", lambda client: client.files_completeUploadExternal(files=[{"id": "F1"}])),
    ],
)
def test_a_missing_scope_is_named(scope: str, call: Callable[[WebClient], object]) -> None:
    with SlackDouble(scopes=DEFAULT_SCOPES - {scope}) as double:
        answer = refused(call, client_of(double))
    assert (answer["error"], answer["needed"]) == ("missing_scope", scope)
    assert set(answer["provided"].split(",")) == DEFAULT_SCOPES - {scope}


def test_a_wrong_call_is_refused(double: SlackDouble, client: WebClient) -> None:
    assert error(client.api_call, "chat.shout") == "unknown_method"
    answer = refused(client.api_call, "chat.postMessage", json={"text": "a"})
    assert answer["error"] == "invalid_arguments"
    assert answer["response_metadata"]["messages"] == ["[ERROR] missing required field: channel"]
    answer = refused(post, client, thread="1")
    assert answer["response_metadata"]["messages"] == ["[ERROR] unknown argument: thread"]
    by_json = {"channel": double.channel("drift").id}
    assert error(client.api_call, "conversations.history", json=by_json) == "invalid_arguments"


@pytest.mark.parametrize("empty", [{"text": ""}, {"text": " \n"}, {"text": "", "blocks": []}, {}])
def test_an_empty_message_is_refused(client: WebClient, empty: Json) -> None:
    assert error(client.chat_postMessage, channel="drift", **empty) == "no_text"


def test_a_channel_is_found_by_name_or_id_and_answered_with_its_id(double: SlackDouble, client: WebClient) -> None:
    channel_id = double.channel("drift").id
    assert {post(client, channel=given)[0] for given in ("drift", "#drift", channel_id)} == {channel_id}
    assert error(post, client, channel="#nowhere") == "channel_not_found"
    assert len(double.messages("#drift")) == 3
    assert double.messages("prod-drift") == []


def test_a_channel_must_be_open_to_the_bot(double: SlackDouble, client: WebClient) -> None:
    double.add_channel("other", member=False)
    double.add_channel("secret", member=False, private=True)
    double.add_channel("old", archived=True)
    errors = {name: error(post, client, channel=name) for name in ("other", "secret", "old")}
    assert errors == {"other": "not_in_channel", "secret": "channel_not_found", "old": "is_archived"}
    other = double.channel("other").id
    assert error(client.conversations_history, channel=other) == "not_in_channel"
    with SlackDouble(scopes=DEFAULT_SCOPES | {"chat:write.public"}) as public:
        public.add_channel("other", member=False)
        post(client_of(public), channel="other")


def test_channels_are_listed_in_pages(double: SlackDouble, client: WebClient) -> None:
    double.add_channel("old", archived=True)
    double.add_channel("closed", private=True)
    pages = client.conversations_list(limit=1, exclude_archived=True)
    assert [[channel["name"] for channel in page["channels"]] for page in pages] == [["drift"], ["prod-drift"]]
    private = client.conversations_list(types="private_channel")["channels"]
    assert [(channel["name"], channel["is_private"]) for channel in private] == [("closed", True)]
    assert client.conversations_info(channel=double.channel("old").id)["channel"]["is_archived"] is True


# --- messages and threads --------------------------------------------------------------------------


def test_timestamps_are_unique_and_rise_even_when_the_clock_stands_still() -> None:
    with SlackDouble(clock=lambda: 1_700_000_000.0) as double:
        stamps = [post(client_of(double))[1] for _ in range(3)]
    assert stamps == ["1700000000.000000", "1700000000.000001", "1700000000.000002"]


def test_a_reply_needs_an_existing_first_message(double: SlackDouble, client: WebClient) -> None:
    channel, ts = post(client)
    reply = post(client, text="more", thread_ts=ts)[1]
    assert [message.text for message in double.messages("drift")] == ["drift"]
    assert [message.text for message in double.replies("drift", ts)] == ["more"]
    assert error(post, client, thread_ts="1700000000.000000") == "thread_not_found"
    assert error(post, client, thread_ts="0") == "invalid_thread_ts"
    assert error(post, client, thread_ts=float(ts)) == "invalid_thread_ts"
    assert error(post, client, thread_ts=reply) == "cannot_reply_to_message"
    assert error(post, client, channel="prod-drift", thread_ts=ts) == "thread_not_found"
    thread = client.conversations_replies(channel=channel, ts=ts)["messages"]
    assert [(m["text"], m.get("reply_count"), m["thread_ts"]) for m in thread] == [("drift", 1, ts), ("more", None, ts)]
    assert error(client.conversations_replies, channel=channel, ts="1700000000.0") == "thread_not_found"


def test_only_a_broadcast_reply_stands_in_the_channel_too(client: WebClient) -> None:
    channel, ts = post(client)
    post(client, text="quiet", thread_ts=ts)
    post(client, text="loud", thread_ts=ts, reply_broadcast=True)
    history = client.conversations_history(channel=channel)["messages"]
    assert [(m["text"], m.get("subtype")) for m in history] == [("loud", "thread_broadcast"), ("drift", None)]


def test_an_own_message_is_updated_by_id(double: SlackDouble, client: WebClient) -> None:
    channel, ts = post(client, blocks=[section("a")], metadata={"event_type": "drift", "event_payload": {"n": 1}})
    answer = client.chat_update(channel=channel, ts=ts, text="new", blocks=[section("b")])
    assert (answer["ts"], answer["text"], answer["channel"]) == (ts, "new", channel)
    kept = double.message("drift", ts)
    assert (kept.text, kept.blocks, kept.edits) == ("new", [section("b")], 1)
    assert kept.metadata == {"event_type": "drift", "event_payload": {"n": 1}}
    assert kept.edited is not None
    assert client.conversations_history(channel=channel)["messages"][0]["edited"]["ts"] > ts
    assert error(client.chat_update, channel="#drift", ts=ts, text="c") == "channel_not_found"
    assert error(client.chat_update, channel=channel, ts="1.2", text="c") == "message_not_found"
    assert error(client.chat_update, channel=channel, ts=ts) == "no_text"
    assert error(client.chat_update, channel=channel, ts=ts, text="") == "no_text"
    assert error(client.chat_update, channel=channel, ts=ts, blocks=[header("a" * 151)]) == "invalid_blocks"
    assert double.message("drift", ts) == kept


def test_an_update_with_a_text_only_removes_the_blocks_and_one_with_blocks_only_keeps_the_text(
    double: SlackDouble, client: WebClient
) -> None:
    channel, ts = post(client, text="first", blocks=[section("a")])
    client.chat_update(channel=channel, ts=ts, blocks=[section("b")])
    assert (double.message("drift", ts).text, double.message("drift", ts).blocks) == ("first", [section("b")])
    client.chat_update(channel=channel, ts=ts, text="only text")
    assert (double.message("drift", ts).text, double.message("drift", ts).blocks) == ("only text", [])


def test_a_message_of_others_is_neither_updated_nor_deleted(double: SlackDouble, client: WebClient) -> None:
    channel = double.channel("drift").id
    WebhookClient(double.webhook_url("drift")).send(text="by webhook")
    for ts in (double.someone_posts("drift", "hello").ts, double.messages("drift")[0].ts):
        assert error(client.chat_update, channel=channel, ts=ts, text="a") == "cant_update_message"
        assert error(client.chat_delete, channel=channel, ts=ts) == "cant_delete_message"
    assert [message.text for message in double.messages("drift")] == ["by webhook", "hello"]


def test_a_deleted_message_is_gone_but_its_thread_is_not(double: SlackDouble, client: WebClient) -> None:
    channel, ts = post(client)
    post(client, text="more", thread_ts=ts)
    alone = post(client, text="alone")[1]
    for gone in (ts, alone):
        client.chat_delete(channel=channel, ts=gone)
        assert error(client.chat_delete, channel=channel, ts=gone) == "message_not_found"
        assert error(client.chat_update, channel=channel, ts=gone, text="a") == "message_not_found"
        assert error(post, client, thread_ts=gone) == "thread_not_found"
    assert double.messages("drift") == []
    assert [message.text for message in double.replies("drift", ts)] == ["more"]
    assert [m.get("subtype") for m in client.conversations_history(channel=channel)["messages"]] == ["tombstone"]


def test_a_person_deletes_any_message_and_locks_a_thread(double: SlackDouble, client: WebClient) -> None:
    channel, ts = post(client)
    reply = post(client, text="more", thread_ts=ts)[1]
    double.lock_thread("drift", ts)
    assert error(post, client, thread_ts=ts) == "restricted_action_thread_locked"
    client.chat_update(channel=channel, ts=ts, text="new")
    double.someone_deletes("drift", ts)
    assert error(client.chat_update, channel=channel, ts=ts, text="a") == "message_not_found"
    assert [message.ts for message in double.replies("drift", ts)] == [reply]
    double.someone_deletes("drift", reply)
    assert double.replies("drift", ts) == []
    with pytest.raises(KeyError):
        double.someone_deletes("drift", reply)


def test_an_archived_channel_is_read_and_not_written(double: SlackDouble, client: WebClient) -> None:
    channel, ts = post(client)
    double.channel("drift").archived = True
    assert error(client.chat_update, channel=channel, ts=ts, text="a") == "is_archived"
    assert error(client.chat_delete, channel=channel, ts=ts) == "is_archived"
    assert error(post, client, thread_ts=ts) == "is_archived"
    assert [message["text"] for message in client.conversations_history(channel=channel)["messages"]] == ["drift"]


def test_history_comes_newest_first_in_pages(client: WebClient) -> None:
    stamps = [post(client, text=str(number))[1] for number in range(5)]
    channel = post(client, text="5")[0]
    pages = client.conversations_history(channel=channel, limit=4)
    seen = [([m["text"] for m in page["messages"]], page["has_more"]) for page in pages]
    assert seen == [(["5", "4", "3", "2"], True), (["1", "0"], False)]

    def texts(**bounds: Any) -> list[str]:
        return [m["text"] for m in client.conversations_history(channel=channel, **bounds)["messages"]]

    assert texts(oldest=stamps[1], latest=stamps[3]) == ["2"]
    assert texts(oldest=stamps[1], latest=stamps[3], inclusive=True) == ["3", "2", "1"]
    assert texts(oldest=stamps[3]) == ["5", "4"]
    assert texts(oldest="0") == ["5", "4", "3", "2", "1", "0"]
    for wrong, word in (
        ({"limit": 1000}, "invalid_limit"),
        ({"limit": 0}, "invalid_limit"),
        ({"oldest": "yesterday"}, "invalid_ts_oldest"),
        ({"latest": "now"}, "invalid_ts_latest"),
        ({"cursor": "next"}, "invalid_cursor"),
    ):
        assert error(texts, **wrong) == word
    assert error(client.conversations_history, channel="#drift") == "channel_not_found"


def test_a_thread_comes_oldest_first_in_pages(client: WebClient) -> None:
    channel, ts = post(client)
    for number in range(3):
        post(client, text=str(number), thread_ts=ts)
    pages = client.conversations_replies(channel=channel, ts=ts, limit=2)
    assert [[m["text"] for m in page["messages"]] for page in pages] == [["drift", "0"], ["1", "2"]]


def test_metadata_is_kept_and_given_back_only_when_asked_for(client: WebClient) -> None:
    metadata = {"event_type": "drift", "event_payload": {"fingerprint": "f1", "open": True, "n": 2}}
    channel = post(client, metadata=metadata, client_msg_id="0c6f2f4e-6d2a-4a3c-8a3e-1f0e5f7b9c11")[0]
    asked = client.conversations_history(channel=channel, include_all_metadata=True)["messages"][0]
    assert asked["metadata"] == metadata
    assert asked["client_msg_id"] == "0c6f2f4e-6d2a-4a3c-8a3e-1f0e5f7b9c11"
    assert "metadata" not in client.conversations_history(channel=channel)["messages"][0]


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ("{", "invalid_metadata_format"),
        ({"event_type": "drift"}, "invalid_metadata_schema"),
        ({"event_type": "", "event_payload": {}}, "invalid_metadata_schema"),
        ({"event_type": "drift alert", "event_payload": {}}, "invalid_metadata_schema"),
        ({"event_type": "drift", "event_payload": []}, "invalid_metadata_schema"),
        ({"event_type": "drift", "event_payload": {"a": None}}, "invalid_metadata_schema"),
        ({"event_type": "drift", "event_payload": {"a": ["b"]}}, "invalid_metadata_schema"),
        ({"event_type": "drift", "event_payload": {}, "more": 1}, "invalid_metadata_schema"),
        ({"event_type": "drift", "event_payload": {"a": "b" * 8_000}}, "metadata_too_large"),
    ],
)
def test_malformed_metadata_is_refused(client: WebClient, metadata: Any, word: str) -> None:
    assert error(post, client, metadata=metadata) == word


def test_a_client_message_id_is_kept_and_prevents_a_second_message_only_on_request() -> None:
    with SlackDouble() as double:
        assert post(client_of(double), client_msg_id="a") != post(client_of(double), client_msg_id="a")
        assert [message.client_msg_id for message in double.messages("drift")] == ["a", "a"]
    with SlackDouble(dedupe_client_msg_id=True) as double:
        assert post(client_of(double), client_msg_id="a") == post(client_of(double), client_msg_id="a")
        assert len(double.messages("drift")) == 1


def test_files_go_into_a_thread(double: SlackDouble, client: WebClient) -> None:
    channel, ts = post(client)
    client.files_upload_v2(
        channel=channel, thread_ts=ts, filename="all.txt", content="42 drifts", initial_comment="all"
    )
    [reply] = double.replies("drift", ts)
    assert (reply.text, [(f.name, f.title, f.content) for f in reply.files]) == (
        "all",
        [("all.txt", "all.txt", b"42 drifts")],
    )
    with pytest.raises(SlackApiError, match="channel_not_found"):
        client.files_upload_v2(channel="#drift", filename="a", content="b")
    with pytest.raises(SlackApiError, match="thread_not_found"):
        client.files_upload_v2(channel=channel, thread_ts="1700000000.000000", filename="a", content="b")
    assert [file.shared for file in double.files] == [True, False, False]


def test_a_file_is_shared_only_once_it_came_whole(double: SlackDouble, client: WebClient) -> None:
    given = client.files_getUploadURLExternal(filename="a", length=5)
    files = [{"id": given["file_id"], "title": "a"}]
    assert error(client.files_completeUploadExternal, files=files) == "file_not_found"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(given["upload_url"], b"four")
    with caught.value as answer:
        assert answer.code == 400
    with urllib.request.urlopen(given["upload_url"], b"fives") as answer:
        assert answer.status == 200
    client.files_completeUploadExternal(files=files, channel_id=double.channel("drift").id)
    assert error(client.files_completeUploadExternal, files=files) == "file_not_found"
    assert error(client.files_getUploadURLExternal, filename="a", length=0) == "invalid_arguments"


# --- incoming webhooks -----------------------------------------------------------------------------


def test_a_webhook_posts_to_its_channel_and_answers_in_plain_text(double: SlackDouble) -> None:
    answer = WebhookClient(double.webhook_url("prod-drift")).send(text="hi", blocks=[section("a")])
    assert (answer.status_code, answer.body) == (200, "ok")
    assert [(m.text, m.own) for m in double.messages("prod-drift")] == [("hi", False)]


def test_a_webhook_refuses_with_a_status_and_a_word(double: SlackDouble) -> None:
    address = double.webhook_url("drift")

    def sent(to: str = address, **content: Any) -> tuple[int, str]:
        answer = WebhookClient(to, retry_handlers=[]).send(**content)
        return answer.status_code, answer.body

    assert sent() == (400, "no_text")
    assert sent(text="a < b") == (400, "unescaped_text")
    assert sent(blocks=[header("a" * 151)]) == (400, "invalid_blocks")
    assert sent(address + "x", text="a") == (403, "invalid_token")
    assert sent(f"{double.url}/services/T1/B1/x", text="a") == (404, "no_service")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(address, b"{", {"Content-Type": "application/json"}))
    with caught.value as refusal:
        assert (refusal.code, refusal.read()) == (400, b"invalid_payload")
    double.prohibit_webhook(address)
    assert sent(text="a") == (403, "action_prohibited")
    archived = double.webhook_url("prod-drift")
    double.channel("prod-drift").archived = True
    assert sent(archived, text="a") == (410, "channel_is_archived")
    double.fail("webhook", RateLimited(2), ServerError(503), ApiError("no_team", status=404))
    assert [sent(text="a") for _ in range(3)][::2] == [(429, "rate_limited"), (404, "no_team")]
    assert double.messages("drift") == []


# --- what it shows ---------------------------------------------------------------------------------


def test_a_channel_is_shown_as_a_reader_sees_it(double: SlackDouble, client: WebClient) -> None:
    blocks = [
        header("prod drifted"),
        section("a &lt; b, see <https://a.b|the plan>"),
        fields("*Who*\nbob", "*When*\nnow"),
        {"type": "divider"},
        context(mrkdwn("commit"), TINY),
        buttons({"url": "https://a.b"}, {"text": plain("Hold")}),
        {"type": "markdown", "text": "**bold**"},
    ]
    channel, ts = post(client, text="fallback", blocks=blocks)
    post(client, text="two\nlines", thread_ts=ts)
    client.files_upload_v2(channel=channel, thread_ts=ts, filename="all.txt", content="42")
    post(client, text="plain", attachments=[{"color": "#f00", "blocks": [section("inside")]}])
    assert double.plain("drift") == (
        "# prod drifted\n"
        "a < b, see the plan (https://a.b)\n"
        "- *Who*: bob\n"
        "- *When*: now\n"
        "---\n"
        "~ commit · (image: a)\n"
        "[Look](https://a.b) [Hold]\n"
        "**bold**\n"
        "  > two\n"
        "    lines\n"
        "  > (file: all.txt, 2 bytes)\n"
        "\n"
        "plain\n"
        "| inside"
    )
    assert render_text(double.message("drift", ts)).startswith("# prod drifted\n")


def test_everything_that_ever_came_can_be_searched(double: SlackDouble, client: WebClient) -> None:
    error(post, client, channel="nowhere", blocks=[section('refused "quoted"')])
    double.fail("chat.postMessage", Reset())
    with pytest.raises(ConnectionResetError):
        post(client, text="reset")
    client.files_upload_v2(channel=double.channel("drift").id, filename="a", content="in a file")
    assert all(words in double.everything for words in ('refused "quoted"', "reset", "in a file"))


def test_a_break_of_the_double_itself_fails_the_test() -> None:
    def broken_clock() -> float:
        raise RuntimeError("no time")

    with pytest.raises(AssertionError, match="no time"), SlackDouble(clock=broken_clock) as double:
        refused(post, client_of(double))
