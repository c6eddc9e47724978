"""Slack's rules for the blocks of a message: structure, limits, and markup that is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.slack_double.mrkdwn import controls, offences

MAX_BLOCKS = 50
MAX_TEXT = 40_000
MAX_MARKDOWN = 12_000
#: Where Slack has been seen to refuse a message with blocks. What it counts is not documented; this counts strictly:
#: the characters of the blocks as compact JSON, and of the text.
MAX_MESSAGE = 13_000

_URL = re.compile(r"(?:https?|slack)://[^\s<>]+|mailto:[^\s<>]+")
_RICH = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
_RICH_LEAVES = {"text", "link", "emoji", "user", "usergroup", "channel", "broadcast", "date", "color"}

Json = dict[str, Any]


def message_size(blocks: list[Json], text: str = "") -> int:
    """What is held against `MAX_MESSAGE`: characters of the blocks as compact JSON and of the text."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) + len(text)


class BlockCheck:
    """Collects what is wrong with the blocks of one message.

    Attributes:
        errors: in Slack's words, with a JSON pointer each.
        unescaped: places in mrkdwn texts where `&`, `<` or `>` is not escaped.
        markup: every link, mention and date in mrkdwn texts.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.unescaped: list[str] = []
        self.markup: list[str] = []
        self._markdown, self._block_ids = 0, set[str]()

    # --- the parts of a check --------------------------------------------------------------------

    def fail(self, what: str, where: str) -> None:
        self.errors.append(f"{what} [json-pointer:{where}]")

    def mrkdwn(self, text: str, where: str) -> None:
        """Note every unescaped character of a text, and every piece of markup."""
        self.markup.extend(controls(text))
        self.unescaped.extend(f"{offence} [json-pointer:{where}]" for offence in offences(text))

    def _keys(self, value: Json, where: str, required: str, optional: str = "") -> bool:
        """Whether an object has the keys it must have; keys that Slack does not know are failures too."""
        for name in required.split():
            if name not in value:
                self.fail(f"missing required field: {name}", where)
        for name in value.keys() - {"type", *required.split(), *optional.split()}:
            self.fail(f"invalid additional property: {name}", where)
        return all(name in value for name in required.split())

    def _string(self, value: object, where: str, most: int, least: int = 1) -> bool:
        if not isinstance(value, str):
            self.fail("must provide a string", where)
        elif len(value) > most:
            self.fail(f"must be less than {most + 1} characters", where)
        elif len(value) < least:
            self.fail(f"must be more than {least - 1} characters", where)
        else:
            return True
        return False

    def _optional(self, value: Json, name: str, where: str, most: int) -> None:
        if name in value:
            self._string(value[name], f"{where}/{name}", most)

    def _url(self, value: object, where: str) -> None:
        if self._string(value, where, 3000) and not _URL.fullmatch(str(value)):
            self.fail("invalid url", where)

    def _list(self, value: object, where: str, most: int) -> Iterator[tuple[Json, str]]:
        """The objects of a list, each with its place; what is no object or too much is a failure."""
        if not isinstance(value, list):
            self.fail("must provide an array", where)
            return
        if not value:
            self.fail("no less than 1 items required", where)
        if len(value) > most:
            self.fail(f"no more than {most} items allowed", where)
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield item, f"{where}/{index}"
            else:
                self.fail("must provide an object", f"{where}/{index}")

    def _text(self, value: object, where: str, most: int, *, plain: bool = False) -> None:
        """A text object; `plain` where Slack takes no markup."""
        if not isinstance(value, dict):
            self.fail("must provide an object", where)
            return
        kind = value.get("type")
        if kind not in ({"plain_text"} if plain else {"plain_text", "mrkdwn"}):
            self.fail("must be a valid enum value", f"{where}/type")
            return
        if not self._keys(value, where, "text", "emoji" if kind == "plain_text" else "verbatim"):
            return
        for name in ("emoji", "verbatim"):
            if not isinstance(value.get(name, True), bool):
                self.fail("must provide a boolean", f"{where}/{name}")
        self._string(value["text"], f"{where}/text", most)
        if kind == "mrkdwn" and isinstance(value["text"], str):
            self.mrkdwn(value["text"], f"{where}/text")

    # --- blocks ----------------------------------------------------------------------------------

    def blocks(self, value: object, where: str = "/blocks") -> None:
        """Check the blocks of a message; an empty list is one without blocks."""
        if value == []:
            return
        for block, place in self._list(value, where, MAX_BLOCKS):
            check = self._CHECKS.get(str(block.get("type")))
            if check is None:
                self.fail(f"unsupported type: {block.get('type')}", f"{place}/type")
                continue
            if "block_id" in block and self._string(block["block_id"], f"{place}/block_id", 255):
                if block["block_id"] in self._block_ids:
                    self.fail(f"`block_id` {block['block_id']} already exists", f"{place}/block_id")
                self._block_ids.add(block["block_id"])
            check(self, block, place)

    def _section(self, block: Json, where: str) -> None:
        self._keys(block, where, "", "block_id text fields accessory expand")
        if "text" not in block and "fields" not in block:
            self.fail("missing required field: text", where)
        if "text" in block:
            self._text(block["text"], f"{where}/text", 3000)
        if "fields" in block:
            for item, place in self._list(block["fields"], f"{where}/fields", 10):
                self._text(item, place, 2000)
        if "accessory" in block:
            self._element(block["accessory"], f"{where}/accessory", {"button", "overflow", "image"}, set())

    def _header(self, block: Json, where: str) -> None:
        if self._keys(block, where, "text", "block_id"):
            self._text(block["text"], f"{where}/text", 150, plain=True)

    def _divider(self, block: Json, where: str) -> None:
        self._keys(block, where, "", "block_id")

    def _context(self, block: Json, where: str) -> None:
        if self._keys(block, where, "elements", "block_id"):
            for item, place in self._list(block["elements"], f"{where}/elements", 10):
                if item.get("type") == "image":
                    self._element(item, place, {"image"}, set())
                else:
                    self._text(item, place, 3000)

    def _actions(self, block: Json, where: str) -> None:
        action_ids: set[str] = set()
        if self._keys(block, where, "elements", "block_id"):
            for item, place in self._list(block["elements"], f"{where}/elements", 25):
                self._element(item, place, {"button", "overflow"}, action_ids)

    def _image(self, block: Json, where: str) -> None:
        self._keys(block, where, "alt_text", "block_id image_url slack_file title")
        self._picture(block, where)
        if "title" in block:
            self._text(block["title"], f"{where}/title", 2000, plain=True)

    def _markdown_block(self, block: Json, where: str) -> None:
        if self._keys(block, where, "text", "block_id") and self._string(block["text"], f"{where}/text", MAX_MARKDOWN):
            self._markdown += len(block["text"])
            if self._markdown > MAX_MARKDOWN:
                self.fail(f"markdown blocks must have less than {MAX_MARKDOWN + 1} characters together", where)

    def _rich_text(self, block: Json, where: str) -> None:
        if self._keys(block, where, "elements", "block_id"):
            for item, place in self._list(block["elements"], f"{where}/elements", 1000):
                self._rich_part(item, place, _RICH)

    def _rich_part(self, part: Json, where: str, allowed: set[str]) -> None:
        kind = part.get("type")
        if kind not in allowed:
            self.fail(f"unsupported type: {kind}", f"{where}/type")
        elif kind in _RICH:
            inner = {"rich_text_section"} if kind == "rich_text_list" else _RICH_LEAVES
            if self._keys(part, where, "elements", "border style indent offset language"):
                for item, place in self._list(part["elements"], f"{where}/elements", 1000):
                    self._rich_part(item, place, inner)
        elif kind == "text" and self._keys(part, where, "text", "style"):
            self._string(part["text"], f"{where}/text", MAX_TEXT)
        elif kind == "link" and self._keys(part, where, "url", "text unsafe style"):
            self._url(part["url"], f"{where}/url")

    # --- elements --------------------------------------------------------------------------------

    def _element(self, value: object, where: str, allowed: set[str], action_ids: set[str]) -> None:
        if not isinstance(value, dict) or value.get("type") not in allowed:
            self.fail("unsupported element", where)
            return
        if "action_id" in value and self._string(value["action_id"], f"{where}/action_id", 255):
            if value["action_id"] in action_ids:
                self.fail(f"`action_id` {value['action_id']} already exists", f"{where}/action_id")
            action_ids.add(value["action_id"])
        if value["type"] == "image":
            self._keys(value, where, "alt_text", "image_url slack_file")
            self._picture(value, where)
        elif value["type"] == "overflow":
            self._overflow(value, where)
        else:
            self._button(value, where)

    def _picture(self, value: Json, where: str) -> None:
        if ("image_url" in value) == ("slack_file" in value):
            self.fail("must have either image_url or slack_file", where)
        if "image_url" in value:
            self._url(value["image_url"], f"{where}/image_url")
        if "alt_text" in value:
            self._string(value["alt_text"], f"{where}/alt_text", 2000)

    def _button(self, value: Json, where: str) -> None:
        if self._keys(value, where, "text", "action_id url value style confirm accessibility_label"):
            self._text(value["text"], f"{where}/text", 75, plain=True)
        if "url" in value:
            self._url(value["url"], f"{where}/url")
        self._optional(value, "value", where, 2000)
        self._optional(value, "accessibility_label", where, 75)
        if value.get("style", "primary") not in ("primary", "danger"):
            self.fail("must be a valid enum value", f"{where}/style")
        if "confirm" in value:
            self._confirm(value["confirm"], f"{where}/confirm")

    def _confirm(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            self.fail("must provide an object", where)
        elif self._keys(value, where, "title text confirm deny", "style"):
            self._text(value["text"], f"{where}/text", 300)
            for name, most in (("title", 100), ("confirm", 30), ("deny", 30)):
                self._text(value[name], f"{where}/{name}", most, plain=True)

    def _overflow(self, value: Json, where: str) -> None:
        if self._keys(value, where, "options", "action_id confirm"):
            for item, place in self._list(value["options"], f"{where}/options", 5):
                if self._keys(item, place, "text value", "url description"):
                    self._text(item["text"], f"{place}/text", 75, plain=True)
                    self._string(item["value"], f"{place}/value", 150)
                if "url" in item:
                    self._url(item["url"], f"{place}/url")

    _CHECKS: dict[str, Callable[[BlockCheck, Json, str], None]] = {  # noqa: RUF012
        "section": _section,
        "header": _header,
        "divider": _divider,
        "context": _context,
        "actions": _actions,
        "image": _image,
        "markdown": _markdown_block,
        "rich_text": _rich_text,
    }
