"""A message as Slack's blocks, within Slack's limits whatever the input.

Limits: https://docs.slack.dev/reference/block-kit/blocks (50 blocks, 3,000 characters a section, 150 a header,
2,000 a context element) and about 13,000 characters in total, above which `msg_blocks_too_long` was seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from driftguard.model import ChangeText, CommitText, EnvironmentText, Message, Severity

Block = dict[str, Any]
_HEADER: Final = 150
_SECTION: Final = 2900
_LINE: Final = 600
_FALLBACK: Final = 600
_MOST_BLOCKS: Final = 45
_MOST_CHARACTERS: Final = 12_000  # of the blocks' JSON text
# Kept free for what follows the list of changes: commits, what happens next, what the reader can do.
_RESERVED_BLOCKS: Final = 5
_RESERVED_CHARACTERS: Final = 5_000
_AROUND: Final = 60  # what a section's JSON adds to its text
_LOOKS: Final = {
    Severity.INFO: ":large_blue_circle:",
    Severity.WARNING: ":large_orange_circle:",
    Severity.CRITICAL: ":red_circle:",
}
_MENTION: Final = re.compile(r"<(?:@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|!here|!channel|!everyone)>")


@dataclass(slots=True)
class _Page:
    """Blocks that are being written, and how much of a message they take already."""

    blocks: list[Block] = field(default_factory=list)
    characters: int = 0

    def section(self, lines: Iterable[str], *, spare: bool = False) -> bool:
        """Add escaped lines as one section, as many as there is room for; whether all of them are there."""
        room = _MOST_CHARACTERS - self.characters - _AROUND - (_RESERVED_CHARACTERS if spare else 0)
        blocks = _MOST_BLOCKS - len(self.blocks) - (_RESERVED_BLOCKS if spare else 0)
        wanted = [line for line in lines if line]
        text, left = "", len(wanted)
        for line in wanted:
            longer = f"{text}\n{line}" if text else line
            if len(longer) > _SECTION or _written(longer) > room or blocks < 1:
                break
            text, left = longer, left - 1
        if text:
            self.add({"type": "section", "text": {"type": "mrkdwn", "text": text}})
        return left == 0

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self.characters += _written(block) + 1


def render(message: Message) -> tuple[str, list[Block]]:
    """A message as the text of its notification and its blocks."""
    look = ":white_check_mark:" if message.resolution else _LOOKS[message.severity]
    page = _Page()
    title = f"{look} {_cut(_clean(message.title), _HEADER - len(look) - 1)}"
    page.add({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": True}})
    page.section(_opening(message))
    _changes(page, message.environments, resolved=message.resolution is not None)
    page.section(_commits(message.commits))
    page.section(_titled("What happens next", message.decision))
    page.section(_titled("What you can do", message.advice))
    page.section(f"<{_url(url)}|{escape(text, 80)}>" for text, url in message.links if _url(url))
    page.add({"type": "context", "elements": [{"type": "mrkdwn", "text": _foot(message)}]})
    return f"{escape(message.title, _FALLBACK)} {mention_of(message.mention)}".strip(), page.blocks


def escape(text: str, room: int = _LINE) -> str:
    """Plain text for Slack's markup, at most `room` characters long when escaped."""
    escaped = "".join({"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(c, c) for c in _clean(text))
    if len(escaped) <= room:
        return escaped
    return re.sub(r"&[a-z]{0,3}$", "", escaped[: room - 1]) + "…"


def mention_of(text: str | None) -> str:
    """Only what Slack takes for a mention; anything else that a configuration says is left out."""
    return " ".join(_MENTION.findall(text or ""))


def _opening(message: Message) -> Iterator[str]:
    yield mention_of(message.mention) if not message.resolution else ""
    if message.meant_for is not None:
        yield f"_Delayed: this was to be said at {_moment(message.meant_for)}._"
    if message.resolution:
        yield f"*{escape(message.resolution)}*"


def _changes(page: _Page, environments: Sequence[EnvironmentText], *, resolved: bool) -> None:
    left_out = 0
    for environment in environments:
        left_out += environment.omitted
        if environment.changes or len(environments) == 1:
            headline = "" if resolved and len(environments) == 1 else f": {escape(environment.headline)}"
            page.section([f"*{escape(environment.name, 200)}*{headline}"], spare=True)
        for change in environment.changes:
            if not page.section(_change(change), spare=True):
                left_out += 1
    others = [e for e in environments if not e.changes] if len(environments) > 1 else []
    if others:
        _others(page, others, same=bool(environments[0].changes))
    if left_out:
        more = f"{left_out} more resource{'' if left_out == 1 else 's'}"
        page.section([f"… and {more}, not all of it shown here; `driftguard explain` has everything."])


def _others(page: _Page, environments: Sequence[EnvironmentText], *, same: bool) -> None:
    """Further environments of one cause: their names, by how they are now."""
    by_headline: dict[str, list[str]] = {}
    for environment in environments:
        by_headline.setdefault(environment.headline, []).append(environment.name)
    lines = []
    for headline, names in list(by_headline.items())[:10]:
        listed = ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
        lines.append(f"*{escape(headline, 200)}*: {escape(listed, 1500)}")
    page.section(["The same in:" if same else "In:", *lines])


def _change(change: ChangeText) -> Iterator[str]:
    yield f"• {_code(change.address)}  _{escape(change.label, 200)}_"
    yield from (f"      {escape(line)}" for line in change.lines[:8])
    if len(change.lines) > 8:
        yield f"      and {len(change.lines) - 8} more"
    yield from (f"      :bust_in_silhouette: {escape(line)}" for line in change.by)


def _commits(commits: Sequence[CommitText]) -> Iterator[str]:
    for commit in commits:
        sha = commit.sha[:10]
        name = f"<{_url(commit.url)}|{sha}>" if commit.url and _url(commit.url) else _code(sha)
        yield f"{name} {escape(commit.author, 80)}: {escape(commit.subject, 150)}"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"*{title}*", *(f"• {escape(line)}" for line in lines)] if lines else []


def _foot(message: Message) -> str:
    return f"Since {_moment(message.since)}, seen {_moment(message.seen_at)}. DriftGuard"


def _moment(moment: datetime) -> str:
    """A moment in the reader's own time zone."""
    plain = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} {{time}}|{plain}>"


def _code(text: str) -> str:
    return f"`{escape(text.replace('`', chr(39)), 400)}`"


def _url(url: str) -> str:
    """A URL that cannot end the markup around it; empty for anything else."""
    return url if re.fullmatch(r"https?://[!-~]{1,1000}", url) and not set(url) & set("<>|") else ""


def _written(value: object) -> int:
    """How many characters a value takes in the request."""
    return len(json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
