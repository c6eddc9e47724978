"""Text from outside in what reaches a forge: it links, mentions, closes, skips and shows nothing.

Takes text of any kind; gives one line of Markdown, or of plain text for titles and commit messages. Pure.
"""

from __future__ import annotations

import re
from typing import Final

from driftguard import printable
from driftguard.sealed import mask

# Shows nothing, and ends a word.
_BREAK: Final = "\u200b"
# What GitHub, GitLab and Gitea take for a reference: `#12`, `!12`, `$12`, `%12`, `&12`, `~label`, `GH-7`.
_REFERENCE: Final = re.compile(r"[#!$%&~](?=[\w\"])|\bGH-(?=\d)", re.IGNORECASE)
# An abbreviated commit, which only texts link; without a digit it is a word.
_COMMIT: Final = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b", re.IGNORECASE)
# What CI services take for a command in a commit message or a title that becomes one.
_COMMAND: Final = re.compile(
    r"\[(?=\s*(?:skip|no|ci|actions|azurepipelines|travis|appveyor|circleci|drone|buildkite)\b)"
    r"|\*\*\*(?=NO_CI)|\bskip-checks(?=\s*:)|^/(?=\w)",
    re.IGNORECASE,
)


def code(text: str) -> str:
    """Text in a code span, in which nothing is a link, a mention or markup."""
    return printable.code(mask(text))


def plain(text: str) -> str:
    """Text without markup, links, images, mentions and references in Markdown."""
    text = inert(printable.one_line(mask(text)))
    return _without_markup(_COMMIT.sub(lambda match: _BREAK.join(re.findall(".{1,6}", match[0])), text))


def _without_markup(text: str) -> str:
    text = re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", text)
    return text.replace("://", f":{_BREAK}//").replace("www.", f"www{_BREAK}.")


def sentence(text: str) -> str:
    """A sentence of our own: as `plain`, but the commits that it names stay whole."""
    return _without_markup(inert(printable.one_line(mask(text))))


def inert(text: str) -> str:
    """One line of a title or a commit message without mentions, references and commands to CI services."""
    text = _REFERENCE.sub(lambda match: f"{match[0]}{_BREAK}", text)
    text = _COMMAND.sub(lambda match: f"{match[0]}{_BREAK}", text)
    return text.replace("@", f"@{_BREAK}")
