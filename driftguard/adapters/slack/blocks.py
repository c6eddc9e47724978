"""A message as Slack's blocks, within Slack's limits whatever the input.

Limits: https://docs.slack.dev/reference/block-kit/blocks (50 blocks, 3,000 characters a section, 150 a header,
2,000 a context element) and about 13,000 characters in total, above which `msg_blocks_too_long` was seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from driftguard.model import ChangeText, CommitText, Message, Severity, StepText
from driftguard.printable import printable

Block = dict[str, Any]
#: What a click on the button that acknowledges is recognised by.
ACK_ACTION: Final = "driftguard_ack"
_HEADER: Final = 150
_SECTION: Final = 2900
_LINE: Final = 600
_BLOCK: Final = 2200
_MAX_LINES: Final = 8
_MAX_LINKS: Final = 2
_SOON: Final = timedelta(minutes=1)
_FALLBACK: Final = 600
_MAX_BLOCKS: Final = 45
_MAX_CHARACTERS: Final = 12_000  # of the blocks' JSON text
# Kept free for what follows the list of changes: commits, what happens next, what the reader can do.
_RESERVED_BLOCKS: Final = 5
_RESERVED_CHARACTERS: Final = 5_800
_AROUND: Final = 80  # what a section's JSON adds to its text
_LOOKS: Final = {Severity.INFO: "🔵", Severity.WARNING: "🟠", Severity.CRITICAL: "🔴"}
_RESOLVED: Final = "✅"
_MENTION: Final = re.compile(r"<(?:@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|!here|!channel|!everyone)>")


@dataclass(slots=True)
class _Page:
    """Blocks that are being written, and how much of a message they take already.

    Attributes:
        foot: characters that the last block will take.
    """

    foot: int = 0
    blocks: list[Block] = field(default_factory=list)
    characters: int = 0

    def section(self, lines: Iterable[str], *, spare: bool = False) -> bool:
        """Add escaped lines as one section, as many as there is room for; whether all of them are there."""
        room = _MAX_CHARACTERS - self.foot - self.characters - _AROUND - (_RESERVED_CHARACTERS if spare else 0)
        blocks = _MAX_BLOCKS - len(self.blocks) - (_RESERVED_BLOCKS if spare else 0)
        wanted = [line for line in lines if line]
        text, left = "", len(wanted)
        for line in wanted:
            longer = f"{text}\n{line}" if text else line
            if _length(longer) > _SECTION or _written(longer) > room or blocks < 1:
                break
            text, left = longer, left - 1
        if text:
            self.add({"type": "section", "text": _markup(text)})
        return left == 0

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self.characters += _written(block) + 1


def render(message: Message) -> tuple[str, list[Block]]:
    """A message as the text of its notification and its blocks."""
    look = _RESOLVED if message.resolution else _LOOKS[message.severity]
    foot: Block = {"type": "context", "elements": [_markup(_foot(message))]}
    page = _Page(foot=_written(foot) + 1)
    title = f"{look} {_cut(printable(message.title), _HEADER - _length(look) - 1)}"
    page.add({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}})
    page.section(_first_screen(message))
    page.section(_steps(message.steps))
    if message.button is not None and not message.resolution:
        page.add(_button(message.button))
    page.section(_opening(message))
    _changes(page, message)
    page.section(_commits(message.commits))
    page.section(_titled("What happens next", message.decision))
    page.add(foot)
    mention = "" if message.resolution else mention_of(message.mention)
    return f"{look} {escape(message.title, _FALLBACK)} {mention}".strip(), page.blocks


def escape(text: str, room: int = _LINE) -> str:
    """Plain text for Slack's markup, at most `room` characters long when escaped."""
    escaped = "".join({"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(c, c) for c in printable(text))
    if len(escaped) <= room:
        return escaped
    return re.sub(r"&[a-z]{0,3}$", "", escaped[: room - 1]) + "…"


def mention_of(text: str | None) -> str:
    """Only mentions in Slack's syntax; any other configured text is left out."""
    return " ".join(_MENTION.findall(text or ""))


def _first_screen(message: Message) -> Iterator[str]:
    """The worst changes and who did it, as short as the title has left room on a phone's first screen."""
    if message.resolution:
        yield f"*{escape(message.resolution)}*"
    for address, text in message.worst:
        yield f"{_code(address)} {escape(text)}" if address else escape(text)
    if message.who:
        yield f"_{escape(message.who.replace('_', ' '))}_"


def _steps(steps: Sequence[StepText]) -> Iterator[str]:
    """What the reader can do: commands to copy, pages to tap."""
    for step in steps:
        if step.url and _url(step.url):
            yield f"• <{_url(step.url)}|{escape(step.text, 80)}>"
        elif step.command:
            yield f"• {escape(step.text, 80)}: `{escape(step.command.replace('`', chr(39)), 900)}`"


def _button(value: str) -> Block:
    text = {"type": "plain_text", "text": "Acknowledge"}
    return {"type": "actions", "elements": [{"type": "button", "action_id": ACK_ACTION, "text": text, "value": value}]}


def _opening(message: Message) -> Iterator[str]:
    yield mention_of(message.mention) if not message.resolution else ""
    if message.meant_for is not None:
        yield f"_Delayed: meant for {_moment(message.meant_for)}._"
    if message.note:
        yield escape(message.note)


def _changes(page: _Page, message: Message) -> None:
    environments, left_out = message.environments, 0
    if message.resolution and any(environment.changes for environment in environments):
        page.section(["*What it was*"])
    for environment in environments:
        left_out += environment.omitted
        if environment.changes and len(environments) > 1:
            page.section([f"*{escape(environment.name, 200)}*"], spare=True)
        if environment.headline and not environment.changes and environment is environments[0]:
            page.section([_block(environment.headline.splitlines()[:_MAX_LINES])], spare=True)
        for change in environment.changes:
            if not page.section(_change(change), spare=True):
                left_out += 1
    _others(page, message)
    if left_out:
        more = f"{left_out} more resource{'' if left_out == 1 else 's'}"
        page.section([f"… and {more}; `driftguard explain` lists everything."])


def _others(page: _Page, message: Message) -> None:
    """Further environments of one cause: their names, by how they are now."""
    for headline, names in message.others[:10]:
        listed = ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
        heading = escape(headline[:1].upper() + headline[1:], 200).removesuffix(".")
        page.section([f"*{heading} ({len(names)}):* {escape(listed, 1500)}"])


def _change(change: ChangeText) -> Iterator[str]:
    alike = f"; {len(change.alike)} more alike" if change.alike else ""
    yield f"{_code(change.address)}  {escape(change.label, 200)}{alike}"
    if change.consequence:
        yield f"*An apply {escape(change.consequence)}.*"
    more = len(change.lines) - _MAX_LINES
    yield _block([*change.lines[:_MAX_LINES], *([f"and {more} more"] if more > 0 else [])])
    yield from (escape(line) for line in change.by)


def _block(lines: Sequence[str]) -> str:
    """Lines in which nothing is markup, neither `*` nor `:100:`."""
    room = min(_LINE, _BLOCK // max(1, len(lines)))
    inside = "\n".join(escape(line.replace("`", "'"), room) for line in lines)
    return f"```{inside}```" if inside else ""


def _commits(commits: Sequence[CommitText]) -> Iterator[str]:
    if commits:
        yield "*Commits*"
    for commit in commits:
        sha = commit.sha[:10]
        name = f"<{_url(commit.url)}|{sha}>" if commit.url and _url(commit.url) else _code(sha)
        yield f"{name} {escape(commit.author, 80)}: {escape(commit.subject, 150)}"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    if len(lines) == 1:
        return [f"*{title}:* {escape(lines[0])}"]
    return [f"*{title}*", *(f"• {escape(line)}" for line in lines)] if lines else []


def _foot(message: Message) -> str:
    parts = [f"Since {_moment(message.since)}"]
    if message.seen_at - message.since >= _SOON:
        parts.append(f"as of {_moment(message.seen_at)}")
    parts += [escape(message.checked)] if message.checked else []
    parts += [f"<{_url(url)}|{escape(text, 80)}>" for text, url in message.links[:_MAX_LINKS] if _url(url)]
    return " · ".join(parts)


def _markup(text: str) -> Block:
    """A text object in which only what is written as markup is markup: no URL or name becomes a link by itself."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _moment(moment: datetime) -> str:
    """A moment in the reader's own time zone."""
    plain = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} {{time}}|{plain}>"


def _code(text: str) -> str:
    return f"`{escape(text.replace('`', chr(39)), 400)}`"


def _url(url: str) -> str:
    """A URL, escaped, that cannot end the markup around it; empty for anything else."""
    fits = re.fullmatch(r"https?://[!-~]{1,300}", url) and not set(url) & set("<>|")
    return url.replace("&", "&amp;") if fits else ""


def _written(value: object) -> int:
    """How many characters a value takes in the request."""
    return len(json.dumps(value, ensure_ascii=False))


def _length(text: str) -> int:
    """In the units that Slack's own software counts in: most emoji are two."""
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str, room: int) -> str:
    if _length(text) <= room:
        return text
    text = text[: room - 1]
    while _length(text) > room - 1:
        text = text[:-1]
    return text + "…"
