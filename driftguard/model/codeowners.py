"""The language of GitHub's CODEOWNERS: the rule that covers a file, and the owners that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PLACES: Final = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
# Any space, end of a line or byte-order mark but a space and a tab; also control characters and those without a width.
_ODD: Final = re.compile(
    r"[^\S \t]|[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]"
)
_WORD: Final = re.compile(r"(?:\\.|[^\s\\])+")
_OWNER: Final = re.compile(r"@[A-Za-z0-9](?:[A-Za-z0-9_\-]|\[bot\])*(?:/[A-Za-z0-9_.\-]+)?|[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class OwnerRule:
    """One line: a pattern, and owners as written (`@login`, `@org/team`, an e-mail address); none frees the files."""

    line: int
    pattern: re.Pattern[str]
    owners: tuple[str, ...]


def parse(text: str) -> tuple[OwnerRule, ...]:
    """The rules in their order; lines that GitHub does not understand are left out, as GitHub does.

    Raises:
        ValueError: a line holds a character that ends a line or a word for some readers and not for others, so that a
            file might be freed of its owners by it. The message names the line and the character.
    """
    rules = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.removesuffix("\r")
        if (odd := _ODD.search(line)) is not None:
            raise ValueError(f"line {number} holds the character U+{ord(odd[0]):04X}")
        words = _words(line)
        if not words:
            continue
        pattern = compiled(words[0])
        if pattern is not None and all(_OWNER.fullmatch(owner) for owner in words[1:]):
            rules.append(OwnerRule(number, pattern, tuple(words[1:])))
    return tuple(rules)


def touched(rules: Iterable[OwnerRule], paths: Iterable[str]) -> tuple[OwnerRule, ...]:
    """The distinct rules that own any of the files: of the rules that match a file, the last one counts."""
    newest_first = list(rules)[::-1]
    found = {
        rule.line: rule
        for path in paths
        if (rule := next((rule for rule in newest_first if rule.pattern.fullmatch(path)), None)) is not None
    }
    return tuple(found[line] for line in sorted(found))


def compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern as an expression for whole paths from the root; None for one that CODEOWNERS does not know."""
    if pattern.startswith("!") or "***" in pattern or re.search(r"(?<!\\)[\[\]]", pattern) or pattern in ("", "/"):
        return None
    # Without a slash before its end, a pattern may match at any depth.
    anchored = "/" in pattern.rstrip("/")
    parts = pattern.removeprefix("/").split("/")
    if not anchored:
        parts = ["**", *parts]
    if parts[-1] == "":
        parts[-1] = "**"
    expression = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += ".+" if last else "(?:.+/)?"
        elif last and part == "*":
            # `docs/*` means the files right there; a bare `*` was made `**/*` above and means every file.
            expression += "[^/]+"
        else:
            expression += _part(part) + ("(?:/.+)?" if last else "/")
    return re.compile(expression, re.DOTALL)


def _part(part: str) -> str:
    expression = ""
    for piece in re.findall(r"\\.|.", part, re.DOTALL):
        if piece == "*":
            expression += "[^/]*"
        elif piece == "?":
            expression += "[^/]"
        else:
            expression += re.escape(piece[-1])
    return expression


def _words(line: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(line):
        if word.startswith("#"):
            break
        words.append(word)
    return words
