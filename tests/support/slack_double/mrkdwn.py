"""Which `&`, `<` and `>` may stand in Slack's own markup: entities, and well formed links, mentions and dates."""

from __future__ import annotations

import re

_ENTITY = r"&(?:amp|lt|gt);"
_PLAIN = rf"(?:{_ENTITY}|[^&<>|\n])"
_LABEL = rf"(?:\|(?:{_ENTITY}|[^&<>|\n])+)?"
_CONTROL = "|".join(
    (
        rf"(?:https?|slack)://(?:{_ENTITY}|[^&<>|\s])+{_LABEL}",
        rf"(?:mailto|tel):(?:{_ENTITY}|[^&<>|\s])+{_LABEL}",
        rf"@[UW][A-Z0-9]+{_LABEL}",
        rf"#C[A-Z0-9]+(?:\|{_PLAIN}*)?",
        rf"!(?:here|channel|everyone){_LABEL}",
        rf"!subteam\^S[A-Z0-9]+{_LABEL}",
        rf"!date\^\d+\^[^&<>|^\n]+(?:\^https?://(?:{_ENTITY}|[^&<>|\s])+)?\|{_PLAIN}+",
    )
)
_ALLOWED = re.compile(rf"{_ENTITY}|<(?:{_CONTROL})>")
_OFFENCE = re.compile("[&<>]")
_LINK = re.compile(r"<((?:https?|slack|mailto|tel)[^<>|\s]*)(?:\|([^<>]*))?>")
_DATE = re.compile(r"<!date\^[^<>|]*\|([^<>]*)>")


def offences(text: str) -> list[str]:
    """Every unescaped character with what stands around it, in order; empty for clean text."""
    rest = _ALLOWED.sub(lambda match: " " * len(match[0]), text)
    return [
        f"{match[0]!r} at {match.start()}: {text[max(0, match.start() - 20) : match.end() + 20]!r}"
        for match in _OFFENCE.finditer(rest)
    ]


def controls(text: str) -> list[str]:
    """Every link, mention and date, in order."""
    return [match[0] for match in _ALLOWED.finditer(text) if match[0].startswith("<")]


def readable(text: str) -> str:
    """Markup as a reader sees it: `label (address)` for a link, a date's fallback, entities as characters."""
    text = _DATE.sub(r"\1", text)
    text = _LINK.sub(lambda match: f"{match[2]} ({match[1]})" if match[2] else match[1], text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
