"""Text for people: `printable` is the only way of a foreign text to a terminal, a log, a message or a page.

Names, values, commit subjects and error messages come from repositories and clouds. None of their characters may move
a cursor, colour a line, reorder or hide text, or become a link.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

REPLACEMENT: Final = "\ufffd"
# Letters and marks that take room and show nothing, or nothing at all.
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, range(0xE0100, 0xE01F0))
)
_MAX_MARKS: Final = 4  # combining characters on one letter; more of them cover the lines around it
# What Markdown turns into a link, an image, a mention or a reference.
_ACTIVE: Final = re.compile(r"\]\s*[\[(:]|!\[|://|\bwww\.|\bmailto:|@|[#!]\d|\bGH-\d|\b[0-9a-f]{40}\b", re.IGNORECASE)


def printable(text: str, *, lines: bool = False) -> str:
    """A text without anything that is not shown as itself.

    Spaces of any kind and line ends become a space; escape, control, bidirectional and invisible characters become
    U+FFFD, also half a character that cannot be encoded. The same text gives the same text, however often it is called.

    Args:
        lines: keep line ends.
    """
    if text.isascii() and (text.replace("\n", "") if lines else text).isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for character in whole_characters(text):
        if not unicodedata.combining(character):
            marks = 0
        elif (marks := marks + 1) > _MAX_MARKS:
            continue
        shown.append(_shown(character, lines))
    return "".join(shown)


def whole_characters(text: str) -> str:
    """Text that can be encoded: two halves of a character are joined, and one alone becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _shown(character: str, lines: bool) -> str:
    if character == "\n" and lines:
        return character
    if character.isspace():
        return " "
    return REPLACEMENT if not character.isprintable() or character in _INVISIBLE else character


def one_line(text: str) -> str:
    """A printable text on one line, its spaces joined."""
    return " ".join(printable(text).split())


def code(text: str) -> str:
    """One line as a code span of Markdown, in which nothing is a link, an image, a mention or markup."""
    text = one_line(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def cell(text: str) -> str:
    """One cell of a Markdown table: a code span where Markdown would make a link, an image or a mention of it."""
    text = one_line(text)
    if _ACTIVE.search(text):
        return code(text).replace("|", "\\|")  # a table ends a cell at `|`, also in code
    escaped = html(text).replace("\\", "\\\\").replace("|", "\\|")
    return escaped.replace("`", "'")


def html(text: str) -> str:
    """One line as text of an HTML element."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
