"""The content of a message as it arrives at the Slack double: text, blocks, attachments and metadata, checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.support.slack_double.blocks import MAX_MARKDOWN, MAX_MESSAGE, MAX_TEXT, BlockCheck, Json, message_size
from tests.support.slack_double.store import Refusal

Arguments = dict[str, Any]

#: Slack refuses metadata beyond a size that it does not document; this is on the small side.
MAX_METADATA = 8_000
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]{1,255}")


@dataclass(frozen=True)
class Content:
    """What was given of a message's parts, and what its markup holds.

    Attributes:
        given: any of `text`, `blocks`, `attachments`, `metadata`.
        unescaped: places where `&`, `<` or `>` is not escaped.
        markup: every link, mention and date.
    """

    given: Json
    unescaped: list[str]
    markup: list[str]


def message_content(arguments: Arguments, *, webhook: bool = False) -> Content:
    """The content of a message, where Slack takes it; `Refusal` otherwise."""
    given: Json = {}
    check = BlockCheck()
    if "text" in arguments:
        if not isinstance(arguments["text"], str):
            raise Refusal("invalid_arguments", "must provide a string [json-pointer:/text]")
        given["text"] = arguments["text"]
        check.mrkdwn(given["text"], "/text")
    if "markdown_text" in arguments:
        given["blocks"] = [{"type": "markdown", "text": _markdown_text(arguments)}]
    if "blocks" in arguments:
        given["blocks"] = from_json(arguments["blocks"], list, "invalid_blocks_format")
        check.blocks(given["blocks"])
    if "attachments" in arguments:
        given["attachments"] = _attachments(arguments["attachments"], check)
    if check.errors:
        raise Refusal("invalid_blocks", *check.errors, errors=check.errors)
    if len(given.get("text", "")) > MAX_TEXT:
        raise Refusal("msg_too_long")
    nested = [block for item in given.get("attachments", []) for block in item.get("blocks", [])]
    blocks = given.get("blocks", []) + nested
    if blocks and message_size(blocks, given.get("text", "")) > MAX_MESSAGE:
        raise Refusal("msg_blocks_too_long")
    if "metadata" in arguments and not webhook:
        given["metadata"] = _metadata(arguments["metadata"])
    return Content(given, check.unescaped, check.markup)


def _markdown_text(arguments: Arguments) -> str:
    if arguments.get("text") or arguments.get("blocks"):
        raise Refusal("markdown_text_conflict")
    if len(arguments["markdown_text"]) > MAX_MARKDOWN:
        raise Refusal("msg_too_long")
    return str(arguments["markdown_text"])


def from_json(value: Any, kind: type, error: str) -> Any:
    """A value that may arrive as JSON text, as it does in a form."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Refusal(error) from None
    if not isinstance(value, kind):
        raise Refusal(error)
    return value


def _attachments(value: Any, check: BlockCheck) -> list[Json]:
    found: list[Json] = from_json(value, list, "invalid_attachments")
    if len(found) > 100:
        raise Refusal("too_many_attachments")
    for index, item in enumerate(found):
        if not isinstance(item, dict):
            raise Refusal("invalid_attachments")
        for name in ("text", "fallback", "pretext"):
            check.mrkdwn(str(item.get(name) or ""), f"/attachments/{index}/{name}")
        if "blocks" in item:
            check.blocks(item["blocks"], f"/attachments/{index}/blocks")
    return found


def _metadata(value: Any) -> Json:
    """Metadata as Slack's types describe it; an empty object removes what is there."""
    found: Json = from_json(value, dict, "invalid_metadata_format")
    if not found:
        return found
    event_type, payload = found.get("event_type"), found.get("event_payload")
    if found.keys() != {"event_type", "event_payload"} or not isinstance(payload, dict):
        raise Refusal("invalid_metadata_schema", "event_type and event_payload (an object) are required, nothing else")
    if not isinstance(event_type, str) or not _EVENT_TYPE.fullmatch(event_type):
        raise Refusal("invalid_metadata_schema", "event_type must be alphanumeric")

    def plain(item: object) -> bool:
        return isinstance(item, dict) and all(isinstance(inner, str | int | float | bool) for inner in item.values())

    for name, item in payload.items():
        nested = all(map(plain, item)) if isinstance(item, list) else plain(item)
        if not (isinstance(item, str | int | float | bool) or nested):
            raise Refusal("invalid_metadata_schema", f"event_payload.{name}: no nulls, no lists of plain values")
    if len(json.dumps(found)) > MAX_METADATA:
        raise Refusal("metadata_too_large")
    return found
