"""The Slack double refuses what Slack refuses: structure, limits and markup, exactly at their edges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient

from tests.support.slack_double import (
    MAX_MESSAGE,
    SlackDouble,
    message_size,
    offences,
)
from tests.support.slack_double.blocks import Json
from tests.support.slack_double.calls import (
    PLAIN,
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
    url,
)

pytest_plugins = ["tests.support.slack_double.fixtures"]
pytestmark = pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")


# --- limits ----------------------------------------------------------------------------------------

LIMITS: list[Any] = [
    pytest.param(lambda n: [{"type": "divider"}] * n, 50, "/blocks", id="blocks"),
    pytest.param(lambda n: [section("a" * n)], 3000, "/blocks/0/text/text", id="section text"),
    pytest.param(lambda n: [header("a" * n)], 150, "/blocks/0/text/text", id="header"),
    pytest.param(lambda n: [fields(*"a" * n)], 10, "/blocks/0/fields", id="fields"),
    pytest.param(lambda n: [fields("a", "a" * n)], 2000, "/blocks/0/fields/1/text", id="field text"),
    pytest.param(lambda n: [context(*[mrkdwn("a")] * n)], 10, "/blocks/0/elements", id="context elements"),
    pytest.param(lambda n: [context(mrkdwn("a" * n))], 3000, "/blocks/0/elements/0/text", id="context text"),
    pytest.param(lambda n: [{"type": "divider", "block_id": "a" * n}], 255, "/blocks/0/block_id", id="block_id"),
    pytest.param(lambda n: [buttons(*[{}] * n)], 25, "/blocks/0/elements", id="actions"),
    pytest.param(lambda n: [buttons({"text": plain("a" * n)})], 75, "/blocks/0/elements/0/text/text", id="button text"),
    pytest.param(lambda n: [buttons({"url": url(n)})], 3000, "/blocks/0/elements/0/url", id="button url"),
    pytest.param(lambda n: [buttons({"value": "a" * n})], 2000, "/blocks/0/elements/0/value", id="button value"),
    pytest.param(lambda n: [buttons({"action_id": "a" * n})], 255, "/blocks/0/elements/0/action_id", id="action_id"),
    pytest.param(lambda n: [{**TINY, "alt_text": "a" * n}], 2000, "/blocks/0/alt_text", id="alt_text"),
    pytest.param(lambda n: [{**TINY, "image_url": url(n)}], 3000, "/blocks/0/image_url", id="image_url"),
    pytest.param(lambda n: [{"type": "markdown", "text": "a" * n}], 12_000, "/blocks/0/text", id="markdown"),
    pytest.param(
        lambda n: [{"type": "markdown", "text": "a" * 5_000}, {"type": "markdown", "text": "a" * (n - 5_000)}],
        12_000,
        "/blocks/1",
        id="markdown together",
    ),
]


@pytest.mark.parametrize(("blocks", "most", "where"), LIMITS)
def test_a_limit_holds_exactly(
    double: SlackDouble, client: WebClient, blocks: Callable[[int], list[Json]], most: int, where: str
) -> None:
    post(client, blocks=blocks(most))
    answer = refused(post, client, blocks=blocks(most + 1))
    assert answer["error"] == "invalid_blocks"
    assert [message.rsplit("[json-pointer:")[1] for message in answer["response_metadata"]["messages"]] == [f"{where}]"]
    assert [message.blocks for message in double.messages("drift")] == [blocks(most)]


def test_a_text_has_at_most_40000_characters(client: WebClient) -> None:
    post(client, text="a" * 40_000)
    assert error(post, client, text="a" * 40_001) == "msg_too_long"


def test_blocks_and_text_together_have_a_limit_below_those_of_their_parts(client: WebClient) -> None:
    blocks = [section("a" * 3000) for _ in range(4)]
    rest = MAX_MESSAGE - message_size(blocks)
    assert 0 < rest < 1000
    post(client, text="a" * rest, blocks=blocks)
    assert error(post, client, text="a" * (rest + 1), blocks=blocks) == "msg_blocks_too_long"
    post(client, text="a" * (rest + 1))


INVALID: list[Any] = [
    pytest.param([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]", id="empty text"),
    pytest.param([{"type": "section"}], "missing required field: text [json-pointer:/blocks/0]", id="no text"),
    pytest.param(
        [{"type": "header", "text": mrkdwn("a")}],
        "must be a valid enum value [json-pointer:/blocks/0/text/type]",
        id="mrkdwn header",
    ),
    pytest.param([{"type": "chart"}], "unsupported type: chart [json-pointer:/blocks/0/type]", id="unknown block"),
    pytest.param([{"text": PLAIN}], "unsupported type: None [json-pointer:/blocks/0/type]", id="no type"),
    pytest.param(["a"], "must provide an object [json-pointer:/blocks/0]", id="no object"),
    pytest.param([context()], "no less than 1 items required [json-pointer:/blocks/0/elements]", id="empty context"),
    pytest.param(
        [{"type": "divider", "text": PLAIN}],
        "invalid additional property: text [json-pointer:/blocks/0]",
        id="property",
    ),
    pytest.param(
        [{"type": "image", "image_url": url(20)}], "missing required field: alt_text [json-pointer:/blocks/0]", id="alt"
    ),
    pytest.param(
        [{"type": "divider", "block_id": "a"}] * 2,
        "`block_id` a already exists [json-pointer:/blocks/1/block_id]",
        id="block_id",
    ),
    pytest.param(
        [buttons({"action_id": "a"}, {"action_id": "a"})],
        "`action_id` a already exists [json-pointer:/blocks/0/elements/1/action_id]",
        id="action_id",
    ),
    pytest.param([buttons({"url": "see below"})], "invalid url [json-pointer:/blocks/0/elements/0/url]", id="url"),
    pytest.param(
        [buttons({"style": "blue"})], "must be a valid enum value [json-pointer:/blocks/0/elements/0/style]", id="style"
    ),
    pytest.param(
        [buttons({"type": "slider"})], "unsupported element [json-pointer:/blocks/0/elements/0]", id="element"
    ),
    pytest.param(
        [{"type": "rich_text", "elements": [{"type": "text", "text": "a"}]}],
        "unsupported type: text [json-pointer:/blocks/0/elements/0/type]",
        id="rich text",
    ),
]


@pytest.mark.parametrize(("blocks", "message"), INVALID)
def test_invalid_blocks_are_refused_with_their_place(
    double: SlackDouble, client: WebClient, blocks: list[Any], message: str
) -> None:
    answer = refused(post, client, blocks=blocks)
    assert (answer["error"], answer["errors"]) == ("invalid_blocks", [message])
    assert answer["response_metadata"]["messages"] == [f"[ERROR] {message}"]
    assert double.messages("drift") == []


def test_blocks_in_attachments_are_checked_too(client: WebClient) -> None:
    answer = refused(post, client, attachments=[{"color": "#f00", "blocks": [header("a" * 151)]}])
    assert answer["errors"] == ["must be less than 151 characters [json-pointer:/attachments/0/blocks/0/text/text]"]


def test_rich_text_and_accessories_are_accepted(client: WebClient) -> None:
    words = [{"type": "text", "text": "a"}, {"type": "link", "url": "https://a.b"}]
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": words}]}
    post(client, blocks=[rich, {**section("a"), "accessory": {"type": "button", "text": PLAIN}}, context(TINY)])


def test_blocks_that_are_no_list_are_refused(client: WebClient) -> None:
    assert error(post, client, blocks="{") == "invalid_blocks_format"
    assert error(post, client, blocks='{"type": "divider"}') == "invalid_blocks_format"


def test_blocks_and_metadata_may_arrive_as_json_text_in_a_form(double: SlackDouble, client: WebClient) -> None:
    metadata = {"event_type": "drift", "event_payload": {"fingerprint": "f1"}}
    form = {"channel": "drift", "blocks": json.dumps([section("a")]), "metadata": json.dumps(metadata)}
    client.api_call("chat.postMessage", params=form)
    assert [(m.blocks, m.metadata) for m in double.messages("drift")] == [([section("a")], metadata)]


# --- markup ----------------------------------------------------------------------------------------

CLEAN = (
    "a &amp; b &lt; c &gt; d",
    "<https://a.b/?c=1&amp;d=2|label>",
    "<https://a.b>",
    "<mailto:a@b.c|a>",
    "<@U123> <@W12AB|bob> <#C123|drift> <#C123>",
    "<!here> <!channel> <!everyone>",
    "<!subteam^S123> <!subteam^S123|@ops>",
    "<!date^1392734382^{date_short} at {time}^https://a.b|Feb 18>",
)
DIRTY = (
    "a & b",
    "a < b",
    "a > b",
    "> quote",
    "&nbsp;",
    "<https://a.b/?c=1&d=2|label>",
    "<https://a.b|one|two>",
    "<https://a.b|>",
    "<javascript:alert(1)|a>",
    "<@bob>",
    "<!subteam^ops>",
    "<!date^soon^{date}|soon>",
    "<!date^1392734382^{date_short}>",
    "<script>",
)


@pytest.mark.parametrize("text", CLEAN)
def test_escaped_text_and_well_formed_markup_are_taken(double: SlackDouble, client: WebClient, text: str) -> None:
    post(client, text=text, blocks=[section(text), fields(text), context(mrkdwn(text))])
    assert double.unescaped == []


@pytest.mark.parametrize("text", DIRTY)
def test_an_unescaped_character_is_refused_and_noted(double: SlackDouble, client: WebClient, text: str) -> None:
    for given in ({"text": text}, {"blocks": [section(text)]}, {"blocks": [fields(text)]}):
        assert error(client.chat_postMessage, channel="drift", **given) == "unescaped_text"
    post(client, blocks=[{"type": "context", "elements": [plain(text)]}, {"type": "markdown", "text": text}])
    places = [place.rpartition("[json-pointer:")[2] for place in double.unescaped]
    assert set(places) == {"/text]", "/blocks/0/text/text]", "/blocks/0/fields/0/text]"}


def test_an_unescaped_character_can_be_only_noted() -> None:
    with SlackDouble(strict_escaping=False) as double:
        post(client_of(double), text="a < b")
        assert len(double.messages("drift")) == len(double.unescaped) == 1


def test_every_link_and_mention_is_noted(double: SlackDouble, client: WebClient) -> None:
    post(client, text="<!channel> &lt;!here&gt;", blocks=[section("<https://a.b|c> <@U1>")])
    assert double.markup == ["<!channel>", "<https://a.b|c>", "<@U1>"]
    assert offences("&lt;!here&gt;") == []
