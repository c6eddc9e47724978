"""A Slack message as plain lines, for assertions and golden texts."""

from __future__ import annotations

from typing import Any

from tests.support.slack_double.mrkdwn import readable
from tests.support.slack_double.store import Message


def render_text(message: Message) -> str:
    """What a reader sees of a message: one or more lines for each block, then its files; the text without blocks."""
    lines = [_block(block) for block in message.blocks] or ([readable(message.text)] if message.text else [])
    for attachment in message.attachments:
        blocks = [_block(block) for block in attachment.get("blocks", [])]
        shown = "\n".join(blocks) or readable(str(attachment.get("text") or attachment.get("fallback") or ""))
        lines.extend(f"| {line}" for line in shown.splitlines())
    lines.extend(f"(file: {file.name}, {len(file.content or b'')} bytes)" for file in message.files)
    return "\n".join(lines)


def _text(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    text = str(value.get("text", ""))
    return readable(text) if value.get("type") == "mrkdwn" else text


def _block(block: dict[str, Any]) -> str:
    match block.get("type"):
        case "header":
            return f"# {_text(block['text'])}"
        case "divider":
            return "---"
        case "section":
            lines = [_text(block["text"])] if "text" in block else []
            lines += ["- " + _text(item).replace("\n", ": ", 1) for item in block.get("fields", [])]
            lines += [_element(block["accessory"])] if "accessory" in block else []
            return "\n".join(lines)
        case "context":
            return "~ " + " · ".join(map(_element, block["elements"]))
        case "actions":
            return " ".join(map(_element, block["elements"]))
        case "markdown":
            return str(block["text"])
        case "rich_text":
            return "\n".join(map(_rich, block["elements"]))
        case _:
            return _element(block)


def _element(element: dict[str, Any]) -> str:
    match element.get("type"):
        case "button":
            return f"[{_text(element['text'])}]" + (f"({element['url']})" if "url" in element else "")
        case "overflow":
            return "[" + " | ".join(_text(option["text"]) for option in element["options"]) + "]"
        case "image":
            return f"(image: {element['alt_text']})"
        case _:
            return _text(element)


def _rich(part: dict[str, Any]) -> str:
    if part.get("type") == "rich_text_list":
        return "\n".join("- " + _rich(item) for item in part["elements"])
    if "elements" in part:
        return "".join(map(_rich, part["elements"]))
    return str(part.get("text") or part.get("url") or part.get("name") or part.get("user_id") or "")
